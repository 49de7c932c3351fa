"""The speech codec, which only training uses: log-mel → 25 codes a second of 2048, made to follow phones.

Finite scalar quantization (Mentzer et al., 2023) of 4 numbers at 8, 8, 8 and 4 levels. The decoder sees the speaker, so
codes need not carry it, and a head must read the phones off the codes, which makes them predictable from text.

    python -m training.codec train --shards DIR… --voices slt,rms --out runs/codec --seconds 90
    python -m training.codec encode --codec runs/codec/codec.safetensors --shards DIR… --voices slt,rms --out runs/codes
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.export import write_part
from training.mel import BINS
from training.optimization import Optimizer, Run, RunOptions
from training.pieces import piece_files, read_pieces
from training.speech_bank import CODE_FRAMES, CODE_SAMPLES, UNKNOWN_PHONE, SpeechBank
from training.utterances import PHONES, CodedUtterance, Utterance, read_shard, shards, write_coded

LEVELS = (8, 8, 8, 4)
MEL_MEAN, MEL_SCALE = -6.0, 3.0
PHONE_WEIGHT = 0.3
EDGE_CODES = 16  # context on either side when a long recording is encoded in pieces; the encoder reaches less
LEAD_SEC = 0.08  # silence that is left in front of a coded utterance


class Quantizer(nn.Module):
    """Each number is squashed to its level count and rounded, with the gradient passed straight through."""

    reach: Tensor
    offset: Tensor
    middle: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int] = LEVELS) -> None:
        super().__init__()
        levels_ = torch.tensor(levels, dtype=torch.float32)
        self.register_buffer("reach", (levels_ - 1) * 1.001 / 2, persistent=False)
        self.register_buffer("offset", torch.where(levels_ % 2 == 0, 0.5, 0.0), persistent=False)
        self.register_buffer("middle", levels_ // 2, persistent=False)
        basis = [1]
        for level in levels[:-1]:
            basis.append(basis[-1] * level)
        self.register_buffer("basis", torch.tensor(basis), persistent=False)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """[..., 4] → (quantized in −1…1 [..., 4], code 0…2047 [...])"""
        bounded = torch.tanh(values.float() + torch.atanh(self.offset / self.reach)) * self.reach - self.offset
        rounded = bounded + (bounded.round() - bounded).detach()
        code = ((rounded.detach().round() + self.middle).long() * self.basis).sum(-1)
        return rounded / self.middle, code


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of [B, C, T], so that nothing depends on the length."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = _ChannelNorm(width)
        self.wide = nn.Conv1d(width, 2 * width, 5, padding=2 * dilation, dilation=dilation)
        self.narrow = nn.Conv1d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.gelu(self.wide(self.norm(x))))


class Codec(nn.Module):
    """speakers: how many voices the decoder knows."""

    def __init__(self, speakers: int, width: int = 256) -> None:
        super().__init__()
        self.speakers, self.width = speakers, width
        self.encoder = nn.Sequential(
            nn.Conv1d(BINS, width, 5, padding=2),
            _Residual(width, 1),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            _Residual(width, 1),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            _Residual(width, 1),
            _Residual(width, 2),
            _ChannelNorm(width),
            nn.Conv1d(width, len(LEVELS), 1),
        )
        self.quantizer = Quantizer()
        self.trunk = nn.Sequential(
            nn.Conv1d(len(LEVELS), width, 3, padding=1),
            _Residual(width, 1),
            _Residual(width, 2),
            nn.ConvTranspose1d(width, width, 4, stride=2, padding=1),
            _Residual(width, 1),
            nn.ConvTranspose1d(width, width, 4, stride=2, padding=1),
            _Residual(width, 1),
        )
        self.phone_head = nn.Sequential(_ChannelNorm(width), nn.Conv1d(width, len(PHONES), 1))
        self.speaker = nn.Embedding(speakers, width)
        self.decoder = nn.Sequential(
            _Residual(width, 1), _Residual(width, 2), _ChannelNorm(width), nn.Conv1d(width, BINS, 1)
        )

    def forward(self, mel: Tensor, speakers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mel [B, 80, T], speakers int64 [B, T / 4] → (mel again [B, 80, T], phone logits [B, P, T], codes [B, T / 4])"""
        values, codes = self.quantizer(self.encoder((mel - MEL_MEAN) / MEL_SCALE).transpose(1, 2))
        trunk = self.trunk(values.transpose(1, 2))  # [B, W, T]
        speaker = self.speaker(speakers).transpose(1, 2).repeat_interleave(CODE_FRAMES, dim=2)
        decoded = self.decoder(trunk + speaker).float() * MEL_SCALE + MEL_MEAN
        return decoded, self.phone_head(trunk).float(), codes

    @torch.no_grad()
    def encode(self, mel: Tensor) -> Tensor:
        """mel [B, 80, T] → code ids 1…2048 [B, T / 4]"""
        return self.quantizer(self.encoder((mel - MEL_MEAN) / MEL_SCALE).transpose(1, 2))[1] + 1


def losses(codec: Codec, mel: Tensor, phones: Tensor, speakers: Tensor) -> dict[str, Tensor]:
    """l1: mean distance of the mels, natural log; phone: cross-entropy; right: share of right phones; used: codes in use."""
    decoded, logits, codes = codec(mel, speakers)
    targets = phones.masked_fill(phones == UNKNOWN_PHONE, -100)
    known = targets >= 0
    phone = F.cross_entropy(logits, targets, reduction="sum") / known.sum().clamp(min=1)
    right = ((logits.argmax(1) == targets) & known).sum() / known.sum().clamp(min=1)
    used = (torch.zeros(2048, device=mel.device).index_fill_(0, codes.flatten(), 1.0)).sum()
    return {"l1": (decoded - mel).abs().mean(), "phone": phone, "right": right, "used": used}


def read_codec(path: Path, device: str = "cpu") -> tuple[Codec, list[str]]:
    """The codec and the names of its voices, from codec.safetensors and codec.json beside it, or from a folder of its
    pieces with codec.json."""
    about = json.loads((path / "codec.json" if path.is_dir() else path.with_suffix(".json")).read_text())
    codec = Codec(len(about["voices"]), about["width"])
    codec.load_state_dict(read_pieces(piece_files(path, "codec")))
    return codec.to(device).eval(), about["voices"]


@torch.no_grad()
def encode_bank(codec: Codec, bank: SpeechBank, first: int = 0, codes_a_piece: int = 512, batch: int = 64) -> Tensor:
    """The codes of the whole bank from code `first` on, int16 [bank.codes − first], ids 1…2048."""
    pieces = []
    whole = codes_a_piece + 2 * EDGE_CODES
    starts = torch.arange(first, bank.codes, codes_a_piece, device=bank.device)
    for group in starts.split(batch):
        mel, _ = bank.crops(group - EDGE_CODES, whole)
        pieces.append(codec.encode(mel)[:, EDGE_CODES:-EDGE_CODES].flatten())
    return torch.cat(pieces)[: bank.codes - first].to(torch.int16)


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    options, began = RunOptions.of(arguments), time.monotonic()
    torch.manual_seed(options.seed)
    voices = arguments.voices.split(",")
    bank = SpeechBank(arguments.shards, voices, options.device, arguments.hours, wait_sec=120)
    codec = Codec(len(voices), arguments.width).to(options.device)
    optimizer = Optimizer(codec, betas=(0.9, 0.98), weight_decay=0.01, clip=1.0, average=0.995)
    run = Run("codec", options, {"codec": optimizer})
    forward = torch.compile(losses) if options.compile else losses
    codes = arguments.frames // CODE_FRAMES

    def draws() -> Any:
        while True:
            starts = bank.draw(arguments.batch, codes)
            mel, _ = bank.crops(starts, codes)
            yield (mel, *bank.labels(starts, codes))

    def step(mel: Tensor, phones: Tensor, speakers: Tensor) -> dict[str, Tensor]:
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=mel.is_cuda):
            figures = forward(codec, mel, phones, speakers)
        optimizer.update(figures["l1"] + PHONE_WEIGHT * figures["phone"])
        return {name: value.detach() for name, value in figures.items()}

    def write() -> None:
        path = options.out / "codec.safetensors"
        write_part(path, codec.state_dict() | optimizer.averaged_weights())
        path.with_suffix(".json").write_text(json.dumps({"voices": voices, "width": arguments.width}))

    figures = run.loop(draws(), step, write, bank.refresh)
    averaged, _ = read_codec(options.out / "codec.safetensors", options.device)
    test = SpeechBank(arguments.test_shards, voices, options.device, 1.0) if arguments.test_shards else bank
    with torch.no_grad():
        starts = test.draw(min(64, test.codes // codes), codes)
        result = losses(averaged, test.crops(starts, codes)[0], *test.labels(starts, codes))
    result = {f"final_{name}": round(value.item(), 4) for name, value in result.items()}
    return figures | result | {"held_out": bool(arguments.test_shards), "hours": round(bank.hours, 2), **_wall(began)}


def coded(utterance: Utterance, codes: Tensor) -> CodedUtterance:
    """With the words in the middle of the codes, and without the silence before the first sound, up to LEAD_SEC of it."""
    words = np.full(len(codes), -1, np.int16)
    middles = utterance.words[CODE_FRAMES // 2 :: CODE_FRAMES][: len(codes)]
    words[: len(middles)] = middles
    sound = (utterance.phones > 0).nonzero()[0]
    lead = max(0, int((sound[0] * 0.01 - LEAD_SEC) / (CODE_FRAMES * 0.01))) if len(sound) else 0
    return CodedUtterance(utterance.text, utterance.voice, codes.numpy()[lead:], words[lead:])


def encode(arguments: argparse.Namespace) -> dict[str, Any]:
    """Code every shard of the given voices into a file of the same name, skipping those already there."""
    began, count, total = time.monotonic(), 0, 0
    codec, _ = read_codec(arguments.codec, arguments.device)
    voices = arguments.voices.split(",")
    for folder in arguments.shards:
        for path in shards(folder):
            target = arguments.out / path.name
            utterances = [u for u in read_shard(path) if u.voice in voices]
            if target.exists() or not utterances:
                continue
            bank = SpeechBank.of(utterances, voices, arguments.device)
            codes = encode_bank(codec, bank).cpu()
            lengths = [-(-len(u.samples) // CODE_SAMPLES) for u in utterances]
            pieces = [coded(u, c) for u, c in zip(utterances, codes.split(lengths), strict=True)]
            write_coded(target, pieces)
            count, total = count + len(utterances), total + sum(len(u.codes) for u in pieces)
    return {"stage": "codes", "utterances": count, "hours": round(total / 25 / 3600, 2), **_wall(began)}


def _wall(began: float) -> dict[str, float]:
    return {"wall_sec": round(time.monotonic() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    RunOptions.add_arguments(training, seconds=90, rate=1e-3)
    training.add_argument("--batch", type=int, default=128)
    training.add_argument("--frames", type=int, default=192)
    training.add_argument("--width", type=int, default=256)
    training.add_argument("--hours", type=float, default=100.0, help="most hours of speech to hold in memory")
    training.add_argument("--test-shards", type=Path, nargs="*", default=[])
    encoding = commands.add_parser("encode")
    encoding.add_argument("--codec", type=Path, required=True)
    encoding.add_argument("--out", type=Path, required=True)
    encoding.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for command in (training, encoding):
        command.add_argument("--shards", type=Path, nargs="+", required=True, help="folders of speech shards")
        command.add_argument("--voices", default="slt,rms")
    arguments = parser.parse_args()
    print(json.dumps((train if arguments.command == "train" else encode)(arguments)), flush=True)


if __name__ == "__main__":
    main()

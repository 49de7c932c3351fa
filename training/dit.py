"""The flow-matching DiT of Token2Wav: codec codes and a speaker → log-mel.

transformers' `Qwen2_5OmniToken2WavDiTModel` integrates dx/dt = model(x, t) from noise at t = 0 to the mel at t = 1, so it
learns mel − noise at x = (1 − t) · noise + t · mel. Its input is mel | ECAPA of a reference mel | code | speaker vector;
without condition they are the ECAPA of zeros, code 0 and zeros.

    python -m training.dit --shards DIR… --codec runs/codec/codec.safetensors --out runs/dit --seconds 300
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.blueprint import Blueprint
from multimodal.token2wav import OdeSettings
from training.codec import encode_bank, read_codec
from training.export import read_part, write_part
from training.nano import NANO, VOICES
from training.optimization import Optimizer, Run, RunOptions
from training.speech_bank import CODE_FRAMES, SpeechBank

TEACHERS = ("slt", "rms")  # of VOICES, in their order
REFERENCE_CODES = 75  # 3 s
REFERENCES = 4  # drawn for each voice at each step
DROP_CONDITION = 0.05


def new_dit(blueprint: Blueprint = NANO) -> Any:
    """transformers' DiT with fresh weights. Raises RuntimeError for a transformers whose rotary embedding differs."""
    import transformers
    from packaging.version import Version

    if Version(transformers.__version__) < Version("5.23"):
        raise RuntimeError(
            f"transformers {transformers.__version__} rotates the DiT's heads otherwise: install 5.23 or later"
        )
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniToken2WavDiTModel

    return Qwen2_5OmniToken2WavDiTModel._from_config(
        blueprint.config().token2wav_config.dit_config, attn_implementation="sdpa"
    )


class SpeakingDit(nn.Module):
    """The DiT and the speaker vectors of its voices, `cond.weight` [V, E]."""

    def __init__(self, dit: Any, voices: int) -> None:
        super().__init__()
        self.dit = dit
        self.cond = nn.Embedding(voices, dit.config.enc_emb_dim)

    def speakers(self, references: Tensor) -> Tensor:
        """references: mel [R, T, 80] → their ECAPA embeddings and, last, that of no reference [R + 1, C], float32."""
        with torch.autocast(references.device.type, enabled=False):
            nothing = torch.zeros_like(references[:1])
            return self.dit.input_embed.spk_encoder(torch.cat([references, nothing]).float())

    def velocity(self, state: Tensor, time_: Tensor, codes: Tensor, encoded: Tensor, cond: Tensor) -> Tensor:
        """state [B, T, 80], time [B], codes [B, T / 4], encoded reference [B, C], cond [B, E] → [B, T, 80].

        The model's own forward, with the block mask as [1, 1, T, T] instead of one for each row and head.
        """
        dit, frames = self.dit, state.shape[1]
        embedded_time = dit.time_embed(time_)
        speaker = encoded[:, None].expand(-1, frames, -1)
        rows = [
            state,
            speaker.to(state),
            dit.text_embed(codes).to(state),
            cond[:, None].expand(-1, frames, -1).to(state),
        ]
        hidden = dit.input_embed.proj(torch.cat(rows, dim=-1)).float()
        rotary = dit.rotary_embed(hidden, torch.arange(frames, device=state.device)[None])
        blocks = torch.arange(frames, device=state.device) // dit.block_size
        block_diff = (blocks[None, :] - blocks[:, None])[None, None]  # [1, 1, T, T]
        for layer in dit.transformer_blocks:
            hidden = layer(hidden, embedded_time, position_embeddings=rotary, block_diff=block_diff)
        return dit.proj_out(dit.norm_out(hidden, embedded_time)).float()

    @torch.no_grad()
    def mel(
        self, codes: Tensor, encoded: Tensor, cond: Tensor, ode: OdeSettings, noise: Tensor | None = None
    ) -> Tensor:
        """Euler: codes [B, n] → log-mel [B, 4 n, 80]."""
        assert ode.solver == "euler"
        shape = (len(codes), codes.shape[1] * self.dit.repeats, self.dit.mel_dim)
        state = torch.randn(shape, device=codes.device) if noise is None else noise
        times = ode.times().to(codes.device)
        for start, end in pairwise(times):
            state = state + (end - start) * self.velocity(state, start.expand(len(codes)), codes, encoded, cond)
        return state


def ode_of(blueprint: Blueprint = NANO) -> OdeSettings:
    """How the exported checkpoint will solve the flow."""
    solver: Any = blueprint.ode_solver
    return OdeSettings(solver, blueprint.ode_evaluations, blueprint.guidance_scale)


def read_dit(folder: Path, device: str = "cpu") -> tuple[SpeakingDit, dict[str, Any]]:
    """The trained DiT and the voices of `folder` (dit.safetensors, voices.pt)."""
    voices = torch.load(folder / "voices.pt", map_location="cpu", weights_only=True)
    model = SpeakingDit(new_dit(), len(voices))
    model.dit.load_state_dict(read_part(folder / "dit.safetensors", "dit"))
    with torch.no_grad():
        model.cond.weight.copy_(torch.cat([voice["cond"] for voice in voices.values()]))
    return model.to(device).eval(), voices


@torch.no_grad()
def generate_bank(
    model: SpeakingDit, voices: dict[str, Any], bank: SpeechBank, codes: Tensor, batch: int = 64
) -> Tensor:
    """The DiT's mel of the whole bank, float16 [80, frames], in overlapping pieces of ten blocks."""
    per_block = model.dit.block_size // CODE_FRAMES
    before, middle, after = 2 * per_block, 7 * per_block, per_block
    references = torch.cat([voice["ref_mel"] for voice in voices.values()]).to(bank.device)
    encoded = model.speakers(references)
    ode = ode_of()
    pieces = []
    for starts in torch.arange(0, bank.codes, middle, device=bank.device).split(batch):
        index = (starts[:, None] + torch.arange(-before, middle + after, device=bank.device)).clamp(0, bank.codes - 1)
        speakers = bank.speakers[starts].long()
        with torch.autocast(bank.mel.window.device.type, torch.bfloat16, enabled=bank.device.startswith("cuda")):
            mel = model.mel(codes[index].long(), encoded[speakers], model.cond(speakers), ode)
        inner = mel[:, before * CODE_FRAMES : (before + middle) * CODE_FRAMES]
        pieces.append(inner.flatten(0, 1).T.half())
    return torch.cat(pieces, dim=1)[:, : bank.codes * CODE_FRAMES]


def references(bank: SpeechBank, each: int) -> Tensor:
    """Random reference mels [voices · each, 300, 80], voice after voice."""
    starts = [bank.draw_of_voice(voice, each, REFERENCE_CODES) for voice in range(len(bank.voices))]
    return bank.crops(torch.cat(starts), REFERENCE_CODES)[0].transpose(1, 2)


def flow_loss(
    model: SpeakingDit, mel: Tensor, codes: Tensor, speakers: Tensor, references_: Tensor, drop: float = DROP_CONDITION
) -> Tensor:
    """Mean squared error of the velocity. mel [B, T, 80]; codes, speakers int64 [B, T / 4] and [B]; references [V · R, T, 80]."""
    batch = len(mel)
    encoded = model.speakers(references_)  # [V · R + 1, C]
    each = (len(encoded) - 1) // model.cond.num_embeddings
    which = speakers * each + torch.randint(each, (batch,), device=mel.device)
    dropped = torch.rand(batch, device=mel.device) < drop
    which = torch.where(dropped, len(encoded) - 1, which)
    cond = model.cond(speakers) * ~dropped[:, None]
    codes = codes * ~dropped[:, None]
    noise = torch.randn_like(mel)
    time_ = torch.rand(batch, device=mel.device)
    at = time_[:, None, None]
    predicted = model.velocity((1 - at) * noise + at * mel, time_, codes, encoded[which], cond)
    return (predicted - (mel - noise)).square().mean()


def voices_of(model: SpeakingDit, bank: SpeechBank, blueprint: Blueprint = NANO) -> dict[str, Any]:
    """spk_dict of the voices: for each the reference of 32 that has the most speech in it."""
    ids = blueprint.special_ids()
    candidates = references(bank, 32).unflatten(0, (len(bank.voices), 32))  # [V, 32, 300, 80]
    loudness = candidates.mean(dim=(2, 3))
    return {
        name: {
            "bos_token": ids[f"<tts_voice_{i}>"],
            "cond": model.cond.weight[i : i + 1].detach().float().cpu().clone(),
            "ref_mel": candidates[i, loudness[i].argmax()][None].float().cpu().clone(),
        }
        for i, name in enumerate(VOICES[: len(bank.voices)])
    }


@torch.no_grad()
def mel_distance(model: SpeakingDit, voices: dict[str, Any], bank: SpeechBank, codes: Tensor, batch: int = 32) -> float:
    """Mean |log-mel − true log-mel| of speech generated from true codes, over crops of twelve blocks."""
    length = 12 * model.dit.block_size // CODE_FRAMES
    starts = bank.draw(min(batch, bank.codes // length), length)
    true, _ = bank.crops(starts, length)
    _, speakers = bank.labels(starts, length)
    index = starts[:, None] + torch.arange(length, device=bank.device)
    encoded = model.speakers(torch.cat([voice["ref_mel"] for voice in voices.values()]).to(bank.device))
    first = speakers[:, 0]
    mel = model.mel(codes[index].long(), encoded[first], model.cond(first), ode_of())
    return (mel - true.transpose(1, 2)).abs().mean().item()


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    options, began = RunOptions.of(arguments), time.monotonic()
    torch.manual_seed(options.seed)
    bank = SpeechBank(arguments.shards, TEACHERS, options.device, arguments.hours, wait_sec=120)
    codec, _ = read_codec(arguments.codec, options.device)
    codes = encode_bank(codec, bank)
    model = SpeakingDit(new_dit(), len(TEACHERS)).to(options.device)
    if arguments.init:
        model, _ = read_dit(arguments.init, options.device)
    model.eval()  # without the model's dropout: there is more speech than the run can see twice
    optimizer = Optimizer(model, betas=(0.9, 0.99), weight_decay=0.01, clip=1.0, average=arguments.average)
    run = Run("dit", options, {"dit": optimizer})
    loss_of = torch.compile(flow_loss) if options.compile else flow_loss
    longest = arguments.blocks * model.dit.block_size // CODE_FRAMES

    def draws() -> Any:
        """Long crops, and as many frames in crops half as long: windows of speech begin and end everywhere."""
        turn = 0
        while True:
            parts = 1 + turn % 2
            length = longest // parts
            starts = bank.draw(arguments.batch * parts, length)
            mel, _ = bank.crops(starts, length)
            index = starts[:, None] + torch.arange(length, device=bank.device)
            yield mel.transpose(1, 2), codes[index].long(), bank.speakers[starts].long(), references(bank, REFERENCES)
            turn += 1

    def step(mel: Tensor, codes_: Tensor, speakers: Tensor, references_: Tensor) -> dict[str, Tensor]:
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=mel.is_cuda):
            loss = loss_of(model, mel, codes_, speakers, references_)
        optimizer.update(loss)
        return {"loss": loss.detach()}

    def write() -> None:
        averaged = optimizer.averaged_weights()
        write_part(
            options.out / "dit.safetensors",
            {name.removeprefix("dit."): value for name, value in averaged.items() if name.startswith("dit.")},
        )
        with torch.no_grad():
            own = model.cond.weight.clone()
            model.cond.weight.copy_(averaged["cond.weight"])
            torch.save(voices_of(model, bank), options.out / ".voices.pt")
            model.cond.weight.copy_(own)
        (options.out / ".voices.pt").replace(options.out / "voices.pt")

    def take_in() -> None:
        nonlocal codes
        if bank.hours < arguments.hours:
            bank.refresh()
            codes = torch.cat([codes, encode_bank(codec, bank, len(codes))]) if bank.codes > len(codes) else codes

    figures = run.loop(draws(), step, write, take_in)
    averaged, voices = read_dit(options.out, options.device)
    test = SpeechBank(arguments.test_shards, TEACHERS, options.device, 1.0) if arguments.test_shards else bank
    distance = mel_distance(averaged, voices, test, encode_bank(codec, test))
    held_out = {"mel_l1": round(distance, 4), "held_out": bool(arguments.test_shards), "hours": round(bank.hours, 2)}
    return figures | held_out | {"wall_sec": round(time.monotonic() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    RunOptions.add_arguments(parser, seconds=300, rate=1e-3)
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="folders of speech shards")
    parser.add_argument("--test-shards", type=Path, nargs="*", default=[])
    parser.add_argument("--codec", type=Path, required=True, help="codec.safetensors")
    parser.add_argument("--init", type=Path, help="folder of a trained DiT to begin from")
    parser.add_argument("--hours", type=float, default=40.0, help="most hours of speech to hold in memory")
    parser.add_argument("--batch", type=int, default=64, help="crops of `--blocks` blocks")
    parser.add_argument("--blocks", type=int, default=12, help="even")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the averaged weights")
    print(json.dumps(train(parser.parse_args())), flush=True)


if __name__ == "__main__":
    main()

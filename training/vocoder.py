"""The BigVGAN of Token2Wav: log-mel → waveform, trained against discriminators on the teachers' speech at 24 kHz.

    python -m training.vocoder --shards DIR… --out runs/vocoder --seconds 900
    python -m training.vocoder … --resume runs/vocoder/state.pt --dit runs/dit --codec runs/codec/codec.safetensors

The second form is a further run that sees the DiT's mels too, generated from the codes of the same speech.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.blueprint import Blueprint
from training.codec import encode_bank, read_codec
from training.discriminators import (
    RESOLUTIONS,
    Discriminators,
    deception_loss,
    discrimination_loss,
    feature_distance,
    stft_distance,
)
from training.dit import TEACHERS, generate_bank, read_dit
from training.export import read_part, write_part
from training.mel import MelSpectrogram
from training.nano import NANO
from training.optimization import Optimizer, Run, RunOptions
from training.speech_bank import CODE_FRAMES, SpeechBank

MEL_WEIGHT, STFT_WEIGHT, FEATURE_WEIGHT = 15.0, 5.0, 2.0
LOWEST_DB, REFERENCE_DB = -115.0, 20.0  # of the vocoder's process_mel_spectrogram


def new_vocoder(blueprint: Blueprint = NANO) -> Any:
    """transformers' BigVGAN with fresh weights."""
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniToken2WavBigVGANModel

    return Qwen2_5OmniToken2WavBigVGANModel(blueprint.config().token2wav_config.bigvgan_config)


def normalized(mel: Tensor) -> Tensor:
    """process_mel_spectrogram without its scalars on the CPU, which a CUDA graph cannot hold."""
    decibel = 20 * torch.log10(mel.exp().clamp(min=10 ** (LOWEST_DB / 20))) - REFERENCE_DB
    return (2 * (decibel - LOWEST_DB) / -LOWEST_DB - 1).clamp(-1, 1)


def _activate(module: Any, x: Tensor) -> Tensor:
    """An anti-aliased activation of ratio 2. Its upsampler, a transposed convolution for each channel, is slow on GPUs;
    here both output phases come from one ordinary convolution over x[k − 3 … k + 3]."""
    channels, taps = x.shape[1], module.upsample.filter.flatten() * module.upsample.ratio  # [12]
    even, odd = F.pad(taps.flip(0)[0::2], (0, 1)), F.pad(taps.flip(0)[1::2], (1, 0))  # over x[k−3…k+2], x[k−2…k+3]
    weight = torch.stack([even, odd])[:, None].repeat(channels, 1, 1)  # [2C, 1, 7]
    phases = F.conv1d(F.pad(x, (3, 3), mode="replicate"), weight, groups=channels)  # [B, 2C, T]
    doubled = phases.unflatten(1, (channels, 2)).transpose(2, 3).flatten(2)  # [B, C, 2T]
    return module.downsample(module.act(doubled))


def waveform(vocoder: Any, mel: Tensor) -> Tensor:
    """log-mel [B, 80, T] → samples [B, 240 T]: the model's own layers, for a batch and with gradients."""
    hidden = vocoder.conv_pre(normalized(mel))
    for index in range(vocoder.num_upsample_layers):
        hidden = vocoder.ups[index][0](hidden)
        blocks = vocoder.resblocks[index * vocoder.num_residual_blocks : (index + 1) * vocoder.num_residual_blocks]
        total = torch.zeros_like(hidden)
        for block in blocks:
            x = hidden
            acts = zip(block.activations[::2], block.activations[1::2], block.convs1, block.convs2, strict=True)
            for first, second, conv1, conv2 in acts:
                x = x + conv2(_activate(second, conv1(_activate(first, x))))
            total = total + x
        hidden = total / vocoder.num_residual_blocks
    return vocoder.conv_post(_activate(vocoder.activation_post, hidden)).clamp(-1.0, 1.0)[:, 0]


class Comparison(nn.Module):
    """The distances of two waveforms that need buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelSpectrogram()
        for i, (_, _, length) in enumerate(RESOLUTIONS):
            self.register_buffer(f"window{i}", torch.hann_window(length), persistent=False)

    def forward(self, true: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """(mean distance of the log-mels, of the spectrograms); both [B, N]"""
        windows = [getattr(self, f"window{i}") for i in range(len(RESOLUTIONS))]
        return (self.mel(true) - self.mel(made)).abs().mean(), stft_distance(true, made, windows)


@torch.no_grad()
def reconstruction(vocoder: Any, bank: SpeechBank, count: int = 16, codes: int = 50) -> float:
    """Mean |log-mel − log-mel of the vocoded speech| over crops of 2 s."""
    mel, wave = bank.crops(bank.draw(min(count, bank.codes // codes), codes), codes)
    made = waveform(vocoder, mel)
    return (bank.mel(made) - bank.mel(wave)).abs().mean().item()


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    options, began = RunOptions.of(arguments), time.monotonic()
    torch.manual_seed(options.seed)
    bank = SpeechBank(arguments.shards, TEACHERS, options.device, arguments.hours, wait_sec=120)
    generated: Tensor | None = None
    if arguments.dit:
        if not arguments.codec:
            raise SystemExit("--dit needs --codec, to know what the DiT should say")
        dit, voices = read_dit(arguments.dit, options.device)
        codec, _ = read_codec(arguments.codec, options.device)
        generated = generate_bank(dit, voices, bank, encode_bank(codec, bank))
        print(json.dumps({"stage": "vocoder", "generated_sec": round(time.monotonic() - began, 1)}), flush=True)
    vocoder = new_vocoder().to(options.device)
    if arguments.init:
        vocoder.load_state_dict(read_part(arguments.init, "vocoder"))
    discriminators = Discriminators(arguments.width).to(options.device)
    comparison = Comparison().to(options.device)
    optimizers = {
        "vocoder": Optimizer(vocoder, betas=(0.8, 0.99), weight_decay=0.0, clip=500.0, average=arguments.average),
        "discriminators": Optimizer(discriminators, betas=(0.8, 0.99), weight_decay=0.0, clip=500.0, average=0.0),
    }
    run = Run("vocoder", options, optimizers)
    make = torch.compile(waveform) if options.compile else waveform
    codes = arguments.frames // CODE_FRAMES

    def draws() -> Any:
        while True:
            starts = bank.draw(arguments.batch, codes)
            mel, wave = bank.crops(starts, codes)
            if generated is not None:
                frames = starts[:, None] * CODE_FRAMES + torch.arange(codes * CODE_FRAMES, device=bank.device)
                other = generated[:, frames].transpose(0, 1).float()  # [B, 80, T]
                which = torch.rand(len(mel), 1, 1, device=bank.device) < arguments.dit_share
                mel = torch.where(which, other, mel)
            yield mel, wave

    def step(mel: Tensor, wave: Tensor) -> dict[str, Tensor]:
        half = torch.autocast(mel.device.type, torch.bfloat16, enabled=mel.is_cuda)
        made = make(vocoder, mel)
        with half:
            judged = discrimination_loss(*discriminators(wave, made.detach()))
        optimizers["discriminators"].update(judged)
        mel_distance, spectral = comparison(wave, made)
        discriminators.requires_grad_(False)  # this half of the step does not need their gradients
        with half:
            true_features, made_features = discriminators(wave, made)
            deceived = deception_loss(made_features)
            features = feature_distance(true_features, made_features)
        loss = MEL_WEIGHT * mel_distance + STFT_WEIGHT * spectral + deceived + FEATURE_WEIGHT * features
        optimizers["vocoder"].update(loss)
        discriminators.requires_grad_(True)
        figures = {"mel": mel_distance, "stft": spectral, "deceived": deceived, "features": features, "judged": judged}
        return {name: value.detach() for name, value in figures.items()}

    def write() -> None:
        write_part(options.out / "vocoder.safetensors", optimizers["vocoder"].averaged_weights())

    def take_in() -> None:
        if generated is None:
            bank.refresh()

    figures = run.loop(draws(), step, write, take_in)
    vocoder.load_state_dict(read_part(options.out / "vocoder.safetensors", "vocoder"))
    test = SpeechBank(arguments.test_shards, TEACHERS, options.device, 1.0) if arguments.test_shards else bank
    distance = round(reconstruction(vocoder, test), 4)
    result = {"mel_l1": distance, "held_out": bool(arguments.test_shards), "hours": round(bank.hours, 2)}
    return figures | result | {"wall_sec": round(time.monotonic() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    RunOptions.add_arguments(parser, seconds=900, rate=5e-4)
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="folders of speech shards")
    parser.add_argument("--test-shards", type=Path, nargs="*", default=[])
    parser.add_argument("--init", type=Path, help="vocoder.safetensors or an exported folder to begin from")
    parser.add_argument("--hours", type=float, default=20.0, help="most hours of speech to hold in memory")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--frames", type=int, default=32, help="mel frames of each crop")
    parser.add_argument("--width", type=int, default=24, help="of the discriminators")
    parser.add_argument("--average", type=float, default=0.99, help="decay of the averaged weights")
    parser.add_argument("--dit", type=Path, help="folder of a trained DiT, whose mels are mixed in")
    parser.add_argument("--codec", type=Path, help="codec.safetensors, with --dit")
    parser.add_argument("--dit-share", type=float, default=0.5, help="share of crops with the DiT's mel")
    print(json.dumps(train(parser.parse_args())), flush=True)


if __name__ == "__main__":
    main()

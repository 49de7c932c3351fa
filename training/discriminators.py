"""What the vocoder is trained against: multi-period (Kong et al., 2020, HiFi-GAN) and multi-resolution (Jang et al., 2021,
UnivNet) discriminators, and the losses that compare two waveforms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # FFT, hop and window, in samples at 24 kHz


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        channels = (1, width, 2 * width, 4 * width, 8 * width, 8 * width)
        strides = (3, 3, 3, 3, 1)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (stride, 1), padding=(2, 0)))
            for a, b, stride in zip(channels, channels[1:], strides, strict=False)
        )
        self.judge = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, samples: Tensor) -> list[Tensor]:
        """[B, N] → the features of each layer, and last the judgement."""
        x = F.pad(samples, (0, -samples.shape[1] % self.period), mode="replicate")
        x = x.unflatten(1, (-1, self.period))[:, None]  # [B, 1, N / p, p]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return [*features, self.judge(x)]


class ResolutionDiscriminator(nn.Module):
    """Looks at the magnitude spectrogram of one resolution."""

    window: Tensor

    def __init__(self, resolution: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("window", torch.hann_window(resolution[2]), persistent=False)
        kernels, strides = ((3, 9), (3, 9), (3, 9), (3, 9), (3, 3)), ((1, 1), (1, 2), (1, 2), (1, 2), (1, 1))
        self.layers = nn.ModuleList(
            weight_norm(
                nn.Conv2d(1 if i == 0 else width, width, kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2))
            )
            for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True))
        )
        self.judge = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def forward(self, samples: Tensor) -> list[Tensor]:
        """[B, N] → the features of each layer, and last the judgement."""
        x = magnitude(samples, self.resolution, self.window).transpose(1, 2)[:, None]  # [B, 1, T, F]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return [*features, self.judge(x)]


class Discriminators(nn.Module):
    """All of them; `width` is the channels of their first layers."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [PeriodDiscriminator(period, width) for period in PERIODS]
            + [ResolutionDiscriminator(resolution, width) for resolution in RESOLUTIONS]
        )

    def forward(self, true: Tensor, made: Tensor) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """(features and judgement of the true samples for each discriminator, the same of the made ones); both [B, N]."""
        both = torch.cat([true, made])
        seen = [[feature.chunk(2) for feature in part(both)] for part in self.parts]
        return [[a for a, _ in features] for features in seen], [[b for _, b in features] for features in seen]


def magnitude(samples: Tensor, resolution: tuple[int, int, int], window: Tensor) -> Tensor:
    """[B, N] → float32 [B, F, T]"""
    fft, hop, length = resolution
    with torch.autocast(samples.device.type, enabled=False):
        padded = F.pad(samples.float()[:, None], ((fft - hop) // 2,) * 2, mode="reflect")[:, 0]
        spectrum = torch.stft(padded, fft, hop, length, window, center=False, return_complex=True)
        return (torch.view_as_real(spectrum).square().sum(-1) + 1e-9).sqrt()


def stft_distance(true: Tensor, made: Tensor, windows: list[Tensor]) -> Tensor:
    """Spectral convergence and log-magnitude distance, mean over the resolutions (Yamamoto et al., 2020)."""
    total = torch.zeros((), device=true.device)
    for resolution, window in zip(RESOLUTIONS, windows, strict=True):
        a, b = magnitude(true, resolution, window), magnitude(made, resolution, window)
        convergence = (a - b).square().sum().sqrt() / a.square().sum().sqrt().clamp(min=1e-3)
        total = total + convergence + (a.clamp(min=1e-4).log() - b.clamp(min=1e-4).log()).abs().mean()
    return total / len(RESOLUTIONS)


def discrimination_loss(true: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """Least squares: true → 1, made → 0."""
    pairs = zip(true, made, strict=True)
    return torch.stack([(1 - a[-1].float()).square().mean() + b[-1].float().square().mean() for a, b in pairs]).sum()


def deception_loss(made: list[list[Tensor]]) -> Tensor:
    return torch.stack([(1 - b[-1].float()).square().mean() for b in made]).sum()


def feature_distance(true: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """Mean absolute difference of the discriminators' inner features."""
    return torch.stack(
        [
            (a.detach().float() - b.float()).abs().mean()
            for of_true, of_made in zip(true, made, strict=True)
            for a, b in zip(of_true[:-1], of_made[:-1], strict=True)
        ]
    ).mean() * len(PERIODS + RESOLUTIONS)

"""The log-mel of Token2Wav, computed in batches on the training device, and the way from the teachers' 16 kHz to 24 kHz.

24 kHz, hop 240 (100 frames a second), Hann window and FFT of 1024, 80 Slaney bins up to 8 kHz, magnitude, natural log of at
least 1e-5: the HiFi-GAN front end. Frame i is centred on the middle of samples 240 i … 240 (i + 1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE_HZ = 24_000
HOP_SAMPLES = 240
FFT_SAMPLES = 1024
BINS = 80
HIGHEST_HZ = 8000.0
FLOOR = 1e-5
MARGIN_SAMPLES = (FFT_SAMPLES - HOP_SAMPLES) // 2  # that frames need on either side of the samples they stand for


class MelSpectrogram(nn.Module):
    """Samples → log-mel."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(
            FFT_SAMPLES // 2 + 1, BINS, 0.0, HIGHEST_HZ, RATE_HZ, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("filters", torch.from_numpy(filters).float().T.contiguous(), persistent=False)  # [80, 513]
        self.register_buffer("window", torch.hann_window(FFT_SAMPLES), persistent=False)

    def forward(self, samples: Tensor, padded: bool = False) -> Tensor:
        """samples float32 [B, N] at 24 kHz → log-mel [B, 80, N // 240]. padded: MARGIN_SAMPLES of context are already
        on either side of the N samples; otherwise silence is."""
        if not padded:
            samples = F.pad(samples, (MARGIN_SAMPLES, MARGIN_SAMPLES))
        spectrum = torch.stft(
            samples.float(), FFT_SAMPLES, HOP_SAMPLES, window=self.window, center=False, return_complex=True
        )  # [B, 513, T]
        magnitude = (torch.view_as_real(spectrum).square().sum(-1) + 1e-9).sqrt()
        return (self.filters @ magnitude).clamp(min=FLOOR).log()  # [B, 80, T]


class Upsample(nn.Module):
    """16 kHz → 24 kHz by a windowed sinc in three phases."""

    kernels: Tensor
    HALF = 24  # input samples on either side

    def __init__(self, rolloff: float = 0.985) -> None:
        super().__init__()
        # Output 3k + r lies at input time 2k + 2r/3.
        offsets = torch.arange(-self.HALF, self.HALF + 2)[None] - torch.arange(3)[:, None] * 2 / 3  # [3, taps]
        window = torch.cos(math.pi * offsets / (2 * (self.HALF + 1.5))).clamp(min=0).square()
        kernels = torch.sinc(offsets * rolloff) * window
        kernels = kernels / kernels.sum(1, keepdim=True)
        self.register_buffer("kernels", kernels[:, None], persistent=False)  # [3, 1, taps]

    def forward(self, samples: Tensor) -> Tensor:
        """float32 [B, N] with N even → [B, 3 N / 2]; silence is assumed beyond the ends."""
        assert samples.shape[1] % 2 == 0
        padded = F.pad(samples, (self.HALF, self.HALF))[:, None]
        phases = F.conv1d(padded, self.kernels, stride=2)  # [B, 3, N / 2]
        return phases.transpose(1, 2).flatten(1)

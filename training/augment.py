"""What happens to speech between a mouth and a microphone, for a whole batch of clips on the training device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len

SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True)
class AugmentOptions:
    """Probability of each effect at full strength, and its range."""

    noise: float = 0.7
    snr_db: tuple[float, float] = (5.0, 40.0)
    reverberation: float = 0.3
    decay_sec: tuple[float, float] = (0.02, 0.12)
    band_limit: float = 0.3
    low_pass_hz: tuple[float, float] = (2800.0, 7500.0)
    high_pass_hz: tuple[float, float] = (40.0, 350.0)
    gain_db: tuple[float, float] = (-24.0, 6.0)
    warp: float = 0.7
    warp_factor: tuple[float, float] = (0.85, 1.15)
    colour: float = 0.6  # of a microphone's and a voice's own colour: a smooth change of the spectrum
    colour_db: float = 3.0  # standard deviation of each of its waves
    hide: float = 0.5  # of hiding a band, and of hiding a moment, in each 2 s
    hidden_bins: int = 20
    hidden_frames: int = 16


def place_clips(
    samples: torch.Tensor,
    start: torch.Tensor,
    count: torch.Tensor,
    lead: torch.Tensor,
    speed: torch.Tensor,
    length: int,
) -> torch.Tensor:
    """Cut clips out of one long signal, play each at its speed, and put silence before and after it.

    samples: int16 [S]; start, count, lead: int64 [C], where each clip begins, how many samples it has and how many
    samples of silence precede it; speed: float [C], source samples a result sample. Returns float32 [C, length].
    Other speeds than 1 are interpolated by cubics (Catmull-Rom) through four samples.
    """
    at = torch.arange(length, device=samples.device) - lead[:, None]  # [C, length]
    exact = at * speed[:, None].double()
    whole = exact.floor()
    f = (exact - whole).float()
    whole = whole.long()
    index = start[:, None] + whole
    before, here, after, beyond = (samples[(index + k).clamp(0, len(samples) - 1)].float() for k in (-1, 0, 1, 2))
    cubic = 3 * (here - after) + beyond - before
    square = 2 * before - 5 * here + 4 * after - beyond
    value = here + 0.5 * f * (after - before + f * (square + f * cubic))
    used = (at >= 0) & (whole < count[:, None])
    return torch.where(used, value / 32768.0, 0.0)


class Augmenter(torch.nn.Module):
    """Noise, rooms, narrow bands and gain; and other vocal tracts. `seconds` of coloured noise are made once and cut at random places."""

    noises: torch.Tensor

    def __init__(self, options: AugmentOptions = AugmentOptions(), seconds: float = 40.0, seed: int = 0) -> None:
        super().__init__()
        self.options = options
        n = int(seconds * SAMPLE_RATE_HZ)
        generator = torch.Generator().manual_seed(seed)
        spectrum = torch.fft.rfft(torch.randn(n, generator=generator))
        hz = torch.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ).clamp(min=20.0)
        colours = [torch.fft.irfft(spectrum * hz.pow(-slope), n) for slope in (0.0, 0.5, 1.0)]  # white, pink, brown
        noises = torch.stack([noise / noise.square().mean().sqrt() for noise in colours])
        self.register_buffer("noises", noises, persistent=False)  # [3, n], mean power 1

    def _uniform(self, count: int, low: float, high: float) -> torch.Tensor:
        return torch.empty(count, device=self.noises.device).uniform_(low, high)

    def warps(self, count: int, strength: float) -> torch.Tensor | None:
        """Factors of `features.warped` for `count` clips, float [count]; None at a strength of 0."""
        if strength <= 0:
            return None
        options = self.options
        low, high = (1 + strength * (end - 1) for end in options.warp_factor)
        changed = self._uniform(count, 0, 1) < options.warp
        return torch.where(changed, self._uniform(count, low, high), 1.0)

    @torch.no_grad()
    def recolour(self, mel: torch.Tensor, chunks: torch.Tensor, count: int, strength: float) -> torch.Tensor:
        """Other colours for each clip, and bands and moments hidden (SpecAugment, Park and others 2019) in each chunk.

        mel: [A, bins, frames] as `features.LogMel` gives it for `chunks`, int64 [A, 3], where 1 stands for 40 dB; their
        clips are below `count`. Returns the same shape, still zero after each chunk's last frame.
        """
        if strength <= 0:
            return mel
        options = self.options
        pieces, bins, frames = mel.shape
        device = mel.device
        at = torch.arange(bins, device=device) / bins
        waves = torch.cos(torch.pi * torch.arange(1, 6, device=device)[:, None] * at)  # [5, bins]
        size = torch.randn(count, 5, device=device) * (options.colour_db / 40)
        size = size * (self._uniform(count, 0, 1) < options.colour * strength)[:, None]
        mel = mel + (size @ waves)[chunks[:, 0]][:, :, None]
        hidden = torch.zeros_like(mel, dtype=torch.bool)
        for axis, length, most in ((1, bins, options.hidden_bins), (2, frames, options.hidden_frames)):
            width = self._uniform(pieces, 0, most) * (self._uniform(pieces, 0, 1) < options.hide * strength)
            start = self._uniform(pieces, 0, 1) * (length - width)
            step = torch.arange(length, device=device)
            inside = (step >= start[:, None]) & (step < (start + width)[:, None])  # [A, length]
            hidden = hidden | (inside[:, :, None] if axis == 1 else inside[:, None, :])
        mel = torch.where(hidden, mel.mean((1, 2), keepdim=True), mel)
        return mel.masked_fill(torch.arange(frames, device=device) >= chunks[:, 2, None, None], 0.0)

    @torch.no_grad()
    def forward(self, waves: torch.Tensor, lengths: torch.Tensor, strength: float) -> torch.Tensor:
        """waves: float32 [C, L] in −1…1; lengths: int64 [C]; strength: 0…1 scales how often each effect happens.

        Returns float32 [C, L], silent after each clip's end, clipped to −1…1. Gain is always applied.
        """
        clips, length = waves.shape
        options = self.options
        inside = torch.arange(length, device=waves.device) < lengths[:, None]  # [C, L]
        power = (waves.square().sum(1) / lengths).clamp(min=1e-8)  # [C]
        if strength > 0:
            waves = self._room_and_band(waves, strength)
            waves = torch.where(inside, waves, 0.0)
            # Rooms must not change the loudness that the noise is measured against.
            now = (waves.square().sum(1) / lengths).clamp(min=1e-8)
            waves = waves * (power / now).sqrt()[:, None]
            waves = waves + self._noise(waves, power, strength)
            waves = torch.where(inside, waves, 0.0)
        gain = 10 ** (self._uniform(clips, *options.gain_db) / 20)
        return (waves * gain[:, None]).clamp(-1.0, 1.0)

    def _room_and_band(self, waves: torch.Tensor, strength: float) -> torch.Tensor:
        options = self.options
        clips, length = waves.shape
        tail = int(0.35 * SAMPLE_RATE_HZ)
        n = next_fast_len(length + tail, real=True)
        seconds = torch.arange(tail, device=waves.device) / SAMPLE_RATE_HZ
        decay = self._uniform(clips, *options.decay_sec)[:, None]
        room = torch.randn(clips, tail, device=waves.device) * torch.exp(-seconds / decay)
        room = room * (seconds > 0.002) / (decay * SAMPLE_RATE_HZ).sqrt()
        wet = self._uniform(clips, 0.2, 1.2) * (self._uniform(clips, 0, 1) < options.reverberation * strength)
        room = room * wet[:, None]
        room[:, 0] = 1.0
        hz = torch.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ, device=waves.device)
        limited = self._uniform(clips, 0, 1)[:, None] < options.band_limit * strength
        low, high = self._uniform(clips, *options.low_pass_hz), self._uniform(clips, *options.high_pass_hz)
        band = torch.sigmoid((low[:, None] - hz) / 150.0) * torch.sigmoid((hz - high[:, None]) / 20.0)
        band = torch.where(limited, band, 1.0)  # [C, n / 2 + 1]
        spectrum = torch.fft.rfft(waves, n) * torch.fft.rfft(room, n) * band
        return torch.fft.irfft(spectrum, n)[:, :length]

    def _noise(self, waves: torch.Tensor, power: torch.Tensor, strength: float) -> torch.Tensor:
        options = self.options
        clips, length = waves.shape
        device = waves.device
        colour = torch.randint(0, 3, (clips,), device=device)
        offset = torch.randint(0, self.noises.shape[1], (clips,), device=device)
        at = (offset[:, None] + torch.arange(length, device=device)) % self.noises.shape[1]
        noise = self.noises[colour[:, None], at]  # [C, L]
        babble = sum(waves.roll(k, 0).roll(k * 4001, 1) for k in (1, 2, 3)) if clips > 3 else torch.zeros_like(waves)
        assert isinstance(babble, torch.Tensor)
        babble = babble / babble.square().mean(1, keepdim=True).clamp(min=1e-8).sqrt()
        noise = torch.where((self._uniform(clips, 0, 1) < 0.25)[:, None], babble, noise)
        snr = self._uniform(clips, *options.snr_db)
        level = (power * 10 ** (-snr / 10)).sqrt() * (self._uniform(clips, 0, 1) < options.noise * strength)
        return noise * level[:, None]

"""What the encoders see, computed for many clips and pictures at once on the training device.

`LogMel` equals transformers' WhisperFeatureExtractor with a clip in a padded batch: silence after its end, the floor of
max − 8 over the clip. `frame_patches` with `patch_values` equals Qwen2VLImageProcessor's pixel_values.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

SAMPLE_RATE_HZ = 16_000
N_FFT = 400
HOP = 160
CHUNK_FRAMES = 200  # 2 s of mel frames: the audio encoder's chunk
PATCH = 14
MERGE = 2
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


def encoder_tokens(frames: int) -> int:
    """Audio embeddings for `frames` mel frames (`_get_feat_extract_output_lengths`)."""
    return ((frames - 1) // 2 + 1 - 2) // 2 + 1


class LogMel(torch.nn.Module):
    """Whisper's log-mel front end with its filters as buffers."""

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, bins: int = 128) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(
            num_frequency_bins=1 + N_FFT // 2,
            num_mel_filters=bins,
            min_frequency=0.0,
            max_frequency=8000.0,
            sampling_rate=SAMPLE_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)  # [201, bins]

    @torch.no_grad()
    def forward(
        self, waves: torch.Tensor, lengths: torch.Tensor, chunks: torch.Tensor, warps: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Log-mel of every 2 s chunk.

        waves: float32 [C, L], clips padded on the right with anything; lengths: int64 [C] samples of each, > 400;
        chunks: int64 [A, 3] clip, first frame and frame count (≤ 200) of each chunk; warps: float [C] of each clip, see
        `warped`, or None for the voices as they are.
        Returns float32 [A, bins, 200], zero after each chunk's last frame, as the encoder pads it.
        """
        clips, first, count = chunks.unbind(1)
        half = N_FFT // 2
        # The transform is centred: it mirrors a clip at its beginning, and finds silence after its end.
        silent = torch.arange(waves.shape[1], device=waves.device) >= lengths[:, None]
        waves = F.pad(waves.masked_fill(silent, 0.0), (0, half))
        frames = torch.cat([waves[:, 1 : half + 1].flip(1), waves], 1).unfold(1, N_FFT, HOP)  # [C, L / 160 + 1, 400]
        step = torch.arange(CHUNK_FRAMES, device=waves.device)
        inside = step < count[:, None]  # [A, 200]
        rows = (first[:, None] + step).clamp(max=frames.shape[1] - 1)
        spectrum = torch.fft.rfft(frames[clips[:, None], rows] * self.window)  # [A, 200, 201]
        power = spectrum.real.square() + spectrum.imag.square()
        if warps is not None:
            power = warped(power, warps[clips])
        mel = (power @ self.filters).clamp(min=1e-10).log10()  # [A, 200, bins]
        loudest = mel.masked_fill(~inside[..., None], -10.0).amax((1, 2))  # [A]
        floor = torch.full((len(waves),), -10.0, device=waves.device).scatter_reduce(0, clips, loudest, "amax") - 8.0
        mel = (torch.maximum(mel, floor[clips][:, None, None]) + 4.0) / 4.0
        return mel.masked_fill(~inside[..., None], 0.0).transpose(1, 2)


def warped(power: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Spectra of longer or shorter vocal tracts (vocal tract length perturbation, Jaitly and Hinton 2013).

    power: [A, frames, bins] of evenly spaced frequencies; factors: [A], above 1 moves everything up. Up to 4.8 kHz the
    frequencies are multiplied by the factor; from there they run straight to the highest, which stays.
    """
    top = power.shape[-1] - 1
    to = torch.arange(top + 1, device=power.device).float()  # where it sounds afterwards
    factors = factors.float()[:, None]
    knee = 0.6 * top * factors.clamp(max=1.0)  # [A, 1], afterwards
    above = top - (top - to) * (top - knee / factors) / (top - knee)
    source = torch.where(to <= knee, to / factors, above).clamp(0, top)  # [A, bins]
    low = source.floor().long().clamp(max=top - 1)
    share = (source - low)[:, None]
    low = low[:, None].expand_as(power)
    return torch.lerp(power.gather(-1, low), power.gather(-1, low + 1), share.expand_as(power))


def frame_patches(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] with sides divisible by 28 → uint8 [H·W / 196, 588]: patches in the order of 2 × 2 merge blocks,
    each channel by channel."""
    h, w = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
    assert h % MERGE == 0 and w % MERGE == 0 and pixels.shape == (h * PATCH, w * PATCH, 3), pixels.shape
    blocks = pixels.reshape(h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH, 3)
    return np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 6, 2, 5)).reshape(h * w, 3 * PATCH * PATCH)


def patch_places(h: int, w: int) -> np.ndarray:
    """Row and column of each patch in the same order, int32 [h·w, 2]; h, w count patches."""
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    both = np.stack([rows, columns], -1).reshape(h // MERGE, MERGE, w // MERGE, MERGE, 2)
    return both.transpose(0, 2, 1, 3, 4).reshape(h * w, 2).astype(np.int32)


def patch_values(patches: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """Normalized values of temporal patches.

    patches: uint8 [F, 588] of single frames; pairs: int [P, 2], the rows of the two frames of each temporal patch
    (a picture repeats its only frame). Returns float32 [P, 1176], channel × frame × row × column.
    """
    mean = torch.tensor(PIXEL_MEAN, device=patches.device).view(1, 3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=patches.device).view(1, 3, 1, 1)
    values = patches[pairs].view(-1, 2, 3, PATCH * PATCH).transpose(1, 2).float()  # [P, 3, 2, 196]
    return ((values / 255.0 - mean) / std).reshape(len(pairs), -1)


def resized_size(height: int, width: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Sides after Qwen2VLImageProcessor's rule: multiples of 28, the area within the limits, the shape nearly kept."""
    unit = PATCH * MERGE
    h, w = (round(side / unit) * unit for side in (height, width))
    if h * w > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        h, w = (max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width))
    elif h * w < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        h, w = (math.ceil(side * grow / unit) * unit for side in (height, width))
    return h, w


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [H, W, 3] → uint8 [height, width, 3], bicubic with anti-aliasing, as Qwen2VLImageProcessor resizes."""
    if pixels.shape[:2] == (height, width):
        return pixels
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    resized = F.interpolate(tensor, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).contiguous().numpy()

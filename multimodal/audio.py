"""Sound → log-mel frames → audio embeddings, whole or as it arrives.

The encoder restarts every 2 · n_window frames (2 s), so a chunk encoded alone equals the same chunk inside the
whole clip. The log-mel front end is WhisperFeatureExtractor's without its padding to the longest clip it knows.
One part of it is not causal: the floor, 8 (in log10) below the loudest bin of the whole clip. For files it is
exact; `AudioStream` uses the loudest bin heard so far.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from multimodal.media import AudioClip

DYNAMIC_RANGE = 8.0  # log10 units below the loudest bin; fixed in WhisperFeatureExtractor


def token_count(mel_frames: int) -> int:
    """Audio tokens of a clip: a stride-2 convolution, then average pooling by 2 (`audio_seqlens` in transformers)."""
    return ((mel_frames - 1) // 2 + 1 - 2) // 2 + 1 if mel_frames > 0 else 0


class AudioEncoder:
    """tower: Qwen2_5OmniAudioEncoder; extractor: WhisperFeatureExtractor (its filter bank and rates are used)."""

    def __init__(self, tower: Any, extractor: Any) -> None:
        self.tower = tower
        self.rate_hz = int(extractor.sampling_rate)
        self.hop = int(extractor.hop_length)
        self.n_fft = int(extractor.n_fft)
        self.chunk_frames = 2 * int(tower.n_window)
        self._filters = torch.from_numpy(np.asarray(extractor.mel_filters)).float().T.contiguous()  # [bins, n_fft/2+1]
        self._window = torch.hann_window(self.n_fft)

    def log_mel(self, samples: torch.Tensor, final: bool = True) -> torch.Tensor:
        """log10 mel power without floor or scaling.

        samples: float32 [N], the clip from its beginning. final: no more samples will come; the clip is then
        continued with silence, as in a padded batch, which gives ceil(N / hop) frames. Otherwise only frames
        whose window lies inside the samples are returned.
        """
        half = self.n_fft // 2
        count = -(-len(samples) // self.hop) if final else max(0, (len(samples) - half) // self.hop + 1)
        if count == 0:
            return samples.new_zeros(self._filters.shape[0], 0)
        needed = (count - 1) * self.hop + half + 1
        padded = torch.nn.functional.pad(samples, (0, max(0, needed + half - len(samples))))
        # Frame 0 needs `half` samples before the clip: the reference mirrors the clip's beginning there.
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self._window, return_complex=True)[:, :count]
        power = (spectrum.abs() ** 2).contiguous()
        return (self._filters @ power).clamp(min=1e-10).log10()  # [bins, count]

    def scale(self, log_mel: torch.Tensor, peak: torch.Tensor | None = None) -> torch.Tensor:
        """Floor at `peak` − 8 (peak: loudest bin, of the clip if not given) and bring into the encoder's range."""
        peak = log_mel.max() if peak is None else peak
        return (torch.maximum(log_mel, peak - DYNAMIC_RANGE) + 4.0) / 4.0

    def features(self, clip: AudioClip) -> torch.Tensor:
        """Encoder input [bins, frames] of a whole clip; clips under three frames are continued with silence."""
        assert clip.rate_hz == self.rate_hz, f"resample to {self.rate_hz} Hz first"
        samples = torch.from_numpy(clip.samples)
        if len(samples) < 3 * self.hop:
            samples = torch.nn.functional.pad(samples, (0, 3 * self.hop - len(samples)))
        return self.scale(self.log_mel(samples))

    @torch.inference_mode()
    def encode(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings [tokens, D] of [bins, frames], one 2 s chunk at a time."""
        parts = [self.encode_chunk(chunk) for chunk in features.split(self.chunk_frames, dim=1)]
        return torch.cat(parts)

    @torch.inference_mode()
    def encode_chunk(self, chunk: torch.Tensor) -> torch.Tensor:
        """Embeddings [tokens, D] of at most 2 s of features [bins, ≤ chunk_frames]."""
        tokens = token_count(chunk.shape[1])
        weight = self.tower.conv1.weight
        if tokens == 0:
            return weight.new_zeros(0, self.tower.proj.out_features)
        length = torch.tensor([chunk.shape[1]], device=weight.device)
        return self.tower(chunk.to(weight.device, weight.dtype), feature_lens=length).last_hidden_state


class AudioStream:
    """A clip that is still being spoken: samples in, embeddings of full 2 s chunks out.

    One use only: `push` while samples come, `finish` once. The floor follows the loudest bin so far, so the
    result differs from the whole clip's only in bins quieter than 8 (log10) below a peak that came later.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        self.encoder = encoder
        self.peak = torch.tensor(-torch.inf)
        self.samples_seen = 0
        self._tail = torch.zeros(0)  # samples from `_origin` on, enough left context for the next frame
        self._origin = 0
        self._frames_made = 0
        self._waiting: list[torch.Tensor] = []  # log-mel frames of the unfinished chunk
        self._finished = False

    def fork(self) -> AudioStream:
        """An independent stream that continues from here."""
        twin = AudioStream(self.encoder)
        twin.peak, twin.samples_seen = self.peak, self.samples_seen
        twin._tail, twin._origin, twin._frames_made = self._tail, self._origin, self._frames_made
        twin._waiting = list(self._waiting)
        return twin

    def push(self, samples: np.ndarray) -> list[torch.Tensor]:
        """samples: float32 [n] at the encoder's rate. Returns embeddings [50, D] of each chunk now complete."""
        assert not self._finished
        self.samples_seen += len(samples)
        self._tail = torch.cat([self._tail, torch.from_numpy(np.asarray(samples, np.float32))])
        self._take_frames(final=False)
        return self._full_chunks()

    def finish(self) -> list[torch.Tensor]:
        """Embeddings of what is left, the last chunk possibly short."""
        assert not self._finished
        self._finished = True
        short = 3 * self.encoder.hop - self.samples_seen
        if short > 0:
            self._tail = torch.nn.functional.pad(self._tail, (0, short))
            self.samples_seen += short
        self._take_frames(final=True)
        chunks = self._full_chunks()
        if self._waiting:
            rest = torch.cat(self._waiting, dim=1)
            self._waiting = []
            if token_count(rest.shape[1]):
                chunks.append(self.encoder.encode_chunk(self.encoder.scale(rest, self.peak)))
        return chunks

    def _take_frames(self, final: bool) -> None:
        e = self.encoder
        half = e.n_fft // 2
        # A multiple of the hop keeps the frame grid; two windows of context keep the mirrored edge out of reach.
        log_mel = e.log_mel(self._tail, final)
        skip = self._frames_made - self._origin // e.hop
        fresh = log_mel[:, skip:]
        if fresh.shape[1] == 0:
            return
        self._frames_made += fresh.shape[1]
        self.peak = torch.maximum(self.peak, fresh.max())
        self._waiting.append(fresh)
        keep_from = max(0, (self._frames_made * e.hop - half) // e.hop - 1) * e.hop
        # The frame at `keep_from` itself would see the mirrored edge, so it and its neighbours are recomputed
        # but never taken: `skip` passes over them.
        self._tail = self._tail[keep_from - self._origin :]
        self._origin = keep_from

    def _full_chunks(self) -> list[torch.Tensor]:
        size = self.encoder.chunk_frames
        if sum(part.shape[1] for part in self._waiting) < size:
            return []
        frames = torch.cat(self._waiting, dim=1)
        chunks = []
        while frames.shape[1] >= size:
            chunks.append(self.encoder.encode_chunk(self.encoder.scale(frames[:, :size], self.peak)))
            frames = frames[:, size:]
        self._waiting = [frames] if frames.shape[1] else []
        return chunks

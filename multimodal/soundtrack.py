"""Sound of any rate and layout → mono samples at one rate, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from av.container import InputContainer

from multimodal.errors import MediaTooLarge, MediaUnreadable
from multimodal.source import Health, decode_packet, discard_others, packets_of, seeks_exactly

LOWEST_HZ, HIGHEST_HZ, MOST_CHANNELS = 1_000, 384_000, 64
_JUMP_SEC = 0.1  # time stamps that differ less from the running count of samples are jitter
_LONGEST_GAP_SEC = 600.0  # a longer jump is a broken time stamp, not silence
_BLOCK = 1 << 16


class MonoTrack:
    """Takes blocks of any layout, mixes them to the mean of their channels and resamples as they come.

    rate_hz: of the result; name: what messages call the source; source_sec, source_pcm_bytes, result_bytes: limits of
    the length, of the size as float32 before mixing, and of the result.
    """

    def __init__(
        self,
        rate_hz: int,
        name: str,
        source_sec: float = np.inf,
        source_pcm_bytes: float = np.inf,
        result_bytes: float = np.inf,
    ) -> None:
        self._rate_hz, self._name = rate_hz, name
        self._source_sec, self._source_pcm_bytes, self._result_bytes = source_sec, source_pcm_bytes, result_bytes
        self._result = np.empty(0, np.float32)
        self._filled = 0
        self._resampler: soxr.ResampleStream | None = None
        self._source_hz = 0
        self._taken_sec = 0.0
        self._taken_bytes = 0

    def check_source(self, samples: float, channels: int, source_hz: int) -> None:
        """Raises where a source of `samples` samples a channel, or its header, is over the limits."""
        if not LOWEST_HZ <= source_hz <= HIGHEST_HZ or not 1 <= channels <= MOST_CHANNELS:
            raise MediaUnreadable(
                f"{self._name} says it holds {channels} channels at {source_hz} Hz, which no sound has: export it "
                "again as WAV or FLAC, 16 or 48 kHz, one or two channels"
            )
        seconds = self._taken_sec + samples / source_hz
        pcm_bytes = self._taken_bytes + samples * channels * 4
        result_bytes = 4 * (self._filled + samples * self._rate_hz / source_hz)
        if seconds > self._source_sec:
            raise MediaTooLarge(
                f"{self._name} is longer than {self._source_sec:g} s of sound: cut it into shorter pieces"
            )
        if pcm_bytes > self._source_pcm_bytes or result_bytes > self._result_bytes:
            raise MediaTooLarge(f"{self._name} holds too much sound to decode at once: cut it into shorter pieces")

    def add(self, block: np.ndarray, source_hz: int) -> None:
        """block: float32 [samples, channels]. Raises MediaUnreadable on NaN or infinity, MediaTooLarge over a limit."""
        self.check_source(len(block), block.shape[1], source_hz)
        if not np.isfinite(block).all():
            raise MediaUnreadable(f"{self._name} holds samples that are not numbers (NaN or infinity): export it again")
        self._taken_sec += len(block) / source_hz
        self._taken_bytes += block.size * 4
        if source_hz != self._source_hz:
            self._flush()
            self._source_hz = source_hz
            if source_hz != self._rate_hz:
                self._resampler = soxr.ResampleStream(source_hz, self._rate_hz, 1, dtype="float32", quality="HQ")
        mono = np.clip(block, -1, 1).mean(axis=1, dtype=np.float32)  # [samples]
        self._append(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def add_silence(self, samples: int, source_hz: int) -> None:
        for first in range(0, samples, _BLOCK):
            self.add(np.zeros((min(_BLOCK, samples - first), 1), np.float32), source_hz)

    def finish(self) -> np.ndarray:
        """All samples so far, float32 [N] in −1…1; nothing can be added afterwards."""
        self._flush()
        self._result.resize(self._filled, refcheck=False)
        return np.clip(self._result, -1, 1, out=self._result)

    def _flush(self) -> None:
        if self._resampler is not None:
            self._append(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
            self._resampler = None

    def _append(self, mono: np.ndarray) -> None:
        end = self._filled + len(mono)
        if end > len(self._result):
            self._result.resize(max(end, len(self._result) * 5 // 4, _BLOCK), refcheck=False)
        self._result[self._filled : end] = mono
        self._filled = end


def decode_track(
    container: InputContainer,
    stream: Any,
    track: MonoTrack,
    health: Health,
    start_sec: float = -np.inf,
    end_sec: float = np.inf,
) -> float | None:
    """Decode an audio stream of an open container into `track`, between two times of the container's own clock.

    Gaps in the time stamps become silence and overlaps are dropped, so that the count of samples stays true to time.
    Returns the time of the first sample; None where there was none.
    """
    discard_others(container, stream)
    if np.isfinite(start_sec) and seeks_exactly(container):
        # a little early, because AAC and Opus decode a packet right only after the one before
        container.seek(int((start_sec - 0.2) / stream.time_base), stream=stream)
    first_sec: float | None = None
    next_sec = 0.0  # where the next sample belongs, once there is a first
    for packet in packets_of(container, stream, health):
        for frame in decode_packet(packet, health):
            block, rate_hz = samples_of(frame), frame.sample_rate
            at_sec = next_sec if frame.time is None else frame.time
            jump_sec = at_sec - (next_sec if first_sec is not None else max(start_sec, at_sec))
            if jump_sec < (0 if first_sec is None else -_JUMP_SEC):
                skipped = min(round(-jump_sec * rate_hz), len(block))
                block, at_sec = block[skipped:], at_sec + skipped / rate_hz
            elif jump_sec > _LONGEST_GAP_SEC:
                health.whole = False
            elif jump_sec > _JUMP_SEC:
                silence = round((min(at_sec, end_sec) - next_sec) * rate_hz)
                track.add_silence(silence, rate_hz)
                next_sec += silence / rate_hz
            place_sec = at_sec if first_sec is None else next_sec
            if place_sec >= end_sec:
                return first_sec
            if end_sec < np.inf:
                block = block[: round((end_sec - place_sec) * rate_hz)]
            if len(block):
                first_sec = place_sec if first_sec is None else first_sec
                track.add(block, rate_hz)
                next_sec = place_sec + len(block) / rate_hz
    return first_sec


def samples_of(frame: Any) -> np.ndarray:
    """An audio frame as float32 [samples, channels]."""
    values = frame.to_ndarray()
    channels = len(frame.layout.channels)
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)  # [samples, channels]
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128
    if values.dtype.kind == "i":
        return values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    return values.astype(np.float32)

"""Decoded media: arrays with their rates and times, and nothing about files.

Every clip carries the numbers needed to place it on the conversation's time axis, so later stages
compute time as samples ÷ rate or from presentation times, never from the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class AudioClip:
    """Mono sound.

    samples: float32 [N] in −1…1.
    rate_hz: samples a second.
    start_sec: where the first sample stands on the time axis of the medium it came from.
    """

    samples: np.ndarray
    rate_hz: int
    start_sec: float = 0.0

    def __post_init__(self) -> None:
        assert self.samples.ndim == 1 and self.samples.dtype == np.float32, "AudioClip wants float32 [N]"
        assert self.rate_hz > 0

    @property
    def duration_sec(self) -> float:
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright RGB picture: pixels uint8 [H, W, 3]."""

    pixels: np.ndarray

    def __post_init__(self) -> None:
        assert self.pixels.ndim == 3 and self.pixels.shape[2] == 3 and self.pixels.dtype == np.uint8

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, eq=False)
class VideoClip:
    """Sampled frames of a video, already resized to the size the encoder will see.

    frames: uint8 [T, H, W, 3], T even (the last frame is repeated where the video ends on an odd one).
    times_sec: float64 [T], the presentation time of each frame.
    fps: sampled frames a second; position ids follow it (temporal patch ÷ fps seconds a grid step). 0 where frames came
         unevenly: then position ids follow times_sec.
    duration_sec: length of the source.
    audio: the sound track, its `start_sec` relative to the first frame, or None.
    complete: False where the source broke off before the end (corrupt or truncated file).
    """

    frames: np.ndarray
    times_sec: np.ndarray
    fps: float
    duration_sec: float
    audio: AudioClip | None = None
    complete: bool = True

    def __post_init__(self) -> None:
        assert self.frames.ndim == 4 and self.frames.shape[3] == 3 and self.frames.dtype == np.uint8
        assert len(self.times_sec) == len(self.frames)

"""A video with its sound while it is still coming: pictures at any time beside sound encoded in chunks.

Laid down piece by piece it has the ids and positions of the whole `VideoClip`, in which each 2 s of sound stand behind
the pictures of their time, as transformers lays out a video with `use_audio_in_video`. That holds where every chunk has
a picture; a chunk without one is sound alone here, and the reference lets the next pictures catch up token by token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multimodal.frames import resize
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import AudioPiece, FilmPicture, FilmSound, Span
from multimodal.sampling import FrameBudget, frame_size
from multimodal.thinker import Thinker

Shown = tuple[float, Picture]
"""Seconds since the sound began, and what was shown then."""


class Film:
    """One film of `thinker`. Every picture gets the size that the first one is given."""

    def __init__(self, thinker: Thinker) -> None:
        self._thinker = thinker
        self._budget = FrameBudget.from_preprocessor(thinker.vision.processor.to_dict())
        self._size: tuple[int, int] | None = None
        self._sound_tokens = 0

    def fork(self) -> Film:
        """An independent film that goes on from here."""
        twin = Film(self._thinker)
        twin._size, twin._sound_tokens = self._size, self._sound_tokens
        return twin

    def chunk(self, shown: Sequence[Shown], sound: AudioPiece | None) -> list[Span]:
        """The next 2 s (or what is left): pictures by time, then sound."""
        rate = self._thinker.tmrope.ids_per_second
        spans: list[Span] = []
        for at_sec, picture in shown:
            patches, grid = self._thinker.vision.frame_patches(self._frames(picture))
            spans.append(FilmPicture(grid, time_id(at_sec, rate), patches))
        if sound is not None:
            spans.append(FilmSound(sound.tokens, self._sound_tokens, sound.features))
            self._sound_tokens += sound.tokens
        return spans

    def _frames(self, picture: Picture) -> np.ndarray:
        budget = self._budget
        if self._size is None:
            self._size = frame_size(*picture.size, budget.temporal_patch, budget)
        return _frames(picture, self._size, budget.temporal_patch)


def time_id(at_sec: float, ids_per_second: float) -> int:
    """As `multimodal.prompt.grid_time_ids` counts capture times."""
    return int(np.floor(at_sec * ids_per_second + 1e-6))


def film_clip(shown: Sequence[Shown], sound: AudioClip, budget: FrameBudget) -> VideoClip:
    """The whole of a film."""
    size = frame_size(*shown[0][1].size, budget.temporal_patch, budget)
    frames = np.concatenate([_frames(picture, size, budget.temporal_patch) for _, picture in shown])
    times = np.repeat([at_sec for at_sec, _ in shown], budget.temporal_patch)
    return VideoClip(frames, times, 0.0, max(sound.duration_sec, float(times[-1])), sound)


def _frames(picture: Picture, size: tuple[int, int], count: int) -> np.ndarray:
    """A picture as a temporal patch of frames, uint8 [count, H, W, 3]."""
    return np.repeat(resize(picture.pixels, *size)[None], count, axis=0)

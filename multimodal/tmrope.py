"""TMRoPE: the time, height and width ids of every token, span by span.

Pure and incremental: positions of a span depend on the spans before it only through `Cursor`, so a growing
conversation appends positions and never recomputes them. Equal to transformers' `get_rope_index` on every kind
of input, its quirks included: a begin or end token after a medium counts on from the largest id of the *last*
block laid down, while decoding counts on from the largest id of all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multimodal.prompt import (
    AudioPiece,
    AudioSpan,
    ControlIds,
    FilmMark,
    FilmPicture,
    FilmSound,
    ImageSpan,
    Span,
    TextSpan,
    VideoSpan,
    grid_time_ids,
    interleave,
)
from multimodal.prompt import span_ids as _span_ids


@dataclass(frozen=True)
class Cursor:
    """Where the next span starts. last: largest id of the last block; highest: largest id so far (−1: none).
    film: id at which the pictures and the sound of a film that is still coming begin."""

    last: int = -1
    highest: int = -1
    film: int = 0

    def after(self, block: np.ndarray) -> Cursor:
        top = int(block.max()) if block.size else self.last
        return replace(self, last=top, highest=max(self.highest, top))

    @property
    def next_decoded(self) -> int:
        """Id of the first token that is decoded after everything so far."""
        return self.highest + 1


@dataclass(frozen=True)
class Tmrope:
    """The checkpoint's numbers: position ids a second, seconds an interleaving chunk, spatial merge size."""

    control: ControlIds
    ids_per_second: float = 25
    seconds_per_chunk: float = 2
    merge: int = 2

    @classmethod
    def read(cls, control: ControlIds, thinker_config: Any) -> Tmrope:
        return cls(
            control=control,
            ids_per_second=thinker_config.position_id_per_seconds,
            seconds_per_chunk=thinker_config.seconds_per_chunk,
            merge=thinker_config.vision_config.spatial_merge_size,
        )

    def ids(self, span: Span) -> list[int]:
        """Token ids of the span, [n]."""
        return _span_ids(span, self.control, self.ids_per_second, self.seconds_per_chunk, self.merge)

    def place(self, span: Span, cursor: Cursor) -> tuple[np.ndarray, Cursor]:
        """Position ids int64 [3, n] (time, height, width) of the span's n tokens, and the cursor after it."""
        if isinstance(span, TextSpan):
            return _line(len(span.ids), cursor)
        if isinstance(span, AudioPiece):
            return _line(span.tokens, cursor)
        if isinstance(span, FilmMark | FilmPicture | FilmSound):
            return self._place_film(span, cursor)
        blocks: list[np.ndarray] = []

        def lay(block: np.ndarray) -> None:
            nonlocal cursor
            blocks.append(block)
            cursor = cursor.after(block)

        both = isinstance(span, VideoSpan) and span.audio is not None
        begin = _line(1, cursor)[0]
        for _ in range(2 if both else 1):  # the begin tokens of video and sound share one position
            lay(begin)
        start = cursor.last + 1
        if isinstance(span, AudioSpan):
            lay(_line(span.tokens, cursor)[0])
        elif isinstance(span, ImageSpan):
            lay(self._frames(np.arange(span.grid[0]) * int(self.ids_per_second), span.grid) + start)
        else:
            frames = self._frames(grid_time_ids(span, self.ids_per_second), span.grid) + start  # [3, t·h·w]
            if span.audio is None:
                lay(frames)
            else:
                sound = np.tile(np.arange(span.audio.tokens), (3, 1)) + start  # [3, tokens]
                for kind, n in interleave(span, self.ids_per_second, self.seconds_per_chunk, self.merge):
                    if kind == "video":
                        lay(frames[:, :n])
                        frames = frames[:, n:]
                    else:
                        lay(sound[:, :n])
                        sound = sound[:, n:]
        end = _line(1, cursor)[0]
        for _ in range(2 if both else 1):
            lay(end)
        return np.concatenate(blocks, axis=1), cursor

    def place_all(self, spans: list[Span], cursor: Cursor = Cursor()) -> tuple[np.ndarray, Cursor]:
        """Positions int64 [3, N] of consecutive spans."""
        placed: list[np.ndarray] = [np.zeros((3, 0), np.int64)]
        for span in spans:
            block, cursor = self.place(span, cursor)
            placed.append(block)
        return np.concatenate(placed, axis=1), cursor

    def _place_film(self, span: FilmMark | FilmPicture | FilmSound, cursor: Cursor) -> tuple[np.ndarray, Cursor]:
        if isinstance(span, FilmMark):
            block = np.full((3, 2), cursor.last + 1)
            cursor = cursor.after(block)
            return block, cursor if span.ends else replace(cursor, film=cursor.last + 1)
        if isinstance(span, FilmPicture):
            block = self._frames(np.array([span.at]), span.grid) + cursor.film
        else:
            block = np.tile(np.arange(span.at, span.at + span.tokens), (3, 1)) + cursor.film
        return block, cursor.after(block)

    def _frames(self, time_ids: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
        h, w = grid[1] // self.merge, grid[2] // self.merge
        t = np.repeat(time_ids, h * w)
        rows = np.tile(np.repeat(np.arange(h), w), grid[0])
        columns = np.tile(np.arange(w), grid[0] * h)
        return np.stack([t, rows, columns]).astype(np.int64)  # [3, t·h·w]


def _line(count: int, cursor: Cursor) -> tuple[np.ndarray, Cursor]:
    """`count` tokens one after another, the same id on all three axes."""
    block = np.tile(np.arange(cursor.last + 1, cursor.last + 1 + count), (3, 1))
    return block, cursor.after(block)

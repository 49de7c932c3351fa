"""Where a video is cut into the pieces that are answered one by one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST_SEC = 1.0  # a rest that is shorter goes to the window before it
LONGEST_SCENE_SEC = 60.0


@dataclass(frozen=True)
class Window:
    """A part of a video, in seconds from its first frame."""

    start_sec: float
    end_sec: float


def fixed(start_sec: float, end_sec: float, length_sec: float, overlap_sec: float = 0.0) -> list[Window]:
    """Windows of one length; neighbours share `overlap_sec`, the last one is what is left."""
    windows, at = [], start_sec
    while True:
        end = at + length_sec
        if end >= end_sec - SHORTEST_SEC:
            return [*windows, Window(at, end_sec)]
        windows.append(Window(at, end))
        at = end - overlap_sec


def scenes(start_sec: float, end_sec: float, cuts_sec: Sequence[float]) -> list[Window]:
    """One window a scene; scenes under `SHORTEST_SEC` join the one before, those over a minute are cut evenly."""
    borders = [start_sec]
    for cut in sorted(cuts_sec):
        if cut - borders[-1] >= SHORTEST_SEC and end_sec - cut >= SHORTEST_SEC:
            borders.append(cut)
    windows = []
    for first, last in zip(borders, [*borders[1:], end_sec]):
        pieces = max(1, -int(-(last - first) // LONGEST_SCENE_SEC))
        step = (last - first) / pieces
        windows += [
            Window(first + i * step, last if i == pieces - 1 else first + (i + 1) * step) for i in range(pieces)
        ]
    return windows

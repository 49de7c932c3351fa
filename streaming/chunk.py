"""Pictures of a camera or screen beside the sound: which of them belong to what is being said.

Pictures come at a few a second, late, twice or not at all. A spoken turn begins with the newest one, if it is fresh;
while the user speaks another is taken for each 2 s of sound in which the scene has changed. The others cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multimodal.media import Picture

CHUNK_SEC = 2.0  # of sound, as it is encoded
FRESH_SEC = 3.0  # an older picture belongs to a camera that is off, or to a connection that stands still
MOST_IN_TURN = 4
CHANGE = 0.04  # mean difference of brightness, 0…1, that is another scene; noise of a camera is well below
SIDE = 16


@dataclass
class Pictures:
    """One camera or screen. dropped: pictures that came after a newer one."""

    dropped: int = 0
    _newest: Picture | None = None
    _captured_ms: float = -1.0
    _arrived_sec: float = 0.0
    _taken: np.ndarray | None = None
    _taken_sec: float = 0.0
    _in_turn: int = 0

    def see(self, picture: Picture, captured_ms: float, now_sec: float) -> None:
        """captured_ms: on the camera's clock; one from before the newest is dropped, unless the clock began anew."""
        if self._captured_ms - FRESH_SEC * 1000 < captured_ms < self._captured_ms:
            self.dropped += 1
            return
        self._newest, self._captured_ms, self._arrived_sec = picture, captured_ms, now_sec

    def begin(self, now_sec: float) -> list[Picture]:
        """The user begins to speak: what is shown, a picture or nothing."""
        self._in_turn, self._taken = 0, None
        if self._newest is None or now_sec - self._arrived_sec > FRESH_SEC:
            return []
        return [self._take(now_sec)]

    def more(self, now_sec: float) -> list[Picture]:
        """While the user speaks: the newest picture, where a chunk has passed and it shows something else."""
        if self._taken is None or self._in_turn >= MOST_IN_TURN or now_sec - self._taken_sec < CHUNK_SEC:
            return []
        assert self._newest is not None
        if now_sec - self._arrived_sec > FRESH_SEC or self._difference() < CHANGE:
            return []
        return [self._take(now_sec)]

    def _take(self, now_sec: float) -> Picture:
        assert self._newest is not None
        self._taken, self._taken_sec = _outline(self._newest), now_sec
        self._in_turn += 1
        return self._newest

    def _difference(self) -> float:
        assert self._newest is not None and self._taken is not None
        return float(np.abs(_outline(self._newest) - self._taken).mean())


def _outline(picture: Picture) -> np.ndarray:
    """Brightness [16, 16] in 0…1, each the mean of its part of the picture."""
    grey = picture.pixels.mean(axis=2) / 255.0  # [H, W]
    rows = np.array_split(grey, min(SIDE, len(grey)), axis=0)
    cells = [[part.mean() for part in np.array_split(row, min(SIDE, row.shape[1]), axis=1)] for row in rows]
    return np.array(cells)

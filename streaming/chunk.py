"""Pictures of a camera or screen beside the sound: which of them belong to what is being said, and when.

Pictures come at a few a second, late, twice or not at all. A spoken turn begins with the newest one, if it is fresh.
While the scene stays as it is, the others cost nothing. When it has changed the turn becomes a film: each 2 s of its
sound have the picture that was seen at their beginning, and another where the scene changed within them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multimodal.film import Shown
from multimodal.media import Picture

CHUNK_SEC = 2.0  # of sound, as it is encoded
FRESH_SEC = 3.0  # an older picture belongs to a camera that is off, or to a connection that stands still
LEAST_SEC = 1.0  # between two pictures that are taken because the scene has changed
CHANGE = 0.04  # mean difference of brightness, 0…1, that is another scene; noise of a camera is well below
SIDE = 16


@dataclass(frozen=True)
class Sight:
    """What became of the pictures of a turn. received: while it was spoken; taken: read by the model. late: dropped,
    because a newer one had come before; held: chunks without a fresh picture, which show the last one again."""

    received: int = 0
    taken: int = 0
    late: int = 0
    held: int = 0


class Pictures:
    """One camera or screen. Times: `captured_ms` on the camera's clock, that of the sound; `now_sec` on the line's, by
    which a picture is fresh; turn_sec in the sound of the turn."""

    def __init__(self) -> None:
        self.sight = Sight()
        self._newest: Picture | None = None
        self._newest_outline: np.ndarray | None = None
        self._captured_ms = -1.0
        self._arrived_sec = 0.0
        self._taken: Picture | None = None
        self._outline = np.zeros(0)
        self._taken_sec = 0.0
        self._start_ms = 0.0
        self._chunk = 0  # of the turn, the last that has a picture
        self._moving = False

    def see(self, picture: Picture, captured_ms: float, now_sec: float) -> None:
        """One from before the newest is dropped, unless the clock began anew."""
        late = self._captured_ms - FRESH_SEC * 1000 < captured_ms < self._captured_ms
        self.sight = replace(self.sight, received=self.sight.received + 1, late=self.sight.late + late)
        if not late:
            self._newest, self._captured_ms, self._arrived_sec = picture, captured_ms, now_sec
            self._newest_outline = None

    def begin(self, now_sec: float, start_ms: float) -> list[Shown]:
        """The user begins to speak, at `start_ms` of the sound: what is shown, a picture or nothing."""
        self.sight, self._taken, self._chunk, self._moving = Sight(), None, 0, False
        self._start_ms = start_ms
        if self._newest is None or not self._fresh(now_sec):
            return []
        return [self._take(self._newest, 0.0)]

    def more(self, now_sec: float, turn_sec: float, ending: bool = False) -> list[Shown]:
        """While the user speaks and, `ending`, when the user stops: what has been shown since."""
        if self._taken is None or self._newest is None:
            return []
        found: list[Shown] = []
        chunk, fresh = int(turn_sec // CHUNK_SEC), self._fresh(now_sec)
        changed = fresh and self._changed()
        if changed and not self._moving:  # up to here the scene was what it was at the beginning
            self._moving = True
            found += [self._take(self._taken, CHUNK_SEC * one) for one in range(1, chunk + 1)]
        for one in range(self._chunk + 1, chunk + 1) if self._moving and not found else ():
            self.sight = replace(self.sight, held=self.sight.held + (not fresh))
            found.append(self._take(self._newest if fresh else self._taken, CHUNK_SEC * one))
            changed = False
        self._chunk = max(self._chunk, chunk) if self._moving else 0
        if changed and (ending or turn_sec - self._taken_sec >= LEAST_SEC):
            captured_sec = (self._captured_ms - self._start_ms) / 1000
            least = max(self._taken_sec, CHUNK_SEC * chunk)  # the sound before is being read already
            found.append(self._take(self._newest, max(least, min(captured_sec, turn_sec))))
        return found

    def _fresh(self, now_sec: float) -> bool:
        return now_sec - self._arrived_sec <= FRESH_SEC

    def _take(self, picture: Picture, at_sec: float) -> Shown:
        if picture is not self._taken:
            self._outline = self._outline_of_newest()
        self._taken, self._taken_sec = picture, at_sec
        self.sight = replace(self.sight, taken=self.sight.taken + 1)
        return at_sec, picture

    def _changed(self) -> bool:
        if self._newest is None or self._newest is self._taken:
            return False
        return float(np.abs(self._outline_of_newest() - self._outline).mean()) >= CHANGE

    def _outline_of_newest(self) -> np.ndarray:
        assert self._newest is not None
        if self._newest_outline is None:
            self._newest_outline = _outline(self._newest)
        return self._newest_outline


def _outline(picture: Picture) -> np.ndarray:
    """Brightness [16, 16] in 0…1, each the mean of its part of the picture."""
    grey = picture.pixels.mean(axis=2) / 255.0  # [H, W]
    rows = np.array_split(grey, min(SIDE, len(grey)), axis=0)
    cells = [[part.mean() for part in np.array_split(row, min(SIDE, row.shape[1]), axis=1)] for row in rows]
    return np.array(cells)

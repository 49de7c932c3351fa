"""Ending an answer at a text, however the stream is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reasoning.thinking import held_back


@dataclass
class StopText:
    """Passes text on until one of `stops` comes; that text and everything after it is dropped."""

    stops: Sequence[str]
    hit: str | None = None
    _pending: str = ""

    def push(self, text: str) -> str:
        if self.hit is not None or not self.stops:
            return "" if self.hit is not None else text
        self._pending += text
        at, stop = min(((self._pending.find(one), one) for one in self.stops if one in self._pending), default=(-1, ""))
        if at >= 0:
            self.hit, out, self._pending = stop, self._pending[:at], ""
            return out
        keep = held_back(self._pending, self.stops)
        out = self._pending[: len(self._pending) - keep]
        self._pending = self._pending[len(self._pending) - keep :]
        return out

    def finish(self) -> str:
        out, self._pending = self._pending, ""
        return out

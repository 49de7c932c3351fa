"""Where a call's work runs, and what time it is there: one thing at a time, in order of time.

A call is an actor: everything that happens to it (sound, a released key, an event of a reply) is posted to its line
and done there, one after another. `ThreadLine` is a thread with the machine's monotonic clock; `VirtualLine` jumps to
the next thing to do, so that an hour of talk takes a moment.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

Work = Callable[[], None]


class Line(Protocol):
    """Seconds that never go back, and work done one after another."""

    def now(self) -> float: ...

    def post(self, work: Work, after_sec: float = 0.0) -> None:
        """Do `work` on the line after `after_sec`; from any thread."""
        ...


class ThreadLine:
    """A thread of its own. `close` ends it after the work that is being done; what still waits is dropped."""

    def __init__(self, name: str = "call") -> None:
        self._waiting: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def now(self) -> float:
        return time.monotonic()

    def post(self, work: Work, after_sec: float = 0.0) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (self.now() + after_sec, next(self._numbers), work))
            self._changed.notify()

    def close(self, wait: bool = True) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except Exception:
                log.exception("a call's work failed")

    def _next(self) -> Work | None:
        with self._changed:
            while not self._closed:
                left = self._waiting[0][0] - self.now() if self._waiting else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(left)
        return None


class VirtualLine:
    """Time that passes only in `run`. Work posted for the same moment is done in the order of posting."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def post(self, work: Work, after_sec: float = 0.0) -> None:
        heapq.heappush(self._waiting, (self._now + after_sec, next(self._numbers), work))

    def run(self, until_sec: float = float("inf")) -> None:
        """Do everything up to that moment, and what follows from it."""
        while self._waiting and self._waiting[0][0] <= until_sec:
            self._now, _, work = heapq.heappop(self._waiting)
            work()
        if until_sec != float("inf"):
            self._now = max(self._now, until_sec)

"""A bounded queue between two stages that lets go when its response is over."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# How long a blocked stage waits before it looks whether its response is still wanted.
LOOK_SEC = 0.02


class Stale(Exception):
    """The response this stage works for was cancelled or superseded."""


class Channel(Generic[T]):
    """current: says whether the generation this channel serves is still the wanted one."""

    def __init__(self, current: Callable[[], bool], size: int = 256) -> None:
        self._queue: queue.Queue[T] = queue.Queue(size)
        self._current = current

    def put(self, item: T) -> None:
        """Blocks while full; raises Stale once the response is over."""
        while True:
            if not self._current():
                raise Stale
            try:
                return self._queue.put(item, timeout=LOOK_SEC)
            except queue.Full:
                continue

    def get(self) -> T:
        """Blocks while empty; raises Stale once the response is over."""
        while True:
            if not self._current():
                raise Stale
            try:
                return self._queue.get(timeout=LOOK_SEC)
            except queue.Empty:
                continue

    def poll(self, timeout_sec: float) -> T | None:
        """The next item, or None after timeout_sec; for readers who outlive the response."""
        try:
            return self._queue.get(timeout=timeout_sec)
        except queue.Empty:
            return None

"""Generation numbers: which reply is the wanted one.

Whoever makes or reads something of a reply holds its number; an interruption raises the number, and what carries an
older one is stale from that moment on, wherever it is on its way.
"""

from __future__ import annotations

import threading


class Generations:
    """The number of the wanted reply. Read and raised from any thread."""

    def __init__(self) -> None:
        self._number = 0
        self._lock = threading.Lock()

    @property
    def number(self) -> int:
        return self._number

    def begin(self) -> int:
        """Number of a new reply; all before it are stale."""
        with self._lock:
            self._number += 1
            return self._number

    def interrupt(self, generation: int | None = None) -> bool:
        """Make `generation` (or whatever is wanted now) stale. False where it was already."""
        with self._lock:
            if generation is not None and generation != self._number:
                return False
            self._number += 1
            return True

    def wanted(self, generation: int) -> bool:
        return generation == self._number

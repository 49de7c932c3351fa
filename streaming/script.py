"""A reply that somebody else writes: the Thinker reads it out instead of writing its own.

One thread fills the script, sentence by sentence, while the session says it; whoever fills it may also tell the
reader of the response something at once, or give up, upon which the Thinker writes the reply itself.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator


class Script:
    """notice: said once where nothing has come after `notice_after_sec`, or ""."""

    def __init__(self, notice: str = "", notice_after_sec: float = 1.5) -> None:
        self._sentences: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._told: list[object] = []
        self._tell: Callable[[object], None] | None = None
        self._on_cancel: list[Callable[[], None]] = []
        self._notice, self._notice_after_sec = notice, notice_after_sec
        self.gave_up = False
        self.cancelled = False

    # --- by the one who writes ----------------------------------------------------------------------

    def say(self, sentence: str) -> None:
        self._sentences.put(sentence)

    def tell(self, event: object) -> None:
        """Pass something on to the reader of the response, ahead of what is still to be said."""
        with self._lock:
            if self._tell is None:
                self._told.append(event)
            else:
                self._tell(event)

    def end(self) -> None:
        """Nothing more will be said."""
        self._sentences.put(None)

    def give_up(self) -> None:
        """Nothing was said, and nothing will be: the Thinker writes the reply itself."""
        self.gave_up = True
        self._sentences.put(None)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Called once, from any thread, when the response is cancelled; at once if it has been."""
        with self._lock:
            if not self.cancelled:
                self._on_cancel.append(callback)
                return
        callback()

    # --- by the session -----------------------------------------------------------------------------

    def connect(self, tell: Callable[[object], None]) -> None:
        """Where `tell` goes to from now on."""
        with self._lock:
            self._tell = tell
            for event in self._told:
                tell(event)
            self._told = []

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            callbacks, self._on_cancel = self._on_cancel, []
        for callback in callbacks:
            callback()
        self._sentences.put(None)

    def sentences(self) -> Iterator[str]:
        """What is to be said, as it comes; ends with `end`, `give_up` or `cancel`."""
        first = True
        while True:
            try:
                wait = self._notice_after_sec if first and self._notice else None
                sentence = self._sentences.get(timeout=wait)
            except queue.Empty:
                sentence = self._notice
            if sentence is None or self.cancelled:
                return
            yield sentence if first else " " + sentence
            first = False

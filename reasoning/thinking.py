"""A model's reasoning: told apart from its answer as it streams, and stopped when it loops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["reasoning", "answer", "moved"]


@dataclass(frozen=True)
class Piece:
    """Text of one kind. "moved" has no text and says that the answer so far was reasoning."""

    kind: Kind
    text: str


def held_back(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of `text` could be the beginning of one of `marks`."""
    for length in range(min(len(text), max(map(len, marks), default=0) - 1), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks if length < len(mark)):
            return length
    return 0


@dataclass
class ThinkingParser:
    """Splits streamed text at the marks of reasoning, wherever the pieces are cut.

    inside: whether the text begins within reasoning, as after a prompt that already opened it. An empty `opening`
    means a model without marks, whose text is all answer.
    """

    opening: str = "<think>"
    closing: str = "</think>"
    inside: bool = False
    _pending: str = ""
    _answered: bool = False
    _fresh: bool = True  # no text was given yet
    _trim: bool = False  # blank lines after a mark belong to the layout

    def push(self, text: str) -> list[Piece]:
        if not self.opening:
            return [Piece("answer", text)] if text else []
        self._pending += text
        pieces: list[Piece] = []
        while True:
            # A model may repeat the mark that its prompt already opened with.
            marks = (self.closing,) if self.inside and not self._fresh else (self.opening, self.closing)
            at, mark = min(((self._pending.find(one), one) for one in marks if one in self._pending), default=(-1, ""))
            if at < 0:
                break
            self._give(pieces, self._pending[:at])
            self._pending = self._pending[at + len(mark) :]
            if mark == self.closing and not self.inside and self._answered:
                pieces.append(Piece("moved", ""))
                self._answered = False
            self.inside = mark == self.opening
            self._trim = True
        keep = held_back(self._pending, marks)
        self._give(pieces, self._pending[: len(self._pending) - keep])
        self._pending = self._pending[len(self._pending) - keep :]
        return pieces

    def finish(self) -> list[Piece]:
        """What was held back."""
        pieces: list[Piece] = []
        self._give(pieces, self._pending)
        self._pending = ""
        return pieces

    def _give(self, pieces: list[Piece], text: str) -> None:
        if self._trim:
            text = text.lstrip("\r\n")
        if not text:
            return
        self._trim = self._fresh = False
        self._answered = self._answered or not self.inside
        pieces.append(Piece("reasoning" if self.inside else "answer", text))


@dataclass
class LoopGuard:
    """Notices that a stream only repeats itself: exactly, with any period, or line by line.

    least_chars: exact repetition is a loop once it fills so many characters at least four times over.
    same_lines: how often a line of 20 characters or more may come again among the last `window_chars`.
    """

    least_chars: int = 400
    window_chars: int = 4000
    same_lines: int = 8
    every_chars: int = 64
    _tail: str = ""
    _unread: int = 0
    looping: bool = field(default=False, init=False)

    def push(self, text: str) -> bool:
        """True once the stream loops."""
        self._tail = (self._tail + text)[-self.window_chars :]
        self._unread += len(text)
        if self._unread >= self.every_chars and not self.looping:
            self._unread = 0
            self.looping = self._repeats() or self._same_lines()
        return self.looping

    def _repeats(self) -> bool:
        tail = self._tail
        probe = tail[-48:]
        before = tail.rfind(probe, 0, len(tail) - 1)
        if len(tail) < self.least_chars or before < 0:
            return False
        period = len(tail) - len(probe) - before
        span = max(self.least_chars, 4 * period)
        return len(tail) >= span and tail[-span + period :] == tail[-span:-period]

    def _same_lines(self) -> bool:
        lines = [line.strip() for line in re.split(r"[\n。]|(?<=[.?!]) ", self._tail)]
        long = [line for line in lines if len(line) >= 20]
        return bool(long) and max(map(long.count, set(long))) > self.same_lines

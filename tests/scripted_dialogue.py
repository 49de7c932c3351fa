"""A dialogue that takes scripted time to answer, in virtual time: calls are tested without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from multimodal.film import Shown
from multimodal.prompt import Turn
from streaming.clock import VirtualLine
from streaming.events import Event, ResponseDone, SpeechChunk, TextDelta, Usage
from streaming.session import ResponseOptions

RATE_HZ = 24_000
TOKEN_SEC = 0.25  # of speech


@dataclass
class ScriptedDialogue:
    """Replies of `tokens` words; the first text after `first_text_sec`, the first sound after `first_sound_sec`, sound
    `speed` times faster than it plays; a cancelled reply ends after `stop_sec`.

    turns: what the conversation remembers: ("user", samples) and ("assistant", tokens). It checks that its methods
    are called in an order that makes sense.
    """

    line: VirtualLine
    tokens: int = 8
    first_text_sec: float = 0.1
    first_sound_sec: float = 0.3
    speed: float = 2.0
    stop_sec: float = 0.05
    turns: list[tuple[str, int]] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    busy: bool = False
    listening: int | None = None
    committed: list[tuple[str, int]] | None = None
    _generation: int = 0
    _written: int = 0
    _stopping: bool = False

    def open(self, shown: Sequence[Shown]) -> None:
        assert not self.busy and (self.listening is None or self.committed is not None)
        self.listening, self.committed = 0, None

    def hear(self, samples: np.ndarray) -> None:
        assert not self.busy and self.listening is not None and self.committed is None
        self.reads.append(self.line.now())
        self.listening += len(samples)

    def see(self, shown: Shown) -> None:
        assert self.listening is not None

    def commit(self) -> None:
        assert not self.busy and self.listening is not None and self.committed is None
        self.committed = list(self.turns)
        self.turns.append(("user", self.listening))

    def reopen(self) -> None:
        assert not self.busy and self.committed is not None
        self.turns, self.committed = self.committed, None

    def discard(self) -> None:
        assert not self.busy and self.listening is not None and self.committed is None
        self.listening = None

    def append(self, turn: Turn) -> None:
        assert not self.busy
        self.listening = self.committed = None
        self.turns.append((turn.role, 0))

    def respond(self, options: ResponseOptions, tell: Callable[[Event], None]) -> None:
        assert not self.busy
        self.busy, self._stopping, self._written = True, False, 0
        self._generation += 1
        generation = self._generation

        def alive() -> bool:
            return self.busy and generation == self._generation and not self._stopping

        def write(index: int) -> None:
            if alive():
                self._written = index + 1
                tell(TextDelta(generation, f"w{index} "))

        def speak(index: int) -> None:
            if not alive():
                return
            tell(SpeechChunk(generation, np.zeros(round(TOKEN_SEC * RATE_HZ), np.float32), RATE_HZ))
            if index == self.tokens - 1:
                self._end("completed", tell)

        for index in range(self.tokens):
            self.line.post(lambda index=index: write(index), self.first_text_sec + 0.02 * index)
            self.line.post(lambda index=index: speak(index), self.first_sound_sec + index * TOKEN_SEC / self.speed)
        self._tell = tell

    def cancel(self) -> None:
        if self.busy and not self._stopping:
            self._stopping = True
            self.line.post(lambda: self._end("cancelled", self._tell), self.stop_sec)

    def _end(self, status: str, tell: Callable[[Event], None]) -> None:
        assert self.busy
        self.busy = False
        self.turns.append(("assistant", self._written))
        text = "".join(f"w{index} " for index in range(self._written))
        tell(ResponseDone(self._generation, status, text, Usage(text_tokens=self._written)))  # type: ignore[arg-type]

    def reply_tokens(self) -> int:
        return self.turns[-1][1] if self.turns and self.turns[-1][0] == "assistant" else 0

    def truncate(self, tokens: int) -> str:
        assert not self.busy and self.turns[-1][0] == "assistant" and 0 <= tokens <= self.turns[-1][1]
        self.turns[-1] = ("assistant", tokens)
        return "".join(f"w{index} " for index in range(tokens))

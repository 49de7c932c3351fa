"""What answers: one protocol, and the events in which every backend tells its answer."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol

import numpy as np

from multimodal.errors import PromptError
from reasoning.boxes import Sight
from reasoning.json_schema import JsonSchema
from reasoning.messages import Message, ToolCall, ToolSpec

MOST_TOKENS = 8192
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "loop", "cancelled", "error"]


class Cancellation:
    """A request's off switch. `cancel` may be called from any thread, any number of times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call `callback` once on cancellation, at once if that has been."""
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()


@dataclass(frozen=True)
class Options:
    """How to answer; None leaves a value to the checkpoint or the profile.

    stop: texts that end the answer and are not part of it. experts: tell which experts each token went to.
    think: whether a model that can do both shall think first. schema: what the answer, not its reasoning, must keep to;
    a caller still validates it. Raises PromptError for a value out of range.
    """

    max_tokens: int = 2048
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    think: bool | None = None
    experts: bool = False
    schema: JsonSchema | None = None
    cancellation: Cancellation = field(default_factory=Cancellation, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.max_tokens <= MOST_TOKENS:
            raise PromptError(f"max_tokens is {self.max_tokens}: give a number from 1 to {MOST_TOKENS}")
        if self.temperature is not None and not (math.isfinite(self.temperature) and 0 <= self.temperature <= 2):
            raise PromptError(f"temperature is {self.temperature}: give a number from 0 to 2")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise PromptError(f"top_p is {self.top_p}: give a number above 0 and up to 1")
        if any(not text for text in self.stop) or len(self.stop) > 4:
            raise PromptError("stop takes up to four texts, none of them empty")
        if self.schema is not None and self.tools:
            raise PromptError("an answer by a schema leaves no room for tool calls: give tools or a schema")


@dataclass(frozen=True)
class ReasoningDelta:
    """More of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class AnswerDelta:
    """More of the answer; the deltas joined are the answer."""

    text: str


@dataclass(frozen=True)
class AnswerWasReasoning:
    """A closing mark of reasoning came without its opening: all answer so far was reasoning."""


@dataclass(frozen=True, eq=False)
class Experts:
    """Where one token went in an MoE model.

    logits: float32 [layers, experts] of the routers. top_k: experts a token is sent to in each layer.
    """

    token: int
    text: str
    logits: np.ndarray
    top_k: int

    def chosen(self) -> np.ndarray:
        """int64 [layers, top_k], the strongest expert first."""
        return np.argsort(-self.logits, axis=1, kind="stable")[:, : self.top_k]


@dataclass(frozen=True)
class Usage:
    """Tokens read and written. cached_tokens: of those read, the ones that were already in a cache."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Usage)))


@dataclass(frozen=True)
class Done:
    """The last event, exactly one. truncated: the answer broke off before its end; error says why, in one line."""

    finish_reason: FinishReason
    truncated: bool = False
    error: str | None = None


Event = ReasoningDelta | AnswerDelta | AnswerWasReasoning | ToolCall | Experts | Usage | Done


class Backend(Protocol):
    """Answers messages.

    `stream` raises BackendError (or PromptError) before its first event, so that another backend can take over;
    after the first event it raises nothing and ends in exactly one `Done`. Closing the iterator or cancelling
    through the options stops the work.
    """

    @property
    def name(self) -> str: ...

    @property
    def sees(self) -> bool: ...

    @property
    def sight(self) -> Sight | None:
        """How it sees pictures and counts in them; None where it gives no places."""
        ...

    @property
    def continues(self) -> bool:
        """Whether it can go on with a reply begun: a last message of the assistant."""
        ...

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Event]: ...

    def close(self) -> None: ...

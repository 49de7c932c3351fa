"""The chunks of an OpenAI-compatible stream → events, and its failures → errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from reasoning.backend import AnswerDelta, AnswerWasReasoning, Done, Event, FinishReason, ReasoningDelta, Usage
from reasoning.errors import BackendError, BackendGarbled, BackendRefused, BackendUnavailable
from reasoning.messages import ToolCall
from reasoning.profiles import Delimiters
from reasoning.stop_text import StopText
from reasoning.thinking import LoopGuard, ThinkingParser
from reasoning.tool_calls import ToolCallParser

RETRIED_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}


@dataclass
class StreamReader:
    """State of one answer. Reasoning comes in fields of its own (`reasoning_content`, `reasoning`) or between marks.

    inside: whether content begins within reasoning, as from a server that does not split it off and whose prompt
    opened it. tools: whether any were offered: a server without a parser for the model's calls leaves them in the text.
    ended_early: the answer is at its end although the server's stream is not. empty: nothing told so far.
    """

    marks: Delimiters
    stops: tuple[str, ...] = ()
    loop_guard: bool = False
    inside: bool = False
    tools: bool = False
    empty: bool = True
    ended_early: bool = False
    _finish: str | None = None
    _calls: dict[int, list[str]] = field(default_factory=dict)
    _usage: Usage | None = None

    def __post_init__(self) -> None:
        self._parser = ThinkingParser(self.marks.opening, self.marks.closing, self.inside)
        self._stop = StopText(self.stops)
        self._in_text = ToolCallParser(self.tools)
        self._guard = LoopGuard() if self.loop_guard else None

    def read(self, chunk: Any) -> Iterator[Event]:
        """chunk: a ChatCompletionChunk or Completion of the `openai` package."""
        if not hasattr(chunk, "choices"):
            raise BackendGarbled("an event without choices came: check that the base URL is an OpenAI-compatible API's")
        if (usage := getattr(chunk, "usage", None)) is not None:
            self._usage = _usage(usage)
        for choice in (getattr(chunk, "choices", None) or ())[:1]:
            delta = getattr(choice, "delta", None)
            thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
            if isinstance(thought, str) and thought:
                self._parser.inside = False  # the server splits reasoning off
                self.empty = False
                yield ReasoningDelta(thought)
                self._watch(thought)
            text = getattr(delta, "content", None) if delta is not None else getattr(choice, "text", None)
            if isinstance(text, str) and text:
                yield from self._tell(text)
                self._watch(text)
            for call in getattr(delta, "tool_calls", None) or ():
                self._collect(call)
            if choice.finish_reason:
                self._finish = choice.finish_reason
            if self._stop.hit is not None:
                self._finish, self.ended_early = "stop", True

    def finish(self, broken: str | None = None) -> Iterator[Event]:
        """The events of the end. broken: why the connection ended, if it did. A stream that ended without a finish
        reason is truncated, however politely it was closed."""
        yield from self._tell("", last=True)
        if self._finish in ("tool_calls", "stop") and not broken:
            for identity, name, arguments in self._calls.values():
                yield ToolCall(identity, name, arguments)
        if self._usage:
            yield self._usage
        if broken or self._finish is None:
            yield Done("error", True, broken or "the server closed the stream before the answer was complete")
            return
        reason = self._finish if self._finish in FINISH_REASONS or self._finish == "loop" else "stop"
        yield Done(cast(FinishReason, reason), truncated=reason in ("length", "loop", "content_filter"))

    def _tell(self, text: str, last: bool = False) -> Iterator[Event]:
        for piece in [*self._parser.push(text), *(self._parser.finish() if last else ())]:
            self.empty = False
            if piece.kind == "moved":
                yield AnswerWasReasoning()
            elif piece.kind == "reasoning":
                yield ReasoningDelta(piece.text)
            else:
                yield from map(_answer, self._in_text.push(self._stop.push(piece.text)))
        if last:
            yield from map(_answer, [*self._in_text.push(self._stop.finish()), *self._in_text.finish()])

    def _watch(self, text: str) -> None:
        if self._guard and self._guard.push(text):
            self._finish, self.ended_early = "loop", True

    def _collect(self, call: Any) -> None:
        self.empty = False
        entry = self._calls.setdefault(call.index or 0, ["", "", ""])
        entry[0] = call.id or entry[0]
        entry[1] += (call.function.name or "") if call.function else ""
        entry[2] += (call.function.arguments or "") if call.function else ""


def _answer(part: str | ToolCall) -> AnswerDelta | ToolCall:
    return AnswerDelta(part) if isinstance(part, str) else part


def _usage(usage: Any) -> Usage:
    details = getattr(usage, "completion_tokens_details", None)
    read = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        prompt_tokens=getattr(usage, "prompt_tokens", 0) or 0,
        completion_tokens=getattr(usage, "completion_tokens", 0) or 0,
        reasoning_tokens=getattr(details, "reasoning_tokens", 0) or 0,
        cached_tokens=getattr(read, "cached_tokens", 0) or 0,
    )


def retry_after_sec(error: BaseException) -> float | None:
    """What the server's Retry-After (or retry-after-ms) asks for, in seconds; None where it says nothing usable."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if 0 <= seconds < 1e6:
            return seconds
    return None


def worth_retrying(error: BaseException) -> bool:
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        return error.status_code in RETRIED_STATUS
    return isinstance(error, APIConnectionError | TimeoutError | ConnectionError)


def explain(error: BaseException, name: str) -> BackendError:
    """The failure as one of `reasoning.errors`. Server texts are cut to one line, because some send pages."""
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

    if isinstance(error, BackendError):
        return type(error)(f"{name}: {error}")
    if isinstance(error, APITimeoutError | TimeoutError):
        return BackendUnavailable(f"{name} did not answer in time: try again, or choose another backend")
    if isinstance(error, APIStatusError):
        said = first_line(error.message)
        if error.status_code in (401, 403):
            return BackendRefused(f"{name} refused the key ({said}): check the environment variable that holds it")
        if error.status_code == 404:
            return BackendRefused(f"{name} is not known there ({said}): check the model name and the base URL")
        if error.status_code == 429:
            return BackendUnavailable(f"{name} has too many requests ({said}): try again later")
        if error.status_code >= 500:
            return BackendUnavailable(f"{name} failed on its side (status {error.status_code}): try again later")
        return BackendRefused(f"{name} refused the request ({error.status_code}: {said})")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | AttributeError | TypeError | KeyError):
        return BackendGarbled(f"{name} sent something that is not its protocol: check that the base URL is its API's")
    if isinstance(error, APIConnectionError | ConnectionError | OSError):
        return BackendUnavailable(f"{name} cannot be reached: check the base URL and that the server runs")
    if isinstance(error, APIError):
        return BackendUnavailable(f"{name} reported a failure ({first_line(error)})")
    return BackendUnavailable(f"the connection to {name} broke ({type(error).__name__}): try again")


def first_line(error: object) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]

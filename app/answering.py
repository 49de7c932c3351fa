"""One answer, whoever gives it: the router decides; a backend's text is shown as it comes and said by the Thinker and
the Talker sentence by sentence, or the Thinker answers itself, also when the backend fails before its first word.

    request → route ─┬→ Thinker ───────────────────────────────────────→ text, speech
                     └→ backend (a thread) ─┬→ reasoning, text, tool calls → shown at once
                                            └→ spoken sentences → Script → Thinker reads → Talker → speech
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from app.backends import Backends, Configured
from multimodal.checkpoint import Checkpoint
from multimodal.errors import PromptError
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Turn
from reasoning import math_tool, tool_loop
from reasoning.backend import (
    MOST_TOKENS,
    AnswerDelta,
    AnswerWasReasoning,
    Backend,
    Cancellation,
    Done,
    Experts,
    Options,
    ReasoningDelta,
    Usage,
)
from reasoning.boxes import Sight
from reasoning.errors import BackendError, ToolUnavailable
from reasoning.messages import Message, ToolCall
from reasoning.router import THINKER, Asked, Medium, Request, Route, Thresholds, fall_back, route
from reasoning.spoken import SpokenText
from reasoning.tools.python_tool import PythonTool
from streaming.events import Aside, Event, ResponseDone, ScriptedEvent, TextDelta
from streaming.script import Script
from streaming.session import Conversation, ResponseOptions

log = logging.getLogger(__name__)

LEAST_TOKENS = 1024
"""What a backend may write at least, whatever the Thinker may: its thoughts and programs count, too."""
MOST_HISTORY = 12
"""Earlier turns that a backend is told: what a short follow-up leans on."""


@dataclass(frozen=True)
class Routed:
    """Who answers, first when it is decided, and again when a backend failed and the Thinker takes over."""

    route: Route


@dataclass(frozen=True)
class Reasoning:
    """More of what the backend thinks. replaced: it was shown as the answer so far, and is no part of it."""

    text: str
    replaced: bool = False


@dataclass(frozen=True)
class Tool:
    """A program that the model wants run, and, a moment later, the same with its result.

    in_text: program and output stand in the answer's own text, where they need not be shown again.
    """

    name: str
    code: str
    result: str | None = None
    status: str | None = None
    in_text: bool = False


@dataclass(frozen=True)
class ExpertUse:
    """Which experts a written token of a mixture went to: layer → the chosen, strongest first. of: experts a layer."""

    text: str
    layers: tuple[tuple[int, ...], ...]
    of: int


@dataclass(frozen=True)
class Answered:
    """How the backend's part ended. shown: its whole text; spent: tokens."""

    shown: str
    reasoning: str
    reasoning_ms: float
    spent: Usage
    truncated: bool
    error: str | None


@dataclass(frozen=True)
class Said:
    """A sentence of the backend's text in the words in which it is spoken. shown: characters of the text up to its
    end."""

    text: str
    shown: int


Told = Event | Routed | Reasoning | Tool | ExpertUse | Answered | Said


@dataclass
class Answering:
    """Answers requests of one assistant. tool: None where Python is never run. notice: said while a backend thinks."""

    backends: Backends
    tool: PythonTool | None = None
    notice: str = ""
    experts: bool = False
    thresholds: Thresholds = Thresholds()
    clock: Callable[[], float] = field(default=time.monotonic)

    def route(self, turn: Turn, earlier: Sequence[Turn], choice: str) -> Route:
        """Decide who answers `turn`."""
        asked = []
        for one in earlier:
            if one.role == "user" and (text := _text(one)):
                asked.append(Asked(text, route(Request(text, _media(one), tuple(asked[-1:])), self.thresholds).heavy))
        request = Request(_text(turn), _media(turn), tuple(asked[-2:]), choice, self.backends.available())
        return route(request, self.thresholds)

    def sight(self, backend: str, checkpoint: Checkpoint) -> Sight | None:
        """How whoever answered counts in pictures; None for one that gives no places."""
        if backend == THINKER:
            return Sight.of_processor("resized", checkpoint.thinker.vision.processor)
        return self.backends.get(backend).sight

    def respond(
        self, conversation: Conversation, options: ResponseOptions, choice: str = "auto", shown: Sequence[Turn] = ()
    ) -> Iterator[Told]:
        """Answer the last turn of `conversation`. Yields the session's events and what the backend tells, and one
        ResponseDone at the end, whose text is what was shown. Closing the iterator, or `conversation.cancel`, stops
        everything.

        shown: the earlier turns as people saw them, where the conversation holds only what was said.
        """
        turn = conversation.turns[-1]
        earlier = list(shown) or conversation.turns[:-1]
        decided = self.route(turn, earlier, choice)
        yield Routed(decided)
        if decided.backend == THINKER:
            yield from conversation.respond(options)
            return
        text, by_backend = "", True
        with contextlib.closing(self.read_out(conversation, options, decided, [*earlier, turn])) as events:
            for event in events:
                if isinstance(event, Aside):
                    told = cast(Told, event.event)
                    by_backend = by_backend and not _gives_up(told)
                    text = shown_after(text, told)
                    yield replace(told, generation=event.generation) if isinstance(told, TextDelta) else told
                elif isinstance(event, ResponseDone) and by_backend:
                    yield replace(event, text=text)
                elif not (by_backend and isinstance(event, TextDelta)):
                    yield event

    def read_out(
        self, conversation: Conversation, options: ResponseOptions, decided: Route, turns: Sequence[Turn]
    ) -> Generator[ScriptedEvent]:
        """The chosen backend's answer to the last of `turns`, read out by the Thinker. Yields the session's events, of
        which the text is what is said, and as Aside what the backend tells, its text among it. Begun at once: `cancel`
        of the conversation stops it from now on."""
        script = Script(self.notice if options.speech else "")
        work = _Work(self, decided, script, turns, options)
        events = conversation.respond(options, script)
        return self._read_out(events, conversation, work)

    @staticmethod
    def _read_out(events: Iterator[ScriptedEvent], conversation: Conversation, work: _Work) -> Generator[ScriptedEvent]:
        thread = threading.Thread(target=work.run, name="backend", daemon=True)
        thread.start()
        shown, ended, by_backend = "", None, True
        with contextlib.closing(cast(Any, events)):
            for event in events:
                if isinstance(event, Aside):
                    by_backend = by_backend and not _gives_up(event.event)
                    shown = shown_after(shown, event.event)
                    ended = event.event if isinstance(event.event, Answered) else ended
                elif isinstance(event, ResponseDone):
                    thread.join()
                    if by_backend:
                        _keep_shown(conversation, event, shown)
                        event = _ended(event, ended)
                yield event


def _gives_up(told: object) -> bool:
    return isinstance(told, Routed) and told.route.backend == THINKER


def _keep_shown(conversation: Conversation, done: ResponseDone, shown: str) -> None:
    """The turn keeps what was shown beside the ids that were said."""
    last = conversation.turns[-1]
    if last.role == "assistant" and done.status != "failed":
        conversation.turns[-1] = Turn("assistant", (shown,), ids=last.ids)


def shown_after(shown: str, told: object) -> str:
    """The text that a backend has shown, after one more thing that it tells."""
    if isinstance(told, TextDelta):
        return shown + told.text
    if isinstance(told, Reasoning) and told.replaced:
        return ""
    return told.shown if isinstance(told, Answered) else shown


def _ended(done: ResponseDone, ended: Answered | None) -> ResponseDone:
    """The session's end where the backend's own was another."""
    if ended and ended.truncated and done.status in ("completed", "length"):
        return replace(done, status="failed" if ended.error else "length", error=ended.error)
    return done


class _Work:
    """A backend's answer, made in a thread of its own."""

    def __init__(
        self, answering: Answering, decided: Route, script: Script, turns: Sequence[Turn], options: ResponseOptions
    ) -> None:
        self.answering, self.decided, self.script, self.options = answering, decided, script, options
        self.turns = turns
        self.cancellation = Cancellation()
        script.on_cancel(self.cancellation.cancel)
        self.shown, self.reasoning = "", ""

    def run(self) -> None:
        try:
            self._answer()
        except (BackendError, PromptError) as error:
            self._fall_back(str(error))
        except Exception as error:
            log.exception("a backend failed")
            self._fall_back(f"it failed with {type(error).__name__}; the log has the details")

    def _fall_back(self, why: str) -> None:
        if self.shown or self.reasoning:
            self._end(Usage(0, 0), truncated=True, error=why)
            return
        self.script.tell(Routed(fall_back(self.decided, why)))
        self.script.give_up()

    def _answer(self) -> None:
        answering, entry = self.answering, self.answering.backends.entries[self.decided.backend]
        backend = answering.backends.get(self.decided.backend)
        options = Options(
            max_tokens=min(MOST_TOKENS, max(self.options.max_text_tokens, LEAST_TOKENS)),
            seed=self.options.seed,
            experts=answering.experts and entry.profile.experts,
            cancellation=self.cancellation,
        )
        spoken = SpokenText(self.decided.language)
        begun = answering.clock()
        thought_until = begun
        usage, done = Usage(0, 0), Done("error", truncated=True, error="the backend ended without a word")
        announced: set[str] = set()
        for event in _asked(backend, entry, answering.tool, _messages(self.turns, entry), options):
            if isinstance(event, AnswerDelta):
                if not self.shown:
                    thought_until = answering.clock()
                self.shown += event.text
                self.script.tell(TextDelta(0, event.text))
                self._say(spoken.push(event.text), len(self.shown) - spoken.pending)
            elif isinstance(event, ReasoningDelta):
                self.reasoning += event.text
                self.script.tell(Reasoning(event.text))
            elif isinstance(event, AnswerWasReasoning):
                self.script.tell(Reasoning(self.shown, replaced=True))
                self.reasoning, self.shown = self.reasoning + self.shown, ""
                spoken = SpokenText(self.decided.language)
            elif isinstance(event, ToolCall):
                announced.add(event.id)
                self.script.tell(Tool(event.name, _code(event)))
            elif isinstance(event, tool_loop.ToolDone):
                shown, status = event.result.for_model(), event.result.status
                in_text = event.call.id not in announced
                self.script.tell(Tool(event.call.name, _code(event.call), shown, status, in_text))
            elif isinstance(event, Experts):
                chosen = tuple(tuple(map(int, row)) for row in event.chosen())
                self.script.tell(ExpertUse(event.text, chosen, event.logits.shape[1]))
            elif isinstance(event, Usage):
                usage = event
            elif isinstance(event, Done):
                done = event
        if not self.shown and not self.reasoning and done.error and not announced:
            raise BackendError(done.error)
        self._say(spoken.finish(), len(self.shown))
        self._end(usage, done.truncated, done.error, (thought_until - begun) * 1000)

    def _say(self, sentences: Sequence[str], shown: int) -> None:
        for sentence in sentences:
            self.script.tell(Said(sentence, shown))
            self.script.say(sentence)

    def _end(self, usage: Usage, truncated: bool, error: str | None, reasoning_ms: float = 0.0) -> None:
        self.script.tell(Answered(self.shown, self.reasoning, reasoning_ms, usage, truncated, error))
        self.script.end()


def _asked(
    backend: Backend, entry: Configured, tool: PythonTool | None, messages: list[Message], options: Options
) -> Iterator[Any]:
    """The backend's stream, with Python where it writes Python and this machine can isolate it."""
    if tool is not None:
        try:
            if entry.profile.runs_python:
                return math_tool.solve(backend, tool, messages, options)
            if entry.profile.tools:
                return tool_loop.answer(backend, tool, messages, options)
        except ToolUnavailable as error:
            log.warning("%s", error)
    return backend.stream(messages, options)


def _messages(turns: Sequence[Turn], entry: Configured) -> list[Message]:
    """The conversation as a backend reads it; what it cannot take of earlier turns is named in its place."""
    messages = []
    for turn in turns[-MOST_HISTORY:]:
        content: list[Any] = []
        for part in turn.content:
            if isinstance(part, str) or (isinstance(part, Picture) and entry.profile.sees and turn.role == "user"):
                content.append(part)
            elif isinstance(part, Picture):
                content.append("[a picture] ")
            elif isinstance(part, AudioClip | VideoClip):
                content.append("[a video] " if isinstance(part, VideoClip) else "[a sound] ")
        messages.append(Message(turn.role if turn.role in ("user", "system") else "assistant", tuple(content)))
    while messages and messages[0].role == "assistant":
        messages.pop(0)
    return messages


def _text(turn: Turn) -> str:
    return " ".join(part for part in turn.content if isinstance(part, str)).strip()


def _media(turn: Turn) -> tuple[Medium, ...]:
    kinds: list[Medium] = []
    for part in turn.content:
        if not isinstance(part, str):
            kinds.append("image" if isinstance(part, Picture) else "audio" if isinstance(part, AudioClip) else "video")
    return tuple(kinds)


def _code(call: ToolCall) -> str:
    import json

    try:
        code = json.loads(call.arguments).get("code")
    except (ValueError, AttributeError):
        code = None
    return code if isinstance(code, str) else call.arguments

"""A backend's answer: told as it comes, and said sentence by sentence, so that the Thinker reads it and the Talker
speaks it while the backend still writes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.backends import Backends, Configured
from app.told import Answered, ExpertUse, Reasoning, Routed, Said, Tool
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
from reasoning.errors import BackendError, ToolUnavailable
from reasoning.messages import Message, ToolCall
from reasoning.reason import Reason
from reasoning.router import Route, fall_back
from reasoning.spoken import SpokenText
from reasoning.tool_loop import OfferedTool
from reasoning.tools.python_tool import PythonTool
from streaming.events import TextDelta
from streaming.script import Script
from streaming.session import ResponseOptions

log = logging.getLogger(__name__)

LEAST_TOKENS = 1024
"""What a backend may write at least, whatever the Thinker may: its thoughts and programs count, too."""
MOST_HISTORY = 12
"""Earlier turns that a backend is told: what a short follow-up leans on."""


class BackendAnswer:
    """One answer to the last of `turns`. It tells and says through `script`, whose cancellation stops it.

    tool: None where Python is never run. experts: tell which experts each written token of a mixture went to.
    """

    def __init__(
        self,
        backends: Backends,
        decided: Route,
        turns: Sequence[Turn],
        script: Script,
        options: ResponseOptions,
        *,
        tool: PythonTool | None,
        experts: bool,
        clock: Callable[[], float],
    ) -> None:
        self.backends, self.decided, self.turns, self.script, self.options = backends, decided, turns, script, options
        self.tool, self.experts, self.clock = tool, experts, clock
        self.cancellation = Cancellation()
        script.on_cancel(self.cancellation.cancel)
        self.shown, self.reasoning = "", ""

    def run(self) -> None:
        """Ask, in a thread of its own. Raises nothing: a backend that ends before the first word of its answer,
        whatever it thought, is given up."""
        try:
            self._answer()
        except (BackendError, PromptError) as error:
            self._fall_back(str(error))
        except Exception as error:
            log.exception("a backend failed")
            self._fall_back(f"it failed with {type(error).__name__}; the log has the details")

    def _fall_back(self, problem: str | Reason) -> None:
        if self.shown.strip():
            error = problem if isinstance(problem, str) else problem.said()
            self._end(Usage(0, 0), truncated=True, error=error)
            return
        self.script.tell(Routed(fall_back(self.decided, problem)))
        self.script.give_up()

    def _answer(self) -> None:
        entry, backend = self.backends.entries[self.decided.backend], self.backends.get(self.decided.backend)
        options = Options(
            max_tokens=min(MOST_TOKENS, max(self.options.max_text_tokens, LEAST_TOKENS)),
            seed=self.options.seed,
            experts=self.experts and entry.profile.experts,
            cancellation=self.cancellation,
        )
        spoken = SpokenText(self.decided.language)
        begun = self.clock()
        thought_until = begun
        usage, done = Usage(0, 0), Done("error", truncated=True, error="the backend ended without a word")
        announced: set[str] = set()
        for event in _asked(backend, entry, self.tool, _messages(self.turns, entry), options):
            if isinstance(event, AnswerDelta):
                if not self.shown:
                    thought_until = self.clock()
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
        if not self.shown.strip() and done.finish_reason != "cancelled":
            ended = done.finish_reason if done.finish_reason in ("length", "loop") else "stop"
            self._fall_back(done.error or Reason(f"ended-{ended}"))
            return
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
                return tool_loop.answer(backend, tool, messages, options, OfferedTool(entry.profile.tool_digits))
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


def _code(call: ToolCall) -> str:
    try:
        code = json.loads(call.arguments).get("code")
    except (ValueError, AttributeError):
        code = None
    return code if isinstance(code, str) else call.arguments

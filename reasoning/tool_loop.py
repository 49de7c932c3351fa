"""Answers with Python: what a model wants run is run, the output goes back to it, until it answers without a program.

The rounds are the same for every family. How a model asks and where it reads the output is a `Convention`: calls of an
offered tool here, programs in the text of the answer in `reasoning.math_tool`.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from multimodal.errors import TandemError
from reasoning.backend import AnswerDelta, AnswerWasReasoning, Backend, Done, Event, Options, ReasoningDelta, Usage
from reasoning.errors import ToolUnavailable
from reasoning.messages import Message, ToolCall
from reasoning.tools.python_tool import PYTHON_TOOL, PythonTool
from reasoning.tools.supervisor import ToolResult

MOST_ROUNDS = 6
MOST_UNREADABLE = 2
"""Rounds in which nothing that the model asks for can be read: told once, it may try again."""
# What of a long output the model still reads: the end, where results are printed.
OUTPUT_CHARS = 2000
_FLOAT = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[+-]?\d+)?(?!\.?\w)")


@dataclass(frozen=True)
class ToolDone:
    """What the model wanted run was run. Comes after the `ToolCall`, or after the answer's text that holds the
    program, and before the model goes on."""

    call: ToolCall
    result: ToolResult


@dataclass
class Round:
    """What the model wrote before it stopped."""

    number: int
    answer: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)

    def take(self, event: Event) -> Event:
        """Add an event to it. Returns the event as it is passed on: calls get ids that no two rounds share."""
        if isinstance(event, ReasoningDelta):
            self.reasoning += event.text
        elif isinstance(event, AnswerDelta):
            self.answer += event.text
        elif isinstance(event, AnswerWasReasoning):
            self.reasoning, self.answer = self.reasoning + self.answer, ""
        elif isinstance(event, ToolCall):
            event = replace(event, id=f"call_{self.number + 1}_{len(self.calls) + 1}")
            self.calls.append(event)
        return event


class Convention(Protocol):
    """How a family asks for programs and reads what they print.

    rounds: in how many rounds programs are run at most; one more is asked, in which the answer has to come.
    """

    @property
    def rounds(self) -> int: ...

    def options(self, options: Options, last: bool) -> Options:
        """Options of one round. last: nothing is run after it."""
        ...

    def wanted(self, said: Round) -> list[ToolCall]:
        """What is to be run before the model goes on; nothing where it has answered."""
        ...

    def go_on(
        self, asked: list[Message], said: Round, results: list[ToolResult], continues: bool
    ) -> tuple[list[Message], str]:
        """The messages of the next round, and text that joins the answer. continues: as of the backend."""
        ...


@dataclass(frozen=True)
class OfferedTool:
    """The Python tool is offered as a tool, called by name, and answered in messages of its own.

    digits: to how many the model reads inexact numbers of its output, 0 for all.
    """

    digits: int = 0
    rounds: int = MOST_ROUNDS

    def options(self, options: Options, last: bool) -> Options:
        return options if last else replace(options, tools=(*options.tools, PYTHON_TOOL))

    def wanted(self, said: Round) -> list[ToolCall]:
        return said.calls

    def go_on(
        self, asked: list[Message], said: Round, results: list[ToolResult], continues: bool
    ) -> tuple[list[Message], str]:
        # A call that cannot be read would spoil the template, or make a server refuse the conversation.
        calls = tuple(
            one if readable(one) else replace(one, name=PYTHON_TOOL.name, arguments="{}") for one in said.calls
        )
        called = Message("assistant", (said.answer,), said.reasoning, calls)
        outputs = [
            Message("tool", (output(result, self.digits),), tool_call_id=call.id)
            for call, result in zip(said.calls, results, strict=True)
        ]
        return [*asked, called, *outputs], ""


def answer(
    backend: Backend,
    tool: PythonTool,
    messages: Sequence[Message],
    options: Options | None = None,
    convention: Convention | None = None,
) -> Iterator[Event | ToolDone]:
    """Stream an answer with Python run for it, and end in one `Usage` and one `Done`.

    convention: calls of an offered tool if None. Raises ToolUnavailable before the first event where Python cannot be
    isolated, so that the caller can ask without it.
    """
    tool.check()
    return _rounds(backend, tool, list(messages), options or Options(), convention or OfferedTool())


def _rounds(
    backend: Backend, tool: PythonTool, asked: list[Message], options: Options, convention: Convention
) -> Generator[Event | ToolDone]:
    spent, told, unreadable = Usage(0, 0), False, 0
    for number in range(convention.rounds + 1):
        last = number == convention.rounds
        said, done = Round(number), None
        try:
            with contextlib.closing(_stream(backend, asked, convention.options(options, last))) as events:
                for event in events:
                    if isinstance(event, Done):
                        done = event
                    elif isinstance(event, Usage):
                        spent = spent + event
                    else:
                        told = True
                        yield said.take(event)
        except TandemError as error:
            if not told:
                raise
            done = Done("error", truncated=True, error=str(error))
        assert done is not None, "a backend ends in Done"
        wanted = [] if last or done.truncated else convention.wanted(said)
        unreadable += bool(said.calls) and not any(map(readable, said.calls))
        if said.calls and not done.truncated and (last or unreadable == MOST_UNREADABLE):
            why = "asked for its tool in a form that cannot be read" if unreadable else "asked for its tool without end"
            wanted, done = [], Done("error", truncated=True, error=f"it {why}: ask again, or choose another model")
        results = []
        try:
            for call in wanted:
                results.append(_run(tool, call, options))
                yield ToolDone(call, results[-1])
        except ToolUnavailable as error:
            wanted, done = [], Done("error", truncated=True, error=str(error))
        if options.cancellation.cancelled:
            wanted, done = [], Done("cancelled", truncated=True)
        if not wanted:
            yield spent
            yield done
            return
        asked, joins = convention.go_on(asked, said, results, backend.continues)
        if joins:
            yield AnswerDelta(joins)


def _stream(backend: Backend, asked: list[Message], options: Options) -> Generator[Event]:
    yield from backend.stream(asked, options)


def _run(tool: PythonTool, call: ToolCall, options: Options) -> ToolResult:
    if not call.name:
        return ToolResult(
            "error", error='the call cannot be read: write {"name": "python", "arguments": {"code": "…"}}'
        )
    if call.name != PYTHON_TOOL.name:
        return ToolResult("error", error=f"there is no tool {call.name!r}: only {PYTHON_TOOL.name} is offered")
    return tool.call(call.arguments, options.cancellation)


def readable(call: ToolCall) -> bool:
    """Whether it names a tool and its arguments are a JSON object."""
    try:
        return bool(call.name) and isinstance(json.loads(call.arguments), dict)
    except (ValueError, RecursionError):
        return False


def output(result: ToolResult, digits: int = 0) -> str:
    """What a model reads of a program's output. digits: see OfferedTool."""
    text = result.for_model()
    if digits:
        text = _FLOAT.sub(lambda found: _rounded(found.group(), digits), text)
    return text if len(text) <= OUTPUT_CHARS else "[…]\n" + text[-OUTPUT_CHARS:]


def _rounded(number: str, digits: int) -> str:
    """A number as Python prints one that binary digits cannot tell exactly, cut to `digits` significant decimal ones,
    and no fewer than four behind the point; any other stays as it is."""
    mantissa = number.lower().partition("e")[0]
    if not 15 <= len(mantissa.lstrip("-0.").replace(".", "")) <= 17:
        return number
    value = float(number)
    if "e" in number.lower():
        return f"{value:.{digits - 1}e}"
    decimals = max(4, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".")

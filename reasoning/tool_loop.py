"""Answers with tools: what a model calls is run, its result goes back to it, until it answers without a call."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from multimodal.errors import TandemError
from reasoning.backend import AnswerDelta, AnswerWasReasoning, Backend, Done, Event, Options, ReasoningDelta, Usage
from reasoning.errors import ToolUnavailable
from reasoning.messages import Message, ToolCall
from reasoning.tools.python_tool import PYTHON_TOOL, PythonTool
from reasoning.tools.supervisor import ToolResult

MOST_ROUNDS = 6
# What of a long output the model still reads: the end, where results are printed.
OUTPUT_CHARS = 2000


@dataclass(frozen=True)
class ToolDone:
    """A tool call was run. Comes after its `ToolCall`, before the model goes on."""

    call: ToolCall
    result: ToolResult


def answer(
    backend: Backend, tool: PythonTool, messages: Sequence[Message], options: Options | None = None
) -> Iterator[Event | ToolDone]:
    """Stream an answer with the Python tool offered, and end in one `Usage` and one `Done`.

    Raises ToolUnavailable before the first event where Python cannot be isolated, so that the caller can ask without
    the tool instead.
    """
    tool.check()
    options = options or Options()
    return _rounds(backend, tool, list(messages), replace(options, tools=(*options.tools, PYTHON_TOOL)))


def _rounds(backend: Backend, tool: PythonTool, asked: list[Message], options: Options) -> Iterator[Event | ToolDone]:
    spent, told = Usage(0, 0), False
    for number in range(MOST_ROUNDS + 1):
        # After the last round no tool is offered, so that an answer has to come.
        offered = options if number < MOST_ROUNDS else replace(options, tools=())
        written, reasoning, calls = "", "", []
        done: Done | None = None
        try:
            with contextlib.closing(_stream(backend, asked, offered)) as events:
                for event in events:
                    if isinstance(event, Done):
                        done = event
                        continue
                    if isinstance(event, Usage):
                        spent = spent + event
                        continue
                    if isinstance(event, ReasoningDelta):
                        reasoning += event.text
                    elif isinstance(event, AnswerDelta):
                        written += event.text
                    elif isinstance(event, AnswerWasReasoning):
                        reasoning, written = reasoning + written, ""
                    elif isinstance(event, ToolCall):
                        event = replace(event, id=f"call_{number + 1}_{len(calls) + 1}")
                        calls.append(event)
                    told = True
                    yield event
        except TandemError as error:
            if not told:
                raise
            done = Done("error", truncated=True, error=str(error))
        assert done is not None, "a backend ends in Done"
        if not calls or done.truncated:
            yield spent
            yield done
            return
        asked = [*asked, Message("assistant", (written,), reasoning, tuple(calls))]
        for call in calls:
            try:
                result = _run(tool, call, options)
            except ToolUnavailable as error:
                yield spent
                yield Done("error", truncated=True, error=str(error))
                return
            yield ToolDone(call, result)
            asked.append(Message("tool", (_shown(result),), tool_call_id=call.id))
        if options.cancellation.cancelled:
            yield spent
            yield Done("cancelled", truncated=True)
            return
    raise AssertionError("the last round ends without a call")


def _stream(backend: Backend, asked: list[Message], options: Options) -> Generator[Event]:
    yield from backend.stream(asked, options)


def _run(tool: PythonTool, call: ToolCall, options: Options) -> ToolResult:
    if call.name != PYTHON_TOOL.name:
        return ToolResult("error", error=f"there is no tool {call.name!r}: only {PYTHON_TOOL.name} is offered")
    return tool.call(call.arguments, options.cancellation)


def _shown(result: ToolResult) -> str:
    text = result.for_model()
    return text if len(text) <= OUTPUT_CHARS else "[…]\n" + text[-OUTPUT_CHARS:]

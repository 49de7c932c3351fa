"""Tool-integrated reasoning, as Qwen2.5-Math does it: the model writes Python in its answer and stops before the
output, which is computed here and put there, until the final answer stands in \\boxed{}.

Source: Qwen2.5-Math technical report; the fence convention of its evaluation code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from multimodal.errors import TandemError
from reasoning.backend import AnswerDelta, Backend, Done, Event, Options, Usage
from reasoning.errors import ToolUnavailable
from reasoning.messages import Message
from reasoning.tools.python_tool import PythonTool, ToolResult

SYSTEM_PROMPT = (
    "Please integrate natural language reasoning with programs to solve the problem above, "
    "and put your final answer within \\boxed{}."
)
STOP = "```output"
MOST_ROUNDS = 4
# What of a long output the model still reads: the end, where results are printed.
OUTPUT_CHARS = 2000
_FENCE = re.compile(r"```python[^\n]*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class ToolRun:
    """Code of the answer was run. Comes right after the answer's text up to its closing fence."""

    code: str
    result: ToolResult


def solve(
    backend: Backend, tool: PythonTool, messages: Sequence[Message], options: Options | None = None
) -> Iterator[Event | ToolRun]:
    """Stream the answer, its programs' outputs included as answer text, and end in one `Done`.

    Raises ToolUnavailable before the first event where Python cannot be isolated, so that the caller can ask for
    plain reasoning instead.
    """
    tool.check()
    if not any(message.role == "system" for message in messages):
        messages = [Message("system", (SYSTEM_PROMPT,)), *messages]
    return _rounds(backend, tool, list(messages), options or Options())


def _rounds(backend: Backend, tool: PythonTool, asked: list[Message], options: Options) -> Iterator[Event | ToolRun]:
    spent = Usage(0, 0)
    told = False
    for number in range(MOST_ROUNDS + 1):
        # After the last round no more programs are run, so the model need not stop for one.
        stops = (*options.stop, STOP) if number < MOST_ROUNDS else options.stop
        written = ""
        done: Done | None = None
        try:
            for event in backend.stream(asked, replace(options, stop=stops)):
                if isinstance(event, Done):
                    done = event
                elif isinstance(event, Usage):
                    spent = spent + event
                else:
                    written += event.text if isinstance(event, AnswerDelta) else ""
                    told = True
                    yield event
        except TandemError as error:
            if not told:
                raise
            done = Done("error", truncated=True, error=str(error))
        assert done is not None, "a backend ends in Done"
        code = pending_program(written) if number < MOST_ROUNDS and done.finish_reason == "stop" else None
        if code is not None:
            try:
                result = tool.run(code, options.cancellation)
            except ToolUnavailable as error:
                code, done = None, Done("error", truncated=True, error=str(error))
        if code is None:
            yield spent
            yield done
            return
        yield ToolRun(code, result)
        if options.cancellation.cancelled:
            yield spent
            yield Done("cancelled", truncated=True)
            return
        output = f"{STOP}\n{_shown(result)}\n```\n"
        gap = "" if written.endswith("\n") else "\n"
        yield AnswerDelta(gap + output)
        asked = _goes_on(asked, written, gap, output, backend.continues)


def _goes_on(asked: list[Message], written: str, gap: str, output: str, continues: bool) -> list[Message]:
    """The conversation with the output in it: in the reply itself where the backend can go on with one, otherwise as
    the user's next message."""
    if not continues:
        return [*asked, Message("assistant", (written,)), Message("user", (output,))]
    begun = asked[-1].text if asked[-1].role == "assistant" else ""
    kept = asked[:-1] if begun else asked
    return [*kept, Message("assistant", (begun + written + gap + output,))]


def pending_program(text: str) -> str | None:
    """The program whose output is due: the last fenced Python, if the text ends with it."""
    found = list(_FENCE.finditer(text))
    if not found or text[found[-1].end() :].strip():
        return None
    return found[-1].group(1)


def boxed(text: str) -> str | None:
    """What stands in the last \\boxed{}, braces balanced; None without one."""
    at = text.rfind("\\boxed{")
    if at < 0:
        return None
    start = at + len("\\boxed{")
    depth = 1
    for index in range(start, len(text)):
        escaped = text[index - 1] == "\\"
        depth += (text[index] == "{" and not escaped) - (text[index] == "}" and not escaped)
        if depth == 0:
            return text[start:index].strip()
    return None


def _shown(result: ToolResult) -> str:
    """The output as the model reads it. A fence in it would end the block early."""
    text = result.for_model().replace("```", "'''")
    return text if len(text) <= OUTPUT_CHARS else "[…]\n" + text[-OUTPUT_CHARS:]

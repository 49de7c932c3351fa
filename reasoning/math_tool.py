"""Tool-integrated reasoning, as Qwen2.5-Math does it: the model writes Python in its answer and stops before the
output, which is computed here and put there, until the final answer stands in \\boxed{}.

Source: Qwen2.5-Math technical report; the fence convention of its evaluation code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from reasoning.backend import Backend, Event, Options
from reasoning.messages import Message, ToolCall
from reasoning.tool_loop import Round, ToolDone, answer, output
from reasoning.tools.python_tool import PYTHON_TOOL, PythonTool, ToolResult

SYSTEM_PROMPT = (
    "Please integrate natural language reasoning with programs to solve the problem above, "
    "and put your final answer within \\boxed{}."
)
STOP = "```output"
MOST_ROUNDS = 4
_FENCE = re.compile(r"```python[^\n]*\n(.*?)```", re.DOTALL)


class FencedPrograms:
    """A fence of Python that ends what was written is run, and its output joins the answer in a fence of its own."""

    rounds = MOST_ROUNDS

    def options(self, options: Options, last: bool) -> Options:
        return options if last else replace(options, stop=(*options.stop, STOP))

    def wanted(self, said: Round) -> list[ToolCall]:
        code = pending_program(said.answer)
        return [] if code is None else [ToolCall(f"program_{said.number + 1}", PYTHON_TOOL.name, _arguments(code))]

    def go_on(
        self, asked: list[Message], said: Round, results: list[ToolResult], continues: bool
    ) -> tuple[list[Message], str]:
        """The reply goes on behind the output where the backend can do that; otherwise the user says the output."""
        gap = "" if said.answer.endswith("\n") else "\n"
        # A fence in the output would end the block early.
        fenced = f"{STOP}\n{output(results[0]).replace('```', chr(39) * 3)}\n```\n"
        if not continues:
            return [*asked, Message("assistant", (said.answer,)), Message("user", (fenced,))], gap + fenced
        begun = asked[-1].text if asked[-1].role == "assistant" else ""
        kept = asked[:-1] if begun else asked
        return [*kept, Message("assistant", (begun + said.answer + gap + fenced,))], gap + fenced


def solve(
    backend: Backend, tool: PythonTool, messages: Sequence[Message], options: Options | None = None
) -> Iterator[Event | ToolDone]:
    """Stream the answer, its programs' outputs included as answer text. See `reasoning.tool_loop.answer`."""
    if not any(message.role == "system" for message in messages):
        messages = [Message("system", (SYSTEM_PROMPT,)), *messages]
    return answer(backend, tool, messages, options, FencedPrograms())


def pending_program(text: str) -> str | None:
    """The program whose output is due: the last fenced Python, if the text ends with it."""
    found = list(_FENCE.finditer(text))
    if not found or text[found[-1].end() :].strip():
        return None
    return found[-1].group(1)


def _arguments(code: str) -> str:
    return json.dumps({"code": code}, ensure_ascii=False)

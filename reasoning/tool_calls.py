"""Tool calls in a local model's text: Qwen writes <tool_call>{"name": …, "arguments": {…}}</tool_call>."""

from __future__ import annotations

import json
from dataclasses import dataclass

from reasoning.messages import ToolCall
from reasoning.thinking import held_back

OPENING, CLOSING = "<tool_call>", "</tool_call>"


@dataclass
class ToolCallParser:
    """Streamed answer text → answer text and tool calls. A call that cannot be read has no name, and what was written
    as its arguments.

    offered: whether the model was offered tools; if not, everything is text.
    """

    offered: bool = True
    _pending: str = ""
    _inside: bool = False
    calls: int = 0

    def push(self, text: str) -> list[str | ToolCall]:
        if not self.offered:
            return [text] if text else []
        self._pending += text
        out: list[str | ToolCall] = []
        while True:
            mark = CLOSING if self._inside else OPENING
            before, found, after = self._pending.partition(mark)
            if not found:
                break
            if self._inside:
                out.append(self._call(before))
            elif before.strip():
                out.append(before)
            self._pending, self._inside = after, not self._inside
        if not self._inside:
            keep = held_back(self._pending, (OPENING,))
            ready = self._pending[: len(self._pending) - keep]
            self._pending = self._pending[len(self._pending) - keep :]
            if ready and not (self.calls and not ready.strip()):
                out.append(ready)
        return out

    def finish(self) -> list[str | ToolCall]:
        rest, inside = self._pending, self._inside
        self._pending, self._inside = "", False
        if inside:
            return [self._call(rest)]
        return [rest] if rest and not (self.calls and not rest.strip()) else []

    def _call(self, text: str) -> ToolCall:
        self.calls += 1
        try:
            call = json.loads(text)
            name, arguments = call["name"], call["arguments"]
            if not isinstance(name, str) or not isinstance(arguments, dict):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            return ToolCall(f"call_{self.calls}", "", text.strip())
        return ToolCall(f"call_{self.calls}", name, json.dumps(arguments, ensure_ascii=False))

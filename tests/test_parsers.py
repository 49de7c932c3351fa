"""The parsers of streamed text give the same result wherever the stream is cut."""

from __future__ import annotations

import pytest

from reasoning.messages import ToolCall
from reasoning.stop_text import StopText
from reasoning.thinking import LoopGuard, ThinkingParser
from reasoning.tool_calls import ToolCallParser


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_reasoning_is_split_the_same_however_the_text_is_cut(size: int) -> None:
    def parsed(text: str, inside: bool = False) -> tuple[str, str, int]:
        parser = ThinkingParser(inside=inside)
        pieces = [piece for part in cut(text, size) for piece in parser.push(part)] + parser.finish()
        reasoning = "".join(piece.text for piece in pieces if piece.kind == "reasoning")
        answered = "".join(piece.text for piece in pieces if piece.kind == "answer")
        return reasoning, answered, sum(piece.kind == "moved" for piece in pieces)

    assert parsed("<think>\na < b\n</think>\n\nSo b.") == ("a < b\n", "So b.", 0)
    assert parsed("thoughts</think>So b.", inside=True) == ("thoughts", "So b.", 0)
    assert parsed("thoughts</think>So b.") == ("", "thoughtsSo b.", 1), "what was told as answer is moved"
    assert parsed("no marks, 1 < 2 </thin") == ("", "no marks, 1 < 2 </thin", 0)
    assert parsed("<think>never closed") == ("never closed", "", 0)


def test_the_loop_guard_stops_loops_and_nothing_else() -> None:
    def looped(text: str) -> bool:
        guard = LoopGuard()
        return any(guard.push(part) for part in cut(text, 11))

    assert looped("Wait, I should check. " * 60)
    assert looped("ab" * 400) and looped("0" * 600)
    assert looped("".join(f"Step {n}\nHmm, that does not look right at all.\n" for n in range(40)))
    assert not looped(" ".join(f"Row {n}: {n * n} is the square of {n}." for n in range(400)))
    assert not looped("\n".join(f"| {n} | {n**3} | {'x' * (n % 7)} |" for n in range(300)))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_answer_ends_at_a_stop_text(size: int) -> None:
    stop = StopText(("```output",))
    out = "".join(stop.push(part) for part in cut("x = 1\n```\n```outp ```output\n7", size)) + stop.finish()
    assert out == "x = 1\n```\n```outp " and stop.hit == "```output"


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_tool_calls_in_text_are_found_and_broken_ones_have_no_name(size: int) -> None:
    def parsed(text: str) -> list[str | ToolCall]:
        parser = ToolCallParser()
        parts = [part for piece in cut(text, size) for part in parser.push(piece)] + parser.finish()
        words = "".join(part for part in parts if isinstance(part, str))
        return [words, *(part for part in parts if isinstance(part, ToolCall))]

    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    assert parsed(f"Let me add. {call}") == ["Let me add. ", ToolCall("call_1", "add", '{"a": 1}')]
    assert parsed(call.removesuffix("</tool_call>")) == ["", ToolCall("call_1", "add", '{"a": 1}')]
    assert parsed("<tool_call>{oops}</tool_call>") == ["", ToolCall("call_1", "", "{oops}")]
    assert parsed("<tool_call>\n</tool_call>") == ["", ToolCall("call_1", "", "")]
    assert parsed("a <tool_call>{") == ["a ", ToolCall("call_1", "", "{")]
    assert ToolCallParser(offered=False).push(call) == [call]

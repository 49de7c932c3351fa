"""What some families are special for: gaps in code, programs in mathematics, boxes in pictures."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from multimodal.errors import PromptError
from reasoning.backend import (
    Done,
    Options,
    Usage,
)
from reasoning.boxes import Box, Point, Sight, Size
from reasoning.errors import ProfileError
from reasoning.fim import Gap, cut, fill, filled
from reasoning.local_backend import LocalBackend
from reasoning.math_tool import pending_program, solve
from reasoning.openai_backend import OpenAiBackend, Remote
from reasoning.profiles import load_profiles
from reasoning.tool_loop import ToolDone
from reasoning.tools.python_tool import PythonTool
from tests.conversation_parts import joined, only, picture, scripted_model, user
from tests.family_checkpoints import write_checkpoint
from tests.scripted_server import END, Reply, answer, scripted
from tests.scripted_server import event as sse

PROFILES = load_profiles()
CLASSES = ("Qwen2ForCausalLM", "Qwen2_5_VLForConditionalGeneration")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints by class, and one whose template opens the reasoning, under names that tell the family."""
    root = tmp_path_factory.mktemp("family")
    made = {name: write_checkpoint(root / name, name) for name in CLASSES}
    made["qwq"] = write_checkpoint(root / "tiny-qwq", "Qwen2ForCausalLM", opens_reasoning=True)
    return made


# --- Coder: the gap ---


def test_a_gap_is_filled_locally_and_remotely(folders: dict[str, Path]) -> None:
    text = "def add(a, b):\n    \n\nprint(add(1, 2))\n"
    gap = Gap.at_line(text, 2, "add.py")
    assert (gap.prefix, gap.suffix) == ("def add(a, b):\n    ", "\n\nprint(add(1, 2))\n")
    backend = LocalBackend.load(folders["Qwen2ForCausalLM"], family="qwen2.5-coder")
    ids = backend.model.layout.pieces(*gap.pieces())
    assert backend.model.tokenizer.decode(ids) == (
        "<|fim_prefix|>def add(a, b):\n    <|fim_suffix|>\n\nprint(add(1, 2))\n<|fim_middle|>"
    )
    assert ids[0] == backend.model.layout.control("<|fim_prefix|>")
    scripted_model(backend, "return a + b\n\nprint(add(1, 2))\n# and more")
    assert filled(fill(backend, gap), gap) == "return a + b"
    said = sse({"choices": [{"index": 0, "text": "return a + b", "finish_reason": "stop"}]})
    with scripted(Reply([said, END])) as server:
        remote = OpenAiBackend(Remote("qwen2.5-coder-7b-instruct", server.url), PROFILES.family("qwen2.5-coder"))
        assert filled(fill(remote, gap), gap) == "return a + b"
        remote.close()
    path, _, body = server.requests[0]
    assert path == "/v1/completions" and body["prompt"].startswith("<|fim_prefix|>def add") and "messages" not in body
    with pytest.raises(ProfileError, match="does not fill gaps"):
        fill(LocalBackend.load(folders["Qwen2ForCausalLM"], family="qwen2.5"), gap)


def test_gaps_of_a_repository_and_their_limits() -> None:
    gap = Gap("a = ", "\n", "b.py", "shop", {"a.py": "A = 1\n"})
    assert "".join(piece if isinstance(piece, str) else piece[0] for piece in gap.pieces()) == (
        "<|repo_name|>shop\n<|file_sep|>a.py\nA = 1\n\n<|file_sep|>b.py\n"
        "<|fim_prefix|>a = <|fim_suffix|>\n<|fim_middle|>"
    )
    with pytest.raises(PromptError, match="fim_middle"):
        Gap("x = '<|fim_middle|>'", "")
    with pytest.raises(PromptError, match="not in the file"):
        Gap.at_line("one\n", 7)
    assert Gap.at_line("one\ntwo\n", 2).suffix == "two\n" and Gap.at_line("one\n", 2).prefix == "one\n"


def test_a_middle_is_cut_where_it_repeats_what_follows() -> None:
    assert cut("x = 1\n<|endoftext|>more", "") == "x = 1\n"
    assert cut("return total", ")") == "return total"
    assert cut("a, b)\n    return a * b\n", "\n    return a * b\n") == "a, b)"
    assert cut("value = compute(1)", "compute(1)\nprint()") == "value = "
    assert cut("one = 1\ntwo = ", "", complete=False) == "one = 1\n"


# --- Math: programs in the reasoning ---


def test_a_program_is_run_and_its_output_goes_back_into_the_reply(folders: dict[str, Path]) -> None:
    backend = LocalBackend.load(folders["Qwen2ForCausalLM"], family="qwen2.5-math")
    first = "Let me compute.\n```python\nprint(17 * 24)\n```\n```output\n999\n```\nwrong"
    scripted_model(backend, first, "So it is $\\boxed{408}$.")
    events = list(solve(backend, PythonTool(bwrap=None), [user("What is 17 * 24?")]))
    text = joined(events)
    assert text == "Let me compute.\n```python\nprint(17 * 24)\n```\n```output\n408\n```\nSo it is $\\boxed{408}$."
    ran = only(events, ToolDone)
    assert ran.result.stdout == "408\n" and only(events, Done) == Done("stop")
    assert "999" not in text, "the model's own invention of the output is never read"


@pytest.mark.parametrize("server_continues", [True, False])
def test_programs_also_run_for_a_remote_model(server_continues: bool) -> None:
    program = "```python\nprint(6 * 7)\n```\n"
    with scripted(answer(program), answer("It is \\boxed{42}.")) as server:
        remote = Remote("qwen2.5-math-7b-instruct", server.url, continues=server_continues,
                        continue_body={"continue_final_message": True} if server_continues else {})  # fmt: skip
        backend = OpenAiBackend(remote, PROFILES.family("qwen2.5-math"))
        events = list(solve(backend, PythonTool(bwrap=None), [user("6 * 7?")]))
        backend.close()
    assert joined(events).endswith("It is \\boxed{42}.") and only(events, Usage).completion_tokens == 6
    body = server.requests[1][2]
    assert body["messages"][-1]["role"] == ("assistant" if server_continues else "user")
    assert body["messages"][-1]["content"].endswith("```output\n42\n```\n")
    assert body.get("continue_final_message", False) == server_continues and body["stop"] == ["```output"]


def test_programs_have_at_most_four_rounds_and_their_mistakes_are_read() -> None:
    with scripted(*[answer("```python\n1/0\n```\n")] * 6) as server:
        backend = OpenAiBackend(Remote("m", server.url, continues=True), PROFILES.family("qwen2.5-math"))
        events = list(solve(backend, PythonTool(bwrap=None), [user("?")]))
        backend.close()
    runs = [event for event in events if isinstance(event, ToolDone)]
    assert len(runs) == 4 and len(server.requests) == 5 and isinstance(events[-1], Done)
    assert joined(events).count("ZeroDivisionError: division by zero") == 4


def test_a_break_between_rounds_ends_in_one_done() -> None:
    with scripted(answer("```python\nprint(1)\n```\n"), Reply(status=400)) as server:
        backend = OpenAiBackend(Remote("m", server.url, continues=True), PROFILES.family("qwen2.5-math"))
        events = list(solve(backend, PythonTool(bwrap=None), [user("?")]))
        backend.close()
    done = only(events, Done)
    assert done.truncated and "refused" in (done.error or "")


def test_a_program_is_due_only_where_the_text_ends_with_it() -> None:
    assert pending_program("a\n```python\nx\n```\n") == "x\n" and pending_program("```python\nx\n```\ndone") is None
    assert pending_program("```python\nx\n") is None and pending_program("```js\nx\n```") is None


# --- VL: boxes ---


def test_boxes_come_back_in_pixels_of_the_original() -> None:
    original = Size(1000, 500)
    sight = Sight("resized", 28, 56 * 56, 448 * 448)
    seen = sight.seen(original)
    assert seen.width % 28 == 0 and seen.height % 28 == 0 and seen.width * seen.height <= 448 * 448
    text = f'```json\n[{{"bbox_2d": [{seen.width // 2}, 0, {seen.width}, {seen.height}], "label": "a \\"cat\\""}},'
    box, point = sight.places(text + '{"label": "nose", "point_2d": [0, 0]}, {"bbox_2d": [1, 2', original)
    assert box == Box(500.0, 0.0, 1000.0, 500.0, 'a "cat"') and point == Point(0.0, 0.0, "nose")
    assert sight.box([0, 0, seen.width / 2, seen.height], original) == Box(0.0, 0.0, 500.0, 500.0)
    assert sight.box([1, 2, 3], original) is None and sight.box([5, 5, 5, 9], original) is None
    grid = replace(sight, coordinates="grid-1000")
    corners = grid.places('[{"bbox_2d": [900, 100, 100, 1200], "label": "x"}]', original)
    assert corners == [Box(100.0, 50.0, 900.0, 500.0, "x")], "corners put in order, clipped to the picture"
    tagged = "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>"
    assert grid.places(tagged, original) == sight.places(tagged, original) == [Box(100.0, 100.0, 300.0, 200.0, "dog")]
    for nothing in ("no boxes", '{"bbox_2d": [1, 2, 3]}', '{"bbox_2d": [5, 5, 5, 9]}', '{"point_2d": [5000, 5000]}'):
        assert grid.places(nothing, original) == []


def test_the_size_that_is_seen_is_what_the_processor_makes(folders: dict[str, Path]) -> None:
    backend = LocalBackend.load(folders["Qwen2_5_VLForConditionalGeneration"])
    one = picture(97, 211)
    prompt = backend.model.prompt(backend.model.layout.chat([user(one)]), [one])
    assert prompt.grid is not None and backend.sight is not None
    _, h, w = prompt.grid[0].tolist()
    assert backend.sight.seen(Size(211, 97)) == Size(w * 14, h * 14)


def test_a_server_gets_pictures_in_the_size_that_its_boxes_count_in() -> None:
    found = '[{"bbox_2d": [0, 0, 56, 28], "label": "left half"}]'
    with scripted(answer(found)) as server:
        backend = OpenAiBackend(Remote("qwen2.5-vl-7b-instruct", server.url), PROFILES.family("qwen2.5-vl"))
        text = joined(list(backend.stream([user(picture(30, 112), "Where?")], Options())))
        backend.close()
    url = server.requests[0][2]["messages"][1]["content"][0]["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert sent.size == (112, 28) and backend.sight is not None
    assert backend.sight.places(text, Size(112, 30)) == [Box(0.0, 0.0, 56.0, 30.0, "left half")]
    assert OpenAiBackend(Remote("qwen-max", "http://x"), PROFILES.family("qwen2.5-max")).sight is None

"""The built-in reasoning model: what it makes of problems that its training never saw, and the default set-up with it.

`python -m training.moe_evaluate models/moe-nano` measures it in full; here a few problems go through Tandem's own
loading, prompting, decoding and tools.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from app.backends import configured
from app.cli import app
from app.config import BUILT_IN_MODELS, Config
from reasoning import tool_loop
from reasoning.backend import AnswerDelta, Done, Experts, Options, ReasoningDelta
from reasoning.local_backend import LocalBackend
from reasoning.messages import Message
from reasoning.tools.python_tool import PythonTool
from training.moe_problems import is_right
from training.moe_wording import Problem, held_out

FOLDER = BUILT_IN_MODELS / "moe-nano"
OMNI = BUILT_IN_MODELS / "omni-nano"
# Instances that training never sees (`held_out`), in wordings that it does: key, question, what an answer contains.
UNSEEN = (
    ("5, 10, 20, 40", "The sequence is 5, 10, 20, 40. What is the next term?", "80"),
    ("larger42.63,9.39", "which is bigger: 42.63 or 9.39?", "42.63 is larger"),
    ("Thursday+95", "What weekday is 95 days after Thursday?", "Monday"),
    ("690116/98", "Hi! What is 690116 divided by 98?", "7042"),
    (
        "Nina > Ethan > Lucas > Hugo > CarlaHugoCarla",
        "Ethan is heavier than Lucas. Hugo is heavier than Carla. Ethan is lighter than Nina. "
        "Lucas is heavier than Hugo. Can we say that Hugo is heavier than Carla?",
        "Yes, Hugo is heavier than Carla.",
    ),
    (
        "print(19 > 11 and 7 < 11)",
        "Run this code and tell me the output:\nprint(19 > 11 and 7 < 11)",
        "prints True.",
    ),
    ("5.12centimetersmillimeters", "5.12 centimeters in millimeters", "are 51.2 "),
    (
        "1995-09-22+375",
        "What will the date be three hundred and seventy-five days after the 22nd of September 1995?",
        "October 1, 1996",
    ),
    ("696:116", "At 116 kilometers per hour, how long does a plane take for 696 kilometers?", "takes 6 "),
    (
        "sortspinach, parrot, watermelon, pancake",
        "Sort these words alphabetically: spinach, parrot, watermelon, pancake",
        "pancake, parrot, spinach, watermelon",
    ),
)
LEAST_RIGHT = 9
pytestmark = pytest.mark.skipif(not (FOLDER / "config.json").is_file(), reason="models/moe-nano is not trained yet")


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    loaded = LocalBackend.load(FOLDER)
    yield loaded
    loaded.close()


def answered(
    backend: LocalBackend, *turns: str, **options: Any
) -> tuple[str, str, list[tool_loop.ToolDone], list[Any]]:
    """(answer, thoughts, programs, all events) to the last of `turns`, questions and answers in turn."""
    messages = [Message("assistant" if index % 2 else "user", (text,)) for index, text in enumerate(turns)]
    offered = tool_loop.OfferedTool(backend.model.profile.tool_digits)
    events = list(tool_loop.answer(backend, PythonTool(), messages, Options(max_tokens=600, **options), offered))
    assert isinstance(events[-1], Done)
    text = "".join(event.text for event in events if isinstance(event, AnswerDelta))
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return text, thought, [event for event in events if isinstance(event, tool_loop.ToolDone)], events


def test_it_is_who_reasons_where_nothing_is_configured() -> None:
    (one,) = configured(Config())
    assert (one.name, one.profile.name, one.problem) == ("moe-nano", "moe-nano", None)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 40e6


def test_it_compares_decimals_by_thinking_and_by_running_python(backend: LocalBackend) -> None:
    text, thought, programs, _ = answered(backend, "Which number is larger, 9.11 or 9.8?")
    assert text.startswith("9.8") and thought.strip()
    assert [one.result.stdout for one in programs] == ["9.8\n"]


def test_unseen_problems_are_solved_with_the_tool_and_every_expert_is_used(backend: LocalBackend) -> None:
    used = [Counter[int]() for _ in range(backend.model.text_config.num_hidden_layers)]
    wrong = []
    for key, question, gold in UNSEEN:
        assert held_out(key)
        text, _, _, events = answered(backend, question, experts=True)
        if not is_right(Problem("", key, question, "", None, str, gold), text):
            wrong.append((question, text, gold))
        for event in events:
            if isinstance(event, Experts):
                for counts, chosen in zip(used, event.chosen(), strict=True):
                    counts.update(chosen.tolist())
    assert len(UNSEEN) - len(wrong) >= LEAST_RIGHT, wrong
    experts = backend.model.text_config.num_experts
    assert all(len(counts) == experts for counts in used), "a dead expert"


@pytest.mark.parametrize(
    ("question", "said"),
    [("Solve 3x + 7 = 18.", "3.66667"), ("A train goes 100 km in 3 hours. How fast is it?", "33.3333")],
)
def test_results_without_end_are_said_with_few_digits(backend: LocalBackend, question: str, said: str) -> None:
    text, _, programs, _ = answered(backend, question)
    assert re.search(r"\d\.\d{12}", programs[0].result.stdout)
    assert re.findall(r"\d+\.\d+", text) == [said]


def test_earlier_questions_do_not_disturb_it(backend: LocalBackend) -> None:
    talk = ("What is in this picture?", "A red circle and a blue square on a white ground.")
    text, _, programs, _ = answered(backend, *talk, "What is 17 times 24?")
    assert "408" in text and programs[0].result.stdout == "408\n"


def test_ask_on_the_default_set_up_is_answered_by_it_and_spoken(tmp_path: Path, tiny_checkpoint: Path) -> None:
    wav = tmp_path / "answer.wav"
    model = [] if (OMNI / "config.json").is_file() else ["--model", str(tiny_checkpoint)]
    ran = CliRunner().invoke(
        app, ["ask", "Which number is larger, 9.11 or 9.8?", "--speak", str(wav), "--json", "--seed", "1", *model]
    )
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["route"]["backend"] == "moe-nano" and found["text"].startswith("9.8") and found["reasoning"]
    assert [(tool["name"], tool["result"]) for tool in found["tools"]] == [("python", "9.8")]
    samples, rate = soundfile.read(wav)
    assert len(samples) > 0.5 * rate and np.abs(samples).max() > 0.01


@pytest.mark.skipif(not (OMNI / "config.json").is_file(), reason="models/omni-nano is not trained yet")
def test_a_spoken_question_on_the_command_line_is_written_down_and_solved_by_it() -> None:
    question = Path(__file__).parent / "spoken" / "what-is-twelve-plus-nine.wav"
    ran = CliRunner().invoke(app, ["ask", "--audio", str(question), "--json", "--no-speech"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout.splitlines()[-1])
    assert (found["heard"], found["route"]["backend"]) == ("What is 12 plus nine?", "moe-nano")
    assert "21" in found["text"] and "heard: “What is 12 plus nine?”" in ran.stderr

"""The built-in model is no worse than when its scores were measured, on about a hundred held-out pictures, clips and
sounds; and those scores tell what is broken from what is not.

A new checkpoint raises the bar: `python -m training.cases measure tests/cases`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.config import BUILT_IN_MODELS
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Content
from multimodal.sampling import FrameBudget
from multimodal.tmrope import Tmrope
from training.cases import (
    ERROR_RATES,
    SURPRISED,
    Cases,
    Score,
    bars,
    budget_of,
    file_of,
    speech_outcomes,
    surprise,
    weights_of,
    worse,
)
from training.judge import Judge, ScrambledTmrope
from training.scoring import Outcome, score
from training.tasks import TASKS, Case

FOLDER = Path(__file__).parent / "cases"
OMNI = BUILT_IN_MODELS / "omni-nano"
CASES = Cases.read(FOLDER)
BARS = bars(FOLDER)


@pytest.fixture(scope="module")
def judge() -> Judge:
    # Drawn speech would be other speech on a processor that rounds otherwise.
    return Judge(str(OMNI), greedy_speech=True)


@pytest.fixture(scope="module")
def asked(judge: Judge) -> dict[str, list[Case]]:
    """Every task's cases, decoded from their files as `ask` decodes them."""
    return {task: CASES.of(task, budget_of(judge)) for task in CASES.tasks}


def swapped(cases: Sequence[Case]) -> list[Case]:
    """The same questions, each with the pictures, sounds and clips of the next case."""

    def media(case: Case) -> dict[type, Content]:
        return {type(part): part for turn in case.turns for part in turn.content if not isinstance(part, str)}

    def with_other(case: Case, other: Case) -> Case:
        others = media(other)
        turns = [replace(t, content=tuple(others.get(type(part), part) for part in t.content)) for t in case.turns]
        return replace(case, turns=tuple(turns))

    return [with_other(case, other) for case, other in zip(cases, [*cases[1:], cases[0]])]


class OnePlace(Tmrope):
    """TMRoPE that puts every cell of a picture at the same height and width."""

    def _frames(self, time_ids: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
        places = super()._frames(time_ids, grid)
        return np.stack([places[0], np.zeros_like(places[1]), np.zeros_like(places[2])])


def test_every_task_of_the_evaluation_has_cases_and_a_score() -> None:
    assert 95 <= len(CASES.entries) + len(CASES.speech) <= 120
    # Destroyed time ids are a control, not something to be good at.
    assert set(CASES.tasks) == set(TASKS) - {"audiovisual_scrambled"}
    assert set(BARS) == {*CASES.tasks, "speech", "speech_heard"}
    assert {task for task, bar in BARS.items() if bar.surprise is not None} == set(SURPRISED)
    assert len({json.dumps(entry["turns"]) for entry in CASES.entries}) == len(CASES.entries)
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 5e6


def test_the_scores_are_those_of_this_checkpoint() -> None:
    measured = json.loads((FOLDER / "scores.json").read_text())["weights"]
    assert measured == weights_of(OMNI), "new weights: python -m training.cases measure tests/cases"


@pytest.mark.parametrize("task", CASES.tasks)
def test_answers_are_no_worse_than_measured(task: str, judge: Judge, asked: dict[str, list[Case]]) -> None:
    outcomes = [judge.outcome(case) for case in asked[task]]
    wrong = "\n".join(f"{o.kind}: {o.answer!r} for {o.expected!r}" for o in outcomes if not o.right)
    assert BARS[task].reached(task, Score.of(outcomes).figure), wrong


@pytest.mark.parametrize("task", SURPRISED)
def test_right_answers_are_as_near_as_measured_and_not_with_another_medium(
    task: str, judge: Judge, asked: dict[str, list[Case]]
) -> None:
    assert BARS[task].reached_surprise(surprise(judge, asked[task]))
    assert not BARS[task].reached_surprise(surprise(judge, swapped(asked[task])))


@pytest.mark.parametrize("task, positions", [("pictures", OnePlace), ("reading", OnePlace), ("video", ScrambledTmrope)])
def test_broken_positions_are_noticed(
    task: str, positions: type[Tmrope], judge: Judge, asked: dict[str, list[Case]]
) -> None:
    with judge.positions(positions):
        assert not BARS[task].reached_surprise(surprise(judge, asked[task]))


def test_its_own_speech_is_understood_as_well_as_measured(judge: Judge) -> None:
    for task, outcomes in speech_outcomes(CASES, judge).items():
        assert BARS[task].reached(task, Score.of(outcomes).figure), [(o.expected, o.answer) for o in outcomes]


def test_empty_answers_and_one_wrong_answer_too_many_are_noticed(asked: dict[str, list[Case]]) -> None:
    for task, cases in asked.items():
        nothing = [score(task, case.kind, "", case.answers, case.boxes) for case in cases]
        bar = BARS[task]
        # Where next to nothing is right yet, no answer is as good; there the surprise is the bar.
        if task in ERROR_RATES or bar.figure > bar.slack + 1e-9:
            assert not bar.reached(task, Score.of(nothing).figure), task
        else:
            assert task in SURPRISED
    right = [Outcome("facts", "talk_facts", 1, 1, True)] * 8
    wrong = [Outcome("facts", "talk_facts", 0, 1, False)]
    bar = Score.of(right)
    one, two = Score.of([*right[1:], *wrong]), Score.of([*right[2:], *wrong, *wrong])
    assert bar.reached("facts", one.figure) and not worse({"facts": bar}, {"facts": one})
    assert not bar.reached("facts", two.figure) and worse({"facts": bar}, {"facts": two})
    assert worse({"video": Score(0.5, 0.1, 0.2)}, {"video": Score(0.6, 0.1, 0.3)})


@pytest.mark.parametrize("name", ["pictures-00", "dictation_seen-00", "video-00", "spoken_questions-00"])
def test_ask_answers_a_case_as_it_was_measured(name: str, judge: Judge) -> None:
    entry = next(entry for entry in CASES.entries if entry["id"] == name)
    (parts,) = entry["turns"]
    # The command line puts media first.
    parts = sorted(parts, key=lambda part: "text" in part)
    text = [part["text"] for part in parts if "text" in part]
    flags = [(f"--{kind}", file) for part in parts for kind, file in part.items() if kind != "text"]
    files = [piece for flag, file in flags for piece in (flag, str(FOLDER / "media" / file))]
    ran = CliRunner().invoke(app, ["ask", *text, *files, "--backend", "thinker", "--greedy"])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.strip() == judge.reply(CASES.case({**entry, "turns": [parts]}, budget_of(judge)).turns)


def test_files_hold_what_was_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    flat = np.full((112, 140, 3), (200, 60, 30), np.uint8)
    frames = np.stack([flat // (1 + i % 3) for i in range(8)])
    sound = AudioClip((0.1 * rng.standard_normal(64_000)).astype(np.float32), 16_000)
    clip = VideoClip(frames, np.arange(8) / 2, 2.0, 4.0, sound)
    textured = Picture(rng.integers(0, 256, (112, 140, 3), np.uint8))
    (tmp_path / "media").mkdir()
    files = [
        file_of(medium, tmp_path / "media" / str(i)) for i, medium in enumerate((Picture(flat), textured, sound, clip))
    ]
    assert [file.suffix for file in files] == [".png", ".webp", ".flac", ".mkv"]
    parts = [{kind: file.name} for kind, file in zip(("image", "image", "audio", "video"), files)]
    entry = {"task": "pictures", "kind": "", "turns": [parts], "answers": ["Yes."]}
    (turn,) = Cases(tmp_path, (), ()).case(entry, FrameBudget(min_pixels=112 * 112)).turns
    plain, noisy, heard, seen = turn.content
    assert isinstance(plain, Picture) and (plain.pixels == flat).all()
    assert isinstance(noisy, Picture) and noisy.size == textured.size
    assert isinstance(heard, AudioClip) and np.abs(heard.samples - sound.samples).max() < 1e-4
    assert isinstance(seen, VideoClip) and seen.audio is not None
    assert np.abs(seen.frames.astype(int) - frames).mean() < 3 and (seen.times_sec == clip.times_sec).all()
    assert len(seen.audio.samples) == len(sound.samples) and seen.audio.start_sec == 0
    again = file_of(clip, tmp_path / "media" / "again")
    assert again.read_bytes() == files[3].read_bytes()

"""Answers are scored as the model card says they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from multimodal.checkpoint import load
from multimodal.media import VideoClip
from training.evaluate import BARS, ratio, summarize
from training.judge import ScrambledTmrope
from training.model_card import write_card
from training.recognition import character_error_rate, normalize, word_error_rate
from training.scoring import Outcome, box_score, same_answer, word_errors
from training.tasks import heard


def test_exact_answers_ignore_case_and_the_final_mark_and_nothing_else() -> None:
    assert same_answer("it is a red  circle", ["It is a red circle."])
    assert not same_answer("It is a red circle there.", ["It is a red circle."])
    assert not same_answer("It is red.", ["It is a red circle.", "Red."])


def test_times_may_be_half_a_second_off_but_the_sentence_may_not_differ() -> None:
    right = ["The bowl appears at 1 second."]
    assert same_answer("The bowl appears at 1.5 seconds.", right, 0.5)
    assert not same_answer("The bowl appears at 2 seconds.", right, 0.5)
    assert not same_answer("The bowl appears at 1.5 seconds.", right)
    assert not same_answer("The bell appears at 1 second.", right, 0.5)
    assert not same_answer("A bowl.", ["A bell."], 0.5)


def test_boxes_count_once_each_with_their_label_and_an_overlap_of_one_half() -> None:
    there = [{"bbox_2d": [0, 0, 100, 100], "label": "cat"}, {"bbox_2d": [200, 0, 300, 100], "label": "cat"}]

    def answer(*boxes: tuple[list[int], str]) -> str:
        return json.dumps([{"bbox_2d": box, "label": label} for box, label in boxes])

    assert box_score(answer(([0, 0, 100, 95], "cat"), ([200, 5, 300, 100], "cat")), there) == (4.0, 4.0)
    assert box_score(answer(([0, 0, 100, 95], "cat"), ([0, 0, 100, 100], "cat")), there) == (2.0, 4.0)
    assert box_score(answer(([0, 0, 100, 100], "dog")), there) == (0.0, 3.0)
    assert box_score(answer(([0, 0, 100, 45], "cat")), there) == (0.0, 3.0)
    assert box_score("There are two cats.", there) == (0.0, 2.0)
    assert box_score("[]", []) == (2.0, 2.0)


def test_numbers_and_times_are_compared_as_words() -> None:
    assert (
        normalize("It's 3:05, or 12,000 red-ish stars!")
        == "it's three oh five or twelve thousand red ish stars".split()
    )
    assert normalize("2.5% of 7") == "two point five percent of seven".split()
    assert word_error_rate([("There are 3 cats.", "there are three cats"), ("No.", "yes no")]) == pytest.approx(1 / 5)
    assert character_error_rate([("STOP", "STEP"), ("Exit", "Exit")]) == pytest.approx(1 / 8)


def test_two_spellings_of_a_word_are_the_same_word_and_other_words_are_not() -> None:
    def errors(text: str, found: str) -> float:
        return word_errors("dictation_seen", "slt", text, found).part

    assert (
        errors("They naturalised the grey colours of the theatre.", "they naturalized the gray colors of the theater")
        == 0
    )
    assert errors("A disc of fibres, an organisation.", "a disk of fibers an organization") == 0
    assert errors("Our four hours are here.", "or for ours are her") == 4
    assert errors("Advise a rising size.", "advice a rising sighs") == 2


def test_noise_is_added_at_the_ratio_asked_for() -> None:
    speech = (np.sin(np.arange(32_000) / 5) * 9000).astype(np.int16)
    clean = heard(speech, np.random.default_rng(0)).samples
    noisy = heard(speech, np.random.default_rng(0), snr_db=20).samples
    assert len(clean) == len(noisy)
    level = np.sqrt(np.mean((speech / 32768) ** 2)) / np.sqrt(np.mean((noisy - clean) ** 2))
    assert 20 * np.log10(level) == pytest.approx(20, abs=0.3)


def test_scrambling_moves_the_time_ids_of_frames_and_touches_nothing_else(tiny_checkpoint: Path) -> None:
    thinker = load(tiny_checkpoint, device="cpu", speech=False).thinker
    clip = VideoClip(np.zeros((12, 56, 56, 3), np.uint8), np.arange(12) / 2, fps=2.0, duration_sec=6.0)
    span = thinker.span(clip)
    true, cursor = thinker.tmrope.place_all([span])
    scrambled, after = ScrambledTmrope(**vars(thinker.tmrope)).place_all([span])
    assert after == cursor
    assert (scrambled[1:] == true[1:]).all() and (scrambled[0] != true[0]).any()
    assert sorted(scrambled[0]) == sorted(true[0])


def test_figures_are_ratios_of_sums_and_a_bar_may_be_a_difference() -> None:
    outcomes = [
        Outcome("speech", "Nova", 1, 10, False),
        Outcome("speech", "Reed", 3, 6, False),
        Outcome("teacher", "Nova", 1, 16, False),
    ]
    assert ratio(outcomes[:2]) == pytest.approx(4 / 16)
    summary = summarize(outcomes)
    assert summary["speech"]["kinds"] == {"Nova": 0.1, "Reed": 0.5}
    figures = {task: found["figure"] for task, found in summary.items()}
    bar = next(bar for bar in BARS if bar.tasks == ("speech", "teacher"))
    value = bar.value(figures)
    assert value == pytest.approx(3 / 16)
    assert (bar.verdict(0.04), bar.verdict(0.1), bar.verdict(0.2)) == ("goal", "must", "missed")
    assert BARS[0].value(figures) is None


def test_the_card_keeps_its_words_when_new_figures_come(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tasks = {"pictures": {"figure": 0.5, "examples": 4, "kinds": {"picture_what": 0.5}}}
    write_card(folder, {"picture questions": {"value": 0.5, "must": 0.9, "goal": 1.0, "reached": "missed"}}, tasks, 0)
    card = folder / "README.md"
    first = card.read_text()
    assert "**0.500**" in first and "Ada and Ben" in first and "40 codes" in first
    card.write_text(first.replace("It knows nothing of the world.", "It knows very little."))
    write_card(folder, {"picture questions": {"value": 0.75, "must": 0.9, "goal": 1.0, "reached": "missed"}}, tasks, 1)
    second = card.read_text()
    assert "**0.750**" in second and "**0.500**" not in second and "It knows very little." in second

"""The wordings of moe-nano's problems: what the tables promise, what stays out of training, and answers worked out
anew."""

from __future__ import annotations

import datetime
import itertools
import random
import re
import string
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from training import moe_comparison, moe_days, moe_followups, moe_numbers, moe_rates, moe_talk, moe_units
from training.moe_batches import LONGEST
from training.moe_chat import Encoder, Shape, drawn, prompt_text
from training.moe_code import FUNCTIONS, base_form
from training.moe_grammar import FRAMES, NoWording, core, count, counted, expansions, framed, parsed, sections, wording
from training.moe_problems import MAKERS, draw, is_right, result
from training.moe_reader import Reader, features, read, shape
from training.moe_roughness import filled, mistyped, reworded
from training.moe_wording import Draw, decimal_words, dressed, fraction_words

WHOLE = [name for name in sections() if name not in FRAMES]
# The pieces that stand in front of any question or behind it, in held-out problems too.
EVERYWHERE = {"lead", "tail"}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_alternatives_and_how_many_there_are() -> None:
    parts = parsed("[What|How [much|many]] is {a}[?|]")
    found = set(expansions(parts))
    assert found == {f"{start} is {{a}}{end}" for start in ("What", "How much", "How many") for end in ("?", "")}
    assert count(parts) == 6
    with pytest.raises(ValueError, match="left open"):
        parsed("[What is it?")


def test_a_table_with_a_mistake_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("[one]\n@nothing the sum\n")
    with pytest.raises(ValueError, match="@nothing"):
        sections.__wrapped__(tmp_path)
    (tmp_path / "a.txt").write_text("[one]\nWhat?\n[one]\nWho?\n")
    with pytest.raises(ValueError, match="twice"):
        sections.__wrapped__(tmp_path)


def test_every_wording_mentions_what_it_must() -> None:
    lacking = [
        (name, text)
        for name in WHOLE
        for line in sections()[name].lines
        for text in itertools.islice(expansions(line.parts), 4000)
        if not set(sections()[name].needed) <= placeholders(text)
    ]
    assert not lacking


def test_a_sixth_of_the_wordings_is_held_out() -> None:
    for name in (*WHOLE, *FRAMES):
        lines = sections()[name].lines
        held = sum(line.held for line in lines)
        assert name in EVERYWHERE or held >= max(1, len(lines) // 6), f"{name}: {held} of {len(lines)}"


def test_every_placeholder_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, set[str]] = defaultdict(set)
    say = Draw.say

    def noted(self: Draw, name: str, **values: object) -> str:
        given[name] |= set(values)
        return say(self, name, **values)

    monkeypatch.setattr(Draw, "say", noted)
    rng = random.Random(3)
    for make in MAKERS:
        for _ in range(120):
            make(Draw(rng, "train"))
    rest = set(WHOLE) - set(given) - EVERYWHERE
    for name in rest:  # pieces without values
        assert all(not placeholders(line.text) for line in sections()[name].lines), name
    for name, values in given.items():
        for line in sections()[name].lines:
            assert placeholders(line.text) <= values, (name, line.text)


def test_training_never_draws_a_held_out_wording_or_one_that_comes_to_the_same() -> None:
    rng = random.Random(8)
    for name in WHOLE:
        held = {core(text) for line in sections()[name].lines if line.held for text in expansions(line.parts)}
        assert not any(core(wording(name, "train", rng)) in held for _ in range(150)), name
        if name not in EVERYWHERE:
            shown = [core(wording(name, "paraphrase", rng)) for _ in range(20)]
            assert all(any(phrase in one for phrase in held) for one in shown), name


Words = tuple[str, ...]


def with_gaps(words: Words) -> set[Words]:
    """The wording, and the same with a gap for one word."""
    return {words, *(words[:i] + ("_",) + words[i + 1 :] for i in range(len(words)))}


def shortened(words: Words) -> set[Words]:
    return {words[:i] + words[i + 1 :] for i in range(len(words))}


def test_no_trained_wording_is_within_a_word_of_a_newly_held_out_one() -> None:
    """Of four words or more; those of the first run were chosen before."""
    close = []
    for name in set(WHOLE) - EVERYWHERE:
        new = [line for line in sections()[name].lines if line.held and not line.first]
        cores = (tuple(core(text).split()) for line in new for text in expansions(line.parts))
        held = {words for words in cores if len(words) > 3}
        around = {one for words in held for one in with_gaps(words) | shortened(words)}
        for line in sections()[name].lines:
            for text in itertools.islice(expansions(line.parts), 0 if line.held else 400):
                words = tuple(core(text).split())
                if with_gaps(words) & around or shortened(words) & held:
                    close.append((name, text))
    assert not close


def test_held_out_frames_never_frame_a_trained_phrase() -> None:
    rng = random.Random(1)
    for family in FRAMES:
        held = [core(line.text.split("{}")[0].split("[")[0]) for line in sections()[family].lines if line.held]
        starts = tuple(start for start in held if len(start.split()) > 2)
        assert starts
        assert not any(core(framed("zzz", family, "train", rng)).startswith(starts) for _ in range(1500))
        assert any(core(framed("zzz", family, "paraphrase", rng)).startswith(starts) for _ in range(300))


def test_wordings_held_out_from_the_first_run_on_can_be_drawn_alone() -> None:
    rng = random.Random(2)
    texts = {wording("larger", "first", rng) for _ in range(60)}
    assert texts == {"Between {a} and {b}, which one is the greater number?", "Who is bigger, {a} or {b}?"}
    with pytest.raises(NoWording):
        wording("percent_change", "first", rng)


def test_roughness_leaves_placeholders_alone_and_is_rare() -> None:
    rng, text = random.Random(4), "What is the total of {a} apples and {b} pears altogether, please?"
    changed = [mistyped(filled(reworded(text, rng), rng), rng) for _ in range(2000)]
    assert all(one.count("{a}") == 1 and one.count("{b}") == 1 for one in changed)
    assert 0.08 < sum(one != text for one in changed) / 2000 < 0.3


def test_dressing_keeps_code_and_numbers() -> None:
    rng, code = random.Random(5), "What does this print?\n\nprint('a, b; c'.upper())"
    for _ in range(400):
        assert "\n\nprint('a, b; c'.upper())" in dressed(code, rng)
        assert "3.5 times 1,204" in dressed("What is 3.5 times 1,204?", rng)


def test_numbers_as_they_are_spoken() -> None:
    assert decimal_words("9.11") == "nine point one one"
    assert fraction_words(3, 4) == "three quarters" and fraction_words(1, 2) == "one half"


def test_variety_is_counted_and_large() -> None:
    table = counted(WHOLE)
    assert sum(row["trained"] for row in table.values()) > 2000
    assert min(table[name]["trained texts"] for name in ("plus", "larger", "sequence", "convert", "distance")) > 1500


def test_a_function_is_asked_for_in_two_forms() -> None:
    rng = random.Random(9)
    for name in FUNCTIONS:
        for _ in range(20):
            phrase = wording(f"f:{name}", "train", rng)
            verb = base_form(phrase).split()[0]
            assert phrase.startswith(verb[:-1]) and verb.endswith("s") == verb.endswith("ss"), phrase
    assert base_form("goes on") == "go on" and base_form("applies it") == "apply it"


def finals(make, count: int, seed: int = 0):
    rng = random.Random(seed)
    for _ in range(count):
        problem = draw(rng, "train", make)
        yield problem, problem.final(result(problem))


def test_roman_and_hexadecimal_numbers_are_what_they_say() -> None:
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    for n in range(1, 4000):
        total = 0
        for a, b in zip(roman := moe_units.to_roman(n), [*roman[1:], "I"]):
            total += -values[a] if values[a] < values[b] else values[a]
        assert total == n and not re.search(r"(.)\1{3}", roman)
    for problem, final in finals(moe_units.notation, 300):
        if problem.key.startswith("fromroman"):
            assert final == f"{moe_units.to_roman(int(problem.key[9:]))} is {problem.key[9:]}."
        elif problem.key.startswith("fromhex"):
            assert f"is {problem.key[7:]} " in final


def test_coins_and_dice_are_counted_one_by_one() -> None:
    seen = 0
    for problem, final in finals(moe_rates.chance, 700):
        if match := re.fullmatch(r"coins(\d)(heads|tails)k (==|>=) (\d)", problem.key):
            n, k, exactly = int(match[1]), int(match[4]), match[3] == "=="
            sides = list(itertools.product("ht", repeat=n))
            right = sum((one.count("h") == k) if exactly else (one.count("h") >= k) for one in sides)
            assert final == f"The probability is {Fraction(right, len(sides))}."
            seen += 1
        elif match := re.fullmatch(r"diex (==|>=|>|<=|<|!=) (\d)\d+", problem.key):
            k = int(match[2])
            tests = {"==": (k,), ">=": range(k, 7), ">": range(k + 1, 7), "<=": range(1, k + 1), "<": range(1, k)}
            right = 5 if match[1] == "!=" else len(tests[match[1]])
            assert final == f"The probability is {Fraction(right, 6)}."
            seen += 1
    assert seen > 60


def test_changes_in_percent_lead_back() -> None:
    for problem, final in finals(moe_comparison.percent_backwards, 200):
        said = float(re.findall(r"-?\d+\.?\d*", final)[-1])
        if match := re.fullmatch(r"(\d+)to(\d+)%", problem.key):
            assert abs(int(match[1]) * (1 + said / 100) - int(match[2])) < 0.00006 * int(match[1])
        elif match := re.fullmatch(r"(\d+)is(\d+)%", problem.key):
            assert said * int(match[2]) / 100 == pytest.approx(int(match[1]))


def test_secret_numbers_satisfy_their_story() -> None:
    for problem, final in finals(moe_numbers.think_of_a_number, 200):
        (x,) = re.findall(r"\d+", final)
        left, right = problem.key.split("=")
        assert eval(left.replace("?", x)) == int(right)


def test_times_are_what_a_clock_shows() -> None:
    for problem, final in finals(moe_days.clock, 400):
        if match := re.fullmatch(r"(\d+):(\d+)\+(\d+)", problem.key):
            h, m, more = map(int, match.groups())
            end = datetime.datetime(2000, 1, 1, h, m) + datetime.timedelta(minutes=more)
            assert final.startswith(f"It is {end.hour}:{end.minute:02d}")
            if "that is" in final:
                assert final.endswith(f"that is {end.strftime('%-I:%M')} {'am' if end.hour < 12 else 'pm'}.")
        elif match := re.fullmatch(r"(\d+):(\d+)--(\d+):(\d+)", problem.key):
            h, m, u, v = map(int, match.groups())
            minutes = (u * 60 + v - h * 60 - m) % 1440
            assert final == f"It is {minutes // 60} hours and {minutes % 60} minutes."


def test_follow_ups_need_what_was_said_before() -> None:
    made = moe_followups
    for make in (made.further, made.instead, made.checked_again, made.compared_further):
        for problem, final in finals(make, 80):
            assert problem.history and problem.kind == "follow-up"
            assert is_right(problem, final)
            text = prompt_text(problem, Shape())
            assert all(question in text and answer in text for question, answer in problem.history)


def test_going_on_with_a_result_starts_from_what_was_answered() -> None:
    for problem, _ in finals(moe_followups.further, 120):
        (last,) = re.findall(r"The last result is (-?\d+)\.", problem.plan)
        assert re.search(rf"(?<![\d.]){re.escape(last)}(?:\.0)?(?!\d)", problem.history[-1][1]), problem


def test_a_wrong_answer_is_owned_up_to_and_a_right_one_kept() -> None:
    words = set()
    for problem, final in finals(moe_followups.checked_again, 300):
        if problem.key.startswith("sure"):
            told, right = problem.history[-1][1], final.partition(": " if final.startswith("Yes") else "wrong. ")[2]
            assert (told == right) == final.startswith("Yes")
            words.add(final.split(",")[0])
    assert words == {"Yes", "No"}


def test_what_is_beyond_the_model_is_said_plainly() -> None:
    rng, limits = random.Random(6), 0
    for _ in range(200):
        problem = moe_talk.talk(Draw(rng, "train"))
        limits += moe_talk.LIMIT in problem.final("")
        assert problem.code is None
    assert 80 < limits < 180


def test_problems_with_their_history_fit_the_packed_length() -> None:
    encoder, rng = Encoder(), random.Random(7)
    lengths = [len(encoder.example(*drawn(rng, "train")).ids) for _ in range(600)]
    assert max(lengths) <= LONGEST and sum(lengths) / 600 < 220


def test_a_linear_reader_learns_which_program_a_wording_leads_to() -> None:
    torch.manual_seed(0)
    examples = read("train", 2000, 0)
    reader = Reader(examples, epochs=8)
    asked = read("unseen", 200, 1)
    right = sum(name == said for (_, name, _), said in zip(asked, reader.named(asked), strict=True))
    assert 0.4 < right / 200 <= 1.0
    assert features("What is 17 plus 4?") == features("what is 3 plus 90000?")
    two = [draw(random.Random(seed), "train", moe_rates.motion) for seed in range(30)]
    assert len({shape(problem) for problem in two}) == 2  # a product, or a quotient

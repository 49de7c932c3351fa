"""All kinds of moe-nano's problems, drawn by weight, deterministic by seed, with instances and wordings held out."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from training import moe_code, moe_days, moe_numbers, moe_stories, moe_words
from training.moe_python import run
from training.moe_wording import Draw, Problem, Split, dressed, held_out

MAKERS: dict[Callable[[Draw], Problem], float] = {
    moe_numbers.arithmetic: 4.0,
    moe_numbers.expression: 1.5,
    moe_numbers.fractions: 1.2,
    moe_numbers.fraction_facts: 1.2,
    moe_numbers.comparison: 3.0,
    moe_numbers.ordering: 1.2,
    moe_numbers.percent: 2.5,
    moe_numbers.equation: 2.2,
    moe_numbers.sequence: 2.2,
    moe_numbers.number_fact: 3.2,
    moe_stories.having: 3.5,
    moe_stories.groups: 1.8,
    moe_stories.shopping: 2.4,
    moe_stories.motion: 1.6,
    moe_stories.work: 1.4,
    moe_stories.statistics: 1.2,
    moe_stories.ratio: 0.7,
    moe_stories.ages: 1.5,
    moe_stories.geometry: 1.6,
    moe_stories.chance: 1.0,
    moe_days.dates: 2.0,
    moe_days.weekdays: 0.6,
    moe_days.clock: 1.8,
    moe_days.units: 2.4,
    moe_days.notation: 1.4,
    moe_words.letters: 3.0,
    moe_words.word_lists: 0.9,
    moe_words.chain: 1.2,
    moe_words.syllogism: 1.0,
    moe_words.heads_and_legs: 0.6,
    moe_words.talk: 1.6,
    moe_code.function: 1.6,
    moe_code.output: 1.2,
}
KINDS = (
    *(
        "arithmetic",
        "decimals",
        "expression",
        "fractions",
        "comparison",
        "ordering",
        "percent",
        "equation",
        "sequence",
        "number fact",
    ),
    *(
        "word problem",
        "rates",
        "statistics",
        "geometry",
        "chance",
        "dates",
        "clock",
        "units",
        "notation",
        "letters",
        "logic",
        "talk",
        "function",
        "output",
    ),
)


def draw(rng: random.Random, split: Split, maker: Callable[[Draw], Problem] | None = None) -> Problem:
    """A problem of the split. Kinds without numbers to hold out (talk, functions) hold out their wordings only."""
    while True:
        make = maker or rng.choices(list(MAKERS), list(MAKERS.values()))[0]
        problem = make(Draw(rng, split))
        if held_out(problem.key) == (split != "train"):
            break
    return Problem(**{**problem.__dict__, "question": dressed(problem.question, rng)})


def result(problem: Problem) -> str:
    """What the problem's program prints."""
    return run(problem.code) if problem.code else ""


def is_right(problem: Problem, answer: str) -> bool:
    """Whether an answer says what it has to. Numbers must not be part of longer ones; a function must pass its checks."""
    if problem.function is not None:
        found = re.search(r"```python\n(.*?)```", answer, re.DOTALL)
        return (
            found is not None
            and run(f"{found.group(1)}\n{problem.function[1].replace('; ', chr(10))}\nprint('passed')") == "passed"
        )
    gold = problem.gold.strip()
    before = r"(?<![\w.,/-])" if gold[0].isalnum() else ""
    after = r"(?![\w/]|[.,:]\d)" if gold[-1].isalnum() else ""
    return re.search(before + re.escape(gold) + after, answer) is not None

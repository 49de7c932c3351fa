"""All kinds of moe-nano's problems, drawn by weight, deterministic by seed, with instances and wordings held out."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from training import (
    moe_arithmetic,
    moe_code,
    moe_comparison,
    moe_days,
    moe_followups,
    moe_logic,
    moe_numbers,
    moe_rates,
    moe_shopping,
    moe_stories,
    moe_talk,
    moe_units,
    moe_words,
)
from training.moe_grammar import NoWording, Split
from training.moe_python import run
from training.moe_wording import Draw, Problem, dressed, held_out

MAKERS: dict[Callable[[Draw], Problem], float] = {
    moe_arithmetic.arithmetic: 4.0,
    moe_arithmetic.expression: 1.3,
    moe_arithmetic.fractions: 1.2,
    moe_arithmetic.fraction_facts: 1.4,
    moe_comparison.comparison: 2.6,
    moe_comparison.difference: 0.8,
    moe_comparison.closest: 0.8,
    moe_comparison.ordering: 1.6,
    moe_comparison.percent: 2.8,
    moe_comparison.percent_backwards: 1.2,
    moe_numbers.equation: 1.8,
    moe_numbers.think_of_a_number: 1.4,
    moe_numbers.sequence: 2.4,
    moe_numbers.number_fact: 3.8,
    moe_numbers.statistics: 1.2,
    moe_stories.having: 3.8,
    moe_stories.groups: 2.2,
    moe_stories.ages: 2.0,
    moe_shopping.shopping: 2.8,
    moe_shopping.ratio: 0.8,
    moe_shopping.bank_and_bill: 0.8,
    moe_rates.motion: 2.0,
    moe_rates.work: 1.8,
    moe_rates.geometry: 2.0,
    moe_rates.chance: 1.8,
    moe_days.dates: 2.4,
    moe_days.weekdays: 0.8,
    moe_days.clock: 2.2,
    moe_units.units: 2.4,
    moe_units.notation: 2.4,
    moe_words.letters: 3.2,
    moe_words.word_lists: 1.2,
    moe_logic.chain: 1.3,
    moe_logic.syllogism: 1.2,
    moe_logic.heads_and_legs: 0.7,
    moe_talk.talk: 2.6,
    moe_code.function: 2.2,
    moe_code.output: 1.8,
    moe_followups.further: 2.0,
    moe_followups.instead: 1.6,
    moe_followups.checked_again: 0.9,
    moe_followups.compared_further: 0.5,
}
_MAKERS, _WEIGHTS = list(MAKERS), list(accumulate(MAKERS.values()))
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
        "follow-up",
    ),
)


def draw(rng: random.Random, split: Split, maker: Callable[[Draw], Problem] | None = None) -> Problem:
    """A problem of the split. Kinds without numbers to hold out (talk, functions) hold out their wordings only.

    NoWording where the maker never finds a wording of the split.
    """
    for _ in range(400):
        make = maker or rng.choices(_MAKERS, cum_weights=_WEIGHTS)[0]
        try:
            problem = make(Draw(rng, split))
        except NoWording:
            continue
        if held_out(problem.key) == (split != "train"):
            return replace(problem, question=dressed(problem.question, rng, split))
    raise NoWording(f"{maker} has nothing for {split}")


def result(problem: Problem) -> str:
    """What the problem's program prints."""
    return run(problem.code, True) if problem.code else ""


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

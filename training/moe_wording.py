"""How moe-nano's problems are worded: templates of which some are never trained on, numbers as digits or words, and
the small changes that people make to a question."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "unseen", "paraphrase"]
"""train; unseen: trained wordings with instances never trained on; paraphrase: wordings never trained on as well."""

NAMES = tuple(
    "Anna Ben Carla David Emma Felix Grace Hugo Ida Jonas Kate Leo Maria Nina Oscar Paula Quinn Rosa Sam Tina Uma Victor Wendy "
    "Yusuf Zoe Tom Lily Max Alice Bob Omar Priya Wei Ahmed Sofia Lucas Mia Noah Olivia Ethan Chloe Daniel Ravi Mei Ivan".split()
)
THINGS = tuple(
    "apples pears books pencils marbles stickers cookies oranges coins stamps cards flowers eggs balloons shells buttons "
    "bottles candles cups tickets toys stones sandwiches lemons peaches muffins photos letters boxes plants".split()
)
SHOP = tuple(
    "shirt book lamp chair bag phone jacket bicycle clock table pair of shoes camera hat backpack game guitar desk".replace(
        "pair of shoes", "pair_of_shoes"
    ).split()
)
ONES = tuple(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
)
TENS = tuple("_ _ twenty thirty forty fifty sixty seventy eighty ninety".split())


def number_words(n: int) -> str:
    """English for 0 … 999,999."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {number_words(n % 100)}" if n % 100 else "")
    return f"{number_words(n // 1000)} thousand" + (f" {number_words(n % 1000)}" if n % 1000 else "")


@dataclass(frozen=True)
class Problem:
    """A question with the way to its answer.

    key: what makes the instance, whatever its wording. plan: what is thought before the program, or instead of one.
    code: program whose printed output gives the result, or None. final: output → the answer as it is said. gold: what a
    right answer contains. direct: reasoning that reaches the answer without a program, or "". function: name and checks of
    a Python function that the answer has to define, as ("name", "assert …").
    """

    kind: str
    key: str
    question: str
    plan: str
    code: str | None
    final: Callable[[str], str]
    gold: str
    direct: str = ""
    function: tuple[str, str] | None = None


class Draw:
    """One problem's dice. in_words: its numbers are written out, as speech is written down."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng, self.split = rng, split
        self.in_words = rng.random() < 0.15
        self.commas = not self.in_words and rng.random() < 0.06

    def say(self, templates: Sequence[str], **values: object) -> str:
        """One of the split's wordings: the last sixth of `templates`, at least one, is held out of training."""
        return self.template(templates).format(**values)

    def template(self, templates: Sequence[str]) -> str:
        held_out = max(1, len(templates) // 6)
        kept = templates[-held_out:] if self.split == "paraphrase" else templates[:-held_out]
        return self.rng.choice(kept)

    def n(self, value: int) -> str:
        """A whole number as it is written in this question."""
        if self.in_words and 0 <= value < 1_000_000:
            return number_words(value)
        return f"{value:,}" if self.commas and value > 999 else str(value)

    def integer(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def size(self, digits: int) -> int:
        """A number with up to so many digits, each length as frequent."""
        return self.rng.randint(1, 10 ** self.rng.randint(1, digits) - 1)

    def decimal(self, whole_digits: int = 3) -> str:
        """A decimal number of one to three places, without trailing zeros."""
        places = self.rng.choice((1, 1, 2, 2, 3))
        last = self.rng.randint(1, 9)
        part = "".join(str(self.rng.randint(0, 9)) for _ in range(places - 1)) + str(last)
        return f"{self.rng.randint(0, 10 ** self.rng.randint(1, whole_digits) - 1)}.{part}"

    def choose(self, options: Sequence[str]) -> str:
        return self.rng.choice(options)

    def some(self, options: Sequence[str], count: int) -> list[str]:
        return self.rng.sample(list(options), count)

    def name(self) -> str:
        return self.rng.choice(NAMES)

    def thing(self) -> str:
        return self.rng.choice(THINGS)

    def article(self) -> str:
        return self.rng.choice(SHOP).replace("_", " ")


LEADS = (
    *(
        "Please tell me: ",
        "Quick question: ",
        "Hey, ",
        "Hi! ",
        "Tell me, ",
        "Okay, ",
        "Can you help me? ",
        "So, ",
        "Question: ",
        "Now, ",
    ),
    *(
        "I need to know: ",
        "Help me with this: ",
        "Think step by step. ",
        "Please solve this: ",
        "One more: ",
        "Could you work this out? ",
    ),
)
TAILS = (
    " Please.",
    " Thanks!",
    " Think step by step.",
    " Show your reasoning.",
    " Use Python.",
    " Explain briefly.",
    " Be careful.",
    " please",
)


def dressed(question: str, rng: random.Random) -> str:
    """The question as somebody may type or say it."""
    if rng.random() < 0.18:
        lead = rng.choice(LEADS)
        keeps = question[:2].isupper() or question.split(" ")[0].rstrip(",.'s") in NAMES or question.startswith("I ")
        question = lead + (question if keeps or lead.rstrip()[-1] in ".!?" else question[0].lower() + question[1:])
    if rng.random() < 0.10:
        question += rng.choice(TAILS)
    if "```" in question or ("'" in question and "(" in question):
        return question
    if rng.random() < 0.12:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.10:
        question = question.rstrip("?.! ")
    if rng.random() < 0.06:
        question = question.lower()
    return question


def held_out(key: str) -> bool:
    """Whether an instance is kept from training: one in twelve."""
    return zlib.crc32(key.encode()) % 12 == 0

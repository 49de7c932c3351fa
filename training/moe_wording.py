"""Problems of moe-nano and the dice that make them: numbers as digits or words, money, and the small changes that
people make to a question."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from training.moe_grammar import Split, core, drawn, sections, wording
from training.moe_roughness import filled, mistyped, reworded

NAMES = tuple(
    "Anna Ben Carla David Emma Felix Grace Hugo Ida Jonas Kate Leo Maria Nina Oscar Paula Quinn Rosa Sam Tina Uma Victor Wendy "
    "Yusuf Zoe Tom Lily Max Alice Bob Omar Priya Wei Ahmed Sofia Lucas Mia Noah Olivia Ethan Chloe Daniel Ravi Mei Ivan "
    "Jack Sarah James Linda Peter Julia Martin Laura Simon Eva Fatima Hassan Aisha Yuki Kenji Chen Ling Raj Anita Diego Elena "
    "Marco Giulia Pierre Claire Hans Greta Lars Ingrid Olga Boris Amara Kofi Zara Amir Leila Jose Carmen Paul Ruth John Mary "
    "Frank Helen George Susan Mark Karen Steve Amy Kevin Rachel Brian Megan Adam Nora Luke Ella".split()
)
THINGS = tuple(
    "apples pears books pencils marbles stickers cookies oranges coins stamps cards flowers eggs balloons shells buttons "
    "bottles candles cups tickets toys stones sandwiches lemons peaches muffins photos letters boxes plants "
    "bananas cherries grapes melons carrots potatoes tomatoes pens erasers notebooks crayons magazines postcards dolls kites "
    "bricks planks nails screws leaves seeds roses tulips fish birds sheep chickens rabbits bees chairs plates spoons forks "
    "glasses bowls hats socks shirts gloves rings beads ribbons keys batteries cables tiles jars cakes pies donuts candies "
    "chocolates nuts berries sweets bagels rolls mugs towels pillows".split()
)
SHOP = tuple(
    "shirt book lamp chair bag phone jacket bicycle clock table pair of shoes camera hat backpack game guitar desk sofa coat "
    "laptop watch printer radio mattress carpet suitcase tent mirror toaster blender tablet sweater dress ring ticket".replace(
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


def plain(value: float | Fraction) -> str:
    """As Python prints the float, without `.0`."""
    return str(float(value)).removesuffix(".0")


def decimal_words(number: str) -> str:
    """English for "9.11": nine point one one."""
    whole, _, places = number.partition(".")
    return " ".join([number_words(int(whole)), "point", *(ONES[int(digit)] for digit in places)])


ORDINALS = "_ whole half third quarter fifth sixth seventh eighth ninth tenth eleventh twelfth".split()


def fraction_words(a: int, b: int) -> str:
    """English for a/b, b from 2 to 12: three quarters."""
    part = ORDINALS[b]
    return f"{number_words(a)} {part}" if a == 1 else f"{number_words(a)} {'halves' if b == 2 else part + 's'}"


@dataclass(frozen=True)
class Problem:
    """A question with the way to its answer.

    key: what makes the instance, whatever its wording. plan: what is thought before the program, or instead of one.
    code: program whose printed output gives the result, or None. final: output → the answer as it is said. gold: what a
    right answer contains. direct: reasoning that reaches the answer without a program, or "". function: name and checks of
    a Python function that the answer has to define, as ("name", "assert …"). history: the questions that this one refers
    to, with their answers.
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
    history: tuple[tuple[str, str], ...] = ()


# (before the number, after it, what the answer calls it)
MONEY = (*[("", " dollars", "dollars")] * 8, *[("$", "", "dollars")] * 4, ("", " euros", "euros"), ("€", "", "euros"), ("", " €", "euros"), ("", " pounds", "pounds"),
         ("£", "", "pounds"), ("", " bucks", "bucks"), ("", " USD", "dollars"), ("", " francs", "francs"), ("", " crowns", "crowns"), ("", " EUR", "euros"))  # fmt: skip


class Draw:
    """One problem's dice. in_words: its numbers are written out, as speech is written down; mixed: the small ones are."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng = rng
        self.split: Split = split
        self.in_words = rng.random() < 0.15
        self.mixed = not self.in_words and rng.random() < 0.08
        self.commas = not self.in_words and rng.random() < 0.06
        self.coin = MONEY[0] if self.in_words else rng.choice(MONEY)

    def say(self, name: str, **values: object) -> str:
        """One of the split's wordings of a section of `moe_wordings`; in training roughened, as people type."""
        while True:
            text = wording(name, self.split, self.rng)
            if self.split == "train":
                text = reworded(text, self.rng)
                if core(text) in sections()[name].kept_back:
                    continue
                text = mistyped(filled(text, self.rng), self.rng)
            return text.format(**values)

    def trained(self) -> Draw:
        """Dice for an earlier question: its wording is a trained one, and only the follow-up's is new."""
        return Draw(self.rng, "train" if self.split == "train" else "unseen")

    def form(self, name: str) -> str:
        """A piece of a wording: held-out ones are for half of the new paraphrases only, as frames are."""
        some = sections()[name].of["paraphrase" if self.split == "paraphrase" and self.rng.random() < 0.5 else "train"]
        return drawn(self.rng.choice(some).parts, self.rng)

    def n(self, value: int) -> str:
        """A whole number as it is written in this question."""
        if (self.in_words and 0 <= value < 1_000_000) or (self.mixed and 0 <= value <= 12):
            return number_words(value)
        return f"{value:,}" if self.commas and value > 999 else str(value)

    def v(self, value: str) -> str:
        """A whole or decimal number, or a simple fraction, as it is written in this question."""
        if value.isdigit():
            return self.n(int(value))
        if self.in_words and "/" in value:
            a, b = map(int, value.split("/"))
            return fraction_words(a, b) if 2 <= b <= 12 and a < 100 else value
        return decimal_words(value) if self.in_words else value

    def money(self, value: int | str) -> str:
        before, after, _ = self.coin
        return f"{before}{self.v(str(value))}{after}"

    def listing(self, values: Sequence[str]) -> str:
        """A list as it is written in this question."""
        values, dice = [value.replace(",", "") for value in values], self.rng.random()
        if dice < 0.1:
            return ", ".join(values[:-1]) + " and " + values[-1]
        return ("; " if dice < 0.13 else " " if dice < 0.2 else ",").join(values) if dice < 0.24 else ", ".join(values)

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


_NAMED = frozenset(NAMES)


def _lead(question: str, rng: random.Random) -> str:
    """The question with an address, or a sentence of context, in front."""
    lead = drawn(rng.choice(sections()["lead"].of["train"]).parts, rng) + " "
    keeps = question[:2].isupper() or question.split(" ")[0].rstrip(",.'s") in _NAMED or question.startswith("I ")
    return lead + (question if keeps or lead.rstrip()[-1] in ".!?" else question[0].lower() + question[1:])


def dressed(question: str, rng: random.Random, split: Split = "train") -> str:
    """The question as somebody may type or say it; in training more often changed, and more strongly."""
    rough = split == "train"
    code = "```" in question or "\n" in question or ("'" in question and "(" in question)
    if rng.random() < (0.25 if rough else 0.18):
        question = _lead(question, rng)
    if rng.random() < (0.14 if rough else 0.10):
        gap = "\n" if code else " "
        question += gap + drawn(rng.choice(sections()["tail"].of["train"]).parts, rng)
    if code:
        return question
    if rng.random() < 0.12:
        question = question[0].lower() + question[1:]
    if rng.random() < (0.14 if rough else 0.10):
        question = question.rstrip("?.! ") or question
    if rng.random() < (0.10 if rough else 0.06):
        question = question.lower()
    if rough and rng.random() < 0.04:
        question = re.sub(r"[,;:](?=\s)", "", question)
    if rough and rng.random() < 0.03:
        question = question.replace("? ", " ").replace(". ", " ") if "'" not in question else question
    return question


def held_out(key: str) -> bool:
    """Whether an instance is kept from training: one in twelve."""
    return zlib.crc32(key.encode()) % 12 == 0

"""How the worlds put things into words: articles, plurals, numbers, paraphrases, and what is held out for tests."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

Split = Literal["train", "test"]
Size = tuple[int, int]
T = TypeVar("T")

NUMBERS: tuple[str, ...] = tuple("no one two three four five six seven eight nine ten eleven twelve".split())
IRREGULAR = {
    "mouse": "mice", "sheep": "sheep", "fish": "fish", "deer": "deer", "foot": "feet", "tooth": "teeth", "man": "men",
    "woman": "women", "knife": "knives", "leaf": "leaves", "wolf": "wolves", "loaf": "loaves", "moose": "moose",
    "squid": "squid", "shrimp": "shrimp", "tomato": "tomatoes", "potato": "potatoes", "die": "dice", "scarf": "scarves",
    "child": "children", "ox": "oxen", "goose": "geese",
}  # fmt: skip
HELD_OUT = 8  # one value in eight is kept for the test split


@dataclass(frozen=True)
class Question:
    """One question and its answer.

    text: what the user writes or says. answer: the canonical answer. others: further answers that count as right.
    speakable: False where the text cannot be read aloud (commands, web names).
    """

    text: str
    answer: str
    others: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    speakable: bool = True

    @property
    def answers(self) -> tuple[str, ...]:
        return (self.answer, *(other for other in self.others if other != self.answer))


def generator(kind: str, split: Split, seed: int) -> np.random.Generator:
    """The source of randomness of one example; no two (kind, split, seed) share one."""
    return np.random.default_rng((zlib.crc32(kind.encode()), int(split == "test"), seed))


def held_out(key: str) -> bool:
    """Whether the value or combination `key` belongs to the test split, by its hash."""
    return zlib.crc32(key.lower().encode()) % HELD_OUT == 0


def in_split(key: str, split: Split) -> bool:
    return held_out(key) == (split == "test")


def choose(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def choose_in(rng: np.random.Generator, options: Sequence[str], split: Split) -> str:
    """One of `options` that belongs to `split`. The options must hold some of each split."""
    while True:
        option = choose(rng, options)
        if in_split(option, split):
            return option


def phrase(rng: np.random.Generator, split: Split, options: Sequence[str]) -> str:
    """One of several wordings. Training never sees the held-out ones; tests draw from all of them."""
    if split == "test":
        return choose(rng, options)
    seen = [option for option in options if not held_out(option)]
    return choose(rng, seen or options)


def article(noun: str) -> str:
    """`noun` with a or an."""
    vowel = noun[0].lower() in "aeiou" and not re.match(r"uni|euro|ukul|one", noun.lower())
    return f"{'an' if vowel or noun.startswith('hour') else 'a'} {noun}"


def plural(noun: str) -> str:
    """The plural of `noun`; of a phrase such as "cup of tea", that of its head."""
    head, of, rest = noun.partition(" of ")
    first, space, last = head.rpartition(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif re.search(r"(s|sh|ch|x|z)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{first}{space}{last}{of}{rest}"


def counted(count: int, noun: str) -> str:
    """ "three cats", "one cat", "no cats"."""
    return f"{NUMBERS[count]} {noun if count == 1 else plural(noun)}"


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


BRITISH = (("color", "colour"), ("gray", "grey"), ("center", "centre"), ("favorite", "favourite"))
QUESTION_OPENINGS = (
    "Please tell me, ", "Tell me, ", "Hey, ", "Tandem, ", "Hey Tandem, ", "Look, ", "So, ", "Okay, ", "And ", "Now ",
    "Can you tell me, ", "Quick question, ", "Well, ", "I wonder, ", "Hi, ",
)  # fmt: skip
OPENINGS = ("Hey, ", "Tandem, ", "Hey Tandem, ", "So, ", "Okay, ", "Well, ", "Hi, ", "Listen, ", "All right, ")
ENDINGS = (", please?", ", Tandem?", " please?", ", can you tell me?")
# First words that stay as they are inside a sentence: "I", and names.
KEEPS_CAPITAL = re.compile(r"I\b|[A-Z]\w+ (lives|has|bought)\b")


def inside(text: str) -> str:
    """`text` as it is written after other words of the same sentence."""
    return text if KEEPS_CAPITAL.match(text) else text[0].lower() + text[1:]


def as_people_write(rng: np.random.Generator, text: str, split: Split) -> str:
    """`text` with the variety of real typing: openings, politeness, British spelling, no capitals, no final mark."""
    dice = rng.random(5)
    if dice[0] < 0.12 and text.count(" ") >= 2:
        text = phrase(rng, split, QUESTION_OPENINGS if text.endswith("?") else OPENINGS) + inside(text)
    if dice[1] < 0.08 and text.endswith("?"):
        text = text[:-1] + phrase(rng, split, ENDINGS)
    if dice[2] < 0.35:
        for american, british in BRITISH:
            text = text.replace(american, british)
    if dice[3] < 0.2:
        text = text.lower()
    if dice[4] < 0.2:
        text = text.rstrip("?.!")
    return text

"""The table of cues that the router weighs, `cues.toml`, compiled.

Phrases are found by plain substring search, which is what keeps routing fast; a pattern is tried only where one of
its `near` words occurs.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("cues.toml")
NUMBER_WORD = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|"
    "nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|half|twice|dozen"
)
_STANDS_FOR = {
    "<NUMBER>": rf"(?:\d[\d,.]*|(?:{NUMBER_WORD})(?:-\w+)?)",
    "<HAN_NUMBER>": r"[\d.零一二三四五六七八九十百千万两半%]+",
    "<UNIT>": (
        r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|km|kilomet\w+|met(?:er|re)s?|cm|miles?|feet|inch\w*|"
        r"pounds?|kg|g|ml|grams?|lit(?:er|re)s?|degrees|celsius|fahrenheit)"
    ),
}
_TONGUES = (
    *("english", "french", "german", "spanish", "italian", "portuguese", "japanese", "korean"),
    *("chinese", "mandarin", "russian", "arabic", "latin", "greek"),
)


@dataclass(frozen=True)
class Pattern:
    """expression: tried only if `near` is empty or one of its words is in the text."""

    expression: re.Pattern[str]
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cue:
    """One entry of the table. phrases: with the spaces that make them whole words."""

    feature: str
    weight: float
    phrases: tuple[str, ...] = ()
    han: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    most: int = 1
    numbers: int = 0
    asked: bool = False


@cache
def load_cues() -> tuple[Cue, ...]:
    """The table. It is ours: a mistake in it is an error of construction, and no message for users."""
    return tuple(_cue(**entry) for entry in tomllib.loads(TABLE.read_text(encoding="utf-8"))["cue"])


def _cue(phrases: tuple[str, ...] = (), patterns: tuple[dict, ...] = (), han: tuple[str, ...] = (), **rest) -> Cue:
    whole: list[str] = []
    for phrase in phrases:
        for one in [phrase.replace("<TONGUE>", tongue) for tongue in _TONGUES] if "<TONGUE>" in phrase else [phrase]:
            whole.append(f" {one.removesuffix('*')}" if one.endswith("*") else f" {one} ")
    compiled = [Pattern(re.compile(_spelled_out(one["match"])), tuple(one.get("near", ()))) for one in patterns]
    return Cue(phrases=tuple(whole), han=tuple(han), patterns=tuple(compiled), **rest)


def _spelled_out(expression: str) -> str:
    for name, meaning in _STANDS_FOR.items():
        expression = expression.replace(name, meaning)
    return expression

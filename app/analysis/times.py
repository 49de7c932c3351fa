"""Times in a model's words → real time: found, moved to where the window lies, kept inside it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_CLOCK = r"(?:\d{1,3}:)?\d{1,2}:\d{2}(?:\.\d+)?"
_NUMBER = r"\d+(?:\.\d+)?"
_UNIT = r"\s?(?:seconds?|secs?|s)\b"
_ONE = rf"(?:{_CLOCK}|{_NUMBER})"
_TO = r"\s?(?:-|–|—|to|until|and)\s?"
_RANGE = re.compile(
    rf"(?<![\w.:])(?P<a>{_CLOCK}){_TO}(?P<b>{_CLOCK})(?![\w:])"
    rf"|(?<![\w.:])(?P<c>{_NUMBER})(?:{_UNIT})?{_TO}(?P<d>{_NUMBER}){_UNIT}",
    re.IGNORECASE,
)
_POINT = re.compile(
    rf"(?<![\w.:])(?P<a>{_CLOCK})(?![\w:])"
    rf"|\b(?:at|after|from|until|before|around|about|second)\s(?P<b>{_NUMBER})(?:{_UNIT})?(?!\s?(?:\w|%))"
    rf"|\b(?:at|after|from|until|before|around|about)\s(?P<c>{_NUMBER}){_UNIT}"
    rf"|[\[(](?P<d>{_NUMBER}){_UNIT}",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"\n+|(?<=[.!?;。！？])\s+|(?<=[。！？])")


@dataclass(frozen=True)
class Told:
    """A sentence, its times already real. start_sec, end_sec: None where it names none, equal for a moment."""

    text: str
    start_sec: float | None
    end_sec: float | None


def bind(text: str, real: Callable[[float], float]) -> list[Told]:
    """The sentences of `text`. real: seconds on the model's axis → seconds of the file, inside the window."""
    return [_bound(part.strip(), real) for part in _SENTENCE.split(text) if part.strip()]


def _bound(sentence: str, real: Callable[[float], float]) -> Told:
    found: list[float] = []
    pieces: list[str] = []
    at = 0
    while (match := _next(sentence, at)) is not None:
        values = [(match.start(name), name, value) for name, value in match.groupdict().items() if value is not None]
        for _, name, value in sorted(values):
            seconds = real(parse(value))
            found.append(seconds)
            pieces += [sentence[at : match.start(name)], write(seconds, like=value)]
            at = match.end(name)
        pieces.append(sentence[at : match.end()])
        at = match.end()
    text = "".join(pieces) + sentence[at:]
    return Told(text, min(found), max(found)) if found else Told(text, None, None)


def _next(sentence: str, at: int) -> re.Match[str] | None:
    """The first time from `at` on; a range goes before the point that it begins with."""
    matches = [match for pattern in (_RANGE, _POINT) if (match := pattern.search(sentence, at))]
    return min(matches, key=lambda match: _first_value(match), default=None)


def _first_value(match: re.Match[str]) -> int:
    return min(match.start(name) for name, value in match.groupdict().items() if value is not None)


def parse(value: str) -> float:
    """Seconds of "12.5", "1:02" or "1:02:03.5"."""
    seconds = 0.0
    for part in value.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def write(seconds: float, like: str = "0:00") -> str:
    """`seconds` in the notation of `like`."""
    rounded = round(seconds, 1)
    if ":" not in like:
        return f"{rounded:g}"
    hours, rest = divmod(rounded, 3600)
    minutes, rest = divmod(rest, 60)
    tail = f"{rest:04.1f}" if rest % 1 else f"{int(rest):02d}"
    return f"{int(hours)}:{int(minutes):02d}:{tail}" if hours else f"{int(minutes)}:{tail}"


def without_times(text: str) -> str:
    """What two tellings of the same event have in common."""
    bare = _POINT.sub(" ", _RANGE.sub(" ", text.lower()))
    return " ".join(re.findall(r"\w+", re.sub(_UNIT, " ", bare)))

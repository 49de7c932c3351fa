"""Tables of wordings, and how one is drawn from them.

`moe_wordings/*.txt` holds sections of wordings, one a line. A section's head names it and what every wording must mention:

    [plus] a b
    What is {a} plus {b}?
    [How much|What] do {a} and {b} make?         one of the alternatives, which may be empty or hold others
    @np the sum of {a} and {b}                   a phrase, put into one of the frames [np], [do], [if] or [q]
    ! Find the total of {a} and {b}.             never trained on; "!!": held out from the first run on
    # a remark

A frame is a wording with `{}` where the phrase goes; some frames are held out, too. `\\n` is a line end.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent / "moe_wordings"
FRAMES = ("np", "do", "if", "q")
Split = Literal["train", "unseen", "paraphrase", "first"]
"""train; unseen: trained wordings with instances never trained on; paraphrase: wordings never trained on as well;
first: of these, the ones held out from the first run on."""

Parts = tuple["str | tuple[Parts, ...]", ...]


class NoWording(LookupError):
    """The section has no wording of the split."""


def parsed(text: str) -> Parts:
    """A wording's literal pieces and, between them, its alternatives."""
    stack: list[list[list[str | tuple[Parts, ...]]]] = [[[]]]
    for piece in re.split(r"([\[\]|])", text):
        if piece == "[":
            stack.append([[]])
        elif piece == "]" and len(stack) > 1:
            alternatives = tuple(tuple(option) for option in stack.pop())
            stack[-1][-1].append(alternatives)
        elif piece == "|" and len(stack) > 1:
            stack[-1].append([])
        elif piece:
            stack[-1][-1].append(piece)
    if len(stack) != 1:
        raise ValueError(f"a bracket is left open in: {text}")
    return tuple(stack[0][0])


def drawn(parts: Parts, rng: random.Random) -> str:
    return "".join(part if isinstance(part, str) else drawn(part[int(rng.random() * len(part))], rng) for part in parts)


def expansions(parts: Parts) -> Iterator[str]:
    if not parts:
        yield ""
        return
    heads = [parts[0]] if isinstance(parts[0], str) else [text for option in parts[0] for text in expansions(option)]
    for rest in expansions(parts[1:]):
        for head in heads:
            yield head + rest


def count(parts: Parts) -> int:
    """How many texts the wording stands for."""
    result = 1
    for part in parts:
        if not isinstance(part, str):
            result *= sum(count(option) for option in part)
    return result


_MARKS = str.maketrans("", "", "?.!,:;\"'’()-–—")
_IDLE = frozenset("the a an please pls me number is are now then so that s".split())


def core(text: str) -> str:
    """What tells a wording from its trivial variants: its words without case, punctuation and the idle ones."""
    return " ".join(word for word in text.lower().translate(_MARKS).split() if word not in _IDLE)


@dataclass(frozen=True)
class Line:
    """frame: the family of frames its phrase goes into, or "". held: never trained on; first: from the first run on."""

    text: str
    frame: str
    held: bool
    first: bool
    parts: Parts


@dataclass(frozen=True)
class Section:
    name: str
    needed: tuple[str, ...]
    lines: list[Line] = field(default_factory=list)

    @cached_property
    def of(self) -> dict[Split, list[Line]]:
        trained = [line for line in self.lines if not line.held]
        held = [line for line in self.lines if line.held]
        return {"train": trained, "unseen": trained, "paraphrase": held, "first": [x for x in held if x.first]}

    @cached_property
    def kept_back(self) -> frozenset[str]:
        """Cores of the held-out wordings: a trained one that happens to come to the same is drawn again."""
        return frozenset(core(text) for line in self.lines if line.held for text in expansions(line.parts))


@cache
def sections(folder: Path = FOLDER) -> dict[str, Section]:
    found: dict[str, Section] = {}
    for file in sorted(folder.glob("*.txt")):
        section: Section | None = None
        for line in file.read_text(encoding="utf-8").splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            head = re.fullmatch(r"\[([\w:]+)\](.*)", line)
            if head and "|" not in line:
                if head[1] in found:
                    raise ValueError(f"{file}: [{head[1]}] is there twice")
                section = found[head[1]] = Section(head[1], tuple(head[2].split()))
                continue
            read = re.fullmatch(r"(!{0,2}) ?(?:@(\w+) )?(.*)", line)
            if section is None or read is None or (read[2] or "np") not in FRAMES:
                raise ValueError(f"{file}: {line}")
            text = read[3].replace("\\n", "\n")
            section.lines.append(Line(text, read[2] or "", bool(read[1]), read[1] == "!!", parsed(text)))
    return found


def wording(name: str, split: Split, rng: random.Random) -> str:
    """One of the section's wordings of the split, with its placeholders. NoWording where the section has none."""
    section = sections()[name]
    lines = section.of[split]
    if not lines:
        raise NoWording(name)
    while True:
        line = rng.choice(lines)
        text = drawn(line.parts, rng)
        if not line.held and core(text) in section.kept_back:
            continue
        if line.frame:
            text = framed(text, line.frame, split, rng)
            if not line.held and core(text) in section.kept_back:
                continue
        return text


def framed(phrase: str, family: str, split: Split, rng: random.Random) -> str:
    """The phrase in a frame: for paraphrases in a held-out one half of the time."""
    frames = sections()[family]
    lines = frames.of["paraphrase" if split in ("paraphrase", "first") and rng.random() < 0.5 else "train"]
    text = drawn(rng.choice(lines).parts, rng).replace("{}", phrase)
    return text[0].upper() + text[1:]


def counted(names: Sequence[str] | None = None) -> dict[str, dict[str, int]]:
    """Per section: lines trained and held out, and how many texts they stand for, frames included."""
    every = sections()
    ways = {f: {held: sum(count(x.parts) for x in every[f].lines if x.held == held) for held in (False, True)} for f in FRAMES}  # fmt: skip
    result = {}
    for name in names or every:
        row = {"trained": 0, "held out": 0, "trained texts": 0, "held-out texts": 0}
        for line in every[name].lines:
            frames = ways[line.frame][False] + (ways[line.frame][True] if line.held else 0) if line.frame else 1
            row["held out" if line.held else "trained"] += 1
            row["held-out texts" if line.held else "trained texts"] += count(line.parts) * frames
        result[name] = row
    return result


def main() -> None:
    table = counted()
    print(f"{'section':20} {'trained':>8} {'held out':>8} {'trained texts':>14} {'held-out texts':>14}")
    for name, row in [
        *table.items(),
        ("all", {k: sum(row[k] for row in table.values()) for k in next(iter(table.values()))}),
    ]:
        print(f"{name:20} {row['trained']:8,} {row['held out']:8,} {row['trained texts']:14,} {row['held-out texts']:14,}")  # fmt: skip


if __name__ == "__main__":
    main()

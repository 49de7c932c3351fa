"""Where the language model should look while it reads or writes a word: labels for two of its attention heads.

Answers alone hardly teach a small model to find what a question names among the cells of a picture: the answer to "Is there
a log?" says too little. So one head is told, at the last token of every name, which cells show the thing ("named"), and
another, before a name, a box or a written word is put out, which cells it comes from ("next"). A name of something that is
not there looks at the token that begins the picture. Words and tones in a clip's sound are found in time in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from training.cells import COLOR_ID, UNKNOWN, Item, Listing, classes
from training.wording import plural

NAMED, NEXT = 0, 1
HEADS = ("named", "next")
THING, NOTHING, INSTANCE, PLACE, SOUND, MOMENT = range(6)
"""What is looked for: cells of a class and colour (UNKNOWN: any); the begin of the picture; cells of the item whose middle
lies at x, y; the cell around x, y; sound, or frames and sound, between two TMRoPE ids after the clip's beginning."""
FIELDS = 5  # row, head, what, and two numbers that say which
TIMES_A_SECOND = 2  # of the labels of time
IDS_A_SECOND = 25
TIMES = 24

Row = tuple[int, int, int, int, int]

_BOX = re.compile(r'"bbox_2d":\[(\d+),(\d+),(\d+),(\d+)\],"label":"([^"]*)"')
_TIME = re.compile(r"\b(\d+(?:\.5)?) seconds?\b")
_WORD = re.compile(r"[A-Za-z0-9]+")


@lru_cache(maxsize=1)
def folded() -> np.ndarray:
    """int64 [classes]: the number of each class, arrows of every direction counted as one."""
    numbers = classes()
    first = min(number for name, number in numbers.items() if name.startswith("arrow "))
    return np.array([first if name.startswith("arrow ") else number for name, number in numbers.items()])


@lru_cache(maxsize=1)
def _names() -> tuple[re.Pattern[str], dict[str, int]]:
    """A pattern for all names, with a colour before them or without, and the folded class of each."""
    fold, found = folded(), {}
    for name, number in classes().items():
        if name not in ("background", "text", "bar"):
            noun = "arrow" if name.startswith("arrow ") else name
            for word in (noun, plural(noun)):
                found[word] = int(fold[number])
    longest = sorted(found, key=len, reverse=True)
    colors = "|".join(COLOR_ID)
    return re.compile(rf"\b(?:({colors}) )?({'|'.join(map(re.escape, longest))})\b", re.IGNORECASE), found


class Text:
    """The tokens of a conversation as characters. pieces: one string for each id of the vocabulary, as byte-level BPE
    writes it; what is not text stands as a line end."""

    def __init__(self, ids: Iterable[int], pieces: Sequence[str]) -> None:
        parts = [pieces[i] for i in ids]
        self.ends = np.cumsum([len(part) for part in parts])
        self.string = "".join(parts)

    def token(self, character: int) -> int:
        """The row of the token that holds this character."""
        return int(np.searchsorted(self.ends, character, side="right"))


def pieces_of(tokenizer: Any, size: int) -> list[str]:
    """See `Text`. Control tokens are line ends."""
    known = {int(i) for i in tokenizer.added_tokens_decoder}
    tokens = [None if i in known else tokenizer.convert_ids_to_tokens(i) for i in range(size)]
    return ["\n" if token is None else token.replace("Ġ", " ").replace("Ċ", "\n") for token in tokens]


def guidance(
    text: Text, learned: np.ndarray, cells: np.ndarray, listing: Listing, sounds: Sequence[Mapping[str, Any]] = ()
) -> np.ndarray:
    """Rows to guide, int32 [K, FIELDS].

    learned: bool [n], the tokens of answers; cells: `label_cells` of the conversation's only picture or clip, and listing
    what it was made from; sounds: {"name", "start_sec", "end_sec"} of what a clip's sound holds.
    """
    rows: list[Row] = []
    boxes = list(_BOX.finditer(text.string))
    for found in boxes:
        rows += _of_box(text, found)
    inside = [range(*found.span()) for found in boxes]
    written = len(listing) == 1 and any("character" in item for item in listing[0])
    fold = folded()
    shown = cells[cells[:, 0] > 0]
    there = {(int(fold[kind]), int(color)) for kind, color in shown[:, :2]}
    for first, last, kind, color in _named(text.string) if not written else ():
        if any(first in span for span in inside):
            continue
        here = any(kind == k and color in (c, UNKNOWN) for k, c in there)
        named = text.token(last - 1)
        rows.append((named, NAMED, THING, kind, color) if here else (named, NAMED, NOTHING, 0, 0))
        if learned[text.token(first)] and here:
            rows.append((text.token(first) - 1, NEXT, THING, kind, color))
    for sound in sounds:
        start, end = (int(sound[border] * IDS_A_SECOND) for border in ("start_sec", "end_sec"))
        for found in re.finditer(rf"\b{re.escape(sound['name'])}\b", text.string, re.IGNORECASE):
            rows.append((text.token(found.end() - 1), NAMED, SOUND, start, end))
            if learned[text.token(found.start())]:
                rows.append((text.token(found.start()) - 1, NEXT, SOUND, start, end))
    for found in _TIME.finditer(text.string) if len(listing) > 1 else ():
        if learned[text.token(found.start())]:
            at = float(found.group(1)) * IDS_A_SECOND
            for row in range(text.token(found.start()), text.token(found.end(1) - 1) + 1):
                rows.append((row - 1, NEXT, MOMENT, int(at) + 1 - IDS_A_SECOND, int(at)))
    if written:
        rows += _written(text, learned, listing[0])
    return np.array([row for row in rows if row[0] > 0], np.int32).reshape(-1, FIELDS)


def _named(string: str) -> Iterator[tuple[int, int, int, int]]:
    """First character, end, folded class and colour of every name in a text."""
    pattern, numbers = _names()
    for found in pattern.finditer(string):
        color, name = found.group(1), found.group(2).lower()
        whole = f"{color} {name}".lower() if color else name
        if color and whole in numbers:  # such as a green apple, which is a thing of its own
            yield found.start(), found.end(), numbers[whole], UNKNOWN
        else:
            yield found.start(), found.end(), numbers[name], COLOR_ID[color.lower()] if color else UNKNOWN


def _of_box(text: Text, found: re.Match[str]) -> Iterator[Row]:
    """All tokens of a box's numbers, and the first of its label, come from the thing in the box."""
    left, top, right, bottom = (int(found.group(i)) for i in range(1, 5))
    which = (INSTANCE, round((left + right) / 2), round((top + bottom) / 2))
    for row in range(text.token(found.start(1)), text.token(found.end(4) - 1) + 1):
        yield row - 1, NEXT, *which
    yield text.token(found.start(5)) - 1, NEXT, *which


def _words(items: Sequence[Item]) -> dict[str, list[np.ndarray]]:
    """Every word that is written in the picture, with the boxes of its letters, [letters, 4], each time it stands there."""
    words: dict[str, list[np.ndarray]] = {}
    letters: list[Item] = []

    def close() -> None:
        if letters:
            boxes = np.array([item["box"] for item in letters], float)
            words.setdefault("".join(item["character"] for item in letters), []).append(boxes)
            letters.clear()

    for item in items:
        if "character" not in item:
            continue
        if not item["character"].isalnum():
            close()
            continue
        if letters:
            before, box = letters[-1]["box"], item["box"]
            height = max(before[3] - before[1], box[3] - box[1])
            if not -height < box[0] - before[2] < 0.25 * height:
                close()
        letters.append(item)
    close()
    return words


def _written(text: Text, learned: np.ndarray, items: Sequence[Item]) -> Iterator[Row]:
    """Words that stand in the picture once: where each token of an answer is read, and where a question's word stands."""
    words = _words(items)
    for found in _WORD.finditer(text.string) if words else ():
        places = words.get(found.group(), [])
        if len(places) != 1:
            continue
        boxes = places[0]
        first, last = text.token(found.start()), text.token(found.end() - 1)
        yield last, NAMED, PLACE, *_middle(boxes)
        if not learned[first]:
            continue
        for row in range(first, last + 1):
            begin = max(int(text.ends[row - 1]), found.start()) - found.start()
            yield row - 1, NEXT, PLACE, *_middle(boxes[begin : int(text.ends[row]) - found.start()])


def _middle(boxes: np.ndarray) -> tuple[int, int]:
    """x and y in the middle of all boxes [n, 4]."""
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    x, y = ((low + high) / 2).round().astype(int).tolist()
    return x, y


def times_of(ids: np.ndarray, positions: np.ndarray, video: int, audio: int) -> np.ndarray:
    """TMRoPE ids since the beginning of the conversation's only clip, int32 [n], UNKNOWN for what is no part of it.

    ids: int [n]; positions: int [3, n]; video, audio: the ids that stand for frames and for sound."""
    times = np.full(len(ids), UNKNOWN, np.int32)
    frames = np.flatnonzero(ids == video)
    if len(frames):
        first = int(frames[0])
        outside = np.flatnonzero(~np.isin(ids[first:], (video, audio)))
        part = slice(first, first + int(outside[0]))
        times[part] = positions[0, part] - positions[0, part].min()
    return times

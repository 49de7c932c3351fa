"""What each 28 × 28 pixel cell of a picture shows: the dense labels that teach the vision encoder.

A world lists what it drew as items in `Example.details["items"]`: dicts with "name" (an object, a shape, "text", "bar", or
"background" for the rest), "color" (a name of COLORS or None), "box" (left, top, right, bottom in pixels of the picture as
given) and, for single letters, "character". For clips it is a list of such lists, one for each pair of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from training.canvas import Look
from training.objects import COLORS, SHAPES, things

Item = Mapping[str, Any]
Listing = Sequence[Sequence[Item]]  # of a picture (one) or of each pair of frames
CELL = 28  # pixels: patch × merge
UNKNOWN = -100
FIELDS = (
    8  # class, colour, box (centre x and y from the cell's own, width, height; pixels), rows and columns of the picture
)
HALVES = 2  # letters are labelled for the left and the right half of a cell
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LETTER_LABELS = len(LETTERS) + 1  # the last stands for every other mark
TURNS = ("right", "up", "left", "down")
COLOR_ID = {name: i for i, name in enumerate(COLORS)}
_LETTER_ID = {letter: i for i, letter in enumerate(LETTERS)}


@lru_cache(maxsize=1)
def classes() -> dict[str, int]:
    """The number of every name that an item may have; "background" is 0."""
    arrows = [f"arrow {turn}" for turn in TURNS]
    plain = [shape for shape in SHAPES if shape != "arrow"]
    names = ["background", "text", "bar", *plain, *arrows, *(thing.name for thing in things())]
    assert len(set(names)) == len(names)
    return {name: i for i, name in enumerate(names)}


def item_of(look: Look, box: Sequence[int]) -> dict[str, Any]:
    """One object of a scene; an arrow's direction is part of its name."""
    name = look.thing.name
    if name == "arrow":
        name = f"arrow {TURNS[round(look.turn_deg / 90) % 4]}"
    return {"name": name, "color": look.known_color, "box": tuple(box)}


def scaled_items(items: Sequence[Item], x: float, y: float) -> list[dict[str, Any]]:
    """The same items in a picture whose width and height were multiplied by `x` and `y`."""
    return [
        {**item, "box": tuple(side * factor for side, factor in zip(item["box"], (x, y, x, y), strict=True))}
        for item in items
    ]


def letter_items(text: str, left: float, top: float, face: Any) -> list[dict[str, Any]]:
    """The letters of one line of text that was drawn with its upper left corner at (left, top)."""
    result = []
    for i, letter in enumerate(text):
        if letter != " ":
            box = face.getbbox(letter)
            start = left + face.getlength(text[:i])
            result.append({"character": letter, "box": (start + box[0], top + box[1], start + box[2], top + box[3])})
    return result


def _overlaps(boxes: np.ndarray, left: np.ndarray, top: np.ndarray, width: int) -> np.ndarray:
    """Common area of boxes [n, 4] with rectangles of `width` × CELL at left, top [m]: [n, m] in square pixels."""
    across = np.minimum(boxes[:, None, 2], left + width) - np.maximum(boxes[:, None, 0], left)
    down = np.minimum(boxes[:, None, 3], top + CELL) - np.maximum(boxes[:, None, 1], top)
    return np.clip(across, 0, None) * np.clip(down, 0, None)


def label_cells(items: Sequence[Item] | None, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the cells of a picture of rows × columns cells, row by row, and bit sets of the letters in their halves:
    int16 [rows · columns, FIELDS], int64 [rows · columns, HALVES].

    A cell belongs to the smallest item of which it shows enough: a quarter of the cell or of the item. One with less of
    an item is unknown, all others are background. Where `items` is None everything but the place is unknown.
    """
    count = rows * columns
    labels = np.full((count, FIELDS), UNKNOWN, np.int16)
    letters = np.zeros((count, HALVES), np.int64)
    labels[:, 6:] = rows, columns
    if items is None:
        letters[:] = -1
        return labels, letters
    left, top = np.tile(np.arange(columns), rows) * CELL, np.repeat(np.arange(rows), columns) * CELL
    backdrop = next((item["color"] for item in items if item.get("name") == "background"), None)
    labels[:, 0], labels[:, 1] = 0, COLOR_ID.get(backdrop or "", UNKNOWN)
    found = [item for item in items if item.get("name", "background") != "background"]
    if found:
        boxes = np.array([item["box"] for item in found], float)
        areas = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1.0)
        share = _overlaps(boxes, left, top, CELL) / np.minimum(areas, CELL**2)[:, None]  # [items, cells]
        owner = np.where(share >= 0.25, areas[:, None], np.inf).argmin(0)
        owned = share.max(0) >= 0.25
        names, colors = classes(), np.array([COLOR_ID.get(item["color"], UNKNOWN) for item in found])
        kinds = np.array([names[item["name"]] for item in found])
        middle_x, middle_y = (
            boxes[:, [0, 2]].mean(1)[owner] - left - CELL / 2,
            boxes[:, [1, 3]].mean(1)[owner] - top - CELL / 2,
        )
        sides = (boxes[:, 2:] - boxes[:, :2])[owner]
        whole = np.stack([kinds[owner], colors[owner], middle_x, middle_y, sides[:, 0], sides[:, 1]], 1).round()
        labels[:, :6] = np.where(
            owned[:, None], whole, np.where((share.max(0) > 0.03)[:, None], UNKNOWN, labels[:, :6])
        )
    written = [item for item in items if "character" in item]
    if written:
        boxes = np.array([item["box"] for item in written], float)
        areas = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1.0)
        bits = np.array([1 << _LETTER_ID.get(item["character"], len(LETTERS)) for item in written], np.int64)
        half = CELL // HALVES
        for i in range(HALVES):
            common = _overlaps(boxes, left + i * half, top, half)
            shown = common >= 0.3 * np.minimum(areas, half * CELL)[:, None]  # [letters, cells]
            letters[:, i] = np.bitwise_or.reduce(np.where(shown, bits[:, None], 0), 0)
    return labels, letters

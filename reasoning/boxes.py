"""Boxes and points in a vision model's answer → pixels of the original picture.

Qwen2.5-VL counts in absolute pixels of the picture as the model saw it, after the resize; Qwen2-VL (QVQ) and Qwen3
count on a grid of 0–1000 over the picture.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

Coordinates = Literal["resized", "grid-1000"]
GRID = 1000
_NUMBER = r"-?\d{1,7}(?:\.\d{1,6})?"
_PAIR = rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)"
_KEY = re.compile(r'"(?P<kind>bbox_2d|bbox|point_2d|point)"\s*:\s*\[(?P<numbers>[^\[\]]{1,120})\]')
_LABEL = re.compile(r'"(?:label|text_content|text|name)"\s*:\s*"(?P<label>(?:[^"\\]|\\.){0,400})"')
_TAGGED = re.compile(
    rf"(?:<\|object_ref_start\|>(?P<label>[^<]{{0,200}})<\|object_ref_end\|>)?<\|box_start\|>{_PAIR}\s*,\s*{_PAIR}<\|box_end\|>"
)


@dataclass(frozen=True)
class Size:
    """Pixels of a picture."""

    width: int
    height: int

    def __post_init__(self) -> None:
        assert self.width > 0 and self.height > 0


@dataclass(frozen=True)
class Box:
    """Pixels of the original picture: left, top inclusive, right, bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""


@dataclass(frozen=True)
class Point:
    """A pixel position in the original picture."""

    x: float
    y: float
    label: str = ""


def resized(original: Size, *, factor: int = 28, min_pixels: int, max_pixels: int) -> Size:
    """The size at which the model saw the picture: sides in multiples of `factor` within the pixel budget
    (the rule of Qwen2-VL's image processor)."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    height, width = smart_resize(
        original.height, original.width, factor=factor, min_pixels=min_pixels, max_pixels=max_pixels
    )
    return Size(width, height)


def read_places(text: str, original: Size, coordinates: Coordinates, seen: Size | None = None) -> list[Box | Point]:
    """The boxes and points in an answer, in their order. seen: the resized size, needed for "resized".

    Reads the JSON that the models write, also when it is cut short or wrapped in a fence, and Qwen2-VL's box marks.
    Corners are put in order and clipped to the picture; what has no area inside it is left out.
    """
    if coordinates == "resized":
        assert seen is not None, "absolute coordinates need the size that the model saw"
        scale_x, scale_y = original.width / seen.width, original.height / seen.height
    else:
        scale_x, scale_y = original.width / GRID, original.height / GRID
    places: list[tuple[int, Box | Point]] = []
    for at, label, numbers in _found(text):
        scaled = [number * (scale_y if index % 2 else scale_x) for index, number in enumerate(numbers)]
        place = _place(scaled, label, original)
        if place is not None:
            places.append((at, place))
    if coordinates == "resized":  # the marks count on the grid whatever the model's JSON counts in
        scale_x, scale_y = original.width / GRID, original.height / GRID
    for found in _TAGGED.finditer(text):
        numbers = [float(found.group(index)) for index in range(2, 6)]
        scaled = [number * (scale_y if index % 2 else scale_x) for index, number in enumerate(numbers)]
        place = _place(scaled, (found.group("label") or "").strip(), original)
        if place is not None:
            places.append((found.start(), place))
    return [place for _, place in sorted(places, key=lambda entry: entry[0])]


def _found(text: str) -> list[tuple[int, str, list[float]]]:
    """(position, label, 2 or 4 numbers) of every JSON object with a place; its label may stand before or after."""
    keys = list(_KEY.finditer(text))
    entries = []
    for index, key in enumerate(keys):
        numbers = [float(one) for one in re.findall(_NUMBER, key.group("numbers"))]
        if len(numbers) != (4 if key.group("kind").startswith("bbox") else 2):
            continue
        start = text.rfind("{", keys[index - 1].end() if index else 0, key.start())
        end = text.find("}", key.end())
        around = text[start if start >= 0 else key.start() : end if end >= 0 else len(text)]
        label = _LABEL.search(around)
        entries.append((key.start(), _unescaped(label.group("label")) if label else "", numbers))
    return entries


def _unescaped(text: str) -> str:
    import json

    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _place(numbers: list[float], label: str, size: Size) -> Box | Point | None:
    if not all(map(math.isfinite, numbers)):
        return None
    if len(numbers) == 2:
        x, y = numbers
        inside = 0 <= x <= size.width and 0 <= y <= size.height
        return Point(min(x, size.width - 1), min(y, size.height - 1), label) if inside else None
    left, right = sorted(min(max(value, 0.0), size.width) for value in numbers[::2])
    top, bottom = sorted(min(max(value, 0.0), size.height) for value in numbers[1::2])
    return Box(left, top, right, bottom, label) if right > left and bottom > top else None

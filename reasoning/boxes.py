"""Boxes and points in a vision model's answer → pixels of the original picture.

Qwen2.5-VL counts in absolute pixels of the picture as the model saw it, after the resize; Qwen2-VL (QVQ) and Qwen3
count on a grid of 0–1000 over the picture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

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


@dataclass(frozen=True)
class Sight:
    """How a model sees pictures and counts in them. factor, min_pixels, max_pixels: of its resize."""

    coordinates: Coordinates
    factor: int
    min_pixels: int
    max_pixels: int

    @classmethod
    def of_processor(cls, coordinates: Coordinates, processor: Any) -> Sight:
        """processor: transformers' image processor of Qwen2-VL and its successors."""
        factor = processor.patch_size * processor.merge_size
        return cls(coordinates, factor, processor.size["shortest_edge"], processor.size["longest_edge"])

    def seen(self, original: Size) -> Size:
        """The size at which the model sees the picture: sides in multiples of `factor` within the pixel budget (the
        rule of Qwen2-VL's image processor)."""
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        height, width = smart_resize(
            original.height,
            original.width,
            factor=self.factor,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
        )
        return Size(width, height)

    def places(self, text: str, original: Size) -> list[Box | Point]:
        """The boxes and points in an answer, in their order, in pixels of the original picture.

        Reads the JSON that the models write, also when it is cut short or wrapped in a fence, and Qwen2-VL's box
        marks. Corners are put in order and clipped to the picture; what has no area inside it is left out.
        """
        scale = self._scale(original)
        places = [(at, _place(numbers, scale, label, original)) for at, label, numbers in _found(text)]
        grid = (original.width / GRID, original.height / GRID)  # the marks count on the grid whatever the JSON does
        for found in _TAGGED.finditer(text):
            numbers = [float(found.group(index)) for index in range(2, 6)]
            places.append((found.start(), _place(numbers, grid, (found.group("label") or "").strip(), original)))
        return [place for _, place in sorted(places, key=lambda entry: entry[0]) if place is not None]

    def box(self, corners: Sequence[float], original: Size, label: str = "") -> Box | None:
        """A box of two corners as the model counts them; None without four numbers or an area inside the picture."""
        place = _place(corners, self._scale(original), label, original) if len(corners) == 4 else None
        return place if isinstance(place, Box) else None

    def _scale(self, original: Size) -> tuple[float, float]:
        """Pixels of the original for one step of the model's, across and down."""
        if self.coordinates == "grid-1000":
            return original.width / GRID, original.height / GRID
        seen = self.seen(original)
        return original.width / seen.width, original.height / seen.height


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


def _place(counted: Sequence[float], scale: tuple[float, float], label: str, size: Size) -> Box | Point | None:
    numbers = [number * scale[index % 2] for index, number in enumerate(counted)]
    if not all(map(math.isfinite, numbers)):
        return None
    if len(numbers) == 2:
        x, y = numbers
        inside = 0 <= x <= size.width and 0 <= y <= size.height
        return Point(min(x, size.width - 1), min(y, size.height - 1), label) if inside else None
    left, right = sorted(min(max(value, 0.0), size.width) for value in numbers[::2])
    top, bottom = sorted(min(max(value, 0.0), size.height) for value in numbers[1::2])
    return Box(left, top, right, bottom, label) if right > left and bottom > top else None

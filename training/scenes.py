"""Scenes: which objects, how they look, and where they stand, before anybody asks about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.canvas import Background, Box, Look, background, extent, finish, look_of, paste
from training.cells import item_of
from training.nano import NANO
from training.objects import COLORS, Thing, shapes, things
from training.wording import Size, Split, choose, held_out, in_split

Zone = tuple[int, int]  # row and column of a 3 × 3 grid
ZONES: tuple[Zone, ...] = tuple((row, column) for row in range(3) for column in range(3))
CENTERS = ((0.0, 0.34), (0.44, 0.56), (0.66, 1.0))  # where the centre of an object of each row or column may be
PLACES: dict[Zone, str] = {
    (0, 0): "in the top left", (0, 1): "at the top", (0, 2): "in the top right",
    (1, 0): "on the left", (1, 1): "in the middle", (1, 2): "on the right",
    (2, 0): "in the bottom left", (2, 1): "at the bottom", (2, 2): "in the bottom right",
}  # fmt: skip
SMALLEST = 0.15  # of the shorter side of the picture
SMALLEST_PIXELS = 20  # as the processor resizes the picture


def reduction(size: Size) -> float:
    """How many times longer a side is than what the processor makes of it; 1 where the picture is not made smaller."""
    return max(1.0, math.sqrt(size[0] * size[1] / NANO.image_max_pixels))


@dataclass(frozen=True)
class Item:
    """One object in a scene. zone: where it plainly stands, or None."""

    look: Look
    box: Box
    zone: Zone | None

    @property
    def name(self) -> str:
        return self.look.thing.name

    @property
    def noun(self) -> str:
        return self.look.noun

    @property
    def area(self) -> int:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True)
class Scene:
    """size: (height, width). items are drawn in this order."""

    size: Size
    items: tuple[Item, ...]
    background: Background

    def pixels(self, rng: np.random.Generator, split: Split) -> np.ndarray:
        image = self.background.image.copy()
        for item in self.items:
            paste(image, item.look, item.box)
        return finish(rng, split, image)

    def listing(self) -> list[dict[str, Any]]:
        """Everything that is drawn, as `cells` wants it."""
        height, width = self.size
        backdrop = {"name": "background", "color": self.background.color, "box": (0, 0, width, height)}
        return [backdrop, *(item_of(item.look, item.box) for item in self.items)]

    def reference(self, rng: np.random.Generator, item: Item) -> str:
        """How a person names this object here: shortly where only one has that name."""
        alone = sum(other.name == item.name for other in self.items) == 1
        return item.name if alone and rng.random() < 0.6 else item.noun

    def in_reading_order(self) -> list[Item]:
        """Left to right; those of one column from top to bottom."""
        return sorted(self.items, key=lambda item: (item.zone[1], item.zone[0]) if item.zone else (9, 9))


def random_size(rng: np.random.Generator) -> Size:
    side, stretch = rng.uniform(140, 460), rng.uniform(-0.45, 0.45)
    return round(side * math.exp(stretch)), round(side * math.exp(-stretch))


def random_thing(rng: np.random.Generator, avoid: Sequence[str] = ()) -> Thing:
    """Three in ten are shapes; objects that can be painted come three times as often as others."""
    while True:
        if rng.random() < 0.3:
            thing = choose(rng, shapes())
        else:
            thing = choose(rng, things())
            if not thing.paintable and rng.random() < 0.35:
                continue
        if thing.name not in avoid:
            return thing


def random_looks(rng: np.random.Generator, split: Split, count: int, salt: str = "") -> list[Look]:
    """`count` objects of different names, a combination that belongs to `split`."""
    while True:
        looks: list[Look] = []
        for _ in range(count):
            looks.append(look_of(rng, random_thing(rng, [look.thing.name for look in looks])))
        if in_split("+".join(sorted(look.noun for look in looks)) + salt, split):
            return looks


def another_color(rng: np.random.Generator, color: str | None) -> str:
    return choose(rng, [name for name in COLORS if name != color])


def placed(
    rng: np.random.Generator, size: Size, taken: Sequence[Box], look: Look, zone: Zone | None, low: float, high: float
) -> Box | None:
    """A free box for `look` whose longer side is `low`…`high` of the picture's shorter side, or less where it is tight."""
    height, width = size
    short = min(size)
    smallest = max(SMALLEST * short * 0.85, SMALLEST_PIXELS * reduction(size))
    side = max(rng.uniform(low, high) * short, smallest)
    (top_low, top_high), (left_low, left_high) = (CENTERS[zone[0]], CENTERS[zone[1]]) if zone else ((0, 1), (0, 1))
    margin = 0.015 * short
    for _ in range(14):
        w, h = extent(look, side)
        x_low, x_high = max(left_low * width, w / 2), min(left_high * width, width - w / 2)
        y_low, y_high = max(top_low * height, h / 2), min(top_high * height, height - h / 2)
        if x_low <= x_high and y_low <= y_high:
            for _ in range(3):
                left, top = round(rng.uniform(x_low, x_high) - w / 2), round(rng.uniform(y_low, y_high) - h / 2)
                left, top = min(max(left, 0), width - w), min(max(top, 0), height - h)
                box = (left, top, left + w, top + h)
                if not any(
                    box[0] < b[2] + margin
                    and b[0] < box[2] + margin
                    and box[1] < b[3] + margin
                    and b[1] < box[3] + margin
                    for b in taken
                ):
                    return box
        side *= 0.86
        if side < smallest:
            return None
    return None


def arrange(
    rng: np.random.Generator,
    split: Split,
    size: Size,
    looks: Sequence[Look],
    zones: Sequence[Zone | None],
    sizes: Sequence[tuple[float, float]] | None = None,
    style: str | None = None,
) -> Scene | None:
    """Put each look into its zone (None: anywhere); None where there is no room."""
    high = {1: 0.95, 2: 0.6, 3: 0.45, 4: 0.4}.get(len(looks), 0.32)
    items: list[Item] = []
    for look, zone, (small, large) in zip(looks, zones, sizes or [(SMALLEST, high)] * len(looks), strict=True):
        box = placed(rng, size, [item.box for item in items], look, zone, small, large)
        if box is None:
            return None
        items.append(Item(look, box, zone))
    return Scene(size, tuple(items), background(rng, split, size, looks, style))


def random_zones(rng: np.random.Generator, count: int) -> list[Zone]:
    if count == 1 and rng.random() < 0.5:
        return [(1, 1)]
    if count <= 3 and rng.random() < 0.4:  # a row or a column
        line, places = int(rng.choice((1, 1, 0, 2))), sorted(rng.permutation(3)[:count].tolist())
        rng.shuffle(places)
        return [(line, p) for p in places] if rng.random() < 0.7 else [(p, line) for p in places]
    return [ZONES[i] for i in rng.permutation(9)[:count]]


def random_scene(
    rng: np.random.Generator,
    split: Split,
    size: Size | None,
    counts: Sequence[int] = (1, 2, 2, 3, 3, 4),
    style: str | None = None,
) -> Scene:
    """Different objects, each plainly in a zone of its own."""
    size = size or random_size(rng)
    while True:
        count = choose(rng, counts)
        if count == 0:
            return Scene(size, (), background(rng, split, size, style=style))
        zones = random_zones(rng, count)
        looks = random_looks(rng, split, count, str(zones[0]) if count == 1 else "")
        scene = arrange(rng, split, size, looks, zones, style=style)
        if scene:
            return scene


def twins_scene(rng: np.random.Generator, split: Split, size: Size | None) -> Scene:
    """Two things of one name in different colours, and up to two others."""
    size = size or random_size(rng)
    while True:
        thing = random_thing(rng)
        if not thing.paintable:
            continue
        first = look_of(rng, thing)
        looks = [first, look_of(rng, thing, another_color(rng, first.color))]
        for _ in range(int(rng.integers(3))):
            looks.append(look_of(rng, random_thing(rng, [look.thing.name for look in looks])))
        if held_out("+".join(sorted(look.noun for look in looks))) != (split == "test"):
            continue
        order = rng.permutation(len(looks))
        scene = arrange(rng, split, size, [looks[i] for i in order], random_zones(rng, len(looks)))
        if scene:
            return scene


def counting_scene(rng: np.random.Generator, split: Split, size: Size | None, count: int) -> tuple[Scene, Look]:
    """`count` of one thing, anywhere, among up to three others. Returns the scene and what is to be counted."""
    size = size or random_size(rng)
    while True:
        look = look_of(rng, random_thing(rng))
        if not in_split(f"{count} {look.noun}", split):
            continue
        looks = [
            replace(look, turn_deg=int(rng.choice((0, 0, -10, 10))), mirrored=bool(rng.random() < 0.3))
            for _ in range(count)
        ]
        others = max(int(rng.choice((0, 0, 1, 2, 3))), int(count == 0))
        for _ in range(others):
            if look.thing.paintable and rng.random() < 0.4:
                looks.append(look_of(rng, look.thing, another_color(rng, look.color)))
            else:
                looks.append(look_of(rng, random_thing(rng, [look.thing.name])))
        high = 0.55 if len(looks) <= 3 else 0.36
        low = float(rng.uniform(SMALLEST, 0.7 * high))
        scene = arrange(rng, split, size, looks, [None] * len(looks), [(low, high)] * len(looks))
        if scene:
            return scene, look


def cross_scene(rng: np.random.Generator, split: Split, size: Size | None) -> tuple[Scene, dict[str, Item]]:
    """One object with others straight left, right, above and below of it. Returns the scene and the neighbours of its
    first item by direction."""
    size = size or random_size(rng)
    while True:
        row, column = ZONES[rng.integers(9)]
        options: dict[str, list[Zone]] = {
            "left of": [(row, c) for c in range(column)],
            "right of": [(row, c) for c in range(column + 1, 3)],
            "above": [(r, column) for r in range(row)],
            "below": [(r, column) for r in range(row + 1, 3)],
        }
        directions = [direction for direction, zones in options.items() if zones]
        rng.shuffle(directions)
        directions = directions[: int(rng.integers(1, min(4, len(directions)) + 1))]
        zones = [(row, column), *(choose(rng, options[direction]) for direction in directions)]
        looks = random_looks(rng, split, len(zones))
        scene = arrange(rng, split, size, looks, zones)
        if scene:
            return scene, dict(zip(directions, scene.items[1:], strict=True))


def inside_scene(rng: np.random.Generator, split: Split, size: Size | None) -> Scene:
    """A large shape, a small object inside it, and up to two objects outside."""
    size = size or random_size(rng)
    holders = [
        shape
        for shape in shapes()
        if shape.name in ("circle", "square", "rectangle", "oval", "hexagon", "heart", "diamond")
    ]
    while True:
        holder = look_of(rng, choose(rng, holders), turn_deg=0)
        inner = look_of(rng, random_thing(rng, [holder.thing.name]))
        if (
            inner.known_color == holder.color
            or sum((a - b) ** 2 for a, b in zip(inner.mean, holder.rgb, strict=True)) < 80**2
        ):
            continue
        others = [
            look_of(rng, random_thing(rng, [holder.thing.name, inner.thing.name])) for _ in range(int(rng.integers(3)))
        ]
        names = [look.thing.name for look in others]
        if len(set(names)) < len(names) or not in_split(f"{inner.noun} in {holder.noun}", split):
            continue
        scene = arrange(
            rng, split, size, [holder, *others], [None] * (1 + len(others)), [(0.5, 0.8), *[(0.14, 0.3)] * len(others)]
        )
        if scene is None:
            continue
        left, top, right, bottom = scene.items[0].box
        side = min(right - left, bottom - top) * rng.uniform(0.3, 0.45)
        if side < SMALLEST_PIXELS * reduction(size):
            continue
        width, height = extent(inner, side)
        x = round((left + right - width) / 2 + rng.uniform(-0.06, 0.06) * (right - left))
        y = round((top + bottom - height) / 2 + rng.uniform(-0.06, 0.02) * (bottom - top))
        item = Item(inner, (x, y, x + width, y + height), None)
        return Scene(size, (scene.items[0], item, *scene.items[1:]), scene.background)

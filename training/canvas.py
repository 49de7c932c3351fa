"""Backgrounds, and sprites put on them: the drawing below pictures and clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from training.objects import COLORS, VISIBLE, Thing, glyph_sprite, mean_color, painted_sprite, shape_mask
from training.wording import Split

RGB = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom outside
STYLES = ("plain", "gradient", "texture", "clouds", "photo")
OUTLINED = {"circle", "square", "rectangle", "oval", "pentagon", "hexagon", "diamond"}
POOL_PIXELS = 512
CLEAR_DISTANCE = 105.0  # in RGB, between an object's mean colour and its background
TURNS_DEG = (0, 0, 0, -11, -6, 6, 11)
_SOFTER = [round(128 + (v - 128) * 0.35) for v in range(256)]


@dataclass(frozen=True)
class Look:
    """How one object appears: what it is, its colour, and the details of its drawing."""

    thing: Thing
    color: str | None  # the name of the colour it is painted in
    rgb: RGB
    glyph: str = ""
    turn_deg: int = 0
    mirrored: bool = False
    outline: RGB | None = None

    @property
    def noun(self) -> str:
        """ "red circle", "cat"."""
        return f"{self.color} {self.thing.name}" if self.color else self.thing.name

    @property
    def known_color(self) -> str | None:
        return self.color or self.thing.color

    @property
    def mean(self) -> tuple[float, float, float]:
        return self.rgb if self.color else mean_color(self.glyph)


def jittered(rng: np.random.Generator, color: str, amount: int = 14) -> RGB:
    """A shade of the named colour, near enough that nobody would call it another; grays stay without a tint."""
    r, g, b = COLORS[color]
    p, q, s = rng.integers(-amount, amount + 1, 3).tolist()
    if color in ("black", "gray", "white"):
        q, s = p + q // 7, p + s // 7
    return min(255, max(0, r + p)), min(255, max(0, g + q)), min(255, max(0, b + s))


def look_of(rng: np.random.Generator, thing: Thing, color: str | None = None, turn_deg: int | None = None) -> Look:
    """A random look of `thing`, painted in the named colour or a random one where it is paintable."""
    if thing.paintable:
        color = color or tuple(COLORS)[rng.integers(len(COLORS))]
    rgb = jittered(rng, color) if color else (0, 0, 0)
    if turn_deg is None:
        turn_deg = int(TURNS_DEG[rng.integers(len(TURNS_DEG))])
    if thing.category == "shape":
        outline: RGB | None = None
        if thing.name in OUTLINED and rng.random() < 0.2:
            outline = (20, 20, 20) if sum(rgb) > 250 else (250, 250, 250)
        return Look(thing, color, rgb, turn_deg=turn_deg, outline=outline)
    if color:  # few shades, so that painted sprites are found in the cache again
        rgb = COLORS[color]
    glyph = thing.glyphs[rng.integers(len(thing.glyphs))]
    return Look(thing, color, rgb, glyph, turn_deg, bool(rng.random() < 0.3))


def _tight(sprite: Image.Image, alpha: Image.Image) -> Image.Image:
    return sprite.crop(alpha.point(VISIBLE).getbbox())


@lru_cache(maxsize=1536)  # about 100 MB
def _turned_glyph(glyph: str, rgb: RGB | None, turn_deg: int, mirrored: bool) -> Image.Image:
    sprite = painted_sprite(glyph, rgb) if rgb else glyph_sprite(glyph)
    if mirrored:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if turn_deg:
        sprite = sprite.rotate(turn_deg, Image.Resampling.BILINEAR, expand=True)
    return _tight(sprite, sprite.getchannel("A"))


@lru_cache(maxsize=1024)
def _turned_mask(name: str, turn_deg: int) -> Image.Image:
    mask = shape_mask(name)
    if turn_deg:
        mask = mask.rotate(turn_deg, Image.Resampling.BILINEAR, expand=True)
    return _tight(mask, mask)


def _stencil(look: Look) -> Image.Image:
    if look.thing.category == "shape":
        return _turned_mask(look.thing.name, look.turn_deg)
    return _turned_glyph(look.glyph, look.rgb if look.color else None, look.turn_deg, look.mirrored)


def extent(look: Look, side: float) -> tuple[int, int]:
    """(width, height) in pixels when the longer side measures `side`."""
    width, height = _stencil(look).size
    factor = side / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def paste(image: Image.Image, look: Look, box: Box) -> None:
    """Draw `look` so that it fills `box`."""
    left, top, right, bottom = box
    stencil = _stencil(look).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    if look.thing.category != "shape":
        image.paste(stencil, (left, top), stencil)
        return
    if look.outline:
        image.paste(look.outline, (left, top), stencil)
        rim = max(1, min(stencil.size) // 16)
        if min(stencil.size) > 4 * rim:
            stencil = stencil.resize((stencil.width - 2 * rim, stencil.height - 2 * rim), Image.Resampling.BILINEAR)
            left, top = left + rim, top + rim
    image.paste(look.rgb, (left, top), stencil)


@dataclass(frozen=True)
class Background:
    """style: one of STYLES. color: its name where the whole background has one plain colour."""

    image: Image.Image
    style: str
    color: str | None


@lru_cache(maxsize=4)
def _fields(split: Split) -> tuple[Image.Image, ...]:
    """Smooth random fields with a 1/f spectrum, as photographs have, 8 bit, other ones for each split."""
    rng = np.random.default_rng((7, int(split == "test")))
    frequency = np.hypot(np.fft.fftfreq(POOL_PIXELS)[:, None], np.fft.rfftfreq(POOL_PIXELS)[None])  # [P, P/2+1]
    frequency[0, 0] = 1.0
    fields = []
    for slope in (0.8, 1.0, 1.2, 1.4, 1.7, 2.0):
        spectrum = np.fft.rfft2(rng.standard_normal((POOL_PIXELS, POOL_PIXELS))) / frequency**slope
        spectrum[0, 0] = 0
        field = np.fft.irfft2(spectrum, (POOL_PIXELS, POOL_PIXELS))
        fields.append(Image.fromarray(np.clip(field / field.std() * 50 + 128, 0, 255).astype(np.uint8)))
    return tuple(fields)


@lru_cache(maxsize=8)
def _grain(split: Split, strength: int) -> Image.Image:
    rng = np.random.default_rng((8, int(split == "test"), strength))
    noise = rng.normal(128, strength, (POOL_PIXELS, POOL_PIXELS, 3))
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))


def _crop(rng: np.random.Generator, pool: Image.Image, width: int, height: int) -> Image.Image:
    zoom = max(width, height) / POOL_PIXELS
    zoom = 1.0 if zoom <= 1 else zoom * 1.01
    span_x, span_y = int(width / zoom), int(height / zoom)
    left, top = int(rng.integers(POOL_PIXELS - span_x + 1)), int(rng.integers(POOL_PIXELS - span_y + 1))
    piece = pool.crop((left, top, left + span_x, top + span_y))
    return piece if zoom == 1.0 else piece.resize((width, height), Image.Resampling.BILINEAR)


def _pattern(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Stripes, checks, dots or bricks as a mask."""
    pitch = int(rng.integers(4, 25))
    y, x = np.ogrid[:height, :width]
    kind = rng.integers(6)
    if kind == 0:
        mask = (x + 0 * y) // pitch % 2
    elif kind == 1:
        mask = (y + 0 * x) // pitch % 2
    elif kind == 2:
        mask = (x + y) // pitch % 2
    elif kind == 3:
        mask = (x // pitch + y // pitch) % 2
    elif kind == 4:
        mask = ((x % pitch - pitch // 2) ** 2 + (y % pitch - pitch // 2) ** 2) < (0.3 * pitch) ** 2
    else:
        row = y // pitch
        mask = (y % pitch < max(1, pitch // 8)) | ((x + row % 2 * pitch) % (2 * pitch) < max(1, pitch // 8))
    return Image.fromarray((mask * 255).astype(np.uint8))


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    return math.dist(a, b)


def _backdrop_colors(rng: np.random.Generator, looks: Sequence[Look], count: int) -> list[tuple[str | None, RGB]]:
    """`count` colours that the objects stand out from, with their names where they have one."""
    avoid = [look.mean for look in looks]
    names = {look.known_color for look in looks}
    clear: list[tuple[str | None, RGB]] = []
    spare: list[tuple[float, str | None, RGB]] = []
    while len(clear) < count and len(spare) < 12 + 3 * count:
        dice = rng.random()
        if dice < 0.3:
            level = int(rng.integers(236, 256))
            name, rgb = "white", (level, level, level)
        elif dice < 0.7:
            name = tuple(COLORS)[rng.integers(len(COLORS))]
            rgb = jittered(rng, name)
        else:
            r, g, b = rng.integers(0, 256, 3).tolist()
            name, rgb = None, (r, g, b)
        gap = 0.0 if name in names else min((_distance(rgb, mean) for mean in avoid), default=255.0)
        if gap >= CLEAR_DISTANCE:
            clear.append((name, rgb))
        else:
            spare.append((gap, name, rgb))
    spare.sort(key=lambda option: -option[0])
    return [*clear, *((name, rgb) for _, name, rgb in spare)][:count]


def background(
    rng: np.random.Generator, split: Split, size: tuple[int, int], looks: Sequence[Look] = (), style: str | None = None
) -> Background:
    """A background of (height, width) that the `looks` stand out from."""
    height, width = size
    style = style or STYLES[rng.choice(5, p=(0.42, 0.14, 0.14, 0.15, 0.15))]
    colors = _backdrop_colors(rng, looks, 1 if style == "plain" else 6)
    if style == "plain":
        name, rgb = colors[0]
        return Background(Image.new("RGB", (width, height), rgb), style, name)
    first = colors[0][1]  # the second differs from it, so that nobody would call the background plain
    colors = [colors[0], *sorted(colors[1:], key=lambda color: -_distance(color[1], first))[:3]]
    rgbs = np.array([rgb for _, rgb in colors], np.uint8)
    if style in ("gradient", "photo"):
        corners = Image.fromarray(rgbs.reshape(2, 2, 3))
        image = corners.resize((width, height), Image.Resampling.BILINEAR)
        if style == "photo":
            other = Image.fromarray(rgbs[::-1].reshape(2, 2, 3)).resize((width, height), Image.Resampling.BILINEAR)
            image.paste(other, (0, 0), _crop(rng, _fields(split)[rng.integers(2, 6)], width, height))
            texture = _crop(rng, _fields(split)[rng.integers(0, 3)], width, height)
            soft = texture.point(_SOFTER).convert("RGB")
            image = ImageChops.add(image, soft, 1, -128)
    else:
        mask = _pattern(rng, width, height) if style == "texture" else _crop(
            rng, _fields(split)[rng.integers(6)], width, height
        )  # fmt: skip
        image = Image.new("RGB", (width, height), colors[0][1])
        image.paste(colors[1][1], (0, 0), mask)
    return Background(image, style, None)


def finish(rng: np.random.Generator, split: Split, image: Image.Image) -> np.ndarray:
    """What a camera and a codec do to a picture now and then: light, grain, blur, JPEG. Returns uint8 [H, W, 3]."""
    dice = rng.random(4)
    if dice[0] < 0.25:
        gain, lift = rng.uniform(0.88, 1.08), rng.uniform(-10, 10)
        image = image.point([int(min(255, max(0, v * gain + lift))) for v in range(256)] * 3)
    if dice[1] < 0.08:
        image = image.filter(ImageFilter.BoxBlur(0.7))
    if dice[2] < 0.25:
        image = ImageChops.add(image, _crop(rng, _grain(split, int(rng.choice((3, 6, 10, 15)))), *image.size), 1, -128)
    if dice[3] < 0.2:
        memory = BytesIO()
        image.save(memory, "JPEG", quality=int(rng.integers(45, 95)))
        image = Image.open(memory).convert("RGB")
    return np.array(image)

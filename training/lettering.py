"""Printed words and short lines to read, in many fonts; some fonts are kept for tests."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.canvas import background, finish, jittered
from training.cells import letter_items
from training.lexicon import digits, first_name, lexicon, place, topic, word
from training.objects import COLORS, debian_file
from training.scenes import random_size, reduction
from training.wording import Question, Size, Split, choose, choose_in, phrase

Rng = np.random.Generator
_TRAIN_FONTS = """
truetype/dejavu/DejaVuSans.ttf truetype/dejavu/DejaVuSans-Bold.ttf truetype/dejavu/DejaVuSerif.ttf truetype/dejavu/DejaVuSerif-Bold.ttf
truetype/dejavu/DejaVuSansMono.ttf truetype/dejavu/DejaVuSansCondensed.ttf truetype/liberation/LiberationSans-Regular.ttf
truetype/liberation/LiberationSans-Bold.ttf truetype/liberation/LiberationSans-Italic.ttf truetype/liberation/LiberationSerif-Regular.ttf
truetype/liberation/LiberationSerif-Bold.ttf truetype/liberation/LiberationSerif-Italic.ttf truetype/liberation/LiberationMono-Regular.ttf
truetype/liberation/LiberationSansNarrow-Regular.ttf truetype/freefont/FreeSans.ttf truetype/freefont/FreeSansBold.ttf
truetype/freefont/FreeSerif.ttf truetype/freefont/FreeSerifBold.ttf truetype/freefont/FreeMonoBold.ttf
truetype/open-sans/OpenSans-Regular.ttf truetype/open-sans/OpenSans-Bold.ttf truetype/lato/Lato-Regular.ttf truetype/lato/Lato-Bold.ttf
truetype/crosextra/Caladea-Regular.ttf truetype/inconsolata/Inconsolata.otf opentype/comic-neue/ComicNeue-Regular.otf
opentype/comic-neue/ComicNeue-Bold.otf opentype/cabin/Cabin-Regular.otf opentype/cabin/Cabin-Bold.otf
opentype/ebgaramond/EBGaramond12-Regular.otf opentype/quattrocento/Quattrocento-Regular.otf
"""
_TEST_FONTS = """
truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf truetype/roboto/unhinted/RobotoTTF/Roboto-Bold.ttf
truetype/crosextra/Carlito-Regular.ttf truetype/crosextra/Carlito-Bold.ttf truetype/fanwood/FanwoodText.otf
"""
FONTS: dict[Split, tuple[str, ...]] = {"train": tuple(_TRAIN_FONTS.split()), "test": tuple(_TEST_FONTS.split())}
SIGNS = (
    "STOP EXIT OPEN CLOSED PUSH PULL SALE ENTRANCE DANGER PARKING TAXI HOTEL CAFE BANK POLICE HOSPITAL TOILET LIFT STAIRS WELCOME "
    "CAUTION WARNING FRAGILE FREE NEW HELP INFO MENU START FINISH NORTH SOUTH EAST WEST OFFICE SCHOOL LIBRARY MUSEUM BAKERY PIZZA"
).split()
SMALLEST_FONT_PIXELS = 15  # as the processor resizes the picture


@lru_cache(maxsize=2048)
def font(path: str, pixels: int) -> ImageFont.FreeTypeFont:
    """path: below /usr/share/fonts."""
    return ImageFont.truetype(str(debian_file(f"usr/share/fonts/{path}")), pixels, layout_engine=ImageFont.Layout.BASIC)


def random_font(rng: Rng, split: Split) -> str:
    return choose(rng, FONTS[split])


def _in_some_case(rng: Rng, text: str) -> str:
    return choose(rng, (text, text, text.upper(), text.title(), text.capitalize()))


def a_word(rng: Rng, split: Split) -> str:
    """A word, a name, a number or a sign."""
    kind = int(rng.choice(6, p=(0.42, 0.2, 0.1, 0.08, 0.12, 0.08)))
    if kind == 0:
        return _in_some_case(rng, word(rng, split))
    if kind == 1:
        return _in_some_case(rng, topic(rng, split).split()[0])
    if kind == 2:
        return _in_some_case(rng, first_name(rng, split))
    if kind == 3:
        return _in_some_case(rng, place(rng, split).split()[0])
    if kind == 4:
        return digits(rng, split, 2, 6)
    return choose(rng, SIGNS)


def a_line(rng: Rng, split: Split) -> str:
    """A short line of two to five words."""
    kind = int(rng.integers(8))
    number, name = digits(rng, split, 1, 4), first_name(rng, split)
    if kind <= 1:
        words = choose_in(rng, lexicon().definitions, split).split()
        start = int(rng.integers(max(1, len(words) - 3)))
        return _in_some_case(rng, " ".join(words[start : start + int(rng.integers(2, 6))]))
    if kind <= 3:
        return _in_some_case(rng, " ".join(a_word(rng, split) for _ in range(int(rng.integers(2, 4)))))
    if kind == 4:
        return choose(rng, (f"Room {number}", f"Bus {number}", f"Gate {number}", f"Page {number}", f"Exit {number}", f"Platform {number}",
                            f"Price ${number}", f"Total: {number}", f"Call {digits(rng, split, 5, 6)}", f"Since {number}", f"No. {number}"))  # fmt: skip
    if kind == 5:
        return choose(rng, (f"Hello {name}!", f"Dear {name},", f"Happy birthday, {name}!", f"{name}'s {topic(rng, split)}", f"Meet {name} here",
                            f"By {name}", f"Welcome, {name}", f"Love, {name}"))  # fmt: skip
    if kind == 6:
        return choose(rng, (f"{topic(rng, split).title()} - ${number}", f"{number} {topic(rng, split)}", f"No {topic(rng, split)}!",
                            f"{topic(rng, split)} for sale", f"Fresh {topic(rng, split)}", f"To {place(rng, split)}", f"Visit {place(rng, split)}",
                            f"{rng.integers(1, 13)}:{rng.integers(10, 60)}", f"{rng.integers(1, 100)}% off", f"Open {rng.integers(1, 12)}-{rng.integers(1, 12)}"))  # fmt: skip
    return f"{choose(rng, SIGNS)} {choose(rng, SIGNS)}"


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str] | None:
    """`text` in lines no wider than `width` pixels, or None where a word is wider."""
    lines: list[str] = []
    for part in text.split():
        if face.getlength(part) > width:
            return None
        if lines and face.getlength(f"{lines[-1]} {part}") <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return lines


def _contrasting(rng: Rng, color: str) -> str:
    """A colour in which text on `color` is easy to read."""

    def lightness(name: str) -> float:
        r, g, b = COLORS[name]
        return 0.3 * r + 0.59 * g + 0.11 * b

    return choose(rng, [name for name in COLORS if abs(lightness(name) - lightness(color)) > 85])


def _around(letters: list[dict[str, Any]]) -> tuple[float, ...]:
    boxes = np.array([letter["box"] for letter in letters])
    return (*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist())


def _turned(item: dict[str, Any], turn_deg: float, size: Size) -> dict[str, Any]:
    """The item where it lies after the picture was turned a little around its middle, anticlockwise."""
    left, top, right, bottom = item["box"]
    x, y = (left + right - size[1]) / 2, (top + bottom - size[0]) / 2
    cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    dx, dy = x * cos + y * sin - x, y * cos - x * sin - y
    return {**item, "box": (left + dx, top + dy, right + dx, bottom + dy)}


def reading(kind: str, rng: Rng, split: Split, size: Size | None) -> tuple[np.ndarray, Question]:
    """A picture with text, uint8 [H, W, 3], and the question for it. kind: "read_word" or "read_line"."""
    height, width = size = size or random_size(rng)
    text_of = a_word if kind == "read_word" else a_line
    path = random_font(rng, split)
    least = round(SMALLEST_FONT_PIXELS * reduction(size))
    while True:
        text = text_of(rng, split)
        lines: list[str] | None = None
        room = 0.94 * width
        pixels = int(min(0.45 * height, 120))
        while lines is None or len(lines) * pixels * 1.25 > 0.94 * height:
            face = font(path, pixels)
            lines = wrapped(text, face, room)
            pixels = int(pixels * 0.88) if lines is None or len(lines) * pixels * 1.25 > 0.94 * height else pixels
            if pixels < least:
                break
        if pixels >= least and lines:
            break
    smallest = max(least, int(pixels * 0.45))
    pixels = int(rng.integers(smallest, pixels + 1))
    face = font(path, pixels)
    lines = wrapped(text, face, room) or [text]
    paper, ink = choose(rng, tuple(COLORS)), "black"
    if rng.random() < 0.4:
        paper, ink = choose(
            rng, (("white", "black"), ("white", "blue"), ("black", "white"), ("yellow", "black"), ("white", "red"))
        )
    else:
        ink = _contrasting(rng, paper)
    if rng.random() < 0.65:
        image = Image.new("RGB", (width, height), jittered(rng, paper, 8))
        panel = False
    else:
        image = background(rng, split, size).image.copy()
        panel = True
    step = pixels * rng.uniform(1.1, 1.25)
    block_width = max(face.getlength(line) for line in lines)
    block_height = step * len(lines)
    left = rng.uniform(0.02 * width, max(0.02 * width, 0.98 * width - block_width))
    top = rng.uniform(0.02 * height, max(0.02 * height, 0.98 * height - block_height))
    draw = ImageDraw.Draw(image)
    if panel:
        edge = 0.2 * pixels
        draw.rectangle(
            (left - edge, top - edge, left + block_width + edge, top + block_height + edge),
            fill=jittered(rng, paper, 8),
        )
    rgb = jittered(rng, ink, 8)
    centred = rng.random() < 0.5
    items: list[dict[str, Any]] = [
        {"name": "background", "color": None if panel else paper, "box": (0, 0, width, height)}
    ]
    for i, line in enumerate(lines):
        shift = (block_width - face.getlength(line)) / 2 if centred else 0.0
        draw.text((left + shift, top + i * step), line, font=face, fill=rgb)
        letters = letter_items(line, left + shift, top + i * step, face)
        items += [{"name": "text", "color": ink, "box": _around(letters)}, *letters]
    if rng.random() < 0.15 and not panel:
        turn_deg = float(rng.uniform(-3, 3))
        image = image.rotate(turn_deg, Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0)))
        items = [items[0], *(_turned(item, turn_deg, size) for item in items[1:])]
    details = {"text": text, "size": size, "font": path, "items": items}
    if rng.random() < 0.06:
        question = phrase(
            rng,
            split,
            (
                "What color is the text?",
                "What color are the letters?",
                "Which color does the writing have?",
                "In which color is it written?",
            ),
        )
        return finish(rng, split, image), Question(question, f"The text is {ink}.", details={**details, "color": ink})
    if rng.random() < 0.08:
        question = phrase(
            rng, split, ("What is in the picture?", "What do you see?", "What is this?", "What does the picture show?")
        )
        return finish(rng, split, image), Question(
            question, f"I see the text {text}.", details={**details, "text": f"I see the text {text}."}
        )
    question = phrase(rng, split, (
        "What does it say?", "Read the text.", "What is written here?", "What does this say?", "Read this.", "Can you read this?",
        "What does the sign say?", "What text do you see?", "Please read it to me.", "What is the text in the picture?", "Read it aloud.",
        "What can you read?", "Transcribe the text.", "What do you read here?", "What is written in the picture?", "Read the writing.",
        "What words are there?", "Tell me what is written here.", "Spell out the text.", "Which words do you see?", "OCR.",
        *(("What word is this?", "Which word is this?", "Read the word.", "What is the word?") if kind == "read_word" else ()),
    ))  # fmt: skip
    return finish(rng, split, image), Question(question, text, details=details)

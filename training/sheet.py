"""Contact sheets: examples drawn with their questions and answers, for people to look at."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from multimodal.media import Picture, VideoClip
from training.objects import debian_file
from training.wording import Split

LINE_PIXELS = 13


def _caption(sheet: Image.Image, place: tuple[int, int], lines: Sequence[str]) -> None:
    font = ImageFont.truetype(str(debian_file("usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")), 12)
    for row, line in enumerate(lines):
        ImageDraw.Draw(sheet).text((place[0], place[1] + LINE_PIXELS * row), line, fill=(0, 0, 0), font=font)


def draw_pictures(path: Path, kinds: Sequence[str], split: Split, first_seed: int) -> None:
    """24 examples in a grid; boxes of `details` are drawn in."""
    from training.examples import sample

    side, text_height = 260, 110
    sheet = Image.new("RGB", (6 * side, 4 * (side + text_height)), (235, 235, 235))
    for i in range(24):
        example = sample(kinds[i % len(kinds)], first_seed + i, split)
        x, y = i % 6 * side, i // 6 * (side + text_height)
        lines = [example.kind]
        for turn in example.turns:
            for part in turn.content:
                if isinstance(part, Picture):
                    image = Image.fromarray(part.pixels)
                    for box in example.details.get("boxes", ()):
                        ImageDraw.Draw(image).rectangle(box, outline=(255, 0, 255))
                    image.thumbnail((side - 8, side - 8))
                    sheet.paste(image, (x + 4, y + 4))
                elif isinstance(part, str):
                    lines += textwrap.wrap(f"{'Q' if turn.role == 'user' else 'A'}: {part}", 40)
        _caption(sheet, (x + 4, y + side), lines[:8])
    sheet.save(path)


def draw_strips(path: Path, kinds: Sequence[str], split: Split, first_seed: int) -> None:
    """Fourteen clips as film strips; red under a frame marks sound. Words are stood in for by hums of their length."""
    from training.examples import sample

    cell, rows = 78, 14
    sheet = Image.new("RGB", (20 * cell, rows * (cell + 44)), (235, 235, 235))
    for row in range(rows):
        example = sample(kinds[row % len(kinds)], first_seed + row, split, speak=hum)
        y = row * (cell + 44)
        clip = next(part for part in example.turns[0].content if isinstance(part, VideoClip))
        words = [part for turn in example.turns for part in turn.content if isinstance(part, str)]
        for i, frame in enumerate(clip.frames):
            image = Image.fromarray(frame)
            image.thumbnail((cell - 4, cell - 4))
            sheet.paste(image, (i * cell, y))
            if clip.audio is not None:
                half = clip.audio.rate_hz // 2
                heard = np.abs(clip.audio.samples[i * half : (i + 1) * half].reshape(40, -1)).max(1) > 0.05
                for k in np.flatnonzero(heard).tolist():
                    left = i * cell + k * cell // 40
                    sheet.paste((220, 0, 0), (left, y + cell - 3, left + 2, y + cell + 1))
        _caption(sheet, (4, y + cell + 2), [f"{example.kind}: {'  |  '.join(words)}", str(example.details)])
    sheet.save(path)


def hum(text: str) -> np.ndarray:
    """A sound about as long as `text` spoken, float32 [N] at 16 kHz, where no synthesizer is at hand."""
    count = int((0.1 + 0.08 * len(text)) * 16_000)
    return (0.3 * np.sin(2 * np.pi * (110 + 5 * len(text)) * np.arange(count) / 16_000)).astype(np.float32)


def run(description: str, draw: Callable[[Path, Sequence[str], Split, int], None], kinds: Sequence[str]) -> None:
    """The command line of a module that draws its sheet."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sheet", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--kind", action="append", help=f"repeats; default: {', '.join(kinds)}")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw(chosen.sheet, chosen.kind or list(kinds), chosen.split, chosen.seed)

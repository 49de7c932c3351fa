"""Bar charts, and questions about their labels and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.canvas import finish, jittered
from training.cells import letter_items
from training.lettering import font, random_font
from training.lexicon import digits, first_name, place, topic
from training.objects import COLORS
from training.wording import NUMBERS, Question, Size, Split, choose, listed, phrase

Rng = np.random.Generator
SMALLEST_FONT_PIXELS = 12
SERIES = (
    "Mon Tue Wed Thu Fri Sat Sun".split(),
    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
    "A B C D E F G".split(),
    "red blue green yellow orange purple pink brown".split(),
    "cats dogs birds fish cows pigs horses sheep".split(),
    "apples pears plums lemons grapes melons".split(),
    "2019 2020 2021 2022 2023 2024 2025".split(),
    "Q1 Q2 Q3 Q4".split(),
    "tea coffee milk water juice wine beer".split(),
    "cars buses trains bikes planes boats".split(),
)


@dataclass(frozen=True)
class Chart:
    labels: tuple[str, ...]
    values: tuple[int, ...]
    colors: tuple[str, ...]
    title: str
    sideways: bool
    printed: bool  # values stand at the bars; else they are read off the axis
    step: int  # between the axis marks


def _labels(rng: Rng, split: Split, count: int) -> tuple[str, ...]:
    dice = rng.random()
    if dice < 0.55:
        series = choose(rng, [series for series in SERIES if len(series) >= count])
        start = int(rng.integers(len(series) - count + 1))
        return tuple(series[start : start + count])
    labels: dict[str, None] = {}
    while len(labels) < count:
        label = (
            first_name(rng, split)
            if dice < 0.75
            else place(rng, split).split()[0]
            if dice < 0.85
            else topic(rng, split).split()[0]
        )
        if 2 <= len(label) <= 7:
            labels[label] = None
    return tuple(labels)


def random_chart(rng: Rng, split: Split, most_bars: int) -> Chart:
    """Two or more bars of different heights; the numbers of the test split do not occur in training."""
    count = int(rng.integers(2, most_bars + 1))
    printed = bool(rng.random() < 0.6)
    step = int(choose(rng, (1, 2, 5, 10, 20)))
    while True:
        most = int(choose(rng, (10, 20, 50, 100)))
        values = [int(digits(rng, split, 1, 3)) % (most + 1) for _ in range(count)] if printed else [
            step * int(v) for v in rng.integers(1, 6, count)
        ]  # fmt: skip
        ranked = sorted(values)
        if min(values) > 0 and ranked[-1] != ranked[-2] and ranked[0] != ranked[1]:
            break
    names = [color for color in COLORS if color != "white"]
    colors = (
        [names[i] for i in rng.permutation(len(names))[:count]] if rng.random() < 0.5 else [choose(rng, names)] * count
    )
    title = choose(
        rng,
        (
            "",
            "",
            topic(rng, split).capitalize(),
            f"{topic(rng, split).capitalize()} {rng.integers(1990, 2031)}",
            "Sales",
            "Results",
        ),
    )
    return Chart(
        _labels(rng, split, count), tuple(values), tuple(colors), title, bool(rng.random() < 0.25), printed, step
    )


def draw_chart(rng: Rng, split: Split, chart: Chart, size: Size) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The picture, uint8 [H, W, 3], and its bars and letters as items of `cells`."""
    height, width = size
    items: list[dict[str, Any]] = [{"name": "background", "color": "white", "box": (0, 0, width, height)}]
    image = Image.new("RGB", (width, height), (255, 255, 255) if rng.random() < 0.7 else jittered(rng, "white", 8))
    draw = ImageDraw.Draw(image)

    def write(x: float, y: float, text: str, anchor: str) -> None:
        draw.text((x, y), text, font=face, fill=(0, 0, 0), anchor=anchor)
        ahead = {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * face.getlength(text)
        items.extend(letter_items(text, x - ahead, y - sum(face.getmetrics()) / 2, face))

    face = _fitting_font(rng, split, chart, size)
    line = face.size * 1.2
    top = line * 1.4 if chart.title else line * 0.4
    if chart.title:
        write(width / 2, line * 0.7, chart.title, "mm")
    peak = max(chart.values)
    limit = peak if chart.printed else -(-peak // chart.step) * chart.step
    room = (
        max(face.getlength(label) for label in chart.labels)
        if chart.sideways
        else 0
        if chart.printed
        else face.getlength(str(limit))
    )
    left, bottom = room + 8, height - line - 4
    if chart.sideways:
        right = width - (face.getlength(str(peak)) + 8 if chart.printed else face.getlength(str(limit)) / 2 + 4)
        bottom = height - (4 if chart.printed else line + 2)
    else:
        right = width - 4
        top += line if chart.printed else 0
    shades = {color: jittered(rng, color) for color in chart.colors}
    pitch = (bottom - top if chart.sideways else right - left) / len(chart.values)
    thick = pitch * rng.uniform(0.5, 0.8)
    if not chart.printed:
        for mark in range(0, limit + 1, chart.step):
            if chart.sideways:
                x = left + (right - left) * mark / limit
                draw.line((x, top, x, bottom), fill=(190, 190, 190))
                write(x, bottom + line / 2, str(mark), "mm")
            else:
                y = bottom - (bottom - top) * mark / limit
                draw.line((left, y, right, y), fill=(190, 190, 190))
                write(left - 4, y, str(mark), "rm")
    for i, (label, value, color) in enumerate(zip(chart.labels, chart.values, chart.colors, strict=True)):
        if chart.sideways:
            y = top + pitch * (i + 0.5)
            end = left + (right - left) * value / limit
            box = (left, y - thick / 2, end, y + thick / 2)
            draw.rectangle(box, fill=shades[color])
            write(left - 4, y, label, "rm")
            if chart.printed:
                write(end + 3, y, str(value), "lm")
        else:
            x = left + pitch * (i + 0.5)
            end = bottom - (bottom - top) * value / limit
            box = (x - thick / 2, end, x + thick / 2, bottom)
            draw.rectangle(box, fill=shades[color])
            write(x, bottom + 2 + line / 2, label, "mm")
            if chart.printed:
                write(x, end - line / 2, str(value), "mm")
        items.append({"name": "bar", "color": color, "box": box})
    draw.line((left, top, left, bottom), fill=(0, 0, 0), width=2)
    draw.line((left, bottom, right, bottom), fill=(0, 0, 0), width=2)
    return finish(rng, split, image), items


def _fitting_font(rng: Rng, split: Split, chart: Chart, size: Size) -> ImageFont.FreeTypeFont:
    """The largest of a few sizes at which the labels stand side by side."""
    path = random_font(rng, split)
    height, width = size
    pixels = max(SMALLEST_FONT_PIXELS, min(size) // 12)
    while pixels > SMALLEST_FONT_PIXELS:
        face = font(path, pixels)
        longest = max(face.getlength(label) for label in chart.labels)
        if (
            (longest < 0.3 * width and pixels * 1.3 * len(chart.labels) < 0.8 * height)
            if chart.sideways
            else (longest * 1.08 * len(chart.labels) < 0.88 * width)
        ):
            break
        pixels -= 1
    return font(path, pixels)


def chart_question(rng: Rng, split: Split, size: Size | None) -> tuple[np.ndarray, Question]:
    """A chart, uint8 [H, W, 3], and a question about it."""
    size = size or (int(rng.integers(190, 380)), int(rng.integers(220, 440)))
    chart = random_chart(rng, split, 3 if min(size) < 150 else 4 if min(size) < 220 else 6)
    pixels, items = draw_chart(rng, split, chart, size)
    question = _question(rng, split, chart)
    details = {"labels": chart.labels, "values": chart.values, "title": chart.title, "size": size, "items": items}
    return pixels, Question(question.text, question.answer, question.others, details)


def _question(rng: Rng, split: Split, chart: Chart) -> Question:
    i = int(rng.integers(len(chart.labels)))
    label, value = chart.labels[i], chart.values[i]
    kind = int(rng.choice(8, p=(0.34, 0.12, 0.1, 0.08, 0.1, 0.14, 0.08, 0.04)))
    if kind == 0:
        return Question(phrase(rng, split, (
            f"What is the value of {label}?", f"How much is {label}?", f"Which value does {label} have?", f"What number does {label} have?",
            f"What is the number for {label}?", f"How high is {label}?", f"What value is shown for {label}?", f"Read the value of {label}.",
        )), f"The value of {label} is {value}.")  # fmt: skip
    if kind in (1, 2):
        words = ("highest", "largest", "tallest", "biggest") if kind == 1 else ("lowest", "smallest", "shortest")
        value = max(chart.values) if kind == 1 else min(chart.values)
        label, end = chart.labels[chart.values.index(value)], choose(rng, words)
        text = phrase(rng, split, (f"Which bar is the {end}?", f"What is the {end} bar?", f"Which one is the {end}?", f"Which label has the {end} bar?",
                                   f"Which bar has the {end} value?", f"What has the {end} value?"))  # fmt: skip
        return Question(text, f"{label} is the {words[0]}, with {value}.")
    if kind == 3:
        text = phrase(
            rng,
            split,
            (
                "How many bars are there?",
                "Count the bars.",
                "How many bars does the chart have?",
                "How many bars do you see?",
            ),
        )
        return Question(text, f"There are {NUMBERS[len(chart.labels)]} bars.")
    if kind == 4:
        other = chart.labels[(i + 1) % len(chart.labels)]
        if value == chart.values[(i + 1) % len(chart.labels)]:
            return _question(rng, split, chart)
        truth = "higher" if value > chart.values[(i + 1) % len(chart.labels)] else "lower"
        asked = choose(rng, ("higher", "lower"))
        text = phrase(
            rng, split, (f"Is {label} {asked} than {other}?", f"Is the bar of {label} {asked} than the bar of {other}?")
        )
        return Question(text, f"{'Yes' if asked == truth else 'No'}, {label} is {truth} than {other}.")
    if kind == 5:
        text = phrase(rng, split, ("Read the chart.", "What are the values?", "List all values.", "What does the chart show?", "Tell me all the values.",
                                   "Describe the chart.", "List the bars with their values."))  # fmt: skip
        return Question(text, f"{listed([f'{a}: {b}' for a, b in zip(chart.labels, chart.values, strict=True)])}.")
    if kind == 6 and chart.title:
        return Question(
            phrase(
                rng,
                split,
                (
                    "What is the title?",
                    "What is the title of the chart?",
                    "Read the title.",
                    "What is the chart called?",
                ),
            ),
            chart.title,
        )
    if len(set(chart.colors)) > 1:
        text = phrase(
            rng,
            split,
            (f"What color is the bar of {label}?", f"Which color has {label}?", f"What is the color of {label}?"),
        )
        return Question(text, f"The bar of {label} is {chart.colors[i]}.")
    return Question(
        phrase(
            rng,
            split,
            ("What kind of picture is this?", "What is this?", "What kind of chart is this?", "What do you see?"),
        ),
        "It is a bar chart.",
    )

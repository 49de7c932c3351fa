"""What the built-in model says about clips whose content is known: the right objects, at the right times.

The model tells colours, shapes and their order; it does not time well what happens inside a window, so times come from
the windows: one a second, or one a scene.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.analysis.answerer import ThinkerAnswerer
from app.analysis.options import AnalysisOptions
from multimodal.checkpoint import BUILT_IN, load
from tests.media_files import write_video
from tests.test_analysis import done

COLORS = {"red": (214, 32, 36), "blue": (40, 90, 220), "yellow": (250, 220, 40), "green": (40, 160, 60),
          "purple": (130, 50, 175), "orange": (245, 138, 18), "black": (18, 18, 20)}  # fmt: skip
FPS = 10
Shown = tuple[str, float]  # what, for how many seconds

pytestmark = pytest.mark.skipif(
    not (BUILT_IN / "omni-nano" / "config.json").is_file(), reason="models/omni-nano is not in this tree"
)

CLIPS: list[list[Shown]] = [
    [("yellow circle", 3), ("purple square", 4), ("black triangle", 4)],
    [("red square", 4), ("green square", 3), ("orange triangle", 4)],
    [("orange triangle", 2), ("blue triangle", 3), ("black square", 2)],
]


@pytest.fixture(scope="module")
def nano() -> ThinkerAnswerer:
    return ThinkerAnswerer(load("omni-nano", speech=False))


@pytest.fixture(scope="module", params=range(len(CLIPS)), ids=lambda n: CLIPS[n][0][0].replace(" ", "-"))
def shapes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Shown]]:
    """A clip of shapes, one after another, and what it shows."""
    shown = CLIPS[request.param]
    pictures, ends = [drawn(what) for what, _ in shown], np.cumsum([seconds for _, seconds in shown])
    path = tmp_path_factory.mktemp("shapes") / "shapes.mp4"
    number = round(ends[-1] * FPS)
    draw = lambda n, height, width: pictures[int(np.searchsorted(ends, n / FPS + 1e-6, side="right"))]  # noqa: E731
    return write_video(path, number, FPS, (168, 168), draw=draw), shown


def drawn(what: str, side: int = 168) -> np.ndarray:
    color, shape = what.split()
    picture = Image.new("RGB", (side, side), (225, 220, 210))
    brush, low = ImageDraw.Draw(picture), round(0.22 * side)
    high = side - low
    if shape == "circle":
        brush.ellipse((low, low, high, high), fill=COLORS[color])
    elif shape == "square":
        brush.rectangle((low, low, high, high), fill=COLORS[color])
    else:
        brush.polygon([(side // 2, low), (low, high), (high, high)], fill=COLORS[color])
    return np.asarray(picture)


def colors_in(text: str) -> list[str]:
    """The colours of objects that a text names; the background's is left out."""
    objects = re.sub(r"The background is \w+\.", "", text)
    return [word for word in re.findall(r"[a-z]+", objects.lower()) if word in COLORS]


def told_runs(segments: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    """Neighbouring segments that name the same colour as one: (colour, start, end)."""
    runs: list[tuple[str, float, float]] = []
    for segment in segments:
        named = set(colors_in(segment["text"]))
        assert len(named) == 1, segment
        color = named.pop()
        if runs and runs[-1][0] == color:
            runs[-1] = (color, runs[-1][1], segment["end_sec"])
        else:
            runs.append((color, segment["start_sec"], segment["end_sec"]))
    return runs


def true_runs(shown: list[Shown]) -> list[tuple[str, float, float]]:
    ends = np.cumsum([seconds for _, seconds in shown]).tolist()
    return [(what.split()[0], end - seconds, end) for (what, seconds), end in zip(shown, ends)]


def assert_runs(found: list[tuple[str, float, float]], shown: list[Shown], within_sec: float) -> None:
    expected = true_runs(shown)
    assert [run[0] for run in found] == [run[0] for run in expected], found
    np.testing.assert_allclose([run[1:] for run in found], [run[1:] for run in expected], atol=within_sec)


def test_what_is_shown_when_is_told_within_half_a_second(
    nano: ThinkerAnswerer, shapes: tuple[Path, list[Shown]]
) -> None:
    path, shown = shapes
    options = AnalysisOptions(task="caption", prompt="What is shown?", window=1.0, max_tokens=32)
    assert_runs(told_runs(done(path, options, nano)["segments"]), shown, 0.5)


def test_what_is_seen_in_two_windows_at_a_seam_is_told_once(
    nano: ThinkerAnswerer, shapes: tuple[Path, list[Shown]]
) -> None:
    path, shown = shapes
    options = AnalysisOptions(task="events", prompt="What is shown?", window=1.0, overlap=0.25, max_tokens=32)
    segments = done(path, options, nano)["segments"]
    texts = [segment["text"] for segment in segments]
    assert len(set(texts)) == len(texts), "what two windows see is one event"
    assert [run[0] for run in told_runs(segments)] == [what.split()[0] for what, _ in shown], segments


def test_each_scene_is_described_by_what_it_shows(nano: ThinkerAnswerer, shapes: tuple[Path, list[Shown]]) -> None:
    path, shown = shapes
    record = done(path, AnalysisOptions(task="caption", window="scenes", max_tokens=48), nano)
    assert_runs(told_runs(record["segments"]), shown, 0.05)
    for segment, (what, _) in zip(record["segments"], shown, strict=True):
        assert what.split()[1] in segment["text"]


@pytest.mark.parametrize("end", ["first", "last"])
def test_a_question_about_a_whole_clip_is_answered(
    nano: ThinkerAnswerer, shapes: tuple[Path, list[Shown]], end: str
) -> None:
    path, shown = shapes
    options = AnalysisOptions(task="qa", prompt=f"What comes {end}?", window="whole", max_tokens=32)
    assert shown[0 if end == "first" else -1][0] in done(path, options, nano)["answer"]

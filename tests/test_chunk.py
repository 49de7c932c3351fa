"""Which pictures of a camera belong to a spoken turn, and at what times."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from app.history.records import MediaPart, Medium
from app.web.call_turns import SHOWN, SPOKEN, is_film
from app.web.uploads import Uploads
from multimodal.film import Shown, film_clip
from multimodal.media import AudioClip, Picture
from multimodal.sampling import FrameBudget
from streaming.chunk import Pictures, Sight


def shade(level: int) -> Picture:
    return Picture(np.full((40, 60, 3), level, np.uint8))


def watch(
    seen: list[tuple[float, int]], seconds: float, arrives: dict[float, float] | None = None
) -> tuple[list[Shown], Sight]:
    """A turn that begins at 10 s of the sound. seen: seconds in the turn at which a picture of that shade is captured;
    arrives: of some, when they come instead of at once."""
    pictures, found = Pictures(), []
    coming = sorted(((arrives or {}).get(at, at), at, level) for at, level in seen)
    step = 0.1
    for number in range(-30, round(seconds / step) + 1):
        now = number * step
        while coming and coming[0][0] <= now:
            _, at, level = coming.pop(0)
            pictures.see(shade(level), (10 + at) * 1000, now)
        if number == 0:
            found += pictures.begin(now, 10_000)
        elif number > 0:
            found += pictures.more(now, now, ending=now > seconds - step / 2)
    return found, pictures.sight


def levels(shown: list[Shown]) -> list[tuple[float, int]]:
    return [(round(at, 1), int(picture.pixels[0, 0, 0])) for at, picture in shown]


def steady(seconds: float, level: int = 50) -> list[tuple[float, int]]:
    return [(at / 2, level) for at in range(-2, round(seconds * 2) + 1)]


def test_a_scene_that_stays_costs_one_picture() -> None:
    shown, sight = watch([(at, level + round(2 * at) % 3) for at, level in steady(9.0)], 9.0)
    assert levels(shown) == [(0.0, 50)] and sight == Sight(received=18, taken=1)


def test_a_scene_that_changes_makes_a_film_with_a_picture_for_each_chunk() -> None:
    scene = [*steady(4.5), *((4.5 + at, 200) for at, _ in steady(4.5)[2:])]
    shown, _ = watch([(at, level) for at, level in scene if at != 4.5 or level == 200], 8.9)
    expected = [(0.0, 50), (2.0, 50), (4.0, 50), (5.0, 200), (6.0, 200), (8.0, 200)]
    assert levels(shown) == expected, "a second after the picture at 4 s at the earliest"


def test_what_is_shown_last_is_seen_too() -> None:
    shown, _ = watch([*steady(1.5), (1.8, 220)], 1.9)
    assert levels(shown) == [(0.0, 50), (1.8, 220)]


def test_late_pictures_are_dropped_and_counted() -> None:
    _, sight = watch(steady(3.0), 3.0, arrives={1.0: 1.6, 2.0: 2.7})
    assert sight.late == 2 and sight.received == 6


def test_a_camera_that_stands_still_leaves_its_last_picture_and_that_is_told() -> None:
    shown, sight = watch([(-0.5, 50), (1.2, 200)], 9.0)
    assert levels(shown) == [(0.0, 50), (1.2, 200), (2.0, 200), (4.0, 200), (6.0, 200), (8.0, 200)]
    assert sight == Sight(received=1, taken=6, late=0, held=2)


def test_without_a_fresh_picture_there_is_none() -> None:
    assert watch([], 4.0)[0] == []
    pictures = Pictures()
    pictures.see(shade(50), 0, 0.0)
    assert pictures.begin(3.5, 3500) == [] and pictures.more(3.6, 0.1) == []


def test_the_history_gives_back_the_film_that_was_read() -> None:
    shown = [(0.0, shade(50)), (1.25, shade(200)), (2.0, shade(90))]
    sound = AudioClip(np.zeros(40_000, np.float32), 16_000)
    decoded: dict[str, Any] = {f"{at:.3f}": picture for at, picture in shown} | {"sound": sound}
    names = [SHOWN, *(f"shown at {at:.3f} s.jpg" for at, _ in shown[1:])]
    parts = [MediaPart(Medium(f"{at:.3f}", "image", "image/jpeg", 1), name) for (at, _), name in zip(shown, names)]
    parts.append(MediaPart(Medium("sound", "audio", "audio/wav", 1), SPOKEN))
    assert is_film(parts) and not is_film(parts[:1] + parts[-1:]) and not is_film(parts[:-1])
    budget = FrameBudget()
    uploads = SimpleNamespace(decoded=lambda part: decoded[part.medium.digest], _frame_budget=lambda: budget)
    again, once = Uploads.film(uploads, parts), film_clip(shown, sound, budget)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.times_sec, once.times_sec)
    np.testing.assert_array_equal(again.frames, once.frames)
    assert again.audio is sound and again.times_sec.tolist() == [0.0, 0.0, 1.25, 1.25, 2.0, 2.0]

"""Short clips of moving, appearing and flashing objects, and questions about what happens when.

Frames come at 2 a second; frame i shows what is there at i/2 seconds, and times are said to half a second.
`python -m training.clips --sheet FILE.png` draws some as film strips to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multimodal.media import AudioClip, VideoClip
from training.canvas import Box, Look, background, extent, jittered, paste
from training.cells import item_of
from training.objects import COLORS
from training.scenes import placed, random_looks
from training.wording import Question, Size, Split, article, choose, in_split, phrase, sentence

Rng = np.random.Generator
FPS = 2.0
SOUND_RATE_HZ = 16_000
SIDES = (112, 140, 168)
MOVES = {"to the left": (-1, 0), "to the right": (1, 0), "up": (0, -1), "down": (0, 1)}
Track = tuple[Look, list[Box | None]]  # an object and its box in each frame


@dataclass(frozen=True)
class Showing:
    """`look` is seen in the frames first … last − 1."""

    look: Look
    first: int
    last: int

    @property
    def noun(self) -> str:
        return self.look.noun


def seconds(frames: float) -> str:
    """A time in words: "1 second", "2.5 seconds"."""
    value = frames / FPS
    return "1 second" if value == 1 else f"{value:g} seconds"


def clip_size(rng: Rng, size: Size | None) -> Size:
    """(height, width): random, or `size` scaled down to what clips have; multiples of 28."""
    if size is None:
        return choose(rng, SIDES), choose(rng, SIDES)
    factor = min(1.0, SIDES[-1] / max(size))
    height, width = (min(SIDES[-1], max(84, round(side * factor / 28) * 28)) for side in size)
    return height, width


def frame_count(rng: Rng, least: int = 8, most: int = 20) -> int:
    return 2 * int(rng.integers(least // 2, most // 2 + 1))


def render(rng: Rng, split: Split, size: Size, tracks: Sequence[Track], frames: int) -> np.ndarray:
    """uint8 [frames, H, W, 3], the later tracks in front."""
    style = choose(rng, ("plain", "plain", "gradient", "clouds", "photo"))
    scene = background(rng, split, size, [look for look, _ in tracks], style).image
    light = rng.uniform(0.9, 1.05) if rng.random() < 0.3 else 1.0
    grain = float(rng.choice((0, 0, 0, 3, 6)))
    result = np.empty((frames, *size, 3), np.uint8)
    for i in range(frames):
        image = scene.copy()
        for look, boxes in tracks:
            box = boxes[i]
            if box is not None:
                paste(image, look, box)
        result[i] = np.asarray(image)
    if light != 1.0 or grain:
        noise = rng.standard_normal((size[0], size[1] + 2 * frames, 3), np.float32) * grain
        for i in range(frames):  # one field of noise, moved on from frame to frame
            result[i] = np.clip(result[i] * light + noise[:, 2 * i : 2 * i + size[1]], 0, 255)
    return result


def _place(rng: Rng, size: Size, looks: Sequence[Look], low: float, high: float) -> list[Box]:
    while True:
        boxes: list[Box] = []
        for look in looks:
            box = placed(rng, size, boxes, look, None, low, high)
            if box is None:
                break
            boxes.append(box)
        if len(boxes) == len(looks):
            return boxes


def listing(tracks: Sequence[Track], frames: int) -> list[list[dict[str, Any]]]:
    """What each pair of frames shows, as `cells` wants it; what moves stands in the middle of its way."""
    pairs = []
    for i in range(0, frames - 1, 2):
        items = [{"name": "background", "color": None, "box": (0, 0, 0, 0)}]
        for look, boxes in tracks:
            seen = [box for box in boxes[i : i + 2] if box is not None]
            if seen:
                items.append(item_of(look, np.mean(seen, 0).round().astype(int).tolist()))
        pairs.append(items)
    return pairs


def film_clip(frames: np.ndarray, samples: np.ndarray | None = None) -> VideoClip:
    times = np.arange(len(frames)) / FPS
    sound = AudioClip(samples, SOUND_RATE_HZ) if samples is not None else None
    return VideoClip(frames, times, FPS, len(frames) / FPS, sound)


Asked = tuple[VideoClip, Question]


def _motion(rng: Rng, split: Split, size: Size) -> Asked:
    """One object moves in one or two directions, others stand still."""
    frames = frame_count(rng, 8, 16)
    while True:
        looks = random_looks(rng, split, int(rng.choice((1, 1, 2, 3))))
        directions = [choose(rng, tuple(MOVES))]
        if rng.random() < 0.25:
            directions.append(choose(rng, [d for d in MOVES if d != directions[0]]))
        if rng.random() < 0.08:
            directions = []
        if in_split("+".join([looks[0].noun, *directions]), split):
            break
    height, width = size
    w, h = extent(looks[0], rng.uniform(0.24, 0.4) * min(size))
    way = np.array([MOVES[d] for d in directions] or [(0, 0)], float)  # [legs, 2]
    reach = rng.uniform(0.75, 1.0) if len(directions) < 2 else rng.uniform(0.6, 0.85)
    steps = way * reach * np.array([width - w, height - h])
    corners = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])
    low, high = corners.min(0), corners.max(0)
    span = np.maximum(np.array([width - w, height - h]) - (high - low), 0)
    corners += rng.uniform(0, 1, 2) * span - low
    turn = np.linspace(0, len(corners) - 1, frames)
    xs, ys = (np.interp(turn, np.arange(len(corners)), corners[:, axis]) for axis in (0, 1))
    moving: list[Box | None] = [(int(x), int(y), int(x) + w, int(y) + h) for x, y in zip(xs, ys, strict=True)]
    tracks: list[Track] = [
        (look, [box] * frames) for look, box in zip(looks[1:], _place(rng, size, looks[1:], 0.2, 0.3), strict=True)
    ]
    pixels = render(rng, split, size, [*tracks, (looks[0], moving)], frames)
    name = looks[0].noun
    path = ", then ".join(directions)
    items = listing([*tracks, (looks[0], moving)], frames)
    details = {"directions": directions, "object": name, "items": items}
    if not directions:
        text = phrase(
            rng,
            split,
            (
                f"Which way does the {name} move?",
                f"Does the {name} move?",
                f"In which direction does the {name} move?",
                f"Is the {name} moving?",
            ),
        )
        return film_clip(pixels), Question(text, f"The {name} does not move.", details=details)
    dice = rng.random()
    if dice < 0.2 and len(directions) == 1:
        asked = choose(rng, tuple(MOVES))
        text = phrase(
            rng,
            split,
            (f"Does the {name} move {asked}?", f"Is the {name} moving {asked}?", f"Does the {name} go {asked}?"),
        )
        return film_clip(pixels), Question(
            text, f"{'Yes' if asked == path else 'No'}, the {name} moves {path}.", details=details
        )
    if dice < 0.45:
        text = phrase(rng, split, ("What moves?", "Which object moves?", "What is moving?", "What happens in the video?", "What happens?",
                                   "Describe the clip.", "What do you see in the video?", "Which thing is moving and where?"))  # fmt: skip
        return film_clip(pixels), Question(text, f"{sentence(article(name))} moves {path}.", details=details)
    text = phrase(rng, split, (
        f"Which way does the {name} move?", f"In which direction does the {name} move?", f"Where does the {name} go?", f"Where does the {name} move?",
        f"What is the direction of the {name}?", f"How does the {name} move?", f"Which direction does the {name} take?",
        f"Which way is the {name} moving?", f"What does the {name} do?",
    ))  # fmt: skip
    return film_clip(pixels), Question(text, f"The {name} moves {path}.", details=details)


def _when(rng: Rng, split: Split, size: Size) -> Asked:
    """Among objects that stand there, one appears or disappears."""
    frames = frame_count(rng)
    while True:
        looks = random_looks(rng, split, int(rng.choice((1, 2, 2, 3))))
        appears, at = bool(rng.random() < 0.5), int(rng.integers(2, frames - 1))
        if in_split(f"{looks[0].noun} {appears} {at}", split):
            break
    boxes = _place(rng, size, looks, 0.26, 0.5)
    tracks: list[Track] = [(look, [box] * frames) for look, box in zip(looks, boxes, strict=True)]
    tracks[0] = (looks[0], [boxes[0] if (i >= at) == appears else None for i in range(frames)])
    name, verb = looks[0].noun, "appears" if appears else "disappears"
    pixels = render(rng, split, size, tracks, frames)
    plain = verb.rstrip("s")
    if rng.random() < 0.6:
        text = phrase(rng, split, (
            f"When does the {name} {plain}?", f"At what time does the {name} {plain}?", f"After how many seconds does the {name} {plain}?",
            f"How long does it take until the {name} {plain}s?", f"At which second does the {name} {plain}?",
            *((f"When do you first see the {name}?", f"When does the {name} come?") if appears else
              (f"When is the {name} gone?", f"Until when do you see the {name}?")),
        ))  # fmt: skip
        answer = f"The {name} {verb} at {seconds(at)}."
    else:
        text = phrase(rng, split, (f"What {verb}?", f"What {verb} and when?", f"Which object {verb}?", f"Which object {verb}, and when?",
                                   "What happens in the video?", "What happens?", "Describe the clip.", "What changes?"))  # fmt: skip
        answer = f"{sentence(article(name))} {verb} at {seconds(at)}."
    details = {"object": name, "event": verb, "times_sec": [at / FPS], "items": listing(tracks, frames)}
    return film_clip(pixels), Question(text, answer, details=details)


def random_showings(rng: Rng, split: Split, lengths: Sequence[int]) -> list[Showing]:
    """Different objects one after another, each for so many frames."""
    looks = random_looks(rng, split, len(lengths))
    ends = np.cumsum(lengths).tolist()
    return [Showing(look, end - length, end) for look, length, end in zip(looks, lengths, ends, strict=True)]


def film(
    rng: Rng, split: Split, size: Size, showings: Sequence[Showing]
) -> tuple[np.ndarray, list[list[dict[str, Any]]]]:
    """Frames of a sequence, the objects in the middle or each somewhere else, and the listing of its items."""
    frames = showings[-1].last + showings[-1].last % 2
    zone = (1, 1) if rng.random() < 0.6 else None
    tracks: list[Track] = []
    for showing in showings:
        box = placed(rng, size, [], showing.look, zone, 0.4, 0.8)
        assert box is not None
        last = frames if showing is showings[-1] else showing.last
        tracks.append((showing.look, [box if showing.first <= i < last else None for i in range(frames)]))
    return render(rng, split, size, tracks, frames), listing(tracks, frames)


def span_details(showings: Sequence[Showing]) -> dict[str, Any]:
    return {"objects": [s.noun for s in showings], "spans_sec": [(s.first / FPS, s.last / FPS) for s in showings]}


def _order(rng: Rng, split: Split, size: Size) -> Asked:
    """Objects one after another."""
    count = int(rng.choice((2, 3, 3, 4)))
    while True:
        lengths = rng.integers(2, 8, count)
        lengths[-1] += lengths.sum() % 2
        if 8 <= lengths.sum() <= 20:
            break
    showings = random_showings(rng, split, lengths.tolist())
    pixels, items = film(rng, split, size, showings)
    nouns = [showing.noun for showing in showings]
    i = int(rng.integers(count))
    now = showings[i]
    details = {**span_details(showings), "items": items}
    dice = rng.random()
    if dice < 0.35:
        text = phrase(rng, split, (
            "In which order do the objects appear?", "What is the order of the objects?", "What do you see one after another?", "List the objects in order.",
            "What comes first, and what then?", "What happens in the video?", "Describe the clip.", "Which objects are shown, in order?", "What is shown in the clip?",
        ))  # fmt: skip
        return film_clip(pixels), Question(
            text, f"First {', then '.join(article(noun) for noun in nouns)}.", details=details
        )
    if dice < 0.5:
        end = choose(rng, ("first", "last"))
        text = phrase(
            rng,
            split,
            (
                f"What comes {end}?",
                f"Which object comes {end}?",
                f"What is shown {end}?",
                f"What do you see {end}?",
                f"Which object is {end}?",
            ),
        )
        return film_clip(pixels), Question(
            text, f"The {nouns[0 if end == 'first' else -1]} comes {end}.", details=details
        )
    if dice < 0.68:
        side = choose(rng, ("after", "before"))
        j = i + 1 if side == "after" else i - 1
        text = phrase(rng, split, (f"What comes {side} the {now.noun}?", f"What is shown {side} the {now.noun}?", f"Which object comes right {side} the {now.noun}?",
                                   f"What do you see {side} the {now.noun}?"))  # fmt: skip
        answer = (
            f"The {nouns[j]} comes {side} the {now.noun}."
            if 0 <= j < count
            else f"Nothing comes {side} the {now.noun}."
        )
        return film_clip(pixels), Question(text, answer, details=details)
    if dice < 0.85:
        at = int(rng.integers(now.first, now.last))
        text = phrase(rng, split, (f"What is shown at {seconds(at)}?", f"What do you see at {seconds(at)}?", f"Which object is there at {seconds(at)}?",
                                   f"What is in the video at {seconds(at)}?"))  # fmt: skip
        return film_clip(pixels), Question(
            text,
            f"{sentence(article(now.noun))} is shown at {seconds(at)}.",
            details={**details, "asked_sec": at / FPS},
        )
    text = phrase(rng, split, (f"When is the {now.noun} shown?", f"From when to when is the {now.noun} shown?", f"When do you see the {now.noun}?",
                               f"Between which times is the {now.noun} there?"))  # fmt: skip
    answer = f"The {now.noun} is shown from {now.first / FPS:g} to {seconds(now.last)}."
    return film_clip(pixels), Question(
        text, answer, details={**details, "times_sec": [now.first / FPS, now.last / FPS]}
    )


def _flashes(rng: Rng, split: Split, size: Size) -> Asked:
    """An object or the whole picture flashes, each time in one frame."""
    frames = frame_count(rng, 10, 20)
    while True:
        count = int(rng.integers(1, 6))
        looks = random_looks(rng, split, int(rng.choice((1, 1, 2))))
        if in_split(f"{looks[0].noun} {count}", split):
            break
    gaps = rng.multinomial(frames - 2 * count, np.ones(count + 1) / (count + 1))  # spare frames before, between, after
    at = [int(gaps[: i + 1].sum()) + 2 * i + 1 for i in range(count)]
    boxes = _place(rng, size, looks, 0.3, 0.55)
    tracks: list[Track] = [(look, [box] * frames) for look, box in zip(looks, boxes, strict=True)]
    times = ("once", "twice", "three times", "four times", "five times")[count - 1]
    details: dict[str, Any] = {"count": count, "times_sec": [i / FPS for i in at]}
    if rng.random() < 0.5:
        name = looks[0].noun
        tracks[0] = (looks[0], [boxes[0] if i in at else None for i in range(frames)])
        pixels = render(rng, split, size, tracks, frames)
        details["items"] = listing(tracks, frames)
        text = phrase(rng, split, (f"How many times does the {name} flash?", f"How often does the {name} flash?", f"Count the flashes of the {name}.",
                                   f"How often do you see the {name}?", f"How many times does the {name} appear?"))  # fmt: skip
        return film_clip(pixels), Question(text, f"The {name} flashes {times}.", details=details)
    pixels = render(rng, split, size, tracks, frames)
    base = pixels[0].reshape(-1, 3).mean(0)
    shades = [
        shade for shade in (jittered(rng, color) for color in COLORS) if np.abs(np.array(shade) - base).sum() > 200
    ]
    pixels[at] = choose(rng, shades)
    details["items"] = listing(tracks, frames)
    text = phrase(rng, split, ("How many flashes are there?", "Count the flashes.", "How many flashes do you see?", "How often does it flash?",
                               "How many times does the picture flash?", "How often does the screen flash?"))  # fmt: skip
    return film_clip(pixels), Question(text, f"It flashes {times}.", details=details)


SILENT: dict[str, Callable[[Rng, Split, Size], Asked]] = {
    "clip_motion": _motion,
    "clip_when": _when,
    "clip_order": _order,
    "clip_flash": _flashes,
}


def clip_question(kind: str, rng: Rng, split: Split, size: Size | None = None) -> Asked:
    """A clip and a question of one of the kinds of SILENT."""
    return SILENT[kind](rng, split, clip_size(rng, size))


if __name__ == "__main__":
    from training.sheet import draw_strips, run

    run("Draw clips as film strips.", draw_strips, [*SILENT, "clip_tone", "clip_word"])

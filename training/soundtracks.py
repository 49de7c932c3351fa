"""Clips with sound: tones and spoken words put at known times, and what is seen while they are heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from training.clips import (
    FPS,
    SOUND_RATE_HZ,
    Asked,
    Showing,
    clip_size,
    film,
    film_clip,
    random_showings,
    seconds,
    span_details,
)
from training.lexicon import word
from training.wording import NUMBERS, Question, Size, Split, choose, listed, phrase

Rng = np.random.Generator
RATE_HZ = SOUND_RATE_HZ
Speak = Callable[[str], np.ndarray]  # text → speech, float32 [N] at 16 kHz, without long silence around it
LOW_HZ, HIGH_HZ = (220.0, 420.0), (1100.0, 2200.0)


def tone(rng: np.random.Generator, duration_sec: float, high: bool | None = None) -> np.ndarray:
    """A ringing tone with overtones, float32 [N]; high: True or False for one that is plainly high or low."""
    low_hz, high_hz = HIGH_HZ if high else LOW_HZ if high is not None else (LOW_HZ[0], HIGH_HZ[1])
    pitch_hz = float(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz))))
    count = round(duration_sec * RATE_HZ)
    seconds = np.arange(count) / RATE_HZ
    wave = np.sin(2 * np.pi * pitch_hz * seconds)
    for overtone in range(2, 2 + int(rng.integers(0, 3))):
        wave += rng.uniform(0.05, 0.4) / overtone * np.sin(2 * np.pi * overtone * pitch_hz * seconds)
    if rng.random() < 0.35:
        wave *= np.exp(-seconds / (0.6 * duration_sec))  # like a bell
    edge = min(count // 4, RATE_HZ // 50)
    fade = np.minimum(1, np.minimum(np.arange(count) + 1, np.arange(count)[::-1] + 1) / edge)
    return (wave * fade / np.abs(wave).max() * rng.uniform(0.15, 0.7)).astype(np.float32)


def track(rng: np.random.Generator, duration_sec: float, parts: Sequence[tuple[float, np.ndarray]]) -> np.ndarray:
    """A sound track, float32 [duration × rate], of (start in seconds, sound) parts over faint noise or silence."""
    samples = np.zeros(round(duration_sec * RATE_HZ), np.float32)
    if rng.random() < 0.6:
        samples += rng.standard_normal(len(samples), np.float32) * np.float32(10 ** rng.uniform(-4, -2.2))
    for start_sec, sound in parts:
        start = round(start_sec * RATE_HZ)
        stop = min(len(samples), start + len(sound))
        samples[start:stop] += sound[: stop - start]
    return np.clip(samples, -1, 1)


def _sequence_with_room(rng: Rng, split: Split) -> list[Showing]:
    """Four to seven objects, each shown for 1 to 1.5 seconds, with an even number of frames in all."""
    lengths = rng.integers(2, 4, int(rng.integers(4, 8)))
    lengths[-1] += lengths.sum() % 2
    return random_showings(rng, split, lengths.tolist())


def _tone(rng: Rng, split: Split, size: Size) -> Asked:
    """Objects one after another, and tones that ring while some of them are shown."""
    showings = _sequence_with_room(rng, split)
    pixels, items = film(rng, split, size, showings)
    duration = len(pixels) / FPS
    details = {**span_details(showings), "items": items}
    dice = rng.random()
    if dice < 0.15:
        count = int(rng.integers(1, min(5, len(showings)) + 1))
        rung = [showings[i] for i in sorted(rng.permutation(len(showings))[:count])]
        parts = [_within(rng, s, tone(rng, rng.uniform(0.25, 0.5))) for s in rung]
        clip = film_clip(pixels, track(rng, duration, parts))
        text = phrase(
            rng,
            split,
            (
                "How many tones are there?",
                "How many tones do you hear?",
                "Count the tones.",
                "How often does the tone ring?",
                "How many beeps are there?",
            ),
        )
        tones = "is one tone" if count == 1 else f"are {NUMBERS[count]} tones"
        return clip, Question(text, f"There {tones}.", details={**details, "count": count})
    i, j = (int(k) for k in rng.permutation(len(showings))[:2])
    target = showings[i]
    if dice < 0.35:  # two tones, one asked for
        high = bool(rng.random() < 0.5)
        parts = [
            _within(rng, target, tone(rng, rng.uniform(0.3, 0.6), high)),
            _within(rng, showings[j], tone(rng, rng.uniform(0.3, 0.6), not high)),
        ]
        name = "high tone" if high else "low tone"
    else:
        parts = [_within(rng, target, tone(rng, rng.uniform(0.3, 0.8)))]
        name = "tone"
    clip = film_clip(pixels, track(rng, duration, parts))
    start = parts[0][0]
    names = (name, "low tone" if name == "high tone" else "high tone")  # the second only where two ring
    details |= {
        "target": target.noun,
        "times_sec": [start],
        "sounds": [_heard(*two) for two in zip(names, parts, strict=False)],
    }
    if dice > 0.85:
        asked = target if rng.random() < 0.5 else showings[j]
        text = phrase(rng, split, (f"Does the {name} ring while the {asked.noun} is shown?", f"Is the {asked.noun} shown while the {name} rings?",
                                   f"Do you hear the {name} while the {asked.noun} is shown?"))  # fmt: skip
        return clip, Question(
            text,
            f"{'Yes' if asked is target else 'No'}, the {name} rings while the {target.noun} is shown.",
            details=details,
        )
    if dice > 0.7:
        text = phrase(
            rng,
            split,
            (
                f"When does the {name} ring?",
                f"At what time does the {name} ring?",
                f"When do you hear the {name}?",
                f"At which second is the {name}?",
            ),
        )
        return clip, Question(text, f"The {name} rings at {seconds(round(start * FPS))}.", details=details)
    text = phrase(rng, split, (
        f"What is shown while the {name} rings?", f"What do you see while the {name} rings?", f"Which object is shown when the {name} rings?",
        f"What was shown while the {name} rang?", f"What is in the picture when you hear the {name}?", f"What is there when the {name} sounds?",
        f"Which object do you see during the {name}?",
    ))  # fmt: skip
    return clip, Question(text, f"The {target.noun} is shown while the {name} rings.", details=details)


def _heard(name: str, part: tuple[float, np.ndarray]) -> dict[str, Any]:
    """A sound of the track as `guidance` wants it."""
    start, samples = part
    return {"name": name, "start_sec": start, "end_sec": start + len(samples) / RATE_HZ}


def _within(rng: Rng, showing: Showing, sound: np.ndarray) -> tuple[float, np.ndarray]:
    """The sound and a start at which it lies inside the showing, near a half second where it can."""
    first, last = showing.first / FPS, showing.last / FPS - len(sound) / RATE_HZ
    edge = min(0.12, max(0.0, last - first) / 2)
    low, high = first + edge, max(first + edge, last - edge)
    start = round(rng.uniform(low, high) * FPS) / FPS + rng.uniform(-0.15, 0.15)
    return float(min(high, max(low, start))), sound


def _word(rng: Rng, split: Split, size: Size, speak: Speak) -> Asked:
    """Objects one after another, and single words said while some of them are shown."""
    count = int(rng.integers(4, 7))
    said: dict[int, tuple[str, np.ndarray]] = {}
    for i in rng.permutation(count)[: int(rng.integers(2, 4))].tolist():
        while i not in said:
            spoken = word(rng, split)
            sound = speak(spoken)
            if len(sound) <= 1.3 * RATE_HZ and spoken not in [other for other, _ in said.values()]:
                said[i] = spoken, sound
    lengths = [
        2 + int(rng.integers(0, 2)) if i not in said else max(2, int(np.ceil((len(said[i][1]) / RATE_HZ + 0.2) * FPS)))
        for i in range(count)
    ]
    lengths[-1] += sum(lengths) % 2
    showings = random_showings(rng, split, lengths)
    pixels, items = film(rng, split, size, showings)
    parts = {i: _within(rng, showings[i], sound) for i, (_, sound) in said.items()}
    clip = film_clip(pixels, track(rng, len(pixels) / FPS, list(parts.values())))
    i = choose(rng, tuple(said))
    target, spoken = showings[i], said[i][0]
    details = {
        **span_details(showings),
        "items": items,
        "target": target.noun,
        "word": spoken,
        "times_sec": [parts[i][0]],
        "sounds": [_heard(said[k][0], part) for k, part in parts.items()],
    }
    dice = rng.random()
    if dice < 0.12:
        order = [said[k][0] for k in sorted(said)]
        text = phrase(
            rng,
            split,
            (
                "Which words are said?",
                "What words do you hear?",
                "List the words that are said.",
                "What is said in the video?",
            ),
        )
        return clip, Question(text, f"The words are {listed(order)}.", details=details)
    if dice < 0.56:
        text = phrase(rng, split, (
            f"Which word is said while the {target.noun} is shown?", f"What is said while the {target.noun} is shown?", f"What word do you hear with the {target.noun}?",
            f"What was said while the {target.noun} was shown?", f"Which word do you hear when the {target.noun} is there?",
        ))  # fmt: skip
        return clip, Question(text, f"The word {spoken} is said while the {target.noun} is shown.", details=details)
    text = phrase(rng, split, (
        f"What is shown while the word {spoken} is said?", f"What do you see when the word {spoken} is said?", f"Which object is shown when you hear {spoken}?",
        f"What was shown while the word {spoken} was said?", f"What is in the picture while {spoken} is said?",
    ))  # fmt: skip
    return clip, Question(text, f"The {target.noun} is shown while the word {spoken} is said.", details=details)


def tone_question(rng: Rng, split: Split, size: Size | None = None) -> Asked:
    """A clip with tones and a question about what is seen and heard together."""
    return _tone(rng, split, clip_size(rng, size))


def word_question(rng: Rng, split: Split, size: Size | None, speak: Speak) -> Asked:
    """A clip with spoken words and a question about what is seen and heard together."""
    return _word(rng, split, clip_size(rng, size), speak)

"""Turns in a microphone stream: in virtual time with scripted speech, and on a recording with the real detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.turn import (
    FRAME_MS,
    FRAME_SAMPLES,
    RATE_HZ,
    SileroDetector,
    Speech,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
    TurnEvent,
    TurnSettings,
)

QUESTION = Path(__file__).parent.parent / "docs" / "samples" / "question.wav"


class LoudIsSpeech:
    """Stands for a voice detector: what is loud is speech."""

    def __init__(self) -> None:
        self.resets = 0

    def probability(self, frame: np.ndarray) -> float:
        return float(np.abs(frame).mean() > 0.1)

    def reset(self) -> None:
        self.resets += 1


def timeline(seconds: float, *spoken: tuple[float, float]) -> np.ndarray:
    """Silence with loud stretches from and to the given seconds."""
    samples = np.zeros(int(seconds * RATE_HZ), np.float32)
    for start, end in spoken:
        samples[int(start * RATE_HZ) : int(end * RATE_HZ)] = 0.5
    return samples


def run(detector: TurnDetector, samples: np.ndarray, step: int = 480) -> list[TurnEvent]:
    return [event for start in range(0, len(samples), step) for event in detector.push(samples[start : start + step])]


def marks(events: list[TurnEvent]) -> list[tuple[str, float]]:
    return [(type(e).__name__, e.at / RATE_HZ) for e in events if isinstance(e, SpeechStarted | SpeechStopped)]


def test_a_turn_has_sound_from_before_its_first_word_and_ends_after_the_patience() -> None:
    detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=500))
    samples = timeline(5, (1.0, 2.5))
    events = run(detector, samples)
    (started, at), (stopped, end) = marks(events)
    assert (started, stopped) == ("SpeechStarted", "SpeechStopped")
    assert 1.0 - 0.32 - 0.032 <= at <= 1.0 - 0.32 + 0.064
    assert end == pytest.approx(2.5, abs=0.032)
    heard = np.concatenate([e.samples for e in events if isinstance(e, Speech)])
    first = int(at * RATE_HZ)
    np.testing.assert_array_equal(heard, samples[first : first + len(heard)])
    assert len(heard) / RATE_HZ == pytest.approx(2.5 + 0.5 - at, abs=0.07)


def test_a_short_pause_does_not_end_the_turn_and_a_click_does_not_begin_one() -> None:
    detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=500))
    events = run(detector, timeline(6, (0.5, 0.53), (1.0, 1.8), (2.1, 3.0)))
    assert [name for name, _ in marks(events)] == ["SpeechStarted", "SpeechStopped"]
    assert marks(events)[1][1] == pytest.approx(3.0, abs=0.032)


def test_a_released_key_ends_the_turn_at_once_and_only_once() -> None:
    voice = LoudIsSpeech()
    detector = TurnDetector(voice)
    run(detector, timeline(1.5, (0.5, 1.5)))
    assert detector.speaking
    assert [type(e) for e in detector.commit()] == [SpeechStopped] and voice.resets == 1
    assert detector.commit() == [] and not detector.speaking


def test_an_hour_of_talk_gives_every_turn_at_its_time() -> None:
    detector = TurnDetector(LoudIsSpeech())
    expected = [(10.0 * i + 1, 10.0 * i + 1 + 0.4 + i % 7) for i in range(360)]
    events = run(detector, timeline(3600, *expected), step=16_000)
    stops = [at for name, at in marks(events) if name == "SpeechStopped"]
    np.testing.assert_allclose(stops, [end for _, end in expected], atol=0.033)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=6),
    st.integers(1, 3000),
    st.sampled_from([0.0, 96.0, 300.0]),
)
def test_events_alternate_and_sound_is_gapless_whatever_the_pieces(
    stretches: list[tuple[int, int]], step: int, patience_ms: float
) -> None:
    frames = np.concatenate([np.repeat([0.0, 0.5], pair) for pair in stretches] or [np.zeros(3)])
    samples = np.repeat(frames, FRAME_SAMPLES).astype(np.float32)
    samples *= np.linspace(1, 1.2, len(samples), dtype=np.float32)
    detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=patience_ms))
    inside, place = False, 0
    for event in run(detector, samples, step):
        if isinstance(event, SpeechStarted):
            assert not inside and event.at >= place - FRAME_SAMPLES
            inside, place = True, event.at
        elif isinstance(event, Speech):
            assert inside
            np.testing.assert_array_equal(event.samples, samples[place : place + len(event.samples)])
            place += len(event.samples)
        elif isinstance(event, SpeechStopped):
            assert inside and event.at <= place
            inside = False
        else:
            assert inside


@pytest.mark.parametrize("change", [{"begin": 0.2, "end": 0.5}, {"end": 0.0}, {"patience_ms": -1.0}])
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="turn detection wants"):
        TurnSettings(**change)


def test_the_real_detector_finds_a_recorded_question() -> None:
    import soundfile

    speech, rate = soundfile.read(QUESTION, dtype="float32")
    assert rate == RATE_HZ
    loud = np.flatnonzero(np.abs(speech) > 0.02)
    quiet = 1e-3 * np.random.default_rng(0).standard_normal(2 * RATE_HZ).astype(np.float32)
    samples = np.concatenate([quiet[:RATE_HZ], speech, quiet])
    detector = TurnDetector(SileroDetector(), TurnSettings(patience_ms=400))
    events = run(detector, samples)
    (_, start), (_, stop) = marks(events)
    first, last = 1 + loud[0] / RATE_HZ, 1 + loud[-1] / RATE_HZ
    assert first - 0.6 < start < first, "the first word is inside, with a little silence before it"
    assert abs(stop - last) < 4 * FRAME_MS / 1000 + 0.1

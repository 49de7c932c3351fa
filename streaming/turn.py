"""Where a user's turn begins and ends in a stream of microphone samples.

A voice detector gives each 32 ms frame a probability of speech; `TurnDetector` turns these into turns, with some
sound from before the first word and some patience after the last. Time is counted in samples, so a test runs an
hour of talk in a moment. A semantic end of turn is one more `EndOfTurn` to write: it hears every frame of the turn.
"""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

RATE_HZ = 16_000
FRAME_SAMPLES = 512  # what the detector was trained on: 32 ms
FRAME_MS = FRAME_SAMPLES * 1000 / RATE_HZ


class VoiceDetector(Protocol):
    """Probability of speech in each of consecutive frames; `reset` before another stream."""

    def probability(self, frame: np.ndarray) -> float: ...

    def reset(self) -> None: ...


class SileroDetector:
    """silero-vad, whose model comes inside its package. One object a stream: it remembers what it heard."""

    def __init__(self) -> None:
        import torch
        from silero_vad import load_silero_vad

        threads = torch.get_num_threads()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the package still ships TorchScript
            self._model: Any = load_silero_vad()
        torch.set_num_threads(threads)  # loading sets one thread for the whole program

    def probability(self, frame: np.ndarray) -> float:
        import torch

        with torch.inference_mode():
            return float(self._model(torch.from_numpy(frame), RATE_HZ))

    def reset(self) -> None:
        self._model.reset_states()


@dataclass(frozen=True)
class TurnSettings:
    """begin, end: probabilities above and below which a frame counts as speech and as silence. shortest_ms: speech
    before a turn begins. patience_ms: silence before it ends. before_ms: sound kept from before the first word.
    pause_ms: silence that may be the end, None where nobody wants to know."""

    begin: float = 0.5
    end: float = 0.35
    shortest_ms: float = 96.0
    patience_ms: float = 500.0
    before_ms: float = 320.0
    pause_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.end <= self.begin < 1:
            raise ValueError("turn detection wants probabilities 0 < end ≤ begin < 1")
        if min(self.shortest_ms, self.patience_ms, self.before_ms, self.pause_ms or 0) < 0:
            raise ValueError("turn detection wants times from 0 ms")


class EndOfTurn(Protocol):
    """Decides after each silent frame whether the user has finished. `hear` gets every frame of the turn, float32
    [512] at 16 kHz, before that; `reset` comes between turns."""

    def hear(self, frame: np.ndarray) -> None: ...

    def reset(self) -> None: ...

    def finished(self, silence_ms: float, spoken_ms: float) -> bool: ...


@dataclass(frozen=True)
class Patience:
    """The turn is over after a fixed silence."""

    silence_ms: float

    def hear(self, frame: np.ndarray) -> None:
        pass

    def reset(self) -> None:
        pass

    def finished(self, silence_ms: float, spoken_ms: float) -> bool:
        return silence_ms >= self.silence_ms


@dataclass(frozen=True)
class SpeechStarted:
    """at: number of the sample where the kept sound begins."""

    at: int


@dataclass(frozen=True, eq=False)
class Speech:
    """Sound of the turn, float32 [n], gapless from SpeechStarted on; the silence of the patience is part of it.

    spoken_ms: speech of the turn so far, without pauses.
    """

    samples: np.ndarray
    spoken_ms: float


@dataclass(frozen=True)
class Paused:
    """Silence for `pause_ms`: the user may have finished."""


@dataclass(frozen=True)
class Resumed:
    """The user goes on after `Paused`; comes before the Speech that tells."""


@dataclass(frozen=True)
class SpeechStopped:
    """at: number of the sample after the last frame with speech."""

    at: int


TurnEvent = SpeechStarted | Speech | Paused | Resumed | SpeechStopped


class TurnDetector:
    """Samples of one microphone in, turns out. All times in samples since the first one pushed."""

    def __init__(
        self, voice: VoiceDetector, settings: TurnSettings = TurnSettings(), end: EndOfTurn | None = None
    ) -> None:
        self.settings = settings
        self._voice = voice
        self._end = end or Patience(settings.patience_ms)
        self._rest = np.zeros(0, np.float32)
        self._frames = 0  # whole frames judged
        self._speech_frames = 0  # in a row, before a turn; all of them, in a turn
        self._silent_frames = 0
        self._before: deque[np.ndarray] = deque(
            maxlen=max(1, round((settings.before_ms + settings.shortest_ms) / FRAME_MS))
        )
        self._paused = False
        self.speaking = False

    def start_at(self, samples: int) -> None:
        """Count on from there, in whole frames; before the first `push`."""
        assert self._frames == 0
        self._frames = samples // FRAME_SAMPLES

    @property
    def samples(self) -> int:
        """Samples judged so far."""
        return self._frames * FRAME_SAMPLES

    @property
    def silence_ms(self) -> float:
        """Silence since the last speech of the turn; 0 while speech goes on or nobody speaks."""
        return self._silent_frames * FRAME_MS if self.speaking else 0.0

    def push(self, samples: np.ndarray) -> list[TurnEvent]:
        """samples: float32 [n] at 16 kHz, any n."""
        self._rest = np.concatenate([self._rest, np.asarray(samples, np.float32)])
        events: list[TurnEvent] = []
        while len(self._rest) >= FRAME_SAMPLES:
            frame, self._rest = self._rest[:FRAME_SAMPLES], self._rest[FRAME_SAMPLES:]
            probability = self._voice.probability(frame)
            self._frames += 1
            events += self._in_turn(frame, probability) if self.speaking else self._between(frame, probability)
        return events

    def commit(self) -> list[TurnEvent]:
        """The user says that the turn is over (a released key): end it now, if one is open."""
        return [self._stop()] if self.speaking else []

    def reset(self) -> None:
        """Forget the turn that is open, and the sound from before the next; time goes on."""
        if self.speaking:
            self._stop()
        self._before.clear()
        self._speech_frames = 0

    def _between(self, frame: np.ndarray, probability: float) -> list[TurnEvent]:
        self._before.append(frame)
        self._speech_frames = self._speech_frames + 1 if probability >= self.settings.begin else 0
        if self._speech_frames == 0 or self._speech_frames * FRAME_MS < self.settings.shortest_ms:
            return []
        kept = np.concatenate(list(self._before))
        self._before.clear()
        self.speaking = True
        self._silent_frames = 0
        for piece in np.split(kept, len(kept) // FRAME_SAMPLES):
            self._end.hear(piece)
        start = SpeechStarted(self._frames * FRAME_SAMPLES - len(kept))
        return [start, Speech(kept, self._speech_frames * FRAME_MS)]

    def _in_turn(self, frame: np.ndarray, probability: float) -> list[TurnEvent]:
        events: list[TurnEvent] = []
        self._end.hear(frame)
        if probability < self.settings.end:
            self._silent_frames += 1
        else:
            self._silent_frames = 0
            self._speech_frames += 1
            if self._paused:
                self._paused = False
                events.append(Resumed())
        events.append(Speech(frame, self._speech_frames * FRAME_MS))
        pause_ms = self.settings.pause_ms
        if pause_ms is not None and not self._paused and self._silent_frames and self.silence_ms >= pause_ms:
            self._paused = True
            events.append(Paused())
        if self._silent_frames and self._end.finished(self.silence_ms, self._speech_frames * FRAME_MS):
            events.append(self._stop())
        return events

    def _stop(self) -> SpeechStopped:
        at = (self._frames - self._silent_frames) * FRAME_SAMPLES
        self.speaking = self._paused = False
        self._end.reset()
        self._speech_frames = self._silent_frames = 0
        self._voice.reset()
        return SpeechStopped(at)

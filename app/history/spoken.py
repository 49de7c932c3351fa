"""The spoken turns of a conversation as one recording, with captions for it.

Turns follow one another with a pause between them. Inside a turn no word times are known, so its sentences share
its length by their number of characters.
"""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.history.records import MediaPart, Medium, Turn

RATE_HZ = 24_000
PAUSE_SEC = 0.4
CUE_CHARS = 84
_SENTENCE = re.compile(r".+?(?:[.!?]+(?=\s)|[。！？；]+|\n|$)\s*", re.DOTALL)


@dataclass(frozen=True)
class Utterance:
    """A stretch of speech: who said it, where it lies, and its words (a file's name where they are not known)."""

    who: str
    text: str
    medium: Medium
    start_sec: float

    @property
    def end_sec(self) -> float:
        return self.start_sec + (self.medium.duration_sec or 0.0)


@dataclass(frozen=True)
class Cue:
    start_sec: float
    end_sec: float
    text: str


def utterances(turns: Sequence[Turn]) -> list[Utterance]:
    """Sounds that the user sent and replies that were spoken, in their order on the recording's time axis."""
    found: list[Utterance] = []
    at = 0.0
    for turn in turns:
        said: list[tuple[str, Medium]] = []
        if turn.role == "assistant" and turn.speech is not None:
            said.append((turn.text, turn.speech))
        for part in turn.media if turn.role == "user" else ():
            if isinstance(part, MediaPart) and part.medium.kind == "audio":
                said.append((turn.captions.get(part) or f"[{part.name or 'sound'}]", part.medium))
        for text, medium in said:
            who = "You" if turn.role == "user" else turn.model or "Tandem"
            found.append(Utterance(who, text, medium, at))
            at = found[-1].end_sec + PAUSE_SEC
    return found


def cues(spoken: Sequence[Utterance]) -> list[Cue]:
    """One for each sentence; a long one is cut at a space."""
    found: list[Cue] = []
    for utterance in spoken:
        pieces = [piece for sentence in _SENTENCE.findall(utterance.text) for piece in _cut(sentence.strip())]
        total = sum(map(len, pieces))
        at = utterance.start_sec
        for index, piece in enumerate(pieces):
            end = at + (utterance.end_sec - utterance.start_sec) * len(piece) / total
            found.append(Cue(at, end, f"{utterance.who}: {piece}" if index == 0 else piece))
            at = end
    return found


def _cut(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > CUE_CHARS:
        space = sentence.rfind(" ", 1, CUE_CHARS)
        cut = space if space > 0 else CUE_CHARS
        pieces.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [piece for piece in [*pieces, sentence] if piece]


def srt(found: Sequence[Cue]) -> str:
    """SubRip: numbered cues, comma before the milliseconds."""
    return "".join(
        f"{number}\n{_time(cue.start_sec, ',')} --> {_time(cue.end_sec, ',')}\n{_inert(cue.text)}\n\n"
        for number, cue in enumerate(found, 1)
    )


def vtt(found: Sequence[Cue]) -> str:
    """WebVTT."""
    return "WEBVTT\n\n" + "".join(
        f"{_time(cue.start_sec, '.')} --> {_time(cue.end_sec, '.')}\n{_inert(cue.text)}\n\n" for cue in found
    )


def _inert(text: str) -> str:
    """One line that a player shows as it is: both formats have markup in angle brackets."""
    flat = " ".join(text.split()).replace("-->", "→")
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float, point: str) -> str:
    total = round(seconds * 1000)
    return f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:{total // 1000 % 60:02}{point}{total % 1000:03}"


def recording(spoken: Sequence[Utterance], read: Callable[[Medium, int], np.ndarray]) -> bytes:
    """One mono PCM16 WAV at RATE_HZ. read: a medium and a rate → float32 [N]."""
    end = max((utterance.end_sec for utterance in spoken), default=0.0)
    samples = np.zeros(round(end * RATE_HZ), np.float32)
    for utterance in spoken:
        start = round(utterance.start_sec * RATE_HZ)
        piece = read(utterance.medium, RATE_HZ)[: len(samples) - start]
        samples[start : start + len(piece)] = piece
    return wav(samples, RATE_HZ)


def wav(samples: np.ndarray, rate_hz: int) -> bytes:
    """float32 [N] in −1…1 as a mono PCM16 WAV."""
    return pcm16_wav(np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes(), rate_hz)


def pcm16_wav(pcm: bytes, rate_hz: int) -> bytes:
    """Mono little-endian PCM16 with a WAV header."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)
    return buffer.getvalue()

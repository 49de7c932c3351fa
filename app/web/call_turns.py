"""The turns of a call, kept in the conversation that the call is held in: what was said both ways, and how much of each
reply was heard. Whoever holds the call (app.realtime) tells; open pages are told in turn.

    heard · typed → a user's turn      transcribed → its words
    answering → a reply's turn         wrote · said … done → its text and speech      interrupted → what of it was heard
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from app.history.records import MediaPart, Medium, Part, TextPart, Turn
from app.history.spoken import pcm16_wav
from app.history.store import History
from app.web.live import Tabs

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from streaming.events import ResponseDone

SPOKEN = "spoken.wav"
SHOWN = "shown.jpg"
SHOWN_AT = re.compile(r"shown at (\d+\.\d+) s\.jpg")


def is_film(media: Sequence[MediaPart]) -> bool:
    """Whether a turn was spoken while the scene changed: pictures by their times, then the sound."""
    return bool(media) and media[-1].name == SPOKEN and any(SHOWN_AT.fullmatch(part.name) for part in media)


def shown_at(part: MediaPart) -> float:
    """Seconds since the sound began."""
    found = SHOWN_AT.fullmatch(part.name)
    return float(found[1]) if found else 0.0


class CallTurns:
    """conversation: its id in the history. Methods write to the disk before they return and may be called from any
    thread but the event loop's, one after the other. Raises HistoryError where the disk refuses, and at once NotKept
    for a conversation that is not there."""

    def __init__(self, history: History, tabs: Tabs, loop: asyncio.AbstractEventLoop, conversation: str) -> None:
        self._history = history
        self._tabs = tabs
        self._loop = loop
        self._conversation = history.conversation(conversation).id
        self._reply: Turn | None = None
        self._text = ""
        self._pcm: list[bytes] = []
        self._rate_hz = 0

    def before(self) -> list[Turn]:
        """The turns that the call goes on from."""
        return self._history.path(self._conversation)

    def heard(self, samples: np.ndarray, rate_hz: int, shown: Sequence[tuple[float, np.ndarray]] = ()) -> str:
        """The user spoke: float32 [n] in −1…1, while showing pictures: seconds and uint8 [H, W, 3]. The turn's id."""
        medium = self._sound(_pcm16(samples), rate_hz)
        names = [SHOWN, *(f"shown at {at_sec:.3f} s.jpg" for at_sec, _ in shown[1:])]
        parts = self._shown([pixels for _, pixels in shown], names)
        return self._add("user", [*parts, MediaPart(medium, SPOKEN)]).id

    def typed(self, text: str, pictures: Sequence[np.ndarray] = ()) -> str:
        return self._add("user", [*self._shown(pictures, [SHOWN] * len(pictures)), TextPart(text)]).id

    def transcribed(self, turn: str, text: str) -> None:
        """The words of a spoken turn."""
        self._history.update_turn(turn, transcript=text)
        self._tell()

    def answering(self) -> str:
        """A reply is begun; its turn's id. There is one at a time."""
        self._text, self._pcm, self._rate_hz = "", [], 0
        self._reply = self._add("assistant", [TextPart("")], "answering")
        return self._reply.id

    def wrote(self, delta: str) -> None:
        self._text += delta

    def said(self, samples: np.ndarray, rate_hz: int) -> None:
        self._pcm.append(_pcm16(samples))
        self._rate_hz = rate_hz

    def done(self, done: ResponseDone, **fields: Any) -> None:
        """The reply has its one end. fields: further columns of the turn, such as ids, vocabulary, model, route, and
        inspection."""
        reply = self._taken()
        if self._pcm:
            fields["speech"] = self._sound(b"".join(self._pcm), self._rate_hz)
        timings = {"first_text": done.first_text_ms, "first_audio": done.first_audio_ms, "total": done.total_ms}
        fields = {"usage": vars(done.usage), "timings_ms": timings, **fields}
        self._text = done.text
        self._history.update_turn(reply.id, text=done.text, status=done.status, error=done.error, **fields)
        self._tell()

    def interrupted(self, reply: str, text: str, heard_ms: float, ids: Sequence[int] | None = None) -> None:
        """Only `text`, the beginning of what was written, was heard, and the model remembers no more. ids: its
        tokens."""
        written = self._history.turn(reply)
        whole = written.text + (written.unheard or "")
        kept = text if whole.startswith(text) else _common(whole, text)
        fields: dict[str, Any] = {} if ids is None else {"ids": list(ids)}
        fields |= {"unheard": whole[len(kept) :] or None, "heard_ms": round(heard_ms)}
        self._history.update_turn(reply, text=kept, **fields)
        self._tell()

    def played(self, reply: str, heard_ms: float) -> None:
        """The whole reply was heard."""
        self._history.update_turn(reply, heard_ms=round(heard_ms))

    def close(self) -> None:
        """The call ended. A reply without its end is kept as cancelled, with what was written of it."""
        if self._reply is not None:
            self._history.update_turn(self._taken().id, text=self._text, status="cancelled")
            self._tell()

    def _taken(self) -> Turn:
        assert self._reply is not None, "a reply ends after it was begun, and once"
        reply, self._reply = self._reply, None
        return reply

    def _add(self, role: Any, parts: Sequence[Part], status: Any = "completed") -> Turn:
        head = self._history.conversation(self._conversation).head
        turn = self._history.add_turn(self._conversation, role, parts, head, status)
        self._tell()
        return turn

    def _sound(self, pcm: bytes, rate_hz: int) -> Medium:
        data = pcm16_wav(pcm, rate_hz)
        digest = self._history.media.add(data)
        return self._history.keep(Medium(digest, "audio", "audio/wav", len(data), duration_sec=len(pcm) / 2 / rate_hz))

    def _shown(self, pictures: Sequence[np.ndarray], names: Sequence[str]) -> list[MediaPart]:
        from PIL import Image

        parts = []
        for pixels, name in zip(pictures, names):
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, "JPEG", quality=92)
            digest = self._history.media.add(data.getvalue())
            height, width = pixels.shape[:2]
            medium = Medium(digest, "image", "image/jpeg", len(data.getvalue()), width, height)
            parts.append(MediaPart(self._history.keep(medium), name))
        return parts

    def _tell(self) -> None:
        message = {"type": "changed", "conversation": self._conversation, "by": None}
        self._loop.call_soon_threadsafe(self._tabs.tell_watchers, self._conversation, message)


def _pcm16(samples: np.ndarray) -> bytes:
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def _common(whole: str, text: str) -> str:
    """The beginning that both share: a cut inside a character decodes otherwise than the whole does."""
    same = 0
    while same < min(len(whole), len(text)) and whole[same] == text[same]:
        same += 1
    return whole[:same]

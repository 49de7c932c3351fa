"""A call's turns in the history: the same turns, in the same conversation, as those that are typed.

Methods wait for the disk; they are called in threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.history.records import MediaPart, Medium, Part, TextPart, Turn
from app.history.spoken import pcm16_wav
from app.history.store import History
from app.realtime.protocol import pcm16


class Keeping:
    """conversation: None until the first turn makes one. head: the newest turn."""

    def __init__(self, history: History, conversation: str | None, model: str, vocabulary: str) -> None:
        self.history = history
        self.conversation = conversation
        self._model = model
        self._vocabulary = vocabulary
        self.head = history.conversation(conversation).head if conversation is not None else None

    def begin(self) -> str:
        """The conversation, made if there is none."""
        if self.conversation is None:
            self.conversation = self.history.create().id
        return self.conversation

    def said(self, samples: np.ndarray, rate_hz: int, pictures: Sequence[bytes]) -> Turn:
        """A spoken turn. pictures: encoded, in the order in which the model has them: all but the first behind the
        sound."""
        sound = MediaPart(self.sound(pcm16(samples), rate_hz), "speech.wav")
        shown = [MediaPart(self.picture(data), "camera.jpg") for data in pictures]
        return self._add("user", [*shown[:1], sound, *shown[1:]])

    def typed(self, content: Sequence[str | bytes]) -> Turn:
        parts: list[Part] = [
            TextPart(part) if isinstance(part, str) else MediaPart(self.picture(part), "picture") for part in content
        ]
        return self._add("user", parts)

    def begun(self) -> Turn:
        return self._add("assistant", [TextPart("")], "answering", model=self._model)

    def ended(self, turn: str, text: str, ids: Sequence[int] | None, **fields: Any) -> None:
        self.history.update_turn(
            turn, text=text, ids=None if ids is None else list(ids), vocabulary=self._vocabulary, **fields
        )

    def sound(self, pcm: bytes, rate_hz: int) -> Medium:
        data = pcm16_wav(pcm, rate_hz)
        digest = self.history.media.add(data)
        seconds = len(pcm) / 2 / rate_hz
        return self.history.keep(Medium(digest, "audio", "audio/wav", len(data), duration_sec=seconds))

    def picture(self, data: bytes) -> Medium:
        digest = self.history.media.add(data)
        kind = "png" if data.startswith(b"\x89PNG") else "webp" if data[8:12] == b"WEBP" else "jpeg"
        return self.history.keep(Medium(digest, "image", f"image/{kind}", len(data)))

    def _add(self, role: Any, parts: Sequence[Part], status: Any = "completed", **fields: Any) -> Turn:
        turn = self.history.add_turn(self.begin(), role, parts, self.head, status, **fields)
        self.head = turn.id
        return turn

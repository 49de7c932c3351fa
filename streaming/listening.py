"""A user's turn while it is being spoken: each 2 s of sound is encoded and read as soon as it is complete, so that
only the last chunk is left to do when the user stops."""

from __future__ import annotations

import numpy as np
import torch

from multimodal.audio import AudioStream
from multimodal.media import AudioClip
from multimodal.prompt import AudioPiece, Content, Span, TextSpan, Turn
from streaming.session import Conversation


class Listening:
    """One spoken turn of `conversation`, which must not be used otherwise until `commit` or `discard`.

    Samples are float32 in −1…1 at the encoder's rate (`rate_hz`).
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        thinker = conversation.checkpoint.thinker
        self._control = thinker.tmrope.control
        self._stream = AudioStream(thinker.audio)
        self.rate_hz = thinker.audio.rate_hz
        self._heard: list[np.ndarray] = []
        self._start = conversation.bookmark()
        self._open = True
        opening = conversation.checkpoint.prompt.open_turn("user", [])
        conversation.extend([*opening, TextSpan((self._control.audio_bos,))])

    @property
    def seconds(self) -> float:
        """Sound heard so far."""
        return self._stream.samples_seen / self.rate_hz

    def hear(self, samples: np.ndarray) -> None:
        """More sound. Costs nothing until a chunk is full."""
        assert self._open
        self._heard.append(np.asarray(samples, np.float32))
        self._read(self._stream.push(samples))

    def commit(self, text: str = "") -> None:
        """The user has stopped. text: typed words that go with the sound, after it."""
        assert self._open
        self._open = False
        prompt = self._conversation.checkpoint.prompt
        rest: list[Span] = [_piece(chunk) for chunk in self._stream.finish()]
        rest += [TextSpan((self._control.audio_eos,)), *prompt.continue_turn(text), prompt.close_turn()]
        clip = AudioClip(np.concatenate([np.zeros(0, np.float32), *self._heard]), self.rate_hz)
        content: tuple[Content, ...] = (clip, text) if text else (clip,)
        self._conversation.close_turn(Turn("user", content), rest)

    def discard(self) -> None:
        """It was nothing, or not meant for us: the conversation is as if nobody had spoken."""
        assert self._open
        self._open = False
        self._conversation.rewind(self._start)

    def _read(self, chunks: list[torch.Tensor]) -> None:
        if chunks:
            self._conversation.extend([_piece(chunk) for chunk in chunks])


def _piece(chunk: torch.Tensor) -> AudioPiece:
    return AudioPiece(len(chunk), chunk)

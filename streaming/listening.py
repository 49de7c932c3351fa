"""A user's turn while it is being spoken: each 2 s of sound is encoded and read as soon as it is complete, so that
only the last chunk is left to do when the user stops."""

from __future__ import annotations

import numpy as np
import torch

from multimodal.audio import AudioStream
from multimodal.media import AudioClip, Picture
from multimodal.prompt import AudioPiece, AudioSpan, Content, ImageSpan, Span, TextSpan, Turn, VideoSpan
from streaming.session import Bookmark, Conversation
from streaming.transcription import Transcription


class Listening:
    """One spoken turn of `conversation`, which must not be used otherwise until `commit` or `discard`.

    Samples are float32 in −1…1 at the encoder's rate (`rate_hz`). Pictures seen before the first sound stand in front
    of it, later ones behind it: between the begin and end tokens of a sound there is nothing but sound.
    words: reads the same sound, to write it down.
    """

    def __init__(self, conversation: Conversation, words: Transcription | None = None) -> None:
        self.words = words
        self._conversation = conversation
        thinker = conversation.checkpoint.thinker
        self._thinker = thinker
        self._control = thinker.tmrope.control
        self._stream = AudioStream(thinker.audio)
        self.rate_hz = thinker.audio.rate_hz
        self._heard: list[np.ndarray] = []
        self._before: list[Picture] = []
        self._after: list[Picture] = []
        self._start = conversation.bookmark()
        self._committed: Bookmark | None = None
        self._opened = False
        self._open = True

    @property
    def seconds(self) -> float:
        """Sound heard so far."""
        return self._stream.samples_seen / self.rate_hz

    def see(self, picture: Picture) -> None:
        """What the user shows. Before `open` it is read there, afterwards at the end of the turn."""
        assert self._open
        (self._after if self._opened else self._before).append(picture)

    def open(self) -> None:
        """Read what is known already: the end of the turn before, and the pictures. Done by itself when sound is."""
        assert self._open and not self._opened
        self._opened = True
        self._conversation.extend(self._opening())

    def hear(self, samples: np.ndarray) -> None:
        """More sound. Costs nothing until a chunk is full."""
        assert self._open
        self._heard.append(np.asarray(samples, np.float32))
        chunks = self._stream.push(samples)
        if chunks:
            if not self._opened:
                self.open()
            pieces = [_piece(chunk) for chunk in chunks]
            self._conversation.extend([*pieces])
            if self.words is not None:
                self.words.hear(pieces)

    def commit(self, text: str = "") -> Turn:
        """The user has stopped. text: typed words that go with the sound, after it. `reopen` takes it back."""
        assert self._open
        self._open = False
        self._committed = self._conversation.bookmark()
        prompt = self._conversation.checkpoint.prompt
        rest: list[Span] = [] if self._opened else list(self._opening())
        last = [_piece(chunk) for chunk in self._stream.fork().finish()]
        if self.words is not None:
            self.words.end(last, self.seconds)
        rest += last
        rest.append(TextSpan((self._control.audio_eos,)))
        rest += [self._thinker.span(picture) for picture in self._after]
        rest += [*prompt.continue_turn(text), prompt.close_turn()]
        clip = AudioClip(np.concatenate([np.zeros(0, np.float32), *self._heard]), self.rate_hz)
        content: tuple[Content, ...] = (*self._before, clip, *self._after)
        turn = Turn("user", (*content, text) if text else content)
        self._conversation.close_turn(turn, rest)
        return turn

    def reopen(self) -> None:
        """The user goes on: forget the commit and any reply since; what was read while listening stays read."""
        assert not self._open and self._committed is not None
        self._conversation.rewind(self._committed)
        self._committed = None
        self._open = True

    def discard(self) -> None:
        """It was nothing, or not meant for us: the conversation is as if nobody had spoken."""
        assert self._open
        self._open = False
        self._conversation.rewind(self._start)

    def _opening(self) -> list[Span]:
        parts: list[str | AudioSpan | ImageSpan | VideoSpan] = [self._thinker.span(one) for one in self._before]
        opening = self._conversation.checkpoint.prompt.open_turn("user", parts)
        return [*opening, TextSpan((self._control.audio_bos,))]


def _piece(chunk: torch.Tensor) -> AudioPiece:
    return AudioPiece(len(chunk), chunk)

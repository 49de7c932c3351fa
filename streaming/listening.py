"""A user's turn while it is being spoken: each 2 s of sound is encoded and read as soon as it is complete, so that
only the last chunk is left to do when the user stops.

    one picture, or none     picture, sound                              as a file of each
    a scene that changes     a film: pictures and sound, 2 s by 2 s      as a video with its sound

A turn is a picture and a sound until a second picture comes; then what was read of it is laid down anew, once, as a
film. Nothing is encoded twice but the first picture.
"""

from __future__ import annotations

import numpy as np
import torch

from multimodal.audio import AudioStream
from multimodal.film import Film, Shown, film_clip, time_id
from multimodal.media import AudioClip
from multimodal.prompt import AudioPiece, AudioSpan, Content, FilmMark, ImageSpan, Span, TextSpan, Turn, VideoSpan
from multimodal.sampling import FrameBudget
from streaming.session import Bookmark, Conversation
from streaming.transcription import Transcription


class Listening:
    """One spoken turn of `conversation`, which must not be used otherwise until `commit` or `discard`.

    Samples are float32 in −1…1 at the encoder's rate (`rate_hz`). words: reads the same sound, to write it down.
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
        self._shown: list[Shown] = []
        self._pieces: list[AudioPiece] = []  # chunks of sound, encoded
        self._laid = 0  # of them, read
        self._film: Film | None = None
        self._start = conversation.bookmark()
        self._committed: Bookmark | None = None
        self._opened = False
        self._open = True

    @property
    def seconds(self) -> float:
        """Sound heard so far."""
        return self._stream.samples_seen / self.rate_hz

    def see(self, shown: Shown) -> None:
        """What the user shows, in order of time, before the chunk of its time is full; the first before `open`. With a
        second picture the turn becomes a film."""
        assert self._open and (shown[0] >= self._shown[-1][0] if self._shown else not self._opened)
        self._shown.append(shown)
        if len(self._shown) == 2:
            if self._opened:
                self._conversation.rewind(self._start)
                self._opened, self._laid = False, 0
            self._film = Film(self._thinker)
        assert self._chunk_of(shown[0]) >= self._laid, "that chunk has been read without the picture"

    def open(self) -> None:
        """Read what is known already: the end of the turn before, and the picture. Done by itself when sound is."""
        assert self._open and not self._opened
        self._conversation.extend(self._opening())
        self._opened = True

    def hear(self, samples: np.ndarray) -> None:
        """More sound. Costs nothing until a chunk is full."""
        assert self._open
        self._heard.append(np.asarray(samples, np.float32))
        pieces = [_piece(chunk) for chunk in self._stream.push(samples)]
        self._pieces += pieces
        self._lay()
        if pieces and self.words is not None:
            self.words.hear(pieces)

    def commit(self, text: str = "") -> Turn:
        """The user has stopped. text: typed words that go with the sound, after it. `reopen` takes it back."""
        assert self._open
        self._lay()
        self._open = False
        self._committed = self._conversation.bookmark()
        prompt = self._conversation.checkpoint.prompt
        last = [_piece(chunk) for chunk in self._stream.fork().finish()]
        if self.words is not None:
            self.words.end(last, self.seconds)
        rest: list[Span] = [] if self._opened else list(self._opening())
        rest += self._ending(last)
        rest += [*prompt.continue_turn(text), prompt.close_turn()]
        clip = AudioClip(np.concatenate([np.zeros(0, np.float32), *self._heard]), self.rate_hz)
        content: tuple[Content, ...] = (*(picture for _, picture in self._shown), clip)
        if self._film is not None:
            budget = FrameBudget.from_preprocessor(self._thinker.vision.processor.to_dict())
            content = (film_clip(self._shown, clip, budget),)
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

    def _lay(self) -> None:
        """Read the chunks that have not been read."""
        fresh = self._pieces[self._laid :]
        if not fresh:
            return
        if not self._opened:
            self.open()
        spans: list[Span] = []
        for number, piece in enumerate(fresh, self._laid):
            spans += [piece] if self._film is None else self._film.chunk(self._shown_in(number), piece)
        self._conversation.extend(spans)
        self._laid += len(fresh)

    def _ending(self, last: list[AudioPiece]) -> list[Span]:
        """The sound after the last full chunk, and the end of it."""
        if self._film is None:
            return [*last, TextSpan((self._control.audio_eos,))]
        film = self._film.fork()  # who goes on lays the last chunk down again, whole
        spans: list[Span] = []
        for number in range(self._laid, max(self._laid + len(last), self._chunk_of(self._shown[-1][0]) + 1)):
            piece = last[number - self._laid] if number < self._laid + len(last) else None
            spans += film.chunk(self._shown_in(number), piece)
        return [*spans, FilmMark(ends=True)]

    def _shown_in(self, chunk: int) -> list[Shown]:
        return [one for one in self._shown if self._chunk_of(one[0]) == chunk]

    def _chunk_of(self, at_sec: float) -> int:
        tmrope = self._thinker.tmrope
        return time_id(at_sec, tmrope.ids_per_second) // int(tmrope.ids_per_second * tmrope.seconds_per_chunk)

    def _opening(self) -> list[Span]:
        prompt = self._conversation.checkpoint.prompt
        if self._film is not None:
            return [*prompt.open_turn("user", []), FilmMark()]
        parts: list[str | AudioSpan | ImageSpan | VideoSpan] = [self._thinker.span(one) for _, one in self._shown]
        return [*prompt.open_turn("user", parts), TextSpan((self._control.audio_bos,))]


def _piece(chunk: torch.Tensor) -> AudioPiece:
    return AudioPiece(len(chunk), chunk)

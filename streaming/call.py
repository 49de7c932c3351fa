"""A spoken conversation: microphone samples in, replies out, and what happens when both speak.

    hear(samples) → TurnDetector → Listening (read while spoken) → Conversation.respond → emit(event)
                        └ while a reply is spoken: barge-in → cancel, cut the reply back to what was heard

`hear`, `played`, `commit` and `close` are called from one thread (the one that serves the client); a reply runs in
a thread of its own and hands its events to `emit`, which must be quick and safe to call from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streaming.events import Event, ResponseDone, SpeechChunk
from streaming.listening import Listening
from streaming.playback import Pace, Playback
from streaming.session import Conversation, ResponseOptions
from streaming.turn import Speech, SpeechStarted, SpeechStopped, TurnDetector


@dataclass(frozen=True)
class CallSettings:
    """barge_in_ms: speech it takes to interrupt a reply; less ("mhm") is let pass. automatic: answer when the
    detector says that the turn is over; otherwise only on `commit`."""

    barge_in_ms: float = 350.0
    automatic: bool = True


@dataclass(frozen=True)
class Interrupted:
    """The user spoke into reply number `generation`: `heard_tokens` of its text tokens stay in the conversation."""

    generation: int
    heard_tokens: int
    text: str


CallEvent = Event | SpeechStarted | SpeechStopped | Interrupted


class Call:
    """One call on `conversation`, which nobody else uses meanwhile."""

    def __init__(
        self,
        conversation: Conversation,
        detector: TurnDetector,
        emit: Callable[[CallEvent], None],
        options: ResponseOptions = ResponseOptions(),
        settings: CallSettings = CallSettings(),
    ) -> None:
        self.conversation = conversation
        self.options = options
        self.settings = settings
        self._detector = detector
        self._emit = emit
        self._pace = Pace()
        self._listening: Listening | None = None
        self._held: list[np.ndarray] = []  # speech into a reply, not long enough yet to interrupt it
        self._held_start: SpeechStarted | None = None
        self._playback: Playback | None = None
        self._reply: threading.Thread | None = None

    @property
    def answering(self) -> bool:
        """A reply is being made, or the player still has some of it to play."""
        made = self._reply is not None and self._reply.is_alive()
        return made or (self._playback is not None and self._playback.waiting_sec > 0)

    def hear(self, samples: np.ndarray) -> None:
        """More of the microphone: float32 [n] at 16 kHz."""
        for event in self._detector.push(samples):
            if isinstance(event, SpeechStarted):
                self._held_start = event
            elif isinstance(event, Speech):
                self._take(event)
            else:
                self._stop(event)

    def commit(self) -> None:
        """The user says that the turn is over (a released key)."""
        for event in self._detector.commit():
            assert isinstance(event, SpeechStopped)
            self._stop(event, answer=True)

    def played(self, samples: int) -> None:
        """The player has played `samples` samples of the newest reply's speech in all."""
        if self._playback is not None:
            self._playback.acknowledge(samples)

    def interrupt(self) -> None:
        """Stop the reply; the conversation keeps what was heard of it."""
        self.conversation.cancel()
        self.wait()
        playback = self._playback
        self._playback = None
        if playback is None or not self.conversation.turns or self.conversation.turns[-1].role != "assistant":
            return
        ids = self.conversation.turns[-1].ids or ()
        heard = playback.heard_tokens(len(ids))
        if heard == len(ids):
            return
        self.conversation.truncate(heard)
        text = "".join(part for part in self.conversation.turns[-1].content if isinstance(part, str))
        self._emit(Interrupted(self.conversation.generation, heard, text))

    def wait(self) -> None:
        """Until the reply has been made or has given up."""
        if self._reply is not None:
            self._reply.join()
            self._reply = None

    def close(self) -> None:
        """Hang up: the reply stops, a turn that nobody finished is forgotten."""
        self.interrupt()
        if self._listening is not None:
            self._listening.discard()
            self._listening = None

    def _take(self, speech: Speech) -> None:
        if self._listening is not None:
            self._listening.hear(speech.samples)
            return
        self._held.append(speech.samples)
        if self.answering:
            if speech.spoken_ms < self.settings.barge_in_ms:
                return
            self.interrupt()
        assert self._held_start is not None
        self._emit(self._held_start)
        self._listening = Listening(self.conversation)
        for piece in self._held:
            self._listening.hear(piece)
        self._held = []

    def _stop(self, event: SpeechStopped, answer: bool | None = None) -> None:
        self._held = []
        self._held_start = None
        if self._listening is None:  # a word into a reply that went on
            return
        self._emit(event)
        self._listening.commit()
        self._listening = None
        if self.settings.automatic if answer is None else answer:
            self.answer()

    def answer(self) -> None:
        """Reply to the turns so far."""
        self.wait()
        token2wav = self.conversation.checkpoint.token2wav
        speaks = self.options.speech and token2wav is not None
        self._playback = Playback(token2wav.rate_hz, self._pace) if speaks and token2wav is not None else None
        self._reply = threading.Thread(target=self._speak, args=(self._playback,), name="reply", daemon=True)
        self._reply.start()

    def _speak(self, playback: Playback | None) -> None:
        for event in self.conversation.respond(self.options):
            if playback is not None:
                if isinstance(event, SpeechChunk):
                    playback.send(len(event.samples))
                elif isinstance(event, ResponseDone) and event.status == "completed":
                    playback.finish(len(self.conversation.turns[-1].ids or ()))
            self._emit(event)

"""One exchange of a call while it goes on: what the user says, the reply to it, and where an interruption cuts it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from multimodal.film import Shown
from streaming.call_events import TurnTiming
from streaming.chunk import Sight
from streaming.events import ResponseDone, ScriptedEvent, SpeechChunk
from streaming.playback import Playback
from streaming.session import ResponseOptions


@dataclass(eq=False)
class SpokenTurn:
    """A turn of the user. audio: its pieces, of which the first `fed` went to the dialogue, as the first `seen` of what
    was shown; ended_sec: when the user fell silent."""

    number: int
    start: int
    audio: list[np.ndarray] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    seen: int = 0
    samples: int = 0
    fed: int = 0
    opened: bool = False
    paused: bool = False
    committed: bool = False
    early: Reply | None = None
    answer: bool = False
    options: ResponseOptions | None = None
    sight: Sight = Sight()
    ended_sec: float = 0.0
    decided_sec: float = 0.0

    def add(self, samples: np.ndarray) -> None:
        self.audio.append(samples)
        self.samples += len(samples)


@dataclass(eq=False)
class Reply:
    """number: 0 until it is let out. followed: another turn stands behind it. held: events that nobody may see yet,
    None once they may. wanted: nobody has interrupted it."""

    number: int
    options: ResponseOptions
    playback: Playback | None
    asked_sec: float
    turn: SpokenTurn | None = None
    held: list[ScriptedEvent] | None = None
    wanted: bool = True
    done: ResponseDone | None = None
    sounded: bool = False
    followed: bool = False
    played: bool = False

    def timing(self, event: ScriptedEvent, now: float) -> TurnTiming:
        """event: its first sound or, without a voice, text, sent at `now`."""
        turn = self.turn
        ended = turn.ended_sec if turn is not None else self.asked_sec
        asked = self.asked_sec
        marks_ms = event.marks_ms if isinstance(event, SpeechChunk) else {}
        begun = (asked - ended) * 1000

        def since_end(mark: str) -> float | None:
            return begun + marks_ms[mark] if mark in marks_ms else None

        return TurnTiming(
            self.number,
            decided_ms=(turn.decided_sec - ended) * 1000 if turn is not None else 0.0,
            read_ms=since_end("read"),
            first_text_ms=since_end("first_text"),
            first_code_ms=since_end("first_code"),
            first_sample_ms=since_end("first_audio"),
            sent_ms=(now - ended) * 1000,
            early=turn is not None and turn.early is self,
        )


@dataclass
class Cut:
    """The reply is to be cut back to what was heard. known: the player said so."""

    reply: Reply
    until_sec: float
    known: bool = False

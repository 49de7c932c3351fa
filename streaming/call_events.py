"""What a call tells its application, in the order of a turn. `turn` and `reply` are numbers that count from 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multimodal.film import Shown
from streaming.chunk import Sight
from streaming.events import ScriptedEvent
from streaming.session import ResponseOptions


@dataclass(frozen=True)
class TurnStarted:
    """The user begins to speak. at: number of the sample where the kept sound begins. detected: by the detector and
    not by a key."""

    turn: int
    at: int
    detected: bool


@dataclass(frozen=True)
class TurnStopped:
    """The user's turn is over. at: number of the sample after its last speech."""

    turn: int
    at: int
    detected: bool


@dataclass(frozen=True, eq=False)
class TurnCommitted:
    """The turn is part of the conversation. samples: float32 [n] at 16 kHz, and what was shown, as the model has
    them. sight: what became of all pictures."""

    turn: int
    samples: np.ndarray
    shown: tuple[Shown, ...]
    sight: Sight


@dataclass(frozen=True)
class ReplyStarted:
    """turn: the spoken turn that it answers, None where it was asked for otherwise."""

    reply: int
    turn: int | None
    options: ResponseOptions


@dataclass(frozen=True)
class ReplyEvent:
    """What the conversation tells of a reply; after an interruption only its ResponseDone."""

    reply: int
    event: ScriptedEvent


@dataclass(frozen=True)
class TurnTiming:
    """Where the time went, in ms since the user fell silent (or asked): the turn decided, the turn read, the first
    text, code and sample made, the first sound (or text) sent. early: the answer was begun at a pause, so that what
    was made before the turn was decided has a smaller number."""

    reply: int
    decided_ms: float
    read_ms: float | None
    first_text_ms: float | None
    first_code_ms: float | None
    first_sample_ms: float | None
    sent_ms: float
    early: bool


@dataclass(frozen=True)
class Interrupted:
    """The reply was stopped after `played_ms` of its speech: `heard_tokens` of its text tokens, which read `text`, stay
    in the conversation."""

    reply: int
    heard_tokens: int
    text: str
    played_ms: float


@dataclass(frozen=True)
class Played:
    """The whole reply was heard."""

    reply: int


CallEvent = TurnStarted | TurnStopped | TurnCommitted | ReplyStarted | ReplyEvent | TurnTiming | Interrupted | Played

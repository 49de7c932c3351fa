"""Calls: turns, barge-in, a word of agreement, silence. The microphone's time is counted in samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multimodal.checkpoint import Checkpoint, load
from streaming.call import Call, CallEvent, CallSettings, Interrupted
from streaming.events import ResponseDone, SpeechChunk
from streaming.session import Conversation, ResponseOptions
from streaming.turn import RATE_HZ, SpeechStarted, SpeechStopped, TurnDetector, TurnSettings
from tests.test_turn import LoudIsSpeech

OPTIONS = ResponseOptions(greedy=True, seed=4, max_text_tokens=12, max_codes=60)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


class Line:
    """A call with its events collected."""

    def __init__(self, checkpoint: Checkpoint, settings: CallSettings = CallSettings()) -> None:
        self.events: list[CallEvent] = []
        self.conversation = Conversation(checkpoint)
        detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=400))
        self.call = Call(self.conversation, detector, self.events.append, OPTIONS, settings)

    def microphone(self, *stretches: tuple[float, float]) -> None:
        """(seconds, loudness) one after another."""
        for seconds, level in stretches:
            noise = np.random.default_rng(0).choice([-1.0, 1.0], int(seconds * RATE_HZ))
            for piece in np.array_split((noise * level).astype(np.float32), max(1, int(seconds * 50))):
                self.call.hear(piece)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def done(self) -> list[ResponseDone]:
        return [event for event in self.events if isinstance(event, ResponseDone)]

    def sent(self) -> int:
        return sum(len(event.samples) for event in self.events if isinstance(event, SpeechChunk))


def test_each_spoken_turn_gets_one_reply(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    for _ in range(3):
        line.microphone((0.5, 0.0), (1.0, 0.5), (0.6, 0.0))
        line.call.wait()
        line.call.played(10**9)
    assert [turn.role for turn in line.conversation.turns] == ["user", "assistant"] * 3
    assert len(line.done()) == 3 and line.names().count("SpeechStarted") == line.names().count("SpeechStopped") == 3
    order = [name for name in line.names() if name in ("SpeechStarted", "SpeechStopped", "ResponseDone")]
    assert order == ["SpeechStarted", "SpeechStopped", "ResponseDone"] * 3


def test_speaking_into_a_reply_stops_it_and_leaves_what_was_heard(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    line.microphone((0.4, 0.0), (1.0, 0.5), (0.6, 0.0))
    line.call.wait()
    whole = len(line.conversation.turns[-1].ids or ())
    line.call.played(line.sent() // 4)
    assert line.call.answering, "three quarters are still to be played"
    line.microphone((1.0, 0.5))
    cut = [event for event in line.events if isinstance(event, Interrupted)]
    assert len(cut) == 1 and 0 < cut[0].heard_tokens < whole
    assert len(line.conversation.turns[-1].ids or ()) == cut[0].heard_tokens
    assert line.names().index("Interrupted") < len(line.events) - 1
    line.microphone((0.6, 0.0))
    line.call.wait()
    assert [turn.role for turn in line.conversation.turns] == ["user", "assistant"] * 2
    assert line.done()[-1].error is None


def test_a_word_of_agreement_does_not_stop_the_reply(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    line.microphone((0.4, 0.0), (1.0, 0.5), (0.6, 0.0))
    line.call.wait()
    before = list(line.names())
    line.microphone((0.2, 0.5), (1.0, 0.0))
    assert line.names() == before and len(line.conversation.turns) == 2
    line.call.played(10**9)
    line.microphone((0.2, 0.5), (1.0, 0.0))
    line.call.wait()
    assert len(line.conversation.turns) == 4, "the same word is a turn once the reply has been played"


def test_push_to_talk_answers_when_the_key_is_released(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint, CallSettings(automatic=False))
    line.microphone((0.4, 0.0), (0.8, 0.5))
    line.call.commit()
    line.call.wait()
    assert len(line.done()) == 1
    line.call.played(10**9)
    line.microphone((0.8, 0.5), (1.0, 0.0))
    assert len(line.done()) == 1, "silence alone answers nothing here"


def test_silence_is_never_read(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    rows = checkpoint.thinker.rows_computed
    line.microphone((60.0, 0.0))
    assert checkpoint.thinker.rows_computed == rows and not line.events


def test_hanging_up_forgets_an_unfinished_turn(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    line.microphone((0.4, 0.0), (3.0, 0.5))
    assert isinstance(line.events[0], SpeechStarted) and not any(isinstance(e, SpeechStopped) for e in line.events)
    line.call.close()
    assert line.conversation.turns == [] and not line.call.answering

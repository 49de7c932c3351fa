"""Calls on the model: turns, barge-in, a word of agreement, silence. The microphone's time is counted in samples."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multimodal.checkpoint import Checkpoint, load
from multimodal.media import Picture, VideoClip
from multimodal.prompt import Turn
from streaming.call import Call, CallSettings
from streaming.call_events import (
    CallEvent,
    Interrupted,
    ReplyEvent,
    ReplyStarted,
    TurnCommitted,
    TurnStarted,
    TurnStopped,
)
from streaming.chunk import Sight
from streaming.clock import VirtualLine
from streaming.dialogue import LiveDialogue
from streaming.events import Event, ResponseDone, SpeechChunk
from streaming.session import Conversation, ResponseOptions
from streaming.turn import RATE_HZ, TurnDetector, TurnSettings
from tests.test_turn import LoudIsSpeech

OPTIONS = ResponseOptions(greedy=True, seed=4, max_text_tokens=12, max_codes=60)
FAST = CallSettings(warm_up_ms=0, grace_ms=0)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


class WholeReplies(LiveDialogue):
    """Makes each reply at once, as if computing took no time."""

    def respond(self, options: ResponseOptions, tell: Callable[[Event], None]) -> None:
        for event in self.conversation.respond(options):
            self._line.post(lambda event=event: tell(event))


class Line:
    """A call with its events collected."""

    def __init__(self, checkpoint: Checkpoint, settings: CallSettings = FAST, pause_ms: float | None = None) -> None:
        self.events: list[CallEvent] = []
        self.conversation = Conversation(checkpoint)
        self.line = VirtualLine()
        detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=400, pause_ms=pause_ms))
        assert checkpoint.token2wav is not None
        self.call = Call(
            WholeReplies(self.conversation, self.line),
            detector,
            self.line,
            self.events.append,
            OPTIONS,
            settings,
            checkpoint.token2wav.rate_hz,
        )

    def microphone(self, *stretches: tuple[float, float]) -> None:
        """(seconds, loudness) one after another, in pieces of 20 ms."""
        for seconds, level in stretches:
            noise = np.random.default_rng(0).choice([-1.0, 1.0], int(seconds * RATE_HZ))
            for piece in np.array_split((noise * level).astype(np.float32), max(1, int(seconds * 50))):
                self.line.run(self.line.now() + len(piece) / RATE_HZ)
                self.call.hear(piece)
        self.line.run(self.line.now())

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def done(self) -> list[ResponseDone]:
        events = [event.event for event in self.events if isinstance(event, ReplyEvent)]
        return [event for event in events if isinstance(event, ResponseDone)]

    def sent(self, reply: int) -> int:
        events = [event.event for event in self.events if isinstance(event, ReplyEvent) and event.reply == reply]
        return sum(len(event.samples) for event in events if isinstance(event, SpeechChunk))

    def all_played(self) -> None:
        self.line.run(self.line.now() + 60)


def test_each_spoken_turn_gets_one_reply(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    for _ in range(3):
        line.microphone((0.5, 0.0), (1.0, 0.5), (0.6, 0.0))
        line.all_played()
    assert [turn.role for turn in line.conversation.turns] == ["user", "assistant"] * 3
    marks = ("TurnStarted", "TurnStopped", "TurnCommitted", "ReplyStarted", "Played")
    assert [name for name in line.names() if name in marks] == list(marks) * 3
    assert [done.status for done in line.done()] == ["length", "completed", "length"]


def test_speaking_into_a_reply_stops_it_and_leaves_what_was_heard(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    line.microphone((0.4, 0.0), (1.0, 0.5), (0.6, 0.0))
    whole = len(line.conversation.turns[-1].ids or ())
    line.call.played(1, line.sent(1) // 4)
    assert line.call.answering, "three quarters are still to be played"
    line.microphone((1.0, 0.5))
    cut = [event for event in line.events if isinstance(event, Interrupted)]
    assert len(cut) == 1 and 0 < cut[0].heard_tokens < whole
    assert len(line.conversation.turns[-1].ids or ()) == cut[0].heard_tokens
    line.microphone((0.6, 0.0))
    assert [turn.role for turn in line.conversation.turns] == ["user", "assistant"] * 2
    assert line.done()[-1].error is None


def test_the_player_knows_best_what_was_heard(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint, CallSettings(warm_up_ms=0, grace_ms=400))
    line.microphone((0.4, 0.0), (1.0, 0.5), (0.6, 0.0))
    assert line.call.answering
    line.microphone((0.45, 0.5))
    assert isinstance(line.events[-1], TurnStarted), "nothing is cut before the player had a chance to say"
    assert line.call.truncate(1, line.sent(1) // 2)
    cut = line.events[-1]
    assert isinstance(cut, Interrupted) and cut.played_ms == pytest.approx(line.sent(1) / 2 / 24, abs=1)
    assert not line.call.truncate(7, 0), "there is no such reply"


def test_a_word_of_agreement_does_not_stop_the_reply(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    line.microphone((0.4, 0.0), (1.0, 0.5), (0.6, 0.0))
    assert line.call.answering
    before = list(line.names())
    line.call.played(1, 0)
    line.microphone((0.2, 0.5), (1.0, 0.0))
    assert line.names() == before and len(line.conversation.turns) == 2
    line.call.played(1, 10**9)
    line.microphone((0.2, 0.5), (1.0, 0.0))
    assert len(line.conversation.turns) == 4, "the same word is a turn once the reply has been played"


def test_push_to_talk_answers_when_asked_to_and_hears_only_what_was_sent(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint, CallSettings(detection="manual", warm_up_ms=0, grace_ms=0))
    assert not line.call.commit(), "nothing was said"
    line.microphone((0.8, 0.5), (2.0, 0.0))
    assert not line.done(), "silence alone answers nothing here"
    assert line.call.commit()
    line.call.respond()
    line.all_played()
    assert len(line.done()) == 1
    clip = line.conversation.turns[0].content[0]
    assert len(getattr(clip, "samples", ())) == int(2.8 * RATE_HZ)


def test_silence_is_never_read(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    rows = checkpoint.thinker.rows_computed
    line.microphone((60.0, 0.0))
    assert checkpoint.thinker.rows_computed == rows and not line.events


def test_hanging_up_forgets_an_unfinished_turn(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint)
    line.microphone((0.4, 0.0), (3.0, 0.5))
    assert isinstance(line.events[0], TurnStarted) and not any(isinstance(e, TurnStopped) for e in line.events)
    line.call.close()
    assert line.conversation.turns == [] and not line.call.answering and line.call.quiet


@pytest.mark.parametrize("seconds", [0.8, 2.7])
def test_an_answer_begun_at_a_pause_and_taken_back_leaves_no_trace(checkpoint: Checkpoint, seconds: float) -> None:
    """The same words with and without answers begun early give the same conversation, and the same next reply."""
    lines = [Line(checkpoint, pause_ms=128), Line(checkpoint, CallSettings(speculate=False, warm_up_ms=0, grace_ms=0))]
    for line in lines:
        settings, line.call.settings = line.call.settings, lines[1].call.settings
        line.microphone((0.5, 0.0), (1.0, 0.5), (0.6, 0.0))
        line.all_played()
        line.call.settings = settings
        line.microphone((seconds, 0.5), (0.25, 0.0), (seconds, 0.5), (0.2, 0.0), (0.3, 0.5))
        assert line.names().count("ReplyStarted") == 1, "nobody has seen what was begun"
        line.call.commit(answer=True)
        line.all_played()
    early, late = lines
    assert early.names() == late.names()
    assert [d.text for d in early.done()] == [d.text for d in late.done()]
    assert early.conversation.length == late.conversation.length
    one, other = (line.conversation._thinker.cache.layers[0] for line in lines)
    length = early.conversation._thinker.length
    assert length == late.conversation._thinker.length
    np.testing.assert_allclose(one.keys[:, :, :length], other.keys[:, :, :length], atol=2e-4)  # type: ignore[index]


def test_an_answer_begun_at_a_pause_is_let_out_when_nobody_goes_on(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint, pause_ms=128)
    line.microphone((0.5, 0.0), (1.0, 0.5), (0.3, 0.0))
    assert line.names() == ["TurnStarted"]
    assert [turn.role for turn in line.conversation.turns] == ["user", "assistant"], "it was made meanwhile"
    line.microphone((0.3, 0.0))
    assert line.names()[:4] == ["TurnStarted", "TurnStopped", "TurnCommitted", "ReplyStarted"]
    assert len(line.done()) == 1


def test_replies_are_made_beside_the_call_on_a_real_thread(checkpoint: Checkpoint) -> None:
    from streaming.clock import ThreadLine

    line, done = ThreadLine(), threading.Event()
    events: list[CallEvent] = []

    def emit(event: CallEvent) -> None:
        events.append(event)
        if isinstance(event, ReplyEvent) and isinstance(event.event, ResponseDone):
            done.set()

    conversation = Conversation(checkpoint)
    detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=100))
    call = Call(LiveDialogue(conversation, line), detector, line, emit, OPTIONS, FAST, 24_000)
    speech = np.concatenate([np.full(RATE_HZ, 0.5, np.float32), np.zeros(RATE_HZ // 4, np.float32)])
    line.post(lambda: call.hear(speech))
    assert done.wait(60)
    line.post(call.close)
    line.close()
    assert sum(isinstance(event, ReplyStarted) for event in events) == 1
    assert [turn.role for turn in conversation.turns] == ["user", "assistant"]


def shade(level: int) -> Picture:
    return Picture(np.full((56, 56, 3), level, np.uint8))


def test_a_turn_begins_with_the_newest_picture_and_takes_another_where_the_scene_changes(
    checkpoint: Checkpoint,
) -> None:
    line = Line(checkpoint)
    line.call.see(shade(10), 0)
    line.microphone((5.0, 0.0))
    line.call.see(shade(50), 5000)
    line.call.see(shade(90), 4000)  # late: the newer one stays
    line.microphone((2.4, 0.5))
    line.call.see(shade(51), 7400)  # nothing new
    line.microphone((0.5, 0.5))
    line.call.see(shade(200), 7900)
    line.microphone((0.5, 0.5), (0.6, 0.0))
    (film,) = line.conversation.turns[0].content
    assert isinstance(film, VideoClip) and film.audio is not None
    seen = list(zip(film.times_sec[::2].round(1).tolist(), film.frames[::2, 0, 0, 0].tolist()))
    assert [level for _, level in seen] == [50, 50, 200, 200], "each chunk begins with what was seen then"
    assert [at for at, _ in (*seen[:2], seen[3])] == [0.0, 2.0, 4.0] and 2.9 < seen[2][0] < 3.5
    committed = next(event for event in line.events if isinstance(event, TurnCommitted))
    assert committed.sight == Sight(received=2, taken=4, late=0, held=0)
    filed = Conversation(checkpoint)
    filed.append(Turn("user", (film,)))
    assert filed.length == sum(len(checkpoint.thinker.tmrope.ids(span)) for span in line.conversation.spans[:-3])
    line.all_played()
    line.microphone((1.0, 0.5), (0.6, 0.0))
    assert len(line.conversation.turns[2].content) == 1, "the camera has been off for a minute"


def test_a_scene_that_stays_is_read_as_a_picture_before_the_sound(checkpoint: Checkpoint) -> None:
    line = Line(checkpoint, pause_ms=128)
    for at_ms in range(0, 3000, 250):
        line.call.see(shade(50), at_ms)
        line.microphone((0.25, 0.5 if at_ms >= 500 else 0.0))
    line.microphone((0.6, 0.0))
    filed = Conversation(checkpoint)
    filed.append(line.conversation.turns[0])
    tmrope = checkpoint.thinker.tmrope
    lived = [token for span in line.conversation.spans for token in tmrope.ids(span)]
    assert tmrope.control.image in lived
    assert lived[: filed.length] == [token for span in filed.spans for token in tmrope.ids(span)]

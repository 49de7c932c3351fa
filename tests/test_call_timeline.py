"""Calls in virtual time: scripted speech against scripted replies, with the order of events and their times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.call import Call, CallSettings
from streaming.call_events import (
    CallEvent,
    Interrupted,
    Played,
    ReplyEvent,
    ReplyStarted,
    TurnCommitted,
    TurnStarted,
    TurnStopped,
    TurnTiming,
)
from streaming.clock import VirtualLine
from streaming.events import ResponseDone, SpeechChunk
from streaming.session import ResponseOptions
from streaming.turn import TurnDetector, TurnSettings
from tests.scripted_dialogue import ScriptedDialogue
from tests.test_turn import LoudIsSpeech

STEP_SEC = 0.032
SETTINGS = CallSettings(warm_up_ms=0)


@dataclass
class Scene:
    """spoken: seconds from and to which the user speaks. events: (when, what) as the client gets them."""

    spoken: list[tuple[float, float]]
    settings: CallSettings = SETTINGS
    pause_ms: float | None = 160.0
    patience_ms: float = 300.0
    line: VirtualLine = field(default_factory=VirtualLine)
    events: list[tuple[float, CallEvent]] = field(default_factory=list)
    script: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dialogue = ScriptedDialogue(self.line, **self.script)  # type: ignore[arg-type]
        detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=self.patience_ms, pause_ms=self.pause_ms))

        def emit(event: CallEvent) -> None:
            self.events.append((self.line.now(), event))

        options = ResponseOptions()
        self.call = Call(self.dialogue, detector, self.line, emit, options, self.settings, 24_000)
        self._heard = 0

    def run(self, until_sec: float) -> Scene:
        """The microphone runs in pieces of one frame, each given when it has been spoken."""
        while self.line.now() < until_sec - 1e-9:
            self.line.run(self.line.now() + STEP_SEC)
            now = self._heard * STEP_SEC
            self._heard += 1
            loud = any(start <= now + STEP_SEC / 2 < end for start, end in self.spoken)
            self.call.hear(np.full(512, 0.5 if loud else 0.0, np.float32))
        return self

    def times(self, kind: type) -> list[float]:
        return [at for at, event in self.events if isinstance(event, kind)]

    def of(self, kind: type) -> list[CallEvent]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def first_sound(self, reply: int) -> float:
        return next(
            at
            for at, event in self.events
            if isinstance(event, ReplyEvent) and event.reply == reply and isinstance(event.event, SpeechChunk)
        )

    def dones(self) -> list[tuple[int, str]]:
        found = [(e.reply, e.event) for _, e in self.events if isinstance(e, ReplyEvent)]
        return [(reply, event.status) for reply, event in found if isinstance(event, ResponseDone)]


def near(seconds: float, within: float = 0.04) -> object:
    return pytest.approx(seconds, abs=within)


def test_a_turn_is_answered_as_soon_as_patience_allows() -> None:
    scene = Scene([(1.0, 2.5)]).run(6)
    assert scene.times(TurnStarted) == [near(1.1)]
    assert scene.times(TurnStopped) == [near(2.8)]
    assert scene.times(TurnCommitted) == scene.times(ReplyStarted) == scene.times(TurnStopped)
    assert scene.first_sound(1) == near(2.5 + 0.16 + 0.3), "the answer was begun after 160 ms and took 300"
    (timing,) = scene.of(TurnTiming)
    assert isinstance(timing, TurnTiming) and timing.early
    assert timing.decided_ms == near(300, 40) and timing.sent_ms == near(460, 40)
    assert scene.dones() == [(1, "completed")]
    assert scene.times(Played) == [near(scene.first_sound(1) + 2.0, 0.1)], "eight words of 0.25 s"


def test_without_answers_begun_early_the_patience_comes_on_top() -> None:
    scene = Scene([(1.0, 2.5)], replace(SETTINGS, speculate=False)).run(6)
    assert scene.first_sound(1) == near(2.5 + 0.3 + 0.3)


def test_a_pause_inside_a_turn_takes_the_early_answer_back() -> None:
    scene = Scene([(1.0, 2.0), (2.22, 3.0)]).run(7)
    assert len(scene.times(TurnStopped)) == len(scene.times(ReplyStarted)) == 1
    assert [role for role, _ in scene.dialogue.turns] == ["user", "assistant"]
    assert scene.first_sound(1) == near(3.0 + 0.16 + 0.3)


@pytest.mark.parametrize("into", [0.05, 0.25, 0.6, 1.2, 1.5])
def test_speech_interrupts_a_reply_at_every_stage(into: float) -> None:
    """Before its first text, its first sound, while it is made, while it is only played, near its end."""
    began = 2.5 + 0.3
    scene = Scene([(1.0, 2.5), (began + into, began + into + 1.5)]).run(9)
    cut = scene.of(Interrupted)[0]
    assert isinstance(cut, Interrupted) and cut.reply == 1
    spoke = scene.times(TurnStarted)[1]
    assert spoke == near(began + into + 0.35, 0.07), "barge-in takes 350 ms of speech"
    late = [
        at
        for at, event in scene.events
        if isinstance(event, ReplyEvent) and event.reply == 1 and isinstance(event.event, SpeechChunk) and at > spoke
    ]
    assert not late, "no sound of a stale reply"
    played_ms = max(0.0, (spoke - scene.first_sound(1)) * 1000)
    assert cut.played_ms == near(played_ms, 60)
    assert scene.dialogue.turns[1] == ("assistant", cut.heard_tokens)
    assert cut.heard_tokens == near(played_ms / 250, 1.2)
    assert [reply for reply, _ in scene.dones()] == [1, 2], "each reply ends once"
    assert [role for role, _ in scene.dialogue.turns] == ["user", "assistant"] * 2


@pytest.mark.parametrize("into", np.arange(0.25, 1.4, 0.09).round(3).tolist())
@pytest.mark.parametrize("network_sec", [0.0, 0.05])
def test_sound_stops_within_200_ms_of_an_interruption(into: float, network_sec: float) -> None:
    """As the user hears it: speech and events take `network_sec` each way, and the player plays what it gets, without
    a pause, until it is told that the user speaks. An interruption is one when it has lasted `barge_in_ms`."""
    interrupts = 2.5 + 0.46 + into
    scene = Scene([(1.0, 2.5), (interrupts, interrupts + 1.5)]).run(8)
    flushed = scene.times(TurnStarted)[1] + network_sec
    plays_until = 0.0
    for at, event in scene.events:
        if isinstance(event, ReplyEvent) and event.reply == 1 and isinstance(event.event, SpeechChunk):
            arrives = at + network_sec
            assert arrives < flushed, "no sound of it comes later"
            plays_until = max(plays_until, arrives) + len(event.event.samples) / event.event.rate_hz
    assert plays_until > flushed, "there was sound left to play"
    silent_after_sec = flushed - (interrupts - network_sec + SETTINGS.barge_in_ms / 1000)
    assert -STEP_SEC < silent_after_sec <= 0.2, "a frame is speech when half of it is"


def test_a_word_of_agreement_and_noise_change_nothing() -> None:
    scene = Scene([(1.0, 2.5), (3.6, 3.8), (4.2, 4.25)]).run(8)
    assert len(scene.times(TurnStarted)) == 1 and not scene.of(Interrupted)
    assert scene.times(Played)


def test_what_the_loudspeaker_feeds_back_at_first_does_not_interrupt() -> None:
    guarded = Scene([(1.0, 2.5), (3.0, 3.7)], replace(SETTINGS, warm_up_ms=1500)).run(8)
    assert not guarded.of(Interrupted)
    assert Scene([(1.0, 2.5), (3.0, 3.7)]).run(8).of(Interrupted)


def test_both_speak_and_nobody_stops_where_that_is_wanted() -> None:
    scene = Scene([(1.0, 2.5), (3.2, 4.2)], replace(SETTINGS, interrupt=False)).run(12)
    assert not scene.of(Interrupted)
    assert [reply for reply, _ in scene.dones()] == [1, 2]
    assert [role for role, _ in scene.dialogue.turns] == ["user", "assistant"] * 2


def test_a_gap_in_the_microphone_only_delays() -> None:
    scene = Scene([(1.0, 2.5)]).run(2.0)
    scene.line.run(5.0)
    scene.spoken = [(1.0, 2.5)]
    scene.run(9)
    assert scene.dones() == [(1, "completed")]
    assert scene.times(TurnStopped) == [near(2.8 + 3.0)], "sound counts, not the clock on the wall"


def test_the_players_word_decides_what_was_heard() -> None:
    scene = Scene([(1.0, 2.5), (4.0, 5.5)]).run(4.4)
    assert scene.times(TurnStarted)[1:] and not scene.of(Interrupted)
    assert scene.call.truncate(1, 12_000)
    (cut,) = scene.of(Interrupted)
    assert isinstance(cut, Interrupted) and (cut.played_ms, cut.heard_tokens) == (500, 2)
    scene.run(9)
    assert scene.dialogue.turns[1] == ("assistant", 2)


def test_silence_costs_nothing() -> None:
    scene = Scene([]).run(600)
    assert not scene.events and not scene.dialogue.reads and not scene.dialogue.turns


def test_an_hour_of_talk_keeps_its_order_and_its_times() -> None:
    spoken = [(12.0 * i + 1, 12.0 * i + 2 + i % 5) for i in range(300)]
    scene = Scene(spoken).run(3600)
    ends = [end for _, end in spoken]
    np.testing.assert_allclose(scene.times(TurnStopped), np.array(ends) + 0.3, atol=0.05)
    assert scene.dones() == [(i + 1, "completed") for i in range(300)]
    sounds = [scene.first_sound(i + 1) for i in range(0, 300, 50)]
    np.testing.assert_allclose(sounds, [ends[i] + 0.46 for i in range(0, 300, 50)], atol=0.05)
    kinds = [type(event).__name__ for _, event in scene.events if not isinstance(event, ReplyEvent | TurnTiming)]
    assert kinds == ["TurnStarted", "TurnStopped", "TurnCommitted", "ReplyStarted", "Played"] * 300


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["speak", "silence", "cancel", "truncate", "commit", "clear", "respond", "played"]),
        st.integers(1, 60),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(ACTIONS, st.booleans(), st.booleans(), st.sampled_from([None, 96.0, 160.0]))
def test_whatever_happens_every_reply_ends_once_and_history_is_what_was_heard(
    actions: list[tuple[str, int]], by_key: bool, interrupt: bool, pause_ms: float | None
) -> None:
    from multimodal.errors import ConversationError

    wanted = CallSettings(detection="manual" if by_key else "vad", interrupt=interrupt, warm_up_ms=0)
    scene = Scene([], wanted, pause_ms)
    call = scene.call
    for action, amount in actions:
        now = scene.line.now()
        if action in ("speak", "silence"):
            length = amount * STEP_SEC
            scene.spoken = [(scene._heard * STEP_SEC, scene._heard * STEP_SEC + length)] if action == "speak" else []
            scene.run(now + length)
        elif action == "cancel":
            call.cancel()
        elif action == "truncate":
            call.truncate(call._numbers, amount * 2400)
        elif action == "commit":
            call.commit()
        elif action == "clear":
            call.clear()
        elif action == "played":
            call.played(call._numbers, amount * 2400)
        else:
            try:
                call.respond()
            except ConversationError:
                assert call.making is not None
    scene.spoken = []
    call.close()
    scene.line.run(scene.line.now() + 30)
    assert call.quiet and not scene.dialogue.busy
    started = [event.reply for _, event in scene.events if isinstance(event, ReplyStarted)]
    assert started == [reply for reply, _ in scene.dones()], "one end for each, in order"
    assert len(scene.of(TurnStarted)) - len(scene.of(TurnStopped)) <= sum(a == "clear" for a, _ in actions) + 1
    assert len(scene.of(TurnStopped)) == len(scene.of(TurnCommitted))
    roles = [role for role, _ in scene.dialogue.turns]
    assert roles.count("user") == len(scene.of(TurnCommitted)) and roles.count("assistant") == len(started)
    stale: set[int] = set()
    for _, event in scene.events:
        if isinstance(event, Interrupted):
            stale.add(event.reply)
        if isinstance(event, ReplyEvent) and isinstance(event.event, SpeechChunk):
            assert event.reply not in stale, "no sound of a stale reply"
    tokens = [count for role, count in scene.dialogue.turns if role == "assistant"]
    cut = {event.reply: event.heard_tokens for _, event in scene.events if isinstance(event, Interrupted)}
    for reply, heard in cut.items():
        assert tokens[started.index(reply)] == heard

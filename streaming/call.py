"""A spoken conversation: microphone samples in, replies out, and what happens when both speak.

    hear(samples) → TurnDetector → Dialogue (reads while the user speaks) → respond → emit(event)
                        │ a short pause: answer already, hold it back, forget it if the user goes on
                        └ while a reply is spoken: barge-in → cancel, cut the reply back to what was heard

Everything happens on one line (`streaming.clock`), so nothing here waits and nothing is locked: what cannot be done
while a reply is being made is done by `_advance` when it has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from multimodal.errors import ConversationError, TandemError
from multimodal.media import Picture
from multimodal.prompt import Turn
from streaming.call_events import (
    CallEvent,
    Interrupted,
    Played,
    ReplyEvent,
    ReplyStarted,
    TurnCommitted,
    TurnStarted,
    TurnStopped,
)
from streaming.chunk import Pictures
from streaming.clock import Line
from streaming.dialogue import Dialogue, failed
from streaming.events import ResponseDone, ScriptedEvent, SpeechChunk, TextDelta
from streaming.exchange import Cut, Reply, SpokenTurn
from streaming.playback import Pace, Playback
from streaming.session import ResponseOptions
from streaming.turn import (
    RATE_HZ,
    Paused,
    Resumed,
    Speech,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
)


@dataclass(frozen=True)
class CallSettings:
    """How turns are taken.

    detection: "vad" lets `TurnDetector` find turns; "manual" takes all sound as one turn until `commit`.
    answer: reply to a turn that the detector ended. interrupt: speech stops a reply that is being spoken.
    barge_in_ms: speech it takes for that; less ("mhm") is let pass. warm_up_ms: after the first sound of a call's
    first reply nothing interrupts, while the echo canceller of the other side learns. speculate: begin to answer at
    the detector's `pause_ms`. grace_ms: how long a cut waits for the player to say what it has played.
    longest_turn_sec: then a turn is over.
    """

    detection: Literal["vad", "manual"] = "vad"
    answer: bool = True
    interrupt: bool = True
    barge_in_ms: float = 350.0
    warm_up_ms: float = 1000.0
    speculate: bool = True
    grace_ms: float = 400.0
    longest_turn_sec: float = 60.0


class Call:
    """One call. All methods are called on `line`; `emit` is called there too.

    voice_rate_hz: of the replies' speech, None for a model without a voice.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        detector: TurnDetector,
        line: Line,
        emit: Callable[[CallEvent], None],
        options: ResponseOptions = ResponseOptions(),
        settings: CallSettings = CallSettings(),
        voice_rate_hz: int | None = None,
    ) -> None:
        self.options = options
        self.settings = settings
        self._dialogue = dialogue
        self._detector = detector
        self._line = line
        self._emit = emit
        self._rate_hz = voice_rate_hz
        self._pace = Pace()
        self._numbers = 0
        self._turns = 0
        self._turn: SpokenTurn | None = None
        self._ended: deque[SpokenTurn] = deque()
        self._queue: deque[Callable[[], None]] = deque()
        self._forgotten: list[SpokenTurn] = []
        self._held: list[np.ndarray] = []  # speech into a reply, not long enough yet to interrupt it
        self._held_start = 0
        self._pictures = Pictures()
        self._busy: Reply | None = None  # a reply that is being made, wanted or not
        self._reply: Reply | None = None  # the newest that was let out
        self._cut: Cut | None = None
        self._guard_sec: float | None = None
        self._heard_samples = 0
        self._closed = False

    # --- what the client does ----------------------------------------------------------------------------

    @property
    def answering(self) -> bool:
        """A reply is being made, or the player still has some of it to play."""
        reply = self._reply
        if reply is None or reply.playback is None:
            return reply is not None and reply.done is None
        reply.playback.look(self._line.now())
        return (reply.done is None and reply.wanted) or reply.playback.waiting_sec > 0

    @property
    def making(self) -> int | None:
        """Number of the reply that is being made and has not been interrupted."""
        reply = self._reply
        return reply.number if reply is not None and reply.done is None and reply.wanted else None

    @property
    def buffered_sec(self) -> float:
        """Sound of the turn that is being spoken."""
        return self._turn.samples / RATE_HZ if self._turn is not None else 0.0

    def hear(self, samples: np.ndarray) -> None:
        """More of the microphone: float32 [n] at 16 kHz."""
        self._heard_samples += len(samples)
        if self.settings.detection == "manual":
            self._hear_all(samples)
            return
        for event in self._detector.push(samples):
            if isinstance(event, SpeechStarted):
                self._held_start = event.at
            elif isinstance(event, Speech):
                self._speech(event)
            elif isinstance(event, SpeechStopped):
                self._stopped(event)
            elif self._turn is not None:
                self._pause(event)
        if self._turn is not None and self._turn.samples > self.settings.longest_turn_sec * RATE_HZ:
            for event in self._detector.commit():
                assert isinstance(event, SpeechStopped)
                self._stopped(event)

    def see(self, picture: Picture, captured_ms: float) -> None:
        """A picture of the camera or screen; `Pictures` decides whether it is read with what is said."""
        now = self._line.now()
        self._pictures.see(picture, captured_ms, now)
        if self._turn is not None:
            self._look(self._turn)

    def commit(self, answer: bool | None = None) -> bool:
        """The user says that the turn is over (a released key). False where nothing was heard."""
        turn = self._turn
        if turn is None and self.settings.detection == "vad" and self._held:
            turn = self._begin_turn(self._held_start)
        if turn is None or not turn.samples:
            return False
        self._detector.reset()
        self._end_turn(turn, self._line.now(), self.settings.detection == "vad" if answer is None else answer)
        return True

    def clear(self) -> None:
        """Forget the turn that is being spoken."""
        self._detector.reset()
        self._held = []
        turn, self._turn = self._turn, None
        if turn is not None:
            self._forget(turn)

    def append(self, turn: Turn, then: Callable[[TandemError | None], None] = lambda error: None) -> None:
        """A turn that was typed. `then` is told when it is part of the conversation, or why it is not."""

        def work() -> None:
            try:
                self._dialogue.append(turn)
                if self._reply is not None:
                    self._reply.followed = True
            except TandemError as error:
                then(error)
            else:
                then(None)

        self._later(work)

    def respond(self, options: ResponseOptions | None = None) -> None:
        """Answer the turns so far. Raises ConversationError while a reply is being made."""
        if self.making is not None:
            raise ConversationError("a reply is being made already: cancel it first, or wait for its end")
        asked = self._line.now()
        self._later(lambda: self._answer(options or self.options, None, asked))

    def listen_with(self, detector: TurnDetector) -> None:
        """Find turns by another detector from here on; a turn that is being spoken is forgotten."""
        self.clear()
        detector.start_at(self._heard_samples)
        self._detector = detector

    def do(self, work: Callable[[], None]) -> None:
        """Do `work` when the dialogue is free."""
        self._later(work)

    def replace(self, dialogue: Dialogue) -> None:
        """Go on in another dialogue; only inside `do`."""
        self._dialogue = dialogue
        self._cut = None

    def played(self, number: int, samples: int) -> None:
        """The player has played `samples` samples of that reply's speech in all."""
        reply = self._reply
        if reply is not None and reply.number == number and reply.playback is not None:
            reply.playback.acknowledge(samples)
            self._look_played(reply)

    def cancel(self, number: int | None = None) -> bool:
        """Make no more of the reply; what was sent will still be heard. False where none is being made."""
        reply = self._reply
        if reply is None or reply.done is not None or not reply.wanted or number not in (None, reply.number):
            return False
        self._interrupt(reply)
        return True

    def truncate(self, number: int, samples: int) -> bool:
        """The player stopped that reply after `samples` samples. False where it is not the newest turn any more."""
        reply = self._reply
        if reply is None or reply.number != number or reply.followed:
            return False
        if reply.playback is not None:
            reply.playback.flush(samples)
        if self._cut is None or self._cut.reply is not reply:
            self._interrupt(reply)
        assert self._cut is not None
        self._cut.known = True
        self._advance()
        return True

    def close(self) -> None:
        """Hang up: the reply stops and is cut back to what was heard, a turn that nobody finished is forgotten."""
        self._closed = True
        self.clear()
        reply = self._reply
        if reply is not None and self.answering:
            self._interrupt(reply, flush=True)
        if self._cut is not None:
            self._cut.known = True
        self._queue.clear()
        self._advance()

    @property
    def quiet(self) -> bool:
        """Nothing is being made and nothing waits."""
        waiting = self._cut or self._ended or self._queue or self._forgotten
        return self._busy is None and not waiting

    # --- the user's turn ----------------------------------------------------------------------------------

    def _hear_all(self, samples: np.ndarray) -> None:
        turn = self._turn or self._begin_turn(self._heard_samples - len(samples))
        self._add(turn, samples)
        self._advance()

    def _speech(self, speech: Speech) -> None:
        turn = self._turn
        if turn is None:
            self._held.append(speech.samples)
            if self.answering and self.settings.interrupt:
                guarded = self._guard_sec is not None and self._line.now() < self._guard_sec
                if guarded or speech.spoken_ms < self.settings.barge_in_ms:
                    return
                assert self._reply is not None
                self._interrupt(self._reply, flush=True)
            turn = self._begin_turn(self._held_start)
        else:
            self._add(turn, speech.samples)
        self._advance()

    def _begin_turn(self, start: int) -> SpokenTurn:
        self._turns += 1
        turn = SpokenTurn(self._turns, start)
        turn.shown = self._pictures.begin(self._line.now(), start * 1000 / RATE_HZ)
        self._turn = turn
        for piece in self._held:
            self._add(turn, piece)
        self._held = []
        self._emit(TurnStarted(turn.number, start, self.settings.detection == "vad"))
        return turn

    def _add(self, turn: SpokenTurn, samples: np.ndarray) -> None:
        turn.add(samples)
        self._look(turn)

    def _look(self, turn: SpokenTurn, ending: bool = False) -> None:
        """What the user shows with it."""
        turn.shown += self._pictures.more(self._line.now(), turn.samples / RATE_HZ, ending)

    def _pause(self, event: Paused | Resumed) -> None:
        turn = self._turn
        assert turn is not None
        turn.paused = isinstance(event, Paused)
        if turn.paused:
            self._look(turn, ending=True)
            turn.ended_sec = self._line.now() - self._detector.silence_ms / 1000
        elif turn.early is not None:  # the user goes on: what was begun is not wanted
            turn.early.wanted = False
            if turn.early is self._busy:
                self._dialogue.cancel()
        self._advance()

    def _stopped(self, event: SpeechStopped) -> None:
        turn = self._turn
        self._held = []
        if turn is None:  # a word into a reply that went on
            return
        silence_sec = (self._detector.samples - event.at) / RATE_HZ
        self._end_turn(turn, self._line.now() - silence_sec, self.settings.answer, event.at)

    def _end_turn(self, turn: SpokenTurn, ended_sec: float, answer: bool, at: int | None = None) -> None:
        turn.answer, turn.ended_sec, turn.decided_sec = answer, ended_sec, self._line.now()
        turn.options = self.options
        if not turn.committed:
            self._look(turn, ending=True)
        turn.sight = self._pictures.sight
        self._turn = None
        self._ended.append(turn)
        self._emit(TurnStopped(turn.number, at if at is not None else self._heard_samples, at is not None))
        self._advance()

    def _forget(self, turn: SpokenTurn) -> None:
        """Undo what the dialogue has read of the turn."""
        if turn.early is not None:
            turn.early.wanted = False
            if turn.early is self._busy:
                self._dialogue.cancel()
        if turn.opened:
            self._forgotten.append(turn)
            self._advance()

    def _undo(self, turn: SpokenTurn) -> None:
        if turn.committed:
            self._dialogue.reopen()
        self._dialogue.discard()
        turn.opened = turn.committed = False
        turn.fed = turn.seen = 0
        turn.early = None

    # --- what the dialogue does when it is free -------------------------------------------------------------

    def _later(self, work: Callable[[], None]) -> None:
        self._queue.append(work)
        self._advance()

    def _advance(self) -> None:
        """Do what can be done now, in its order: cut the last reply, finish turns that ended, do what waits, read what
        is being said."""
        if self._ended and self._busy is not None and self._busy is self._ended[0].early and self._busy.wanted:
            self._finish(self._ended.popleft())  # its answer is on the way already
        while self._busy is None and self._step():
            pass

    def _step(self) -> bool:
        """One thing; False where there is nothing to do."""
        turn = self._ended[0] if self._ended else self._turn
        if self._forgotten:
            self._undo(self._forgotten.pop())
            return True
        if self._cut is not None:
            return self._step_cut(turn)
        if turn is not None and turn.early is not None and not turn.early.wanted:
            self._dialogue.reopen()
            turn.early, turn.committed = None, False
            return True
        if self._ended:
            return self._finish(self._ended.popleft())
        if self._queue and (turn is None or not turn.opened or self._closed):
            self._queue.popleft()()
            return True
        if turn is None:
            return False
        if not turn.committed:
            self._read(turn)
        if turn.paused and not turn.committed and self._may_speculate():
            self._dialogue.commit()
            turn.committed = True
            turn.early = self._begin_reply(self.options, turn, held=[])
            return True
        return False

    def _step_cut(self, turn: SpokenTurn | None) -> bool:
        cut = self._cut
        assert cut is not None
        pressing = cut.known or bool(self._ended) or bool(self._queue) or (turn is not None and turn.paused)
        if not pressing and self._line.now() < cut.until_sec:
            return False
        if turn is not None and turn.opened:
            self._undo(turn)
        self._cut = None
        self._apply(cut)
        return True

    def _may_speculate(self) -> bool:
        return self.settings.speculate and self.settings.answer and not self._queue

    def _read(self, turn: SpokenTurn) -> None:
        """Hand the dialogue what it does not have yet of the turn."""
        if not turn.opened:
            self._dialogue.open(turn.shown)
            turn.opened, turn.seen = True, len(turn.shown)
        for one in turn.shown[turn.seen :]:
            self._dialogue.see(one)
        turn.seen = len(turn.shown)
        if turn.fed < len(turn.audio):
            self._dialogue.hear(np.concatenate(turn.audio[turn.fed :]))
            turn.fed = len(turn.audio)

    def _finish(self, turn: SpokenTurn) -> bool:
        if not turn.committed:
            self._read(turn)
            self._dialogue.commit()
            turn.committed = True
        if self._reply is not None:
            self._reply.followed = True
        samples = np.concatenate(turn.audio[: turn.fed])
        self._emit(TurnCommitted(turn.number, samples, tuple(turn.shown[: turn.seen]), turn.sight))
        # Somebody who goes on speaking is answered when that is over.
        speaking_on = self._turn is not None or bool(self._ended)
        if turn.early is not None:
            self._let_out(turn.early)
        elif turn.answer and not speaking_on and not self._closed:
            self._answer(turn.options or self.options, turn, turn.decided_sec)
        return True

    # --- replies ------------------------------------------------------------------------------------------

    def _answer(self, options: ResponseOptions, turn: SpokenTurn | None, asked_sec: float) -> None:
        reply = self._begin_reply(options, turn, held=None)
        self._reply = reply
        if turn is None:
            reply.asked_sec = asked_sec

    def _begin_reply(
        self, options: ResponseOptions, turn: SpokenTurn | None, held: list[ScriptedEvent] | None
    ) -> Reply:
        speaks = options.speech and self._rate_hz is not None
        playback = Playback(self._rate_hz, self._pace) if speaks and self._rate_hz else None
        reply = Reply(0, options, playback, self._line.now(), turn, held)
        if held is None:
            self._numbers += 1
            reply.number = self._numbers
            self._emit(ReplyStarted(reply.number, turn.number if turn else None, options))
        self._busy = reply
        try:
            self._dialogue.respond(options, lambda event: self._told(reply, event))
        except TandemError as error:
            problem = failed(error)
            self._line.post(lambda: self._told(reply, problem))
        return reply

    def _let_out(self, reply: Reply) -> None:
        """Nobody goes on speaking: the answer that was begun early is the answer."""
        self._reply = reply
        self._numbers += 1
        reply.number = self._numbers
        events, reply.held = reply.held or [], None
        self._emit(ReplyStarted(reply.number, reply.turn.number if reply.turn else None, reply.options))
        for event in events:
            self._pass(reply, event)

    def _told(self, reply: Reply, event: ScriptedEvent) -> None:
        if isinstance(event, ResponseDone):
            reply.done = event
            self._busy = None
        elif not reply.wanted:
            return
        if reply.held is not None:
            reply.held.append(event)
        else:
            self._pass(reply, event)
        if reply.done is not None:
            self._advance()

    def _pass(self, reply: Reply, event: ScriptedEvent) -> None:
        """Let the client have it."""
        now = self._line.now()
        playback = reply.playback
        if isinstance(event, SpeechChunk) and playback is not None:
            playback.send(len(event.samples), now)
            if self._guard_sec is None:
                self._guard_sec = now + self.settings.warm_up_ms / 1000
        elif isinstance(event, ResponseDone) and playback is not None and not playback.flushed:
            if event.status == "completed":
                playback.finish(self._dialogue.reply_tokens())
            else:
                playback.complete = event.status == "length"
        self._emit(ReplyEvent(reply.number, event))
        first = isinstance(event, SpeechChunk) if playback is not None else isinstance(event, TextDelta)
        if first and not reply.sounded:
            reply.sounded = True
            self._emit(reply.timing(event, now))
        if isinstance(event, ResponseDone):
            self._look_played(reply)

    def _look_played(self, reply: Reply) -> None:
        """Say so once, when the player has played all of a reply; look again where it has not."""
        playback = reply.playback
        if reply.played or reply.done is None or not reply.wanted:
            return
        if playback is not None:
            playback.look(self._line.now())
            if playback.waiting_sec > 0:
                if not playback.acknowledged:
                    self._line.post(lambda: self._look_played(reply), playback.waiting_sec + 0.01)
                return
        reply.played = True
        self._emit(Played(reply.number))

    def _interrupt(self, reply: Reply, flush: bool = False) -> None:
        reply.wanted = False
        if reply.playback is not None:
            reply.playback.look(self._line.now())
            if flush:
                reply.playback.flush()
            elif not reply.playback.flushed:
                reply.playback.played = reply.playback.sent
        if reply is self._busy:
            self._dialogue.cancel()
        grace_sec = self.settings.grace_ms / 1000
        self._cut = Cut(reply, self._line.now() + grace_sec)
        self._line.post(self._advance, grace_sec)

    def _apply(self, cut: Cut) -> None:
        """Make the conversation remember what was heard of the reply, and no more."""
        reply, playback = cut.reply, cut.reply.playback
        if reply.followed:  # something was said since: what the conversation has stays
            return
        tokens = self._dialogue.reply_tokens()
        heard = tokens if playback is None else playback.heard_tokens(tokens)
        text = reply.done.text if reply.done is not None else ""
        if heard < tokens:
            text = self._dialogue.truncate(heard)
        played_ms = playback.played * 1000 / playback.rate_hz if playback is not None else 0.0
        self._emit(Interrupted(reply.number, heard, text, played_ms))

"""Who answers in a call. What was spoken has no text to route by before it is written down, so the Thinker begins at
once, and what it says is held back until the words of the turn have decided:

    typed  → route ─────────────────────────────────────────┬→ the Thinker's answer
    spoken ─┬→ the Thinker's answer ──→ held ───────────────┤
            └→ words (beside it) ──→ route ─────────────────┴→ a backend's answer, read out; the Thinker's is forgotten
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary

from app.answering import Answering
from app.told import Routed
from multimodal.checkpoint import Checkpoint
from multimodal.media import AudioClip
from multimodal.prompt import Turn
from reasoning.features import refers_to_sight
from reasoning.router import THINKER, Route
from streaming.dialogue import Tell
from streaming.events import Aside, ResponseDone, ScriptedEvent
from streaming.session import Conversation, ResponseOptions
from streaming.transcription import Transcription

log = logging.getLogger(__name__)

Events = TypeVar("Events")


class Routing:
    """Answers the turns of one call. choice: "auto", or the name of who shall answer, as the user wants it now.

    write: begins to write a turn down, in place of the model itself.
    """

    def __init__(
        self,
        answering: Answering,
        checkpoint: Checkpoint,
        choice: Callable[[], str],
        write: Callable[[Checkpoint], Transcription] = Transcription,
    ) -> None:
        self.answering = answering
        self.choice = choice
        self._checkpoint = checkpoint
        self._write = write
        self._words: WeakKeyDictionary[Turn, str] = WeakKeyDictionary()

    @property
    def listens(self) -> bool:
        """Whether the words of a spoken turn decide who answers it."""
        return self.answering.listens(self.choice())

    def transcription(self) -> Transcription | None:
        return self._write(self._checkpoint) if self.listens else None

    def answer(self, conversation: Conversation, options: ResponseOptions, words: Transcription | None) -> RoutedAnswer:
        return RoutedAnswer(self, conversation, options, words)

    def know(self, turn: Turn, words: str) -> None:
        """What was said in a spoken turn."""
        self._words[turn] = words

    def read(self, turns: Sequence[Turn]) -> list[Turn]:
        """The turns as a backend reads them: words in place of the sounds in which they were said, with what a camera
        showed beside them only where they refer to it."""
        return [self._read(turn) for turn in turns]

    def _read(self, turn: Turn) -> Turn:
        words = self._words.get(turn)
        if words is None:
            return turn
        shown = [part for part in turn.content if not isinstance(part, AudioClip)] if refers_to_sight(words) else []
        return replace(turn, content=(*shown, words))


class RoutedAnswer:
    """One reply; see `streaming.dialogue.Answer`."""

    def __init__(
        self, routing: Routing, conversation: Conversation, options: ResponseOptions, words: Transcription | None
    ) -> None:
        self._routing = routing
        self._conversation = conversation
        self._options = options
        self._words = words
        self._lock = threading.Lock()
        self._cancelled = False
        self._route: Route | None = None

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            self._conversation.cancel()

    def run(self, tell: Tell) -> None:
        if self._words is not None:
            self._run_spoken(tell, self._words)
            return
        decided = self._decide()
        tell(Aside(0, Routed(decided)))
        if decided.backend != THINKER:
            self._read_out(decided, tell)
            return
        for event in self._begin(lambda: self._conversation.respond(self._options)):
            tell(event)

    def _run_spoken(self, tell: Tell, words: Transcription) -> None:
        conversation, asked = self._conversation, self._conversation.turns[-1]
        place = conversation.bookmark()
        held = Held(tell)

        def decide() -> None:
            try:
                written = words.write(lambda: not self._cancelled)
            except Exception:
                log.exception("a spoken turn could not be written down")
                held.let_out()
                return
            if self._cancelled:
                return
            self._routing.know(asked, written.text)
            decided = self._route = self._decide(written.sureness)
            tell(Aside(0, written))
            tell(Aside(0, Routed(decided)))
            if decided.backend == THINKER:
                held.let_out()
            else:
                held.forgotten = True
                conversation.cancel()

        deciding = threading.Thread(target=decide, name="words", daemon=True)
        events = self._begin(lambda: conversation.respond(self._options))
        deciding.start()
        for event in events:
            held.take(event)
        deciding.join()
        if held.forgotten and not self._cancelled:
            assert self._route is not None
            conversation.rewind(place)
            self._read_out(self._route, tell)
        else:
            held.let_out()

    def _decide(self, sureness: float = 1.0) -> Route:
        turns = self._routing.read(self._conversation.turns)
        while turns[-1].role == "assistant":  # the Thinker may have answered already
            turns.pop()
        choice = self._routing.choice()
        return self._routing.answering.route(turns[-1], turns[:-1], choice, sureness)

    def _read_out(self, decided: Route, tell: Tell) -> None:
        turns = self._routing.read(self._conversation.turns)
        read_out = self._routing.answering.read_out
        events = self._begin(lambda: read_out(self._conversation, self._options, decided, turns))
        with contextlib.closing(events):
            for event in events:
                tell(event)

    def _begin(self, begin: Callable[[], Events]) -> Events:
        """A response of the conversation, stopped at once where this answer was cancelled before."""
        with self._lock:
            events = begin()
            if self._cancelled:
                self._conversation.cancel()
        return events


class Held:
    """A reply's events that wait until it is known whether the reply is wanted. forgotten: it is not."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: list[ScriptedEvent] | None = []
        self.forgotten = False

    def take(self, event: ScriptedEvent) -> None:
        with self._lock:
            if self._waiting is None:
                self._tell(event)
            else:
                self._waiting.append(event)

    def let_out(self) -> None:
        """What waits, of a forgotten reply only its end, and from now on whatever comes."""
        with self._lock:
            for event in self._waiting or ():
                if not self.forgotten:
                    self._tell(event)
                elif isinstance(event, ResponseDone):
                    self._tell(replace(event, status="cancelled", text=""))
            self._waiting = None

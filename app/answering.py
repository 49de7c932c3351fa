"""One answer, whoever gives it: the router decides; a backend's text is shown as it comes and said by the Thinker and
the Talker sentence by sentence, or the Thinker answers itself, also when the backend fails before its first word.

    request (its words, where it was spoken) → route ─┬→ Thinker ───────────────────────────────────────→ text, speech
                     └→ backend (a thread) ─┬→ reasoning, text, tool calls → shown at once
                                            └→ spoken sentences → Script → Thinker reads → Talker → speech
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from app.backend_answer import BackendAnswer
from app.backends import Backends
from app.told import Answered, Routed, Told, shown_after
from multimodal.checkpoint import Checkpoint
from multimodal.media import AudioClip, Picture
from multimodal.prompt import Turn
from reasoning.boxes import Sight
from reasoning.reason import Reason
from reasoning.router import AUTO, THINKER, Asked, Medium, Request, Route, Thresholds, route
from reasoning.tools.python_tool import PythonTool
from streaming.events import Aside, ResponseDone, ScriptedEvent, TextDelta
from streaming.script import Script
from streaming.session import Conversation, ResponseOptions
from streaming.transcription import Transcribed, write_down

log = logging.getLogger(__name__)

SURE = 0.8
"""From which sureness on words that were spoken decide that somebody answers who has not heard them
(`benchmarks.spoken_routing`)."""
MOST_SPOKEN_SEC = 30.0
"""A longer sound is hardly a question that somebody asks aloud."""


@dataclass
class Answering:
    """Answers requests of one assistant. tool: None where Python is never run. notice: said while a backend thinks."""

    backends: Backends
    tool: PythonTool | None = None
    notice: str = ""
    experts: bool = False
    thresholds: Thresholds = Thresholds()
    clock: Callable[[], float] = field(default=time.monotonic)

    def route(self, turn: Turn, earlier: Sequence[Turn], choice: str, sureness: float = 1.0) -> Route:
        """Decide who answers `turn`. sureness: on its words, where they were spoken."""
        asked = []
        for one in earlier:
            if one.role == "user" and (text := _text(one)):
                asked.append(Asked(text, route(Request(text, _media(one), tuple(asked[-1:])), self.thresholds).heavy))
        request = Request(_text(turn), _media(turn), tuple(asked[-2:]), choice, self.backends.available())
        decided = route(request, self.thresholds)
        if choice == AUTO and decided.backend != THINKER and sureness < SURE:
            unclear = Reason.of("unclear", name=decided.backend)
            return replace(decided, backend=THINKER, why=unclear, confidence=sureness)
        return decided

    def listens(self, choice: str) -> bool:
        """Whether the words of a spoken question may decide who answers it."""
        return choice != THINKER and any(one.ready for one in self.backends.available())

    def sight(self, backend: str, checkpoint: Checkpoint) -> Sight | None:
        """How whoever answered counts in pictures; None for one that gives no places."""
        if backend == THINKER:
            return Sight.of_processor("resized", checkpoint.thinker.vision.processor)
        return self.backends.get(backend).sight

    def respond(
        self, conversation: Conversation, options: ResponseOptions, choice: str = "auto", shown: Sequence[Turn] = ()
    ) -> Iterator[Told]:
        """Answer the last turn of `conversation`. Yields the words of a question that was only spoken, where they may
        decide who answers, the session's events and what the backend tells, and one ResponseDone at the end, whose text
        is what was shown. Closing the iterator, or `conversation.cancel`, stops everything.

        shown: the earlier turns as people saw them, where the conversation holds only what was said.
        """
        turn = conversation.turns[-1]
        earlier = list(shown) or conversation.turns[:-1]
        sureness = 1.0
        if (words := self._words(conversation, choice)) is not None:
            yield words
            turn, sureness = Turn("user", (words.text,)), words.sureness
        decided = self.route(turn, earlier, choice, sureness)
        yield Routed(decided)
        if decided.backend == THINKER:
            yield from conversation.respond(options)
            return
        text, by_backend = "", True
        with contextlib.closing(self.read_out(conversation, options, decided, [*earlier, turn])) as events:
            for event in events:
                if isinstance(event, Aside):
                    told = cast(Told, event.event)
                    by_backend = by_backend and not _gives_up(told)
                    text = shown_after(text, told)
                    yield replace(told, generation=event.generation) if isinstance(told, TextDelta) else told
                elif isinstance(event, ResponseDone) and by_backend:
                    yield replace(event, text=text)
                elif not (by_backend and isinstance(event, TextDelta)):
                    yield event

    def _words(self, conversation: Conversation, choice: str) -> Transcribed | None:
        """What the last turn says, where it is one sound and nothing else."""
        content = conversation.turns[-1].content
        clip = content[0] if len(content) == 1 else None
        if not isinstance(clip, AudioClip) or clip.duration_sec > MOST_SPOKEN_SEC or not self.listens(choice):
            return None
        begun = conversation.generation
        try:
            return write_down(conversation.checkpoint, clip, lambda: conversation.generation == begun)
        except RuntimeError:
            log.exception("a spoken question could not be written down")
            return None

    def read_out(
        self, conversation: Conversation, options: ResponseOptions, decided: Route, turns: Sequence[Turn]
    ) -> Generator[ScriptedEvent]:
        """The chosen backend's answer to the last of `turns`, read out by the Thinker. Yields the session's events, of
        which the text is what is said, and as Aside what the backend tells, its text among it. Begun at once: `cancel`
        of the conversation stops it from now on."""
        script = Script(self.notice if options.speech else "")
        work = BackendAnswer(
            self.backends, decided, turns, script, options, tool=self.tool, experts=self.experts, clock=self.clock
        )
        events = conversation.respond(options, script)
        return self._read_out(events, conversation, work)

    @staticmethod
    def _read_out(
        events: Iterator[ScriptedEvent], conversation: Conversation, work: BackendAnswer
    ) -> Generator[ScriptedEvent]:
        thread = threading.Thread(target=work.run, name="backend", daemon=True)
        thread.start()
        shown, ended, by_backend = "", None, True
        with contextlib.closing(cast(Any, events)):
            for event in events:
                if isinstance(event, Aside):
                    by_backend = by_backend and not _gives_up(event.event)
                    shown = shown_after(shown, event.event)
                    ended = event.event if isinstance(event.event, Answered) else ended
                elif isinstance(event, ResponseDone):
                    thread.join()
                    if by_backend:
                        _keep_shown(conversation, event, shown)
                        event = _ended(event, ended)
                yield event


def _gives_up(told: object) -> bool:
    return isinstance(told, Routed) and told.route.backend == THINKER


def _keep_shown(conversation: Conversation, done: ResponseDone, shown: str) -> None:
    """The turn keeps what was shown beside the ids that were said."""
    last = conversation.turns[-1]
    if last.role == "assistant" and done.status != "failed":
        conversation.turns[-1] = Turn("assistant", (shown,), ids=last.ids)


def _ended(done: ResponseDone, ended: Answered | None) -> ResponseDone:
    """The session's end where the backend's own was another."""
    if ended and ended.truncated and done.status in ("completed", "length"):
        return replace(done, status="failed" if ended.error else "length", error=ended.error)
    return done


def _text(turn: Turn) -> str:
    return " ".join(part for part in turn.content if isinstance(part, str)).strip()


def _media(turn: Turn) -> tuple[Medium, ...]:
    kinds: list[Medium] = []
    for part in turn.content:
        if not isinstance(part, str):
            kinds.append("image" if isinstance(part, Picture) else "audio" if isinstance(part, AudioClip) else "video")
    return tuple(kinds)

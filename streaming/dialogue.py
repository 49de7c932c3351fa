"""What a call needs of the conversation that it is held in, and how the real one gives it.

A reply is made beside the call: `respond` returns at once, and the reply's events come one by one on the call's line.
Between `respond` and its ResponseDone nothing else of the conversation may be used, except `cancel`. Who answers, the
Thinker or somebody whose words it reads out, is an `Answer`'s business.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from multimodal.film import Shown
from multimodal.prompt import Turn
from streaming.clock import Line
from streaming.events import ResponseDone, ScriptedEvent, Usage
from streaming.listening import Listening
from streaming.session import Conversation, ResponseOptions
from streaming.transcription import Transcription

log = logging.getLogger(__name__)

Tell = Callable[[ScriptedEvent], None]


class Dialogue(Protocol):
    """Sound is float32 [n] at 16 kHz."""

    def open(self, shown: Sequence[Shown]) -> None:
        """The user begins to speak, while showing something."""
        ...

    def hear(self, samples: np.ndarray) -> None: ...

    def see(self, shown: Shown) -> None:
        """Shown while speaking."""
        ...

    def commit(self) -> None:
        """The spoken turn is over, unless `reopen` takes that, and any reply since, back."""
        ...

    def reopen(self) -> None: ...

    def discard(self) -> None:
        """The turn was never spoken."""
        ...

    def append(self, turn: Turn) -> None:
        """A turn that was not spoken."""
        ...

    def respond(self, options: ResponseOptions, tell: Tell) -> None: ...

    def cancel(self) -> None: ...

    def reply_tokens(self) -> int:
        """Text tokens of the newest turn, 0 where it is not a reply."""
        ...

    def truncate(self, tokens: int) -> str:
        """Keep so many tokens of the newest turn, a reply; returns what is left of its text."""
        ...


class Answer(Protocol):
    """One reply while it is made."""

    def run(self, tell: Tell) -> None:
        """Make it: tells its events, the last of them its one ResponseDone. In a thread of its own."""
        ...

    def cancel(self) -> None:
        """From any thread, also before `run`."""
        ...


class Answerer(Protocol):
    """Who answers in a conversation."""

    def transcription(self) -> Transcription | None:
        """What is to write down the turn that begins now, None where its words decide nothing."""
        ...

    def answer(self, conversation: Conversation, options: ResponseOptions, words: Transcription | None) -> Answer:
        """An answer to the conversation's last turn. words: of a spoken one."""
        ...


class ThinkerAnswers:
    """The Thinker, whatever is asked."""

    def transcription(self) -> Transcription | None:
        return None

    def answer(self, conversation: Conversation, options: ResponseOptions, words: Transcription | None) -> Answer:
        return ThinkerAnswer(conversation, options)


class ThinkerAnswer:
    def __init__(self, conversation: Conversation, options: ResponseOptions) -> None:
        self._events = conversation.respond(options)
        self.cancel = conversation.cancel

    def run(self, tell: Tell) -> None:
        for event in self._events:
            tell(event)


class LiveDialogue:
    """A `Conversation` in a call. All methods are called on `line`."""

    def __init__(self, conversation: Conversation, line: Line, answerer: Answerer | None = None) -> None:
        self.conversation = conversation
        self._line = line
        self._answerer = answerer or ThinkerAnswers()
        self._listening: Listening | None = None
        self._spoken: Turn | None = None
        self._answer: Answer | None = None
        self._reply: threading.Thread | None = None

    def open(self, shown: Sequence[Shown]) -> None:
        self._listening = Listening(self.conversation, self._answerer.transcription())
        for one in shown:
            self._listening.see(one)
        self._listening.open()

    def hear(self, samples: np.ndarray) -> None:
        assert self._listening is not None
        self._listening.hear(samples)

    def see(self, shown: Shown) -> None:
        assert self._listening is not None
        self._listening.see(shown)

    def commit(self) -> None:
        assert self._listening is not None
        self._spoken = self._listening.commit()

    def reopen(self) -> None:
        assert self._listening is not None
        self._listening.reopen()

    def discard(self) -> None:
        assert self._listening is not None
        self._listening.discard()
        self._listening = None

    def append(self, turn: Turn) -> None:
        self.conversation.append(turn)

    def respond(self, options: ResponseOptions, tell: Tell) -> None:
        if self._reply is not None:
            self._reply.join()  # it has told its ResponseDone
        spoken = self._listening is not None and self.conversation.turns[-1:] == [self._spoken]
        words = self._listening.words if spoken and self._listening is not None else None
        answer = self._answer = self._answerer.answer(self.conversation, options, words)

        def post(event: ScriptedEvent) -> None:
            self._line.post(lambda: tell(event))

        def follow() -> None:
            try:
                answer.run(post)
            except Exception as error:
                log.exception("an answer failed")
                post(failed(error))

        self._reply = threading.Thread(target=follow, name="reply", daemon=True)
        self._reply.start()

    def cancel(self) -> None:
        if self._answer is not None:
            self._answer.cancel()

    def reply_tokens(self) -> int:
        turns = self.conversation.turns
        return len(turns[-1].ids or ()) if turns and turns[-1].role == "assistant" else 0

    def truncate(self, tokens: int) -> str:
        self.conversation.truncate(tokens)
        return "".join(part for part in self.conversation.turns[-1].content if isinstance(part, str))


def failed(error: Exception) -> ResponseDone:
    """The one event of a reply that could not even begin."""
    return ResponseDone(0, "failed", "", Usage(), error=str(error))

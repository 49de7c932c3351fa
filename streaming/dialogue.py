"""What a call needs of the conversation that it is held in, and how the real one gives it.

A reply is made beside the call: `respond` returns at once, and the reply's events come one by one on the call's line.
Between `respond` and its ResponseDone nothing else of the conversation may be used, except `cancel`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from multimodal.media import Picture
from multimodal.prompt import Turn
from streaming.clock import Line
from streaming.events import Event, ResponseDone
from streaming.listening import Listening
from streaming.session import Conversation, ResponseOptions


class Dialogue(Protocol):
    """Sound is float32 [n] at 16 kHz."""

    def open(self, pictures: Sequence[Picture]) -> None:
        """The user begins to speak, while showing `pictures`."""
        ...

    def hear(self, samples: np.ndarray) -> None: ...

    def see(self, picture: Picture) -> None:
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

    def respond(self, options: ResponseOptions, tell: Callable[[Event], None]) -> None: ...

    def cancel(self) -> None: ...

    def reply_tokens(self) -> int:
        """Text tokens of the newest turn, 0 where it is not a reply."""
        ...

    def truncate(self, tokens: int) -> str:
        """Keep so many tokens of the newest turn, a reply; returns what is left of its text."""
        ...


class LiveDialogue:
    """A `Conversation` in a call. All methods are called on `line`."""

    def __init__(self, conversation: Conversation, line: Line) -> None:
        self.conversation = conversation
        self._line = line
        self._listening: Listening | None = None
        self._reply: threading.Thread | None = None

    def open(self, pictures: Sequence[Picture]) -> None:
        self._listening = Listening(self.conversation)
        for picture in pictures:
            self._listening.see(picture)
        self._listening.open()

    def hear(self, samples: np.ndarray) -> None:
        assert self._listening is not None
        self._listening.hear(samples)

    def see(self, picture: Picture) -> None:
        assert self._listening is not None
        self._listening.see(picture)

    def commit(self) -> None:
        assert self._listening is not None
        self._listening.commit()

    def reopen(self) -> None:
        assert self._listening is not None
        self._listening.reopen()

    def discard(self) -> None:
        assert self._listening is not None
        self._listening.discard()
        self._listening = None

    def append(self, turn: Turn) -> None:
        self.conversation.append(turn)

    def respond(self, options: ResponseOptions, tell: Callable[[Event], None]) -> None:
        if self._reply is not None:
            self._reply.join()  # it has told its ResponseDone
        events = self.conversation.respond(options)

        def follow() -> None:
            for event in events:
                self._line.post(lambda event=event: tell(event))

        self._reply = threading.Thread(target=follow, name="reply", daemon=True)
        self._reply.start()

    def cancel(self) -> None:
        self.conversation.cancel()

    def reply_tokens(self) -> int:
        turns = self.conversation.turns
        return len(turns[-1].ids or ()) if turns and turns[-1].role == "assistant" else 0

    def truncate(self, tokens: int) -> str:
        self.conversation.truncate(tokens)
        return "".join(part for part in self.conversation.turns[-1].content if isinstance(part, str))


def failed(error: Exception) -> ResponseDone:
    """The one event of a reply that could not even begin."""
    from streaming.events import Usage

    return ResponseDone(0, "failed", "", Usage(), error=str(error))

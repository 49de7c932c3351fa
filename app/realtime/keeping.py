"""The conversation of the history that a call is held in; made by the first turn where the client named none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from app.history.records import Turn
from app.history.store import History
from app.web.call_turns import CallTurns
from app.web.live import Tabs


class Keeping:
    """conversation: its id, None until there is one. model, vocabulary: who writes the replies, and in which ids."""

    def __init__(
        self, history: History, tabs: Tabs, loop: asyncio.AbstractEventLoop, conversation: str | None, **author: str
    ) -> None:
        self.history = history
        self.conversation = conversation
        self._tabs = tabs
        self._loop = loop
        self._author = author
        self._turns = CallTurns(history, tabs, loop, conversation) if conversation is not None else None

    @property
    def turns(self) -> CallTurns:
        """Where the call's turns are kept. Waits for the disk."""
        if self._turns is None:
            self.conversation = self.history.create().id
            self._turns = CallTurns(self.history, self._tabs, self._loop, self.conversation)
        return self._turns

    @property
    def head(self) -> str | None:
        return self.history.conversation(self.conversation).head if self.conversation is not None else None

    def before(self) -> list[Turn]:
        """The turns so far, oldest first."""
        return self.turns.before() if self.conversation is not None else []

    def authored(self, ids: Sequence[int]) -> dict[str, Any]:
        """Fields of a reply with these token ids."""
        return {"ids": list(ids), **self._author}

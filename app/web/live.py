"""What the server tells open tabs as it happens, over one WebSocket each: text and speech of replies, changes of the
conversations and settings, and how the model's loading goes.

    tab → server    {"type": "watch", "conversation": id or null}
    server → tab    {"type": "hello", "tab": id} first; then messages with a "type", and speech as binary frames of mono
                    PCM16 that belong to the "speech" message before them
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

# A tab that has not taken so many messages is not reading: it is let go, and connects again when it can.
MOST_UNREAD = 2000
MOST_TABS = 64
MOST_MESSAGE_CHARS = 10_000
TOO_SLOW = 1013
GOING_AWAY = 1001

Message = dict[str, Any] | bytes


@dataclass(eq=False)
class Tab:
    """One open page. watches: the conversation that it shows."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    watches: str | None = None
    unread: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(MOST_UNREAD))
    closing: int | None = None

    def tell(self, message: Message) -> None:
        if self.closing is None:
            try:
                self.unread.put_nowait(message)
            except asyncio.QueueFull:
                self.close(TOO_SLOW)

    def close(self, code: int) -> None:
        self.closing = code
        while not self.unread.empty():
            self.unread.get_nowait()
        self.unread.put_nowait(None)


class Tabs:
    """All open pages. Used in one event loop."""

    def __init__(self) -> None:
        self._tabs: dict[str, Tab] = {}

    def tell_all(self, message: Message) -> None:
        for tab in self._tabs.values():
            tab.tell(message)

    def tell_watchers(self, conversation: str, message: Message) -> None:
        for tab in self._tabs.values():
            if tab.watches == conversation:
                tab.tell(message)

    def watch(self, tab: str | None, conversation: str) -> None:
        """What a tab's request says about what it shows, ahead of its own message."""
        if tab in self._tabs:
            self._tabs[tab].watches = conversation

    def tell(self, tab: str | None, message: Message) -> None:
        if tab in self._tabs:
            self._tabs[tab].tell(message)

    def close_all(self) -> None:
        for tab in self._tabs.values():
            tab.close(GOING_AWAY)

    async def serve(self, socket: WebSocket, greeting: dict[str, Any]) -> None:
        """Speak with one tab until it leaves. greeting: goes out with the first message."""
        await socket.accept()
        if len(self._tabs) >= MOST_TABS:
            await socket.close(TOO_SLOW, "too many tabs are open")
            return
        tab = Tab()
        self._tabs[tab.id] = tab
        tab.tell({"type": "hello", "tab": tab.id, **greeting})
        sending = asyncio.create_task(_send(socket, tab))
        try:
            await _receive(socket, tab)
        finally:
            del self._tabs[tab.id]
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await sending


async def _send(socket: WebSocket, tab: Tab) -> None:
    while (message := await tab.unread.get()) is not None:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_text(json.dumps(message, ensure_ascii=False))
    await socket.close(tab.closing or GOING_AWAY)


async def _receive(socket: WebSocket, tab: Tab) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            told = _parsed(message.get("text"))
            if told is None:
                tab.tell({"type": "error", "error": "a message that is not understood was ignored"})
            elif told.get("type") == "watch":
                watches = told.get("conversation")
                tab.watches = watches if isinstance(watches, str) else None


def _parsed(text: str | None) -> dict[str, Any] | None:
    if text is None or len(text) > MOST_MESSAGE_CHARS:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and message.get("type") in ("watch",) else None

"""The WebSocket of the realtime protocol: who is let in, what comes in and goes out, and lost clients that come back.

    /v1/realtime?model=…&conversation=ID&session=ID

conversation: hold the call in this conversation of the history; without it, the first turn makes one. session: the id
of a session whose connection was lost; its settings and conversation go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from app.history.records import HistoryError, NotKept
from app.realtime.recording import Recording
from app.web import settings as page_settings
from app.web.engine import EngineUnavailable
from app.web.replies import Answering
from app.web.routes import Services

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from app.realtime.session import Session
    from app.realtime.settings import SessionSettings

log = logging.getLogger(__name__)

MOST_CALLS = 4
MOST_UNSENT = 4000
MOST_SEC = 3600.0
RESUME_SEC = 20.0
MOST_EVENTS_A_SEC = 400
POLICY, TOO_BUSY, FAILED, GOING_AWAY = 1008, 1013, 1011, 1001


@dataclass(eq=False)
class Line:
    """One client's connection. unsent: what it has not taken yet."""

    socket: WebSocket
    unsent: asyncio.Queue[dict[str, Any] | tuple[int, str]] = field(default_factory=lambda: asyncio.Queue(MOST_UNSENT))
    closing: bool = False

    def send(self, event: dict[str, Any]) -> None:
        if not self.closing:
            try:
                self.unsent.put_nowait(event)
            except asyncio.QueueFull:
                self.close(TOO_BUSY, "the client does not read what it is sent")

    def close(self, code: int, reason: str) -> None:
        if self.closing:
            return
        self.closing = True
        if self.unsent.full():
            while not self.unsent.empty():
                self.unsent.get_nowait()
        self.unsent.put_nowait((code, reason))


@dataclass(frozen=True)
class Parked:
    """What is left of a session whose client was lost."""

    settings: SessionSettings
    conversation: str | None
    until_sec: float


class Calls:
    """All calls of this server. record: a folder that every call is recorded into, None for none."""

    def __init__(self, services: Services, record: Path | None = None, most: int = MOST_CALLS) -> None:
        self._services = services
        self._record = record
        self._most = most
        self._open: dict[Line, Session | None] = {}
        self._parked: dict[str, Parked] = {}

    def mount(self, app: FastAPI) -> None:
        @app.websocket("/v1/realtime")
        async def realtime(socket: WebSocket) -> None:
            await self.serve(socket)

    def close_all(self) -> None:
        for line in self._open:
            line.close(GOING_AWAY, "Tandem is being closed")

    @property
    def number(self) -> int:
        """Calls that are held now."""
        return len(self._open)

    async def serve(self, socket: WebSocket) -> None:
        """One connection, to its end."""
        await socket.accept()
        line = Line(socket)
        sending = asyncio.create_task(_send(line))
        try:
            if len(self._open) >= self._most:
                _refuse(line, "too_many_calls", f"{self._most} calls are being held: try again in a moment", TOO_BUSY)
            else:
                self._open[line] = None
                await self._hold(line)
        finally:
            self._open.pop(line, None)
            line.close(1000, "")
            with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                await asyncio.wait_for(sending, 5)

    async def _hold(self, line: Line) -> None:
        """The call of one connection: from the greeting until the client, or the server, ends it."""
        services, query = self._services, line.socket.query_params
        replies = services.replies
        parked = await self._returned(query.get("session"))
        conversation = parked.conversation if parked is not None else query.get("conversation") or None
        held = False
        try:
            if conversation is not None:
                replies.hold(conversation)
                held = True
            session = await self._begin(line, conversation, parked, query.get("session"))
        except (EngineUnavailable, Answering, HistoryError) as error:
            if held and conversation is not None:
                replies.release(conversation)
            code = "conversation_not_found" if isinstance(error, NotKept) else "not_available"
            return _refuse(line, code, str(error), POLICY if isinstance(error, NotKept) else TOO_BUSY)
        self._open[line] = session
        clean = False
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(asyncio.get_running_loop().call_later(MOST_SEC, self._expire, line).cancel)
                clean = await _receive(line, session)
        finally:
            await session.close()
            kept = session.keeping.conversation
            if held and conversation is not None:
                replies.release(conversation)
            if kept is not None:
                services.tabs.tell_watchers(kept, {"type": "changed", "conversation": kept, "by": None})
                services.tabs.tell_all({"type": "conversations"})
            if not clean:
                self._parked[session.id] = Parked(
                    session.settings, kept, asyncio.get_running_loop().time() + RESUME_SEC
                )

    async def _begin(self, line: Line, conversation: str | None, parked: Parked | None, name: str | None) -> Session:
        services = self._services
        if conversation is not None:
            await asyncio.to_thread(services.history.conversation, conversation)
        assistant = await services.engine.assistant()
        from app.realtime.keeping import Keeping
        from app.realtime.session import Session

        loop = asyncio.get_running_loop()

        def prepare() -> tuple[Any, Any, Any]:
            checkpoint = assistant.checkpoint
            author = {"model": checkpoint.name, "vocabulary": assistant.vocabulary}
            keeping = Keeping(services.history, services.tabs, loop, conversation, **author)
            path = keeping.before()
            if parked is not None and parked.settings.instructions:
                return keeping, path, services.replies.memory.read(path, assistant, parked.settings.instructions)
            return keeping, path, services.replies.memory.recall(path, assistant)

        keeping, before, live = await asyncio.to_thread(prepare)
        send: Callable[[dict[str, Any]], None] = line.send
        config, seed = services.engine.config, None

        def choice() -> str:
            """Who shall answer, as the page says now."""
            return page_settings.load(services.history).choice(config.backend)

        if self._record is not None:
            seed = config.seed if config.seed is not None else secrets.randbits(31)
            names = ("max_tokens", "max_speech_sec", "greedy", "backends", "notice")
            kept = {name: getattr(config, name) for name in names} | {"seed": seed, "backend": choice()}
            name_of = assistant.checkpoint.name
            recording = await asyncio.to_thread(Recording.begin, self._record, name_of, config.model, kept)
            line.socket.state.recording = recording
            send = recording.around(send)
        settings: dict[str, Any] = {"seed": seed, "before": before, "choice": choice}
        if parked is not None:
            settings |= {"settings": parked.settings, "session_id": name}
        session = Session(assistant, services.replies, keeping, live, send, services.decode_picture, **settings)
        session.greet()
        return session

    async def _returned(self, name: str | None) -> Parked | None:
        """What was parked under that id. A connection that is still thought to be alive gives way."""
        now = asyncio.get_running_loop().time()
        self._parked = {one: kept for one, kept in self._parked.items() if kept.until_sec > now}
        if name is None:
            return None
        for line, session in list(self._open.items()):
            if session is not None and session.id == name:
                line.close(POLICY, "the session went on elsewhere")
                for _ in range(100):
                    if line not in self._open:
                        break
                    await asyncio.sleep(0.05)
        return self._parked.pop(name, None)

    def _expire(self, line: Line) -> None:
        _refuse(line, "session_expired", "a session lasts 60 minutes: begin another", 1000)


def _refuse(line: Line, code: str, message: str, close: int) -> None:
    error = {"type": "server_error", "code": code, "message": message, "param": None, "event_id": None}
    line.send({"type": "error", "event_id": "event_00000000", "error": error})
    line.close(close, message[:100])


async def _send(line: Line) -> None:
    while True:
        event = await line.unsent.get()
        if isinstance(event, tuple):
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await line.socket.close(*event)
            return
        try:
            await line.socket.send_text(json.dumps(event, ensure_ascii=False))
        except (WebSocketDisconnect, RuntimeError):
            line.closing = True
            return


async def _receive(line: Line, session: Session) -> bool:
    """Until the connection ends; whether the client said goodbye."""
    second, events = 0.0, 0
    recording = getattr(line.socket.state, "recording", None)
    while not line.closing:
        message = await line.socket.receive()
        if message["type"] == "websocket.disconnect":
            return message.get("code") == 1000
        now = asyncio.get_running_loop().time()
        second, events = (now, 0) if now - second >= 1.0 else (second, events + 1)
        if events > MOST_EVENTS_A_SEC:
            line.close(POLICY, f"at most {MOST_EVENTS_A_SEC} events a second are taken")
            return True
        text = message.get("text")
        if text is None:
            from app.realtime.protocol import ClientError

            session.error(ClientError("events are text messages", "invalid_event"))
            continue
        if recording is not None:
            recording.received(text)
        await session.receive(text)
    return False

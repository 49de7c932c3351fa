"""The limits of a call, in virtual time: an hour, a flood of events, a client that reads nothing, one that returns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.realtime import endpoint
from app.realtime.endpoint import MOST_EVENTS_A_SEC, MOST_SEC, MOST_UNSENT, RESUME_SEC, Calls, Line
from app.web.live import Tabs
from tests.virtual_loop import run

APPEND = json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"})


class Socket:
    """A client's connection. say: what it sends, and when. reads: whether it takes what it is sent."""

    def __init__(self, say: Callable[[], AsyncIterator[str]], session: str | None = None, reads: bool = True) -> None:
        self.query_params = {"session": session} if session else {}
        self.state = SimpleNamespace()
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.closed: tuple[float, int] | None = None
        self._said, self._reads = say(), reads
        self._gone = asyncio.Event()

    async def accept(self) -> None: ...

    async def receive(self) -> dict[str, Any]:
        following = asyncio.ensure_future(anext(self._said, None))  # type: ignore[arg-type]
        gone = asyncio.ensure_future(self._gone.wait())
        await asyncio.wait([following, gone], return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if following.done() and (text := following.result()) is not None:
            return {"type": "websocket.receive", "text": text}
        following.cancel()
        return {"type": "websocket.disconnect", "code": self.closed[1] if self.closed else 1006}

    async def send_text(self, text: str) -> None:
        if not self._reads:
            await self._gone.wait()
        self.sent.append((asyncio.get_running_loop().time(), json.loads(text)))

    async def close(self, code: int, reason: str = "") -> None:
        self.closed = (asyncio.get_running_loop().time(), code)
        self._gone.set()


class FakeSession:
    """Takes everything; answers an append with `echo` events."""

    def __init__(self, send: Callable[[dict[str, Any]], None], name: str, echo: int) -> None:
        self.id, self.settings, self.taken = name, SimpleNamespace(name=name), 0
        self.keeping = SimpleNamespace(conversation=None)
        self._send, self._echo = send, echo
        self.closed_at: float | None = None

    async def receive(self, text: str) -> None:
        self.taken += 1
        for _ in range(self._echo):
            self._send({"type": "echo"})

    async def close(self) -> None:
        self.closed_at = asyncio.get_running_loop().time()


class FakeCalls(Calls):
    """The endpoint as it is, with sessions that compute nothing."""

    def __init__(self, echo: int = 0) -> None:
        replies = SimpleNamespace(hold=lambda name: None, release=lambda name: None)
        super().__init__(SimpleNamespace(replies=replies, tabs=Tabs()))  # type: ignore[arg-type]
        self.sessions: list[FakeSession] = []
        self._echo = echo

    async def _begin(self, line: Line, conversation: str | None, parked: Any, name: str | None) -> Any:
        back = name if parked is not None else None
        self.sessions.append(FakeSession(line.send, back or f"sess_{len(self.sessions)}", self._echo))
        return self.sessions[-1]


async def silent() -> AsyncIterator[str]:
    await asyncio.sleep(1e6)
    yield ""


def every(seconds: float, count: int) -> Callable[[], AsyncIterator[str]]:
    async def say() -> AsyncIterator[str]:
        for _ in range(count):
            yield APPEND
            await asyncio.sleep(seconds)

    return say


def test_a_session_ends_after_an_hour_and_says_so() -> None:
    async def hold() -> None:
        calls, socket = FakeCalls(), Socket(every(0.5, 100_000))
        await calls.serve(socket)  # type: ignore[arg-type]
        at, error = socket.sent[-1]
        assert error["error"]["code"] == "session_expired"
        assert socket.closed is not None and socket.closed[1] == 1000
        assert at == socket.closed[0] == pytest.approx(MOST_SEC, abs=1)
        assert calls.sessions[0].taken == pytest.approx(MOST_SEC / 0.5, abs=2)
        assert calls.sessions[0].closed_at == pytest.approx(MOST_SEC, abs=1) and calls.number == 0

    run(hold())


@pytest.mark.parametrize(
    "a_second, refused", [(50, False), (MOST_EVENTS_A_SEC - 5, False), (MOST_EVENTS_A_SEC * 2, True)]
)
def test_a_flood_of_events_ends_the_call_and_a_busy_client_does_not(a_second: int, refused: bool) -> None:
    async def hold() -> None:
        calls, socket = FakeCalls(), Socket(every(1 / a_second, 20 * a_second))
        await calls.serve(socket)  # type: ignore[arg-type]
        assert calls.number == 0 and socket.closed is not None
        if refused:
            assert socket.closed[1] == 1008 and socket.closed[0] < 1.0
            assert calls.sessions[0].taken <= MOST_EVENTS_A_SEC + 1
        else:
            assert calls.sessions[0].taken == 20 * a_second

    run(hold())


def test_a_client_that_reads_nothing_is_let_go_and_the_next_one_is_unharmed() -> None:
    async def hold() -> None:
        calls = FakeCalls(echo=50)
        deaf = Socket(every(0.02, 10_000), reads=False)
        other = Socket(every(0.02, 200))
        served = [asyncio.ensure_future(calls.serve(one)) for one in (deaf, other)]  # type: ignore[arg-type]
        await asyncio.gather(*served)
        assert 50 * calls.sessions[0].taken <= MOST_UNSENT + 100, "what waits is bounded"
        assert calls.sessions[0].closed_at is not None and calls.sessions[0].closed_at < 10
        assert calls.sessions[1].taken == 200 and len(other.sent) == 200 * 50
        assert calls.number == 0

    run(hold())


@pytest.mark.parametrize("away_sec, kept", [(RESUME_SEC - 1, True), (RESUME_SEC + 1, False)])
def test_a_lost_client_may_come_back_for_twenty_seconds(away_sec: float, kept: bool) -> None:
    async def hold() -> None:
        calls = FakeCalls()
        await calls.serve(Socket(every(0.5, 4)))  # type: ignore[arg-type]  # lost after two seconds
        await asyncio.sleep(away_sec)
        await calls.serve(Socket(every(0.5, 4), session="sess_0"))  # type: ignore[arg-type]
        assert [one.id for one in calls.sessions] == ["sess_0", "sess_0" if kept else "sess_1"]

    run(hold())


def test_a_full_house_is_refused_and_a_place_is_free_again_when_a_client_goes() -> None:
    async def hold() -> None:
        calls = FakeCalls()
        held = [asyncio.ensure_future(calls.serve(Socket(every(1, 10)))) for _ in range(4)]  # type: ignore[arg-type]
        await asyncio.sleep(1)
        refused = Socket(silent)
        await calls.serve(refused)  # type: ignore[arg-type]
        assert refused.sent[0][1]["error"]["code"] == "too_many_calls" and refused.closed is not None
        assert refused.closed[1] == endpoint.TOO_BUSY
        await asyncio.gather(*held)
        after = Socket(every(1, 2))
        await calls.serve(after)  # type: ignore[arg-type]
        assert len(calls.sessions) == 5

    run(hold())

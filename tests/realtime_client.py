"""A client of the realtime protocol that checks every event against the shapes of OpenAI's own client."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import soxr
from websockets.sync.client import ClientConnection, connect

from tests.browser import ROOT, RunningServer

QUESTION = ROOT / "docs" / "samples" / "question.wav"
RATE_HZ = 24_000
PIECE = RATE_HZ // 25


def question(silence_sec: float = 1.0) -> np.ndarray:
    """A recorded question with silence after it, int16 at 24 kHz."""
    speech, rate = soundfile.read(QUESTION, dtype="float32")
    speech = soxr.resample(speech, rate, RATE_HZ)
    quiet = np.zeros(int(silence_sec * RATE_HZ), np.float32)
    return (np.concatenate([quiet[: RATE_HZ // 4], speech, quiet]) * 32767).astype("<i2")


class Client:
    """A client that checks every event against the shapes of OpenAI's own client."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def hear(self, pcm: np.ndarray) -> None:
        for start in range(0, len(pcm), PIECE):
            self.send(
                "input_audio_buffer.append", audio=base64.b64encode(pcm[start : start + PIECE].tobytes()).decode()
            )

    def next(self, timeout: float = 30) -> dict[str, Any]:
        event = json.loads(self.socket.recv(timeout=timeout))
        check_shape(event)
        self.events.append(event)
        return event

    def until(self, kind: str, timeout: float = 30) -> dict[str, Any]:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            event = self.next(timeout)
            if event["type"] == kind:
                return event
            assert event["type"] != "error" or kind == "error", event
        raise AssertionError(f"{kind} did not come")

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


def check_shape(event: dict[str, Any]) -> None:
    """Raises where the event is not one of OpenAI's server events, or not of its shape."""
    from openai.types.realtime import RealtimeServerEvent
    from pydantic import TypeAdapter

    if event["type"].startswith("tandem.") or event["type"] == "conversation.item.retrieved":
        return
    found = TypeAdapter(RealtimeServerEvent).validate_python(event)
    assert getattr(found, "type", None) == event["type"]


@contextlib.contextmanager
def call(server: RunningServer, query: str = "", **headers: str) -> Iterator[Client]:
    address = f"{server.url.replace('http', 'ws')}/v1/realtime?model=any{query}"
    with connect(address, additional_headers=headers, max_size=None) as socket:
        yield Client(socket)


def manual(client: Client, **session: Any) -> None:
    client.until("session.created")
    client.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}, **session})
    client.until("session.updated")

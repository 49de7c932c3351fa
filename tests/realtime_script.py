"""A realtime server that does what a test tells it, in place of /v1/realtime of the page it is given to."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from playwright.sync_api import Page, WebSocketRoute

RATE_HZ = 24_000


class ScriptedRealtime:
    """received: the client's events with the monotonic second in which they came."""

    def __init__(self, page: Page) -> None:
        self.received: list[tuple[float, dict[str, Any]]] = []
        self.urls: list[str] = []
        self._page = page
        self._socket: WebSocketRoute | None = None
        self._count = itertools.count(1)
        page.route_web_socket("**/v1/realtime**", self._open)
        page.route_web_socket("**/api/live", self._pass_on)

    def _pass_on(self, socket: WebSocketRoute) -> None:
        """The page's own socket, but calls can be held."""
        server = socket.connect_to_server()

        def tell(message: str | bytes) -> None:
            if isinstance(message, str) and (told := json.loads(message))["type"] == "hello":
                message = json.dumps({**told, "calls": True})
            socket.send(message)

        server.on_message(tell)

    def _open(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        self.urls.append(socket.url)
        socket.on_message(lambda data: self.received.append((time.monotonic(), json.loads(data))))
        session = {"type": "realtime", "object": "realtime.session", "id": "sess_1", "model": "omni-nano"}
        self.send("session.created", session=session)

    def send(self, kind: str, **fields: Any) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps({"type": kind, "event_id": f"event_{next(self._count)}", **fields}))

    def drop(self) -> None:
        """The connection breaks."""
        assert self._socket is not None
        self._socket.close(code=1011)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for _, event in self.received if event["type"] == kind]

    def wait(
        self, kind: str, count: int = 1, enough: Callable[[list[dict[str, Any]]], bool] = lambda found: True
    ) -> Any:
        """The newest of `count` events of that kind, once they came."""
        until = time.monotonic() + 15
        while time.monotonic() < until:
            found = self.of(kind)
            if len(found) >= count and enough(found):
                return found[-1]
            self._page.wait_for_timeout(20)
        raise AssertionError(
            f"{count} × {kind} did not come; there were {sorted({e['type'] for _, e in self.received})}"
        )

    def heard(self) -> np.ndarray:
        """The microphone's sound so far, float32 [n] in −1…1 at 24 kHz."""
        pieces = [
            np.frombuffer(base64.b64decode(event["audio"]), "<i2") for event in self.of("input_audio_buffer.append")
        ]
        return np.concatenate([np.zeros(0, "<i2"), *pieces]).astype(np.float32) / 32767

    def user_speaks(self, item: str, text: str) -> None:
        """A turn of the user, as the server notices it."""
        end_ms = round(len(self.heard()) / RATE_HZ * 1000)
        self.send("input_audio_buffer.speech_started", audio_start_ms=max(0, end_ms - 500), item_id=item)
        self.send("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=item)
        self.send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        kind = "conversation.item.input_audio_transcription"
        self.send(f"{kind}.delta", item_id=item, content_index=0, delta=text[:5])
        self.send(
            f"{kind}.completed",
            item_id=item,
            content_index=0,
            transcript=text,
            usage={"type": "duration", "seconds": 1},
        )

    def reply(self, item: str, text: str, samples: np.ndarray, *, whole: bool = True) -> None:
        """The beginning of a spoken reply, and its end too if `whole`. samples: float32 in −1…1."""
        at = {"response_id": f"resp_{item}", "item_id": item, "output_index": 0, "content_index": 0}
        response = {"id": at["response_id"], "object": "realtime.response", "status": "in_progress", "output": []}
        self.send("response.created", response=response)
        self.send("response.output_audio_transcript.delta", delta=text, **at)
        pcm = np.round(samples * 32767).astype("<i2").tobytes()
        for start in range(0, len(pcm), 9600):
            self.send("response.output_audio.delta", delta=base64.b64encode(pcm[start : start + 9600]).decode(), **at)
        if whole:
            self.send("response.output_audio.done", **at)
            self.send("response.output_audio_transcript.done", transcript=text, **at)
            self.send("response.done", response={**response, "status": "completed"})

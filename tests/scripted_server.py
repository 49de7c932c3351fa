"""A server on loopback that answers each request with the next reply of a script, faults included."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """body: pieces sent one by one, each after `pause_sec`. end: "close" politely, "reset" the connection within the
    body, or "hang" after it."""

    body: Sequence[bytes] = ()
    status: int = 200
    kind: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_sec: float = 0.0
    pause_sec: float = 0.0
    end: str = "close"


def chunk(**delta: Any) -> bytes:
    """One SSE event with a chat delta."""
    finish = delta.pop("finish", None)
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def event(content: dict[str, Any]) -> bytes:
    shell = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return b"data: " + json.dumps({**shell, **content}, ensure_ascii=False).encode() + b"\n\n"


USAGE = event(
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }
)
END = b"data: [DONE]\n\n"


def answer(*texts: str, finish: str = "stop") -> Reply:
    """A whole, proper answer."""
    return Reply([*(chunk(content=text) for text in texts), chunk(finish=finish), USAGE, END])


class ScriptedServer:
    """requests: (path, headers, JSON body) of every request so far. stopped: set when a client went away mid-body."""

    def __init__(self, script: Sequence[Reply]) -> None:
        self.script = list(script)
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.stopped = threading.Event()
        self.closing = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                reply = owner.script.pop(0) if owner.script else Reply(status=599)
                owner._send(self, reply)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        self.closing.wait(reply.wait_sec)
        handler.send_response(reply.status)
        handler.send_header("content-type", reply.kind)
        handler.send_header("transfer-encoding", "chunked")
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            for piece in reply.body:
                if reply.pause_sec:
                    time.sleep(reply.pause_sec)
                handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                handler.wfile.flush()
            if reply.end == "hang":
                handler.connection.settimeout(0.05)
                while not self.closing.is_set():
                    try:
                        if not handler.connection.recv(1):
                            raise ConnectionResetError
                    except TimeoutError:
                        continue
            elif reply.end == "reset":
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.close_connection = True
                return
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.stopped.set()
            handler.close_connection = True


@contextmanager
def scripted(*script: Reply) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    thread = threading.Thread(target=server._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server._server.shutdown()
        server._server.server_close()
        thread.join(5)

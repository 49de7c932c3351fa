"""What stands before every route: who may ask, how much, and what the browser may do with the answer."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 64 << 20
MOST_RANGE_CHARS = 200
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# What the page needs of Gradio's own routes; its file, upload and component routes stay closed.
GRADIO_OPEN = re.compile(
    r"/(gradio_api/(queue/(join|data)|heartbeat/[\w-]+|startup-events|reset|cancel|info)|config|theme\.css|"
    r"assets/[\w./-]+|static/(?!/)[\w./-]+|favicon\.ico)?/?"
)
OWN = ("/api/", "/v1/", "/health", "/ready")
SCRIPT = re.compile(rb"<script(?=[\s>])")


class Guard:
    """ASGI middleware.

    names: host names under which the server may be addressed; any address in figures is fine too where
    `by_address` is set. A browser sends the page's origin with every request that changes something and with every
    WebSocket: it must be exactly this server's.
    """

    def __init__(self, app: App, names: frozenset[str] = LOCAL_NAMES, by_address: bool = False) -> None:
        self._app = app
        self._names = names
        self._by_address = by_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        problem = self._problem(scope, headers)
        if problem is not None:
            return await _refuse(scope, receive, send, *problem)
        if scope["type"] == "websocket":
            return await self._app(scope, receive, send)
        await self._app(scope, _Bounded(receive, scope["path"]), _Secured(send))

    def _problem(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "this address is not served here: open the address that Tandem printed"
        origin = headers.get("origin")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and origin is not None and origin.lower() != f"http://{host}".lower():
            return 403, "this request comes from another page: open Tandem's own"
        if changes and headers.get("sec-fetch-site") == "cross-site":
            return 403, "this request comes from another page: open Tandem's own"
        path = scope["path"]
        if not path.startswith(OWN) and not GRADIO_OPEN.fullmatch(path):
            return 404, "there is nothing here"
        if len(headers.get("range", "")) > MOST_RANGE_CHARS:
            return 416, "too many ranges at once"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or (int(length) > MOST_BODY_BYTES and not _counts_itself(path)):
            return 413, f"the request is larger than {MOST_BODY_BYTES >> 20} MiB: send less at once"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            urlsplit(f"//{host}").port  # noqa: B018  raises ValueError for what is no port
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._by_address


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why})
    else:
        await JSONResponse({"error": why}, status)(scope, receive, send)


def _counts_itself(path: str) -> bool:
    """Routes that read their body piece by piece and stop at their own limit."""
    return path in ("/api/uploads", "/api/import")


class TooLarge(Exception):
    """More bytes came than a request may have."""


class _Bounded:
    """`receive` that stops at MOST_BODY_BYTES, whatever the headers said."""

    def __init__(self, receive: Receive, path: str) -> None:
        self._receive = receive
        self._left = None if _counts_itself(path) else MOST_BODY_BYTES

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if self._left is not None:
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise TooLarge
        return message


class _Secured:
    """`send` that adds the security headers, and gives the page's own scripts the nonce that lets them run."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._nonce = secrets.token_urlsafe(16)
        self._page: MutableMapping[str, Any] | None = None
        self._body = b""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_headers(self._nonce))
            if headers.get("content-type", "").startswith("text/html"):
                headers["Cache-Control"] = "no-store"
                self._page = message
                return
        elif self._page is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = SCRIPT.sub(b'<script nonce="' + self._nonce.encode() + b'"', self._body)
            MutableHeaders(scope=self._page)["Content-Length"] = str(len(body))
            await self._send(self._page)
            message = {**message, "body": body}
        await self._send(message)


def _headers(nonce: str) -> dict[str, str]:
    policy = {
        "default-src": "'self'",
        "script-src": f"'self' 'nonce-{nonce}'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' blob: data:",
        "media-src": "'self' blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "frame-src": "'none'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
    }

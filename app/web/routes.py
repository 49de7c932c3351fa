"""The page's HTTP routes and its WebSocket. Bodies are checked here, errors become one line of JSON."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as AnyHTTPException

from app.config import Config, ConfigError
from app.history import export, spoken
from app.history.records import BadImport, DiskFull, HistoryError, MediaPart, Medium, NotKept, Part, TextPart
from app.history.store import History
from app.web import inspection, settings
from app.web.decoder import MediaDecoder
from app.web.engine import Busy, Engine, EngineUnavailable
from app.web.guard import TooLarge
from app.web.live import Tabs
from app.web.replies import Answering, Closing, Replies
from app.web.uploads import MOST_MEDIA, MOST_TEXT_BYTES, Uploads
from app.web.views import conversation_view, path_view, turn_view

MOST_FILES = 16
EXPORTS = {
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "wav": "audio/wav",
}


@dataclass(frozen=True)
class Services:
    """What the routes and the page work with; made once by app.server."""

    config: Config
    history: History
    engine: Engine
    decoder: MediaDecoder
    uploads: Uploads
    replies: Replies
    tabs: Tabs

    def decode_picture(self, data: bytes) -> Any:
        """A `Picture` of a call, of unknown origin: opened in the decoder's process. Raises MediaError."""
        with tempfile.NamedTemporaryFile(dir=self.history.media.folder / "incoming") as file:
            file.write(data)
            file.flush()
            return self.decoder.picture(Path(file.name), "the picture", self.config.media_limits())


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NewConversation(_Body):
    title: str = Field(default="", max_length=1000)


class Rename(_Body):
    title: str = Field(min_length=1, max_length=1000)


class File(_Body):
    """A medium that was uploaded (digest), or the content of a text file."""

    name: str = Field(max_length=300)
    digest: str | None = None
    text: str | None = Field(default=None, max_length=MOST_TEXT_BYTES)


class Ask(_Body):
    """parent: the turn it follows, None for the first. tab: the page that is to play the speech."""

    text: str = Field(default="", max_length=MOST_TEXT_BYTES)
    files: list[File] = Field(default=[], max_length=MOST_FILES)
    parent: str | None
    tab: str | None = None


class Again(_Body):
    tab: str | None = None


class Heard(_Body):
    heard_ms: int = Field(ge=0, le=24 * 3_600_000)


def routes(services: Services) -> APIRouter:
    """All routes under /api."""
    router = APIRouter(prefix="/api")
    history, replies, tabs = services.history, services.replies, services.tabs

    async def overview(conversation: str) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            found = history.conversation(conversation)
            path, every = history.path(conversation), history.turns(conversation)
            return {"conversation": conversation_view(found), "turns": path_view(path, every)}

        view = await asyncio.to_thread(read)
        running = replies.current(conversation)
        for turn in view["turns"]:
            if running and turn["id"] == running.turn.id and turn["status"] == "answering":
                turn["html"] = turn_view(running.shown(), running.path, [])["html"]
        return view

    async def answered(conversation: str, tab: str | None) -> dict[str, Any]:
        """The view after a turn was added; other tabs are told to look."""
        view = await overview(conversation)
        tabs.tell_all({"type": "conversations"})
        tabs.tell_watchers(conversation, {"type": "changed", "conversation": conversation, "by": tab})
        return view

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        chosen = await asyncio.to_thread(settings.load, history)
        greeting = {
            "engine": services.engine.state.view(),
            "settings": chosen.view(),
            "limits": {"media": MOST_MEDIA},
            "calls": any(getattr(one, "path", None) == "/v1/realtime" for one in socket.app.routes),
        }
        await tabs.serve(socket, greeting)

    @router.get("/conversations")
    async def conversations(search: Annotated[str, Query(max_length=300)] = "") -> list[dict[str, Any]]:
        found = await asyncio.to_thread(history.conversations, search)
        excerpts = await asyncio.to_thread(history.excerpts, search)
        return [conversation_view(one, excerpts.get(one.id)) for one in found]

    @router.post("/conversations", status_code=201)
    async def create(body: NewConversation) -> dict[str, Any]:
        return conversation_view(await asyncio.to_thread(history.create, body.title))

    @router.get("/conversations/{conversation}")
    async def read(conversation: str) -> dict[str, Any]:
        return await overview(conversation)

    @router.patch("/conversations/{conversation}")
    async def rename(conversation: str, body: Rename) -> dict[str, Any]:
        found = await asyncio.to_thread(history.rename, conversation, body.title)
        tabs.tell_all({"type": "conversations"})
        return conversation_view(found)

    @router.delete("/conversations/{conversation}")
    async def delete(conversation: str) -> dict[str, Any]:
        await asyncio.to_thread(history.delete, conversation)
        running = replies.current(conversation)
        if running is not None:
            running.cancel()
        tabs.tell_all({"type": "conversations"})
        return {}

    @router.post("/conversations/{conversation}/restore")
    async def restore(conversation: str) -> dict[str, Any]:
        found = await asyncio.to_thread(history.restore, conversation)
        tabs.tell_all({"type": "conversations"})
        return conversation_view(found)

    @router.post("/conversations/{conversation}/turns", status_code=201)
    async def ask(conversation: str, body: Ask) -> dict[str, Any]:
        parts = await asyncio.to_thread(_parts, history, body)
        tabs.watch(body.tab, conversation)
        await replies.ask(conversation, parts, body.parent, body.tab)
        return await answered(conversation, body.tab)

    @router.post("/turns/{turn}/again", status_code=201)
    async def again(turn: str, body: Again) -> dict[str, Any]:
        found = await asyncio.to_thread(history.turn, turn)
        tabs.watch(body.tab, found.conversation)
        await replies.again(found, body.tab)
        return await answered(found.conversation, body.tab)

    @router.post("/turns/{turn}/cancel")
    async def cancel(turn: str) -> dict[str, Any]:
        replies.cancel(turn)
        return {}

    @router.post("/turns/{turn}/select")
    async def select(turn: str) -> dict[str, Any]:
        found = await asyncio.to_thread(history.select, turn)
        return await overview(found.id)

    @router.patch("/turns/{turn}")
    async def heard(turn: str, body: Heard) -> dict[str, Any]:
        await asyncio.to_thread(history.update_turn, turn, heard_ms=body.heard_ms)
        return {}

    @router.get("/turns/{turn}/places.json")
    async def places(turn: str) -> JSONResponse:
        found = await asyncio.to_thread(history.turn, turn)
        attachment = {"Content-Disposition": f'attachment; filename="boxes-{turn[:6]}.json"'}
        return JSONResponse({"picture": found.places_of, "places": found.places}, headers=attachment)

    @router.get("/turns/{turn}/inspection")
    async def inspect(turn: str) -> dict[str, Any]:
        found = await asyncio.to_thread(history.turn, turn)
        asked = await asyncio.to_thread(history.turn, found.parent) if found.parent else found
        ids_per_second = found.inspection.get("layout", {}).get("ids_per_second", inspection.IDS_PER_SECOND)
        return {
            **found.inspection,
            "model": found.model,
            "route": found.route,
            "usage": found.usage,
            "timings_ms": found.timings_ms,
            "status": found.status,
            "heard_ms": found.heard_ms,
            "speech_sec": found.speech and found.speech.duration_sec,
            "media": await asyncio.to_thread(services.uploads.drawings, asked.media, ids_per_second),
        }

    @router.get("/media/{digest}/peaks")
    async def peaks(digest: str) -> dict[str, Any]:
        medium = await asyncio.to_thread(history.medium, digest)
        part = MediaPart(medium, "sound")
        (drawn,) = await asyncio.to_thread(services.uploads.drawings, [part], inspection.IDS_PER_SECOND)
        return {"peaks": drawn.get("peaks", []), "every_sec": 1 / inspection.IDS_PER_SECOND}

    @router.post("/uploads", status_code=201)
    async def upload(request: Request) -> dict[str, Any]:
        name = unquote(request.headers.get("x-file-name", "file"))[:300]
        try:
            return await services.uploads.receive(request.stream(), name)
        except Exception as error:
            if _is_media_error(error):
                raise HTTPException(422, str(error)) from error
            raise

    @router.get("/media/{digest}")
    async def media(digest: str, name: Annotated[str, Query(max_length=400)] = "") -> FileResponse:
        path = await asyncio.to_thread(history.media.path, digest)
        medium = await asyncio.to_thread(history.medium, digest)
        return FileResponse(
            path,
            media_type=medium.mime,
            filename=_file_name(name) or digest[:12],
            headers={"Cache-Control": "private, max-age=31536000, immutable", "Content-Security-Policy": "sandbox"},
        )

    @router.get("/conversations/{conversation}/export.{kind}")
    async def export_as(conversation: str, kind: str) -> Response:
        if kind not in EXPORTS:
            raise HTTPException(404, f"choose one of {', '.join(EXPORTS)}")
        found = await asyncio.to_thread(history.conversation, conversation)
        headers = {"Content-Disposition": f'attachment; filename="conversation-{conversation[:6]}.{kind}"'}
        if kind == "json":
            return StreamingResponse(export.to_json(history, found), media_type=EXPORTS[kind], headers=headers)
        content = await asyncio.to_thread(_exported, services, conversation, kind)
        return Response(content, media_type=EXPORTS[kind], headers=headers)

    @router.post("/import", status_code=201)
    async def import_json(request: Request) -> dict[str, Any]:
        data = await _bounded_body(request.stream())
        found = await asyncio.to_thread(export.from_json, history, data)
        tabs.tell_all({"type": "conversations"})
        return conversation_view(found)

    @router.api_route("/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    async def nothing(rest: str) -> None:
        raise HTTPException(404, "there is nothing here")

    return router


def _parts(history: History, body: Ask) -> list[Part]:
    """Raises ValueError with a line for the user."""
    if not body.text.strip() and not body.files:
        raise ValueError("there is nothing to answer: write something, or add a file")
    if sum(file.digest is not None for file in body.files) > MOST_MEDIA:
        raise ValueError(f"at most {MOST_MEDIA} pictures, sounds and videos at once: remove some")
    parts: list[Part] = []
    for file in body.files:
        if (file.digest is None) == (file.text is None):
            raise ValueError(f"{file.name} is neither a medium nor a text: add it again")
        if file.digest is not None:
            parts.append(MediaPart(history.medium(file.digest), file.name))
        else:
            parts.append(TextPart(file.text or "", file.name))
    return [*parts, TextPart(body.text)] if body.text.strip() else parts


def _is_media_error(error: Exception) -> bool:
    """Without importing `multimodal`, which the first page must not wait for."""
    errors = sys.modules.get("multimodal.errors")
    return errors is not None and isinstance(error, errors.TandemError)


def _exported(services: Services, conversation: str, kind: str) -> str | bytes:
    history = services.history
    turns = history.path(conversation)
    if kind == "md":
        return export.markdown(history.conversation(conversation), turns)
    found = spoken.utterances(turns)
    if not found:
        raise NotKept("nothing in this conversation was spoken: export it as Markdown or JSON")
    if kind != "wav":
        return {"srt": spoken.srt, "vtt": spoken.vtt}[kind](spoken.cues(found))

    def read(medium: Medium, rate_hz: int) -> Any:
        path = history.media.path(medium.digest)
        return services.decoder.audio(path, path.name, services.config.media_limits(), rate_hz).samples

    return spoken.recording(found, read)


async def _bounded_body(blocks: AsyncIterator[bytes]) -> bytes:
    data = bytearray()
    async for block in blocks:
        data += block
        if len(data) > export.MOST_IMPORT_BYTES:
            raise TooLarge
    return bytes(data)


def _file_name(name: str) -> str:
    """The last part of a name that a person chose, fit for a header."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(ch for ch in last if ch.isprintable())[:120]


def answer_errors(app: FastAPI) -> None:
    """Every error of the routes becomes a status and {"error": one line for the user}."""

    def register(kind: type[Exception], status: int) -> None:
        async def handle(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"error": str(error)}, status)

        app.add_exception_handler(kind, handle)

    statuses: dict[type[Exception], int] = {
        NotKept: 404,
        DiskFull: 507,
        BadImport: 422,
        HistoryError: 500,
        ConfigError: 400,
        Answering: 409,
        Busy: 503,
        Closing: 503,
        EngineUnavailable: 503,
        ValueError: 422,
    }
    for kind, status in statuses.items():
        register(kind, status)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body") or "the request"
        return JSONResponse({"error": f"{place}: {first['msg']}"[:300]}, 422)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AnyHTTPException)
        if isinstance(error.__cause__, TooLarge):  # met while FastAPI read the body
            return await too_large(request, error)
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    async def too_large(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "that is more than can be taken at once: send less"}, 413)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(AnyHTTPException, http)
    app.add_exception_handler(TooLarge, too_large)

"""One port for everything: the page, its routes, health, and the realtime protocol.

GET /health   the process answers
GET /ready    the model is loaded and questions are taken (503 until then, and again while closing)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles

from app.config import Config
from app.history.store import History
from app.realtime.endpoint import Calls
from app.web import markdown, settings
from app.web.decoder import MediaDecoder
from app.web.engine import Engine, EngineState
from app.web.guard import LOCAL_NAMES, Guard
from app.web.live import Tabs
from app.web.replies import Replies
from app.web.routes import Services, answer_errors, routes
from app.web.uploads import Uploads

log = logging.getLogger(__name__)

STATIC = Path(__file__).resolve().parent / "web" / "static"
SAMPLES = Path(__file__).resolve().parents[1] / "docs" / "samples"  # what the page's examples ask about
UNDO_SEC = 600.0  # how long a deleted conversation can be brought back; the page offers it for a moment only
DRAIN_SEC = 20.0


def create_app(
    config: Config,
    data_dir: Path,
    names: frozenset[str] = LOCAL_NAMES,
    by_address: bool = False,
    record: Path | None = None,
) -> FastAPI:
    """The whole application. names, by_address: under which host names it answers, see `Guard`. record: a folder that
    calls are recorded into.

    Raises HistoryError where the data folder cannot be used.
    """
    history = History(data_dir / "history")
    chosen = settings.load(history)
    if chosen.model is not None and config.model == Config().model:
        config = replace(config, model=chosen.model)
    services = services_for(config, history, Tabs())
    engine, decoder = services.engine, services.decoder

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        chores = asyncio.create_task(_chores(services))
        yield
        chores.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await chores
        await engine.close()
        await asyncio.to_thread(decoder.close)
        history.close()

    app = FastAPI(title="Tandem", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    app.state.calls = calls = Calls(services, record)
    answer_errors(app)
    _add_plain_routes(app, services)
    app.mount("/api/static/samples", StaticFiles(directory=SAMPLES), name="samples")
    app.mount("/api/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(routes(services))
    calls.mount(app)
    from app.web.page import mount_page

    mount_page(app, services)
    app.add_middleware(Guard, names=names, by_address=by_address)  # type: ignore[arg-type]
    return app


def services_for(config: Config, history: History, tabs: Tabs) -> Services:
    """The parts that answer, not started yet."""

    def tell(state: EngineState) -> None:
        tabs.tell_all({"type": "engine", "engine": state.view()})

    engine = Engine(config, tell)
    decoder = MediaDecoder(history.media.folder)
    uploads = Uploads(config, history, decoder, engine)
    return Services(config, history, engine, decoder, uploads, Replies(history, engine, uploads, tabs), tabs)


def _add_plain_routes(app: FastAPI, services: Services) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> Response:
        state = services.engine.state
        is_ready = state.phase == "ready" and not services.replies.closing
        return JSONResponse({"ready": is_ready, **state.view()}, 200 if is_ready else 503)

    @app.get("/api/static/code.css")
    async def code_style() -> Response:
        return PlainTextResponse(markdown.style_sheet(), media_type="text/css")


async def _chores(services: Services) -> None:
    """What happens beside the requests: the decoder is started once the model is loaded, and deleted conversations
    go for good when their time to be brought back is over."""
    with contextlib.suppress(Exception):
        await services.engine.assistant()
    await asyncio.to_thread(services.decoder.warm_up)
    while True:
        try:
            await asyncio.to_thread(services.history.purge, UNDO_SEC)
        except Exception:
            log.exception("clearing out deleted conversations failed")
        await asyncio.sleep(UNDO_SEC / 2)


class Server(uvicorn.Server):
    """Closes in order: no new questions, replies finish or are stopped, tabs are told, then the sockets close."""

    def __init__(self, app: FastAPI, sockets: Sequence[socket.socket], host: str) -> None:
        self.services: Services = app.state.services
        self._calls: Calls = app.state.calls
        self._sockets = list(sockets)
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                log_level="warning",
                ws="websockets-sansio",
                ws_max_size=2 << 20,
                timeout_graceful_shutdown=5,
                server_header=False,
                limit_concurrency=1000,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the signal does not strike again afterwards: what comes after the serving still happens."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def serve_forever(self) -> None:
        """Until SIGTERM or Ctrl-C; a second Ctrl-C does not wait for replies."""
        self.run(sockets=self._sockets)

    async def shutdown(self, sockets: Any = None) -> None:
        for one in self.servers:
            one.close()
        self._calls.close_all()
        draining = asyncio.create_task(self.services.replies.drain(DRAIN_SEC))
        while not draining.done() and not self.force_exit:
            await asyncio.wait([draining], timeout=0.1)
        self.services.tabs.close_all()
        await super().shutdown(sockets)


def listen(host: str, port: int, more_ports: int = 0) -> socket.socket:
    """A listening socket at `port`, or at one of the next `more_ports`. Raises OSError where none is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + more_ports + 1):
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, candidate))
            found.listen(128)
            return found
        except OSError:
            found.close()
            if candidate == port + more_ports:
                raise
    raise AssertionError("the loop ends with a socket or an error")

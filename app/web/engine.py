"""The loaded model that all tabs and calls share: loading it while the page is already open, and taking turns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from app.config import Config, ConfigError

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from app.assistant import Assistant

log = logging.getLogger(__name__)

MOST_WAITING = 16


class EngineUnavailable(Exception):
    """The model is not loaded. str(error) is one line for the user."""


class Busy(Exception):
    """More is waiting than will be answered soon."""


class FairQueue:
    """One user at a time, in order of arrival. Each conversation asks for one reply at a time, so that a busy
    conversation goes to the end of the queue after each of its replies."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._lock = asyncio.Lock()  # lets its waiters in first come, first served
        self._most_waiting = most_waiting
        self.waiting = 0

    def check(self) -> None:
        """Raises Busy where a newcomer would not be let in."""
        if self.waiting >= self._most_waiting:
            raise Busy(f"{self.waiting} questions are waiting already: try again in a moment")

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises Busy at once where too many wait."""
        self.check()
        self.waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._lock.release()


@dataclass(frozen=True)
class EngineState:
    """phase: what the page shows. step: what is being done, in words; problem: why loading failed."""

    phase: Literal["loading", "ready", "failed"]
    model: str
    step: str = ""
    problem: str | None = None
    load_ms: float | None = None
    voices: tuple[str, ...] = ()
    speaks: bool = False

    def view(self) -> dict[str, Any]:
        return asdict(self)


class Engine:
    """Owns the assistant. on_change: called in the event loop whenever `state` changed. Made and used in one loop.

    state.step is a key of the page's texts: "libraries", "weights".
    """

    def __init__(self, config: Config, on_change: Callable[[EngineState], None]) -> None:
        self.config = config
        self.queue = FairQueue()
        self.state = EngineState("loading", config.model, "libraries")
        self._on_change = on_change
        self.on_unload: Callable[[], None] = lambda: None  # whoever holds on to the old model lets go here
        self._assistant: Assistant | None = None
        self._loaded = asyncio.Event()
        self._loading: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to load; `state` tells how it goes."""
        self._loading = asyncio.get_running_loop().create_task(self._load())

    async def assistant(self) -> Assistant:
        """The assistant, once it is loaded. Raises EngineUnavailable if it cannot be."""
        await self._loaded.wait()
        return self.loaded

    @property
    def loaded(self) -> Assistant:
        """The assistant of a moment in which it is known to be loaded. Raises EngineUnavailable otherwise."""
        if self._assistant is None:
            raise EngineUnavailable(self.state.problem or "the model is being loaded: wait a moment")
        return self._assistant

    async def switch(self, model: str) -> None:
        """Load another model in place of this one, after the reply that is being made."""
        if model == self.config.model and self.state.phase != "failed":
            return
        self.config = replace(self.config, model=model, voice=None)
        self._set(EngineState("loading", model, "weights"))
        self._loaded.clear()
        async with self.queue.turn():
            await self._unload()
            await asyncio.to_thread(_free_memory)
            await self._load()

    async def close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
        await self._unload()

    async def _unload(self) -> None:
        assistant, self._assistant = self._assistant, None
        self.on_unload()
        if self._warming is not None:
            await self._warming
        if assistant is not None:
            await asyncio.to_thread(assistant.close)

    async def _load(self) -> None:
        started = time.monotonic()
        try:
            await asyncio.to_thread(_import_libraries)
            self._set(replace(self.state, step="weights"))
            assistant = await asyncio.to_thread(_load_assistant, self.config)
        except Exception as error:
            self._set(EngineState("failed", self.config.model, problem=_problem(error, self.config.model)))
        else:
            self._assistant = assistant
            checkpoint = assistant.checkpoint
            self._set(
                EngineState(
                    "ready",
                    checkpoint.name,
                    load_ms=round((time.monotonic() - started) * 1000),
                    voices=tuple(checkpoint.voices),
                    speaks=checkpoint.token2wav is not None,
                )
            )
            self._warming = asyncio.create_task(asyncio.to_thread(assistant.answering.backends.warm_up))
        self._loaded.set()

    def _set(self, state: EngineState) -> None:
        self.state = state
        self._on_change(state)


def _import_libraries() -> None:
    import app.assistant  # noqa: F401


def _free_memory() -> None:
    """Give back what the old model held before the new one needs it."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _load_assistant(config: Config) -> Assistant:
    from app.assistant import Assistant

    return Assistant(config, speech=True)


def _problem(error: Exception, model: str) -> str:
    from multimodal.errors import TandemError

    if isinstance(error, TandemError | ConfigError):
        return str(error)
    log.exception("loading %s failed", model)
    return f"{model} could not be loaded ({type(error).__name__}): the log has the details"

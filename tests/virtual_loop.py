"""An event loop in which time passes only when nothing else is left to do, so that an hour takes a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time` jumps to the next timer instead of waiting for it. Threads that are waited for get real time."""

    def __init__(self) -> None:
        super().__init__()
        self._jumped = 0.0
        self._select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._jumped

    def _jump(self, timeout: float | None = None) -> Any:
        found = self._select(0 if timeout is not None else 1.0)
        if not found and timeout:
            self._jumped += timeout
        return found


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """As asyncio.run, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)

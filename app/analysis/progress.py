"""How far a run is: a bar on a terminal, plain lines elsewhere, JSON lines for programs. All on standard error."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, TextIO

from app.analysis.manifest import Item

Mode = Literal["bar", "lines", "json", "quiet"]


class Progress:
    """Told by the workers, from any thread. total: items to do. clock: seconds that never go back."""

    def __init__(
        self, mode: Mode, total: int, clock: Callable[[], float] = time.monotonic, out: TextIO | None = None
    ) -> None:
        self._mode, self._total, self._clock = mode, total, clock
        self._out = sys.stderr if out is None else out
        self._lock = threading.Lock()
        self._started = clock()
        self._done = self._failed = 0
        self._media_sec = 0.0  # of whole items and of the windows so far
        self._item_sec = 0.0  # of whole items
        self._bar: Any = None
        if mode == "bar":
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[told]}"),
            )
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("analysing", total=total, told="")
            self._bar.start()

    @property
    def eta_sec(self) -> float | None:
        """Seconds to go, from the media read so far and the mean length of an item; None before the first."""
        elapsed = self._clock() - self._started
        if not self._done or not self._media_sec or not elapsed:
            return None
        left_sec = max(0.0, self._item_sec / self._done * self._total - self._media_sec)
        return left_sec * elapsed / self._media_sec

    def window(self, item: Item, done: int, count: int, seconds: float) -> None:
        with self._lock:
            self._media_sec += seconds
            if self._bar is not None:
                self._bar.update(self._task, told=f"{item.id[-40:]} {done}/{count} · {self._rates()}")
            elif self._mode == "json":
                self._line({"event": "window", "id": item.id, "window": done, "windows": count})

    def item(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._done += 1
            self._failed += record["status"] == "error"
            self._item_sec += record["duration_sec"] or 0.0
            if self._mode == "json":
                told = {key: record[key] for key in ("id", "status", "error")}
                self._line({"event": "item", **told, "done": self._done, "total": self._total, "eta_sec": self.eta_sec})
                return
            if self._bar is not None:
                self._bar.update(self._task, advance=1, told=self._rates())
            if self._mode == "lines" or (record["status"] == "error" and self._mode != "quiet"):
                why = f": {record['error']['message']}" if record["error"] else ""
                text = f"{self._done}/{self._total} {record['status']} {record['id']}{why} · {self._rates()}"
                self._bar.console.print(text, markup=False) if self._bar is not None else self._print(text)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _rates(self) -> str:
        elapsed = max(1e-6, self._clock() - self._started)
        eta = self.eta_sec
        left = "" if eta is None else f", {eta:.0f} s to go"
        return f"{self._media_sec / elapsed:.1f} × real time{left}, {self._failed} failed"

    def _line(self, told: dict[str, Any]) -> None:
        self._print(json.dumps(told, ensure_ascii=False))

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)

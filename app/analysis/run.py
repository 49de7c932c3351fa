"""The loop: items to a few workers, each record to the journal as it comes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from app.analysis.journal import Journal, OutputFailed
from app.analysis.manifest import Item
from app.analysis.progress import Progress

TRANSIENT = frozenset({"DecoderTimeout", "AnswerFailed"})  # worth another try


class Stopped(BaseException):
    """The run is being ended; a worker lets go of its item, which stays unfinished."""


@dataclass
class Outcome:
    """failed: (id, message) of the items without an answer. stopped: why the run ended before all were done."""

    ok: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    stopped: str | None = None


@dataclass
class Run:
    """analyze: item → record, from any thread. retries: more tries of an item that failed by chance."""

    analyze: Callable[[Item], dict[str, Any]]
    journal: Journal
    progress: Progress
    jobs: int = 1
    retries: int = 1
    stop: threading.Event = field(default_factory=threading.Event)

    def tell(self, item: Item, done: int, count: int, seconds: float) -> None:
        """Called between windows: the place where a run can be stopped."""
        self.progress.window(item, done, count, seconds)
        if self.stop.is_set():
            raise Stopped

    def all(self, items: Iterable[Item]) -> Outcome:
        """Analyse every item that has no record yet. Ctrl-C stops after the windows in flight."""
        outcome = Outcome()
        waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        for item in items:
            if item.id not in self.journal.done:
                waiting.put(item)
        faults: list[BaseException] = []

        def work() -> None:
            try:
                while not self.stop.is_set():
                    self._one(waiting.get_nowait())
            except (queue.Empty, Stopped):
                pass
            except BaseException as fault:
                faults.append(fault)
                self.stop.set()

        threads = [threading.Thread(target=work, name=f"analyze {n}") for n in range(self.jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except KeyboardInterrupt:
            self.stop.set()
            for thread in threads:
                thread.join()
            raise
        for fault in faults:
            if not isinstance(fault, OutputFailed):
                raise fault
            outcome.stopped = str(fault)
        return outcome

    def _one(self, item: Item) -> None:
        record = self.analyze(item)
        for _ in range(self.retries):
            if record["status"] == "ok" or record["error"]["type"] not in TRANSIENT or self.stop.is_set():
                break
            record = self.analyze(item)
        self.journal.write(record)
        self.progress.item(record)

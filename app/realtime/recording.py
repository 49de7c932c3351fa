"""A call as a bundle: every event of both sides with its time, and the versions that made them.

    FOLDER/2026-11-25T12-00-00-ab12/about.json      model, versions, when
                                   /events.jsonl   {"t": seconds, "from": "client" | "server", "event": {…}}

Sound and pictures are inside the events, as they went over the line.
"""

from __future__ import annotations

import json
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.config import ConfigError

FORMAT = 1


class Recording:
    """A bundle that is being written, a line at a time, so that a crash loses nothing before it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = (folder / "events.jsonl").open("a", encoding="utf-8", buffering=1)
        self._started = time.monotonic()

    @classmethod
    def begin(cls, parent: Path, model: str, model_path: str, settings: dict[str, Any]) -> Recording:
        """settings: of `Config`, those that decide what is answered."""
        folder = parent / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{secrets.token_hex(2)}"
        folder.mkdir(parents=True, mode=0o700)
        libraries = {name: version(name) for name in ("torch", "transformers", "silero-vad", "soxr", "openai")}
        about = {
            "format": FORMAT,
            "model": model,
            "model_path": model_path,
            "settings": settings,
            "recorded": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "python": platform.python_version(),
            "libraries": libraries,
        }
        (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        return cls(folder)

    def received(self, text: str) -> None:
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            event = {"type": "unreadable", "text": text[:1000]}
        self._write("client", event)

    def around(self, send: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        def both(event: dict[str, Any]) -> None:
            self._write("server", event)
            send(event)

        return both

    def _write(self, side: str, event: dict[str, Any]) -> None:
        line = {"t": round(time.monotonic() - self._started, 4), "from": side, "event": event}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(bundle: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """about.json and the lines of events.jsonl. Raises ConfigError for a folder that is no bundle."""
    try:
        about = json.loads((bundle / "about.json").read_text(encoding="utf-8"))
        lines = list(_lines(bundle / "events.jsonl"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{bundle} is not a recorded call: give a folder that --record has made") from error
    if about.get("format") != FORMAT:
        raise ConfigError(f"{bundle} was recorded by another version of Tandem (format {about.get('format')})")
    return about, lines


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):  # the last may have been cut off
                yield json.loads(line)

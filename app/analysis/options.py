"""What an analysis is asked to do, checked as a whole before anything is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from app.config import ConfigError

FORMATS = ("jsonl", "csv", "parquet", "srt", "vtt", "html")
TASKS = ("caption", "events", "qa", "count", "ocr", "transcript")
DEFAULT_FPS = 2.0  # what the family was trained on
DEFAULT_WINDOW_SEC = 30.0
DEFAULT_OVERLAP_SEC = 2.0  # where an event at a border must be seen by one of the two windows


class AnalysisError(ConfigError):
    """A flag, manifest or output that cannot be used. One line that says what to do."""


@dataclass(frozen=True)
class AnalysisOptions:
    """fps: frames a second, None for the family's own. window: seconds, "scenes" or "whole". overlap: seconds, None
    for the task's own. max_frames: of one item, spread over its windows. audio: "on" wants a sound track.
    timeout: seconds that one answer of the decoder may take. shard: (i, n), i from 1.
    """

    task: str = "qa"
    prompt: str | None = None
    schema: Mapping[str, Any] | None = None
    fps: float | None = None
    window: float | Literal["scenes", "whole"] = DEFAULT_WINDOW_SEC
    overlap: float | None = None
    max_frames: int | None = None
    audio: Literal["auto", "on", "off"] = "auto"
    max_tokens: int = 512
    seed: int = 0
    retries: int = 1
    timeout: float = 300.0
    jobs: int = 1
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise AnalysisError(f"--task {self.task}: choose one of {', '.join(TASKS)}")
        if self.task in ("qa", "count") and not (self.prompt or "").strip():
            raise AnalysisError(f"--task {self.task} needs a question: give --prompt")
        if self.fps is not None and not 0 < self.fps <= 60:
            raise AnalysisError(f"--fps {self.fps:g}: give a rate above 0 and up to 60, or auto")
        if isinstance(self.window, float | int) and not 1 <= self.window <= 3600:
            raise AnalysisError(f"--window {self.window:g}: give 1 to 3600 seconds, scenes or whole")
        if self.overlap is not None and not (
            0 <= self.overlap and isinstance(self.window, float | int) and self.overlap <= self.window / 2
        ):
            raise AnalysisError("--overlap: give seconds from 0 to half of a window of fixed length")
        if self.max_frames is not None and self.max_frames < 2:
            raise AnalysisError("--max-frames: give at least 2")
        if not (0 <= self.retries <= 10 and 1 <= self.jobs <= 256 and 0 < self.timeout <= 86_400):
            raise AnalysisError("give --retries 0 to 10, --jobs 1 to 256 and --timeout up to 86400 seconds")
        if not 1 <= self.shard[0] <= self.shard[1]:
            raise AnalysisError("--shard I/N: I counts from 1 to N")

    @property
    def overlap_sec(self) -> float:
        if self.overlap is not None:
            return self.overlap
        if self.task != "events" or not isinstance(self.window, float | int):
            return 0.0
        return min(DEFAULT_OVERLAP_SEC, self.window / 4)

    def fingerprint(self, model: str) -> str:
        """Names all that an answer depends on: a run goes on only with results of the same."""
        told = {key: value for key, value in asdict(self).items() if key not in ("retries", "timeout", "jobs", "shard")}
        return hashlib.sha256(json.dumps([told, model], sort_keys=True).encode()).hexdigest()


def parse_window(text: str) -> float | Literal["scenes", "whole"]:
    if text == "scenes" or text == "whole":
        return text
    return parse_number("--window", text)


def parse_number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnalysisError(f"{flag} {text}: give a number of seconds") from None


def parse_shard(text: str) -> tuple[int, int]:
    first, _, count = text.partition("/")
    if not (first.isdigit() and count.isdigit()):
        raise AnalysisError(f"--shard {text}: give I/N, such as 1/8")
    return int(first), int(count)


def parse_formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if unknown := [name for name in names if name not in FORMATS]:
        raise AnalysisError(f"--format {unknown[0]}: choose from {', '.join(FORMATS)}")
    return names


def check_output(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise AnalysisError(f"{path}: not a file; give the name of a .jsonl file to write")
    if not path.parent.is_dir():
        raise AnalysisError(f"{path.parent}: no such folder; make it, or choose another --out")

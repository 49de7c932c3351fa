"""What `make run` shows: what `ask` can do, tried on a picture, a sound and a clip of this repository."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli import user_errors
from app.config import DEFAULT_MODEL, Config, resolve

if TYPE_CHECKING:
    from app.assistant import MediaKind

SAMPLES = Path(__file__).resolve().parent.parent / "docs" / "samples"
QUESTIONS: tuple[tuple[str | None, MediaKind, str], ...] = (
    ("What is in this picture?", "image", "shapes.png"),
    (None, "audio", "question.wav"),
    ("What happens in this video?", "video", "moving.mp4"),
)
INTRODUCTION = """\
Tandem answers questions about text, pictures, sounds and videos, in text and in speech:

  .venv/bin/python -m app ask "What is in this picture?" --image cat.png
  .venv/bin/python -m app ask --audio question.wav --speak answer.wav
  .venv/bin/python -m app ask "What happens here?" --video clip.mp4 --json
  .venv/bin/python -m app ask "And then?" --conversation talk.json
  .venv/bin/python -m app doctor
"""
UNTRAINED = """\
The built-in model is not here, so a tiny one with random weights stands in: the whole pipeline runs, but what it
writes and says is noise. For real answers, give a checkpoint: TANDEM_MODEL=Qwen/Qwen2.5-Omni-3B make run
"""


def main() -> None:
    print(INTRODUCTION)
    with user_errors(), tempfile.TemporaryDirectory() as scratch:
        config = resolve()
        if config.model == DEFAULT_MODEL and not _built_in_is_there():
            print(UNTRAINED)
            config = _untrained(config, Path(scratch))
        _ask_all(config, Path(scratch))


def _built_in_is_there() -> bool:
    from multimodal.checkpoint import built_in_names

    return DEFAULT_MODEL in built_in_names()


def _untrained(config: Config, scratch: Path) -> Config:
    """Settings with a random checkpoint, and limits that keep its noise short."""
    from transformers.utils import logging

    from multimodal.blueprint import write_random_checkpoint

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = write_random_checkpoint(scratch / "random-weights")
    return replace(config, model=str(folder), max_tokens=16, max_speech_sec=2.0)


def _ask_all(config: Config, scratch: Path) -> None:
    from app.ask import Question, answer
    from app.assistant import MediaFile

    for text, kind, name in QUESTIONS:
        shown = [
            "ask",
            *([text] if text else []),
            f"--{kind}",
            f"docs/samples/{name}",
            "--speak",
            "answer.wav",
            "--json",
        ]
        print(f"$ python -m app {shlex.join(shown)}")
        question = Question(text or "", (MediaFile(kind, SAMPLES / name),), speak=scratch / "answer.wav")
        answer(question, config, as_json=True)
        print()


if __name__ == "__main__":
    main()

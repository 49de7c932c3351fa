"""`fim`: fill a gap in a source file, in place of an empty line or in front of a line of code."""

from __future__ import annotations

import sys
from pathlib import Path

from app.backends import Backends
from app.config import Config
from app.durable_file import replaced
from multimodal.errors import PromptError
from reasoning.backend import Options
from reasoning.errors import BackendUnavailable, ProfileError
from reasoning.fim import Gap, fill, filled

MOST_BYTES = 1_000_000


def fill_in(place: str, config: Config, *, write: bool, max_tokens: int) -> None:
    """Print what belongs at `place` (FILE:LINE), or write it into the file."""
    path, line = _place(place)
    text = _read(path)
    gap = Gap.at_line(text, line, str(path))
    backends = Backends.of(config)
    name = next((name for name, one in backends.entries.items() if one.profile.fill_in_middle), None)
    if name is None:
        raise ProfileError(
            "no model that fills gaps is configured: name a Qwen2.5-Coder with --coder, or in the setting backends"
        )
    backend = backends.get(name)
    try:
        middle = filled(fill(backend, gap, Options(max_tokens=max_tokens)), gap)  # type: ignore[arg-type]
    finally:
        backends.close()
    if not middle.strip():
        raise BackendUnavailable(f"{name} wrote nothing for line {line}: choose another line, or a larger model")
    if not write:
        sys.stdout.write(middle if middle.endswith("\n") else middle + "\n")
        return
    with replaced(path, path.stat().st_mode & 0o7777) as file:
        file.write((gap.prefix + middle + gap.suffix).encode())


def _place(place: str) -> tuple[Path, int]:
    name, colon, number = place.rpartition(":")
    if not colon or not name or not number.isdecimal():
        raise PromptError(f"{place}: give a file and a line, such as app/cli.py:12")
    return Path(name), int(number)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PromptError(f"{path} is larger than {MOST_BYTES:,} bytes: cut it down")
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror}); correct the name") from error
    except UnicodeDecodeError:
        raise PromptError(f"{path} is not UTF-8 text: convert it first") from None

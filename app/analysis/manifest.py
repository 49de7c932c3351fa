"""What is to be analysed: files, folders, patterns and manifests → items, each with an id of its own."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from app.analysis.options import AnalysisError

VIDEO_NAMES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .flv .wmv .asf .3gp .ogv".split())
MOST_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Item:
    """One thing to analyse. prompt: its own question, or None. start_sec, end_sec: the part of it, or None.

    problem: why it cannot be opened, known before it is; it still gets its record.
    """

    id: str
    source: Path
    prompt: str | None = None
    start_sec: float | None = None
    end_sec: float | None = None
    problem: str | None = None


@dataclass
class Collected:
    """items, and lines that are no item of their own: told, and counted as failures."""

    items: list[Item] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def shown(path: str | os.PathLike[str]) -> str:
    """A path as valid text: bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def collect(paths: Sequence[str], lists: Sequence[str], stdin: BinaryIO) -> Collected:
    """paths: files, folders, patterns, manifests (.jsonl). lists: files with a path or a JSON object a line, "-" for
    standard input. Raises AnalysisError for a list that cannot be read, or where nothing is named at all."""
    if not paths and not lists:
        raise AnalysisError("nothing to analyse: give files, folders or patterns, or a list with -a")
    found = Collected()
    known: dict[str, Path] = {}

    def add(item: Item, where: str) -> None:
        if item.id in known:
            if known[item.id] != item.source or item.prompt or item.start_sec is not None:
                found.complaints.append(f"{where}: the id {item.id!r} is already taken; give it another")
            return
        known[item.id] = item.source
        found.items.append(item)

    for text in paths:
        if text.endswith(".jsonl") and os.path.isfile(text):
            lists = [*lists, text]
            continue
        for item in _expand(text):
            add(item, shown(text))
    for name in lists:
        try:
            with stdin if name == "-" else open(name, "rb") as file:
                folder = Path() if name == "-" else Path(name).parent
                for number, line in enumerate(file, 1):
                    where = f"{'standard input' if name == '-' else shown(name)}, line {number}"
                    try:
                        for item in _parse(line, folder):
                            add(item, where)
                    except AnalysisError as error:
                        found.complaints.append(f"{where}: {error}")
        except OSError as error:
            raise AnalysisError(f"{shown(name)}: the list cannot be read ({error.strerror}); check the name") from None
    return found


def in_shard(item: Item, shard: tuple[int, int]) -> bool:
    """Whether part I of N has this item; by its id, so that every machine agrees."""
    number = int.from_bytes(hashlib.sha256(item.id.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return number % shard[1] == shard[0] - 1


def _expand(text: str) -> Iterator[Item]:
    """One argument: a folder with all its videos, a pattern, or a file, which gets a record whatever it is."""
    if os.path.isdir(text):
        yield from (Item(shown(path), Path(path)) for path in _walk(text))
    elif not os.path.lexists(text) and glob.has_magic(text):
        matches = sorted(glob.glob(text, recursive=True), key=os.fsencode)
        if not matches:
            yield Item(shown(text), Path(text), problem=f"{shown(text)}: nothing has such a name; check the pattern")
        for match in matches:
            yield from _expand(match)
    else:
        yield Item(shown(text), Path(text))


def _walk(top: str) -> Iterator[str]:
    """Videos under a folder by name, in order; links are followed, and a folder is entered once."""
    entered: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(folder), key=os.fsencode)
        except OSError:
            continue
        paths = [os.path.join(folder, name) for name in names]
        yield from (p for p in paths if os.path.splitext(p)[1].lower() in VIDEO_NAMES and not os.path.isdir(p))
        waiting += reversed([path for path in paths if os.path.isdir(path)])


def _parse(line: bytes, folder: Path) -> Iterable[Item]:
    """One line of a list. Raises AnalysisError for one without a usable id and source."""
    if len(line) > MOST_LINE_BYTES:
        raise AnalysisError("longer than a megabyte; shorten it")
    line = line.strip()
    if not line.startswith(b"{"):
        return [] if not line or line.startswith(b"#") else _expand(os.fsdecode(line))
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise AnalysisError("not valid JSON; correct it") from None
    if unknown := sorted(entry.keys() - {"id", "source", "prompt", "start", "end"}):
        raise AnalysisError(f"{unknown[0]!r} is no field; the fields are id, source, prompt, start, end")
    source, name, prompt = (_text(entry, key) for key in ("source", "id", "prompt"))
    if name is None and source is None:
        raise AnalysisError("has no source; name the file to analyse")
    if source is None:
        return [Item(str(name), Path(), problem="the manifest names no source for it; add one")]
    path = folder / os.fsdecode(source.encode("utf-8", "surrogateescape"))
    start, end = (_seconds(entry, key) for key in ("start", "end"))
    if end is not None and end <= (start or 0):
        return [Item(name or source, path, prompt, problem=f"it ends at {end:g} s, before it starts; correct it")]
    return [Item(name or source, path, prompt, start, end)]


def _text(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value or any("\ud800" <= ch <= "\udfff" for ch in value):
        raise AnalysisError(f"{key} is no text; put it in quotes")
    return value


def _seconds(entry: dict[str, Any], key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise AnalysisError(f"{key} is no time; give seconds from 0")
    return float(value)

"""A conversation on disk: turns in one JSON file, media beside it by content hash.

    talk.json            {"format": "tandem-conversation", "version": 1, "vocabulary": hash, "turns": [turn, …]}
    talk.json.media/     <sha256>.npz, one for each picture, sound or clip, as it was decoded

A turn is {"role", "content": [part, …]}, a reply also has "ids", the tokens that the model wrote, which mean
something in that vocabulary only. A part is {"text": …}, {"image": hash}, {"audio": hash} or {"video": hash}.
Media are stored as decoded arrays, so that a conversation reads the same on any machine. The JSON file is replaced
whole or not at all: media first, then a temporary file, fsync, rename. While a file is open, a second process that
opens it is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from app.durable_file import replaced
from multimodal.errors import ConversationError
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Content, Turn

FORMAT = "tandem-conversation"
VERSION = 1
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Saved:
    """What a file held. vocabulary: of the turns' token ids, None where there is no file yet."""

    turns: tuple[Turn, ...] = ()
    vocabulary: str | None = None


class ConversationFile:
    """The conversation kept at `path`; make one with `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.media = path.with_name(path.name + ".media")

    def read(self) -> Saved:
        """The turns so far, none where the file does not exist yet. Raises ConversationError for a damaged one."""
        try:
            document = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return Saved()
        except (OSError, ValueError, RecursionError) as error:
            raise self._damaged("not a JSON document") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise self._damaged("not a conversation")
        if document.get("version") != VERSION:
            raise self._damaged(f"of version {document.get('version')}, and this program reads version {VERSION}")
        turns, vocabulary = document.get("turns"), document.get("vocabulary")
        if not isinstance(turns, list) or not isinstance(vocabulary, str):
            raise self._damaged("without turns or without the name of their vocabulary")
        return Saved(tuple(self._turn(entry) for entry in turns), vocabulary)

    def write(self, turns: Sequence[Turn], vocabulary: str) -> None:
        """Replace the file by `turns`; what the disk holds is the old conversation or the new one, never less."""
        entries = []
        for turn in turns:
            entry: dict[str, Any] = {"role": turn.role, "content": [self._store(part) for part in turn.content]}
            entries.append(entry if turn.ids is None else {**entry, "ids": list(turn.ids)})
        head = json.dumps({"format": FORMAT, "version": VERSION, "vocabulary": vocabulary})
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        text = f'{head[:-1]}, "turns": [\n{lines}\n]}}\n'  # one turn a line
        self._replace(self.path, lambda file: file.write(text.encode()))

    def _turn(self, entry: Any) -> Turn:
        if not isinstance(entry, dict) or entry.get("role") not in ROLES or not isinstance(entry.get("content"), list):
            raise self._damaged("with a turn that has no role or content")
        ids = entry.get("ids")
        if ids is not None and not (isinstance(ids, list) and all(type(one) is int and one >= 0 for one in ids)):
            raise self._damaged("with token ids that are no numbers")
        content = tuple(self._part(part) for part in entry["content"])
        return Turn(entry["role"], content, None if ids is None else tuple(ids))

    def _part(self, part: Any) -> Content:
        if not isinstance(part, dict) or len(part) != 1:
            raise self._damaged("with a part that is neither text nor a medium")
        ((kind, value),) = part.items()
        if not isinstance(value, str):
            raise self._damaged(f"with a {kind} part that is not text")
        if kind == "text":
            return value
        if kind not in ("image", "audio", "video") or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise self._damaged(f"with a part of unknown kind {kind!r}")
        return self._load(kind, value)

    def _store(self, part: Content) -> dict[str, str]:
        if isinstance(part, str):
            return {"text": part}
        kind, arrays = _arrays(part)
        digest = _digest(kind, arrays)
        target = self.media / f"{digest}.npz"
        if not target.exists():
            self._replace(target, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
        return {kind: digest}

    def _load(self, kind: str, digest: str) -> Content:
        path = self.media / f"{digest}.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except FileNotFoundError:
            raise self._damaged(f"but {path} is missing") from None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(f"and {path} cannot be read") from error
        if _digest(kind, arrays) != digest:
            raise self._damaged(f"and {path} is not what was stored")
        return _medium(kind, arrays)

    def _replace(self, target: Path, write: Callable[[IO[bytes]], Any]) -> None:
        try:
            with replaced(target) as file:
                write(file)
        except OSError as error:
            raise ConversationError(
                f"{target}: cannot be written ({error.strerror}); the conversation is as it was before"
            ) from error

    def _damaged(self, what: str) -> ConversationError:
        return ConversationError(f"{self.path}: {what}; restore it from a copy, or give the name of a new file")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[ConversationFile]:
    """The conversation at `path`, held against other processes until the block ends.

    Raises ConversationError where the folder does not exist or cannot be written, or another process holds it.
    """
    if path.is_dir():
        raise ConversationError(f"{path}: a folder; give the name of a file to keep the conversation in")
    if not path.parent.is_dir():
        raise ConversationError(f"{path.parent}: no such folder; make it, or keep the conversation elsewhere")
    conversation = ConversationFile(path)
    handle = _hold(conversation)
    try:
        yield conversation
    finally:
        with contextlib.suppress(OSError):
            conversation.media.rmdir()  # only if nothing is in it
        os.close(handle)


def _hold(conversation: ConversationFile) -> int:
    """Lock the media folder, made for it if need be. Returns the open handle that holds the lock."""
    folder = conversation.media
    while True:
        try:
            folder.mkdir(exist_ok=True)
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConversationError(
                f"{folder}: cannot be opened ({error.strerror}); keep the conversation elsewhere"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.exists() and os.path.samestat(os.fstat(handle), folder.stat()):
                return handle
        except OSError as error:
            os.close(handle)
            raise ConversationError(
                f"{conversation.path}: another process is using it; wait until it has finished"
            ) from error
        os.close(handle)  # its last user removed the folder between our opening and locking it


def _arrays(medium: Picture | AudioClip | VideoClip) -> tuple[str, dict[str, np.ndarray]]:
    if isinstance(medium, Picture):
        return "image", {"pixels": medium.pixels}
    if isinstance(medium, AudioClip):
        return "audio", {"samples": medium.samples, "placed": np.array([medium.rate_hz, medium.start_sec])}
    arrays = {
        "frames": medium.frames,
        "times_sec": np.asarray(medium.times_sec, dtype=np.float64),
        "timing": np.array([medium.fps, medium.duration_sec, float(medium.complete)]),
    }
    if medium.audio is not None:
        sound = _arrays(medium.audio)[1]
        arrays |= {f"audio_{name}": array for name, array in sound.items()}
    return "video", arrays


def _medium(kind: str, arrays: dict[str, np.ndarray]) -> Picture | AudioClip | VideoClip:
    if kind == "image":
        return Picture(arrays["pixels"])
    if kind == "audio":
        return _sound(arrays["samples"], arrays["placed"])
    fps, duration_sec, complete = arrays["timing"].tolist()
    sound = _sound(arrays["audio_samples"], arrays["audio_placed"]) if "audio_samples" in arrays else None
    return VideoClip(arrays["frames"], arrays["times_sec"], fps, duration_sec, sound, bool(complete))


def _sound(samples: np.ndarray, placed: np.ndarray) -> AudioClip:
    rate_hz, start_sec = placed.tolist()
    return AudioClip(samples, int(rate_hz), start_sec)


def _digest(kind: str, arrays: dict[str, np.ndarray]) -> str:
    """sha256 over kind, names, types, shapes and values: the same medium has the same name everywhere."""
    digest = hashlib.sha256(kind.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

"""Files by content hash: written whole or not at all, and the same bytes only once."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from app.durable_file import sync_folder
from app.history.records import DiskFull, HistoryError, NotKept

BLOCK_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class MediaFolder:
    """`folder`/ab/abcd… for the file whose sha256 begins with abcd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        for left_over in self._incoming.iterdir():  # of a process that was killed while it wrote
            left_over.unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        """Raises NotKept for what is no digest or not there."""
        if len(digest) == 64 and set(digest) <= set("0123456789abcdef"):
            found = self.folder / digest[:2] / digest
            if found.is_file():
                return found
        raise NotKept("no such file in the history: it may have been deleted")

    def draft(self) -> Path:
        """A new empty file for bytes that arrive; `adopt` keeps it."""
        try:
            handle, name = tempfile.mkstemp(dir=self._incoming)
        except OSError as error:
            raise as_history_error(error) from error
        os.close(handle)
        return Path(name)

    def add(self, data: bytes | Iterable[bytes]) -> str:
        """Keep `data`; returns its digest."""
        draft = self.draft()
        try:
            with draft.open("wb") as file:
                for block in [data] if isinstance(data, bytes) else data:
                    file.write(block)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise as_history_error(error) from error
        return self.adopt(draft)

    def adopt(self, draft: Path) -> str:
        """Move a draft to the place of its content, on the disk for good when this returns."""
        try:
            digest = _digest(draft)
            target = self.folder / digest[:2] / digest
            target.parent.mkdir(exist_ok=True)
            draft.chmod(0o600)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(target)
            for folder in (target.parent, self.folder):
                sync_folder(folder)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise as_history_error(error) from error
        return digest

    def remove(self, digest: str) -> None:
        (self.folder / digest[:2] / digest).unlink(missing_ok=True)


def as_history_error(error: OSError) -> HistoryError:
    if error.errno in _NO_ROOM:
        return DiskFull("the disk is full, nothing was kept: free some space and try again")
    return HistoryError(f"the history folder cannot be written ({error.strerror}): check its permissions")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""What is done, so that it is done once: records in a JSONL file, finished windows in a ledger beside it.

A record is one line, written whole and fsynced before the item counts as done. The JSONL file is the truth about items;
the ledger (SQLite, `RESULTS.ledger`) holds the windows of items that are not finished, and what run they belong to. A
half-written last line, which only a crash can leave, is cut off when the file is opened again.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from app.analysis.options import AnalysisError, check_output
from app.durable_file import replaced

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (fingerprint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS windows (item TEXT, sha256 TEXT, number INTEGER, answer TEXT, PRIMARY KEY (item, number));
"""


class OutputFailed(Exception):
    """The results cannot be written any further; what is written is whole."""


class Journal:
    """The results of one run. fingerprint: of everything that the answers depend on.

    Raises AnalysisError where the output cannot be used: another run writes it, or it was made with other settings.
    """

    def __init__(self, path: Path, fingerprint: str, *, overwrite: bool = False, retry_failed: bool = False) -> None:
        check_output(path)
        self.path, self.ledger_path = path, path.with_name(path.name + ".ledger")
        self._lock = threading.Lock()
        try:
            self._guard = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._guard)
                raise AnalysisError(f"{path}: another run is writing it; wait, or choose another --out") from None
            if overwrite:
                for old in (path, self.ledger_path):
                    old.unlink(missing_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._ledger = sqlite3.connect(self.ledger_path, check_same_thread=False, isolation_level=None)
            self._ledger.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise AnalysisError(f"{path}: cannot be written ({error}); choose another --out") from None
        self._check_run(fingerprint)
        self.done: dict[str, str] = {}  # id → status
        self._take_up(retry_failed)

    def _check_run(self, fingerprint: str) -> None:
        known = self._ledger.execute("SELECT fingerprint FROM run").fetchone()
        begun = os.fstat(self._file).st_size or self._ledger.execute("SELECT 1 FROM windows").fetchone()
        if known is None or not begun:  # a run that failed before its first answer binds nobody
            self._ledger.execute("DELETE FROM run")
            self._ledger.execute("INSERT INTO run VALUES (?)", (fingerprint,))
        elif known[0] != fingerprint:
            self.close()
            raise AnalysisError(
                f"{self.path}: made with another question, model or settings; choose another --out, or --overwrite"
            )

    def _take_up(self, retry_failed: bool) -> None:
        """Read what is there; cut a half-written line off."""
        kept = bytearray()
        whole = 0
        dropped = False
        with open(self.path, "rb") as file:
            for line in file:
                try:
                    record: Any = json.loads(line) if line.endswith(b"\n") else None
                    name, status = record["id"], record["status"]
                except (ValueError, KeyError, TypeError):
                    break
                whole += len(line)
                if retry_failed and status == "error":
                    dropped = True
                else:
                    kept += line if retry_failed else b""
                    self.done[name] = status
        size = os.fstat(self._file).st_size
        if size > whole:
            with open(self.path, "rb") as file:
                file.seek(whole)
                if file.read().strip(b"\x00\n").count(b"\n"):
                    self.close()
                    raise AnalysisError(f"{self.path}: not a results file of analyze; choose another --out")
            os.ftruncate(self._file, whole)
        if dropped:
            with replaced(self.path) as file:
                file.write(kept)
            os.close(self._file)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND)

    def write(self, record: dict[str, Any]) -> None:
        """Append an item's record, once; from any thread. Raises OutputFailed where it cannot be written whole."""
        line = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")
        with self._lock:
            assert record["id"] not in self.done, "each item has one record"
            before = os.fstat(self._file).st_size
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, before)
                raise OutputFailed(
                    f"{self.path} cannot be written ({error.strerror}): make room and run again"
                ) from None
            self.done[record["id"]] = record["status"]
            self._change("DELETE FROM windows WHERE item = ?", (record["id"],))

    def window(self, item: str, sha256: str, number: int) -> dict[str, Any] | None:
        """A window's answer from an earlier run over the same content."""
        with self._lock:
            row = self._ledger.execute(
                "SELECT answer FROM windows WHERE item = ? AND sha256 = ? AND number = ?", (item, sha256, number)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def keep_window(self, item: str, sha256: str, number: int, answer: dict[str, Any]) -> None:
        with self._lock:
            row = (item, sha256, number, json.dumps(answer))
            self._change("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?)", row)

    def _change(self, statement: str, row: tuple[Any, ...]) -> None:
        try:
            self._ledger.execute(statement, row)
        except sqlite3.Error as error:
            raise OutputFailed(f"{self.ledger_path} cannot be written ({error}): make room and run again") from None

    def close(self) -> None:
        """Let another run have the output."""
        self._ledger.close()
        os.close(self._file)
        os.close(self._guard)

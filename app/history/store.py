"""The history: conversations and turns in SQLite, media beside it.

    DATA_DIR/history/tandem.sqlite3     WAL, synchronous=FULL: what a call has returned from survives a power cut
    DATA_DIR/history/media/ab/abcd…     by content hash

One process owns the folder. Methods may be called from any thread; each is one transaction.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.history.media_folder import MediaFolder, as_history_error
from app.history.records import (
    Conversation,
    DiskFull,
    HistoryError,
    MediaPart,
    Medium,
    NotKept,
    Part,
    Role,
    Status,
    TextPart,
    Turn,
)
from app.history.schema import migrate

TITLE_CHARS = 120
EXCERPT_CHARS = 80
MOST_WORDS = 20
INTERRUPTED = "Tandem was stopped before this answer was finished: ask again"
_CONVERSATION = (
    "id, title, created_ms, updated_ms, head, EXISTS (SELECT 1 FROM turns t WHERE t.conversation = c.id AND"
    " (t.speech IS NOT NULL OR t.role = 'user' AND EXISTS (SELECT 1 FROM parts p JOIN media m ON m.digest = p.medium"
    " WHERE p.turn = t.id AND m.kind = 'audio'))) AS spoken"
)
_JSON_FIELDS = ("route", "usage", "timings_ms", "places", "reasoning", "inspection")
_TEXT_FIELDS = ("status", "vocabulary", "model", "error", "places_of", "transcript", "unheard")
_UPDATABLE = {"ids", "speech", "heard_ms", *_TEXT_FIELDS, *_JSON_FIELDS}


class History:
    """folder: made if it is not there. now_ms: wall clock, milliseconds since 1970.

    Raises HistoryError where the folder cannot be used or another process uses it.
    """

    def __init__(self, folder: Path, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.folder = folder
        self._now_ms = now_ms
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._owned: int | None = _own(folder)
            self.media = MediaFolder(folder / "media")
            self._db = sqlite3.connect(folder / "tandem.sqlite3", isolation_level=None, check_same_thread=False)
        except OSError as error:
            raise as_history_error(error) from error
        self._db.row_factory = sqlite3.Row
        with _translated():
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            migrate(self._db)
            # Turns that were being answered when the process ended: every request has one terminal state.
            self._db.execute("UPDATE turns SET status = 'failed', error = ? WHERE status = 'answering'", (INTERRUPTED,))

    def close(self) -> None:
        """Let go of the folder; calling it again does nothing."""
        with self._lock:
            self._db.close()
            if self._owned is not None:
                os.close(self._owned)
            self._owned = None

    # --- conversations ---------------------------------------------------------------------------------

    def create(self, title: str = "") -> Conversation:
        now = self._now_ms()
        found = Conversation(secrets.token_hex(12), _title(title), now, now, None)
        with self._write() as db:
            db.execute(
                "INSERT INTO conversations (id, title, created_ms, updated_ms) VALUES (?, ?, ?, ?)",
                (found.id, found.title, now, now),
            )
        return found

    def conversation(self, conversation: str) -> Conversation:
        """Raises NotKept for one that is not there or deleted."""
        rows = self._read(
            f"SELECT {_CONVERSATION} FROM conversations AS c WHERE id = ? AND deleted_ms IS NULL", (conversation,)
        )
        if not rows:
            raise NotKept("no such conversation: it may have been deleted")
        return _conversation(rows[0])

    def conversations(self, search: str = "") -> list[Conversation]:
        """Newest first; `search`: words that all stand in the title or in one of the turns."""
        query = f"SELECT {_CONVERSATION} FROM conversations AS c WHERE deleted_ms IS NULL"
        values: list[str] = []
        for word in search.split()[:MOST_WORDS]:
            query += (
                " AND (title LIKE ? ESCAPE '\\' OR EXISTS ("
                "SELECT 1 FROM turns JOIN parts ON parts.turn = turns.id WHERE turns.conversation = c.id AND ("
                "parts.text LIKE ? ESCAPE '\\' OR parts.name LIKE ? ESCAPE '\\' OR transcript LIKE ? ESCAPE '\\')))"
            )
            values += [_anywhere(word)] * 4
        return [_conversation(row) for row in self._read(query + " ORDER BY updated_ms DESC, id", values)]

    def excerpts(self, search: str) -> dict[str, str]:
        """For each conversation in which a turn says a word of `search`: a line of the first turn that does."""
        found: dict[str, str] = {}
        for word in search.split()[:MOST_WORDS]:
            rows = self._read(
                "SELECT t.conversation, coalesce(p.text, t.transcript) AS said"
                " FROM turns t JOIN parts p ON p.turn = t.id WHERE said LIKE ? ESCAPE '\\'"
                " ORDER BY t.number DESC, p.position DESC",
                (_anywhere(word),),
            )
            found = {row["conversation"]: _excerpt(row["said"], word) for row in rows} | found
        return found

    def rename(self, conversation: str, title: str) -> Conversation:
        found = replace(self.conversation(conversation), title=_title(title))
        with self._write() as db:
            db.execute("UPDATE conversations SET title = ? WHERE id = ?", (found.title, conversation))
        return found

    def delete(self, conversation: str) -> None:
        """Out of sight at once, and restorable until `purge`."""
        self.conversation(conversation)
        with self._write() as db:
            db.execute("UPDATE conversations SET deleted_ms = ? WHERE id = ?", (self._now_ms(), conversation))

    def restore(self, conversation: str) -> Conversation:
        """Undo `delete`."""
        with self._write() as db:
            db.execute("UPDATE conversations SET deleted_ms = NULL WHERE id = ?", (conversation,))
        return self.conversation(conversation)

    def purge(self, older_than_sec: float) -> None:
        """Remove for good what was deleted longer ago than that, and media that no turn shows any more."""
        before = self._now_ms() - round(older_than_sec * 1000)
        with self._write() as db:
            db.execute("DELETE FROM conversations WHERE deleted_ms <= ?", (before,))
            unused = (
                "SELECT digest FROM media WHERE added_ms <= ? AND digest NOT IN"
                " (SELECT medium FROM parts WHERE medium IS NOT NULL UNION"
                " SELECT speech FROM turns WHERE speech IS NOT NULL)"
            )
            digests = [row["digest"] for row in db.execute(unused, (before,))]
            db.executemany("DELETE FROM media WHERE digest = ?", [(digest,) for digest in digests])
        for digest in digests:
            self.media.remove(digest)

    # --- turns -----------------------------------------------------------------------------------------

    def add_turn(
        self,
        conversation: str,
        role: Role,
        parts: Sequence[Part],
        parent: str | None = None,
        status: Status = "completed",
        **fields: Any,
    ) -> Turn:
        """Add a turn after `parent` (None: the first) and read on from it. fields: as in `update_turn`."""
        kept = self.conversation(conversation)
        if parent is not None and self.turn(parent).conversation != conversation:
            raise NotKept("no such turn in this conversation: reload the page")
        turn = Turn(secrets.token_hex(12), conversation, parent, role, status, tuple(parts), self._now_ms(), **fields)
        with self._write() as db:
            db.execute(
                "INSERT INTO turns (id, number, conversation, parent, role, status, created_ms)"
                " VALUES (?, (SELECT coalesce(max(number), 0) + 1 FROM turns), ?, ?, ?, ?, ?)",
                (turn.id, conversation, parent, role, status, turn.created_ms),
            )
            _set_fields(db, turn.id, fields)
            _set_parts(db, turn.id, turn.parts)
            title = kept.title or _title(_headline(turn))
            db.execute(
                "UPDATE conversations SET head = ?, title = ?, updated_ms = ? WHERE id = ?",
                (turn.id, title, turn.created_ms, conversation),
            )
        return turn

    def update_turn(self, turn: str, *, text: str | None = None, **fields: Any) -> Turn:
        """Change what is known of a turn: any field of it from ids on; speech is a Medium. text: of a reply, in place
        of what it said before. A conversation that was called after the turn's files is called after its transcript."""
        with self._write() as db:
            _set_fields(db, turn, fields)
            if fields.get("transcript"):
                before = self._turns("t.id = ?", (turn,))[0]
                named = _title(_headline(replace(before, transcript=None)))
                db.execute(
                    "UPDATE conversations SET title = ? WHERE id = ? AND title = ?",
                    (_title(fields["transcript"]), before.conversation, named),
                )
            if text is not None:
                _set_parts(db, turn, [TextPart(text)])
        return self.turn(turn)

    def remove_turn(self, turn: str) -> None:
        """Take one turn out; what followed it follows the turn before."""
        found = self.turn(turn)
        with self._write() as db:
            db.execute("UPDATE turns SET parent = ? WHERE parent = ?", (found.parent, turn))
            db.execute("UPDATE conversations SET head = ? WHERE head = ?", (found.parent, turn))
            db.execute("DELETE FROM turns WHERE id = ?", (turn,))

    def turn(self, turn: str) -> Turn:
        """Raises NotKept for one that is not there, or whose conversation is deleted."""
        found = self._turns("t.id = ?", (turn,))
        if not found:
            raise NotKept("no such turn: it may have been deleted")
        return found[0]

    def turns(self, conversation: str) -> list[Turn]:
        """All turns of all branches, oldest first."""
        self.conversation(conversation)
        return self._turns("t.conversation = ?", (conversation,))

    def path(self, conversation: str, head: str | None = None) -> list[Turn]:
        """The turns that lead to `head` (the conversation's own if None), oldest first."""
        with self._lock:  # a turn that is added between the two would be a head that is not there
            by_id = {turn.id: turn for turn in self.turns(conversation)}
            at = head or self.conversation(conversation).head
        found: list[Turn] = []
        while at is not None:
            if at not in by_id:
                raise NotKept("no such turn in this conversation: reload the page")
            found.append(by_id[at])
            at = by_id[at].parent
        return found[::-1]

    def select(self, turn: str) -> Conversation:
        """Read the branch of `turn`, to its newest end."""
        chosen = self.turn(turn)
        children: dict[str | None, str] = {one.parent: one.id for one in self.turns(chosen.conversation)}
        head = chosen.id
        while head in children:
            head = children[head]
        with self._write() as db:
            db.execute("UPDATE conversations SET head = ? WHERE id = ?", (head, chosen.conversation))
        return self.conversation(chosen.conversation)

    # --- media -----------------------------------------------------------------------------------------

    def keep(self, medium: Medium) -> Medium:
        """Enter a file of `media` that is already in its place; the first entry of a content stays."""
        with self._write() as db:
            db.execute(
                "INSERT INTO media (digest, kind, mime, size_bytes, width, height, duration_sec, added_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET added_ms = excluded.added_ms",
                (
                    medium.digest,
                    medium.kind,
                    medium.mime,
                    medium.size_bytes,
                    medium.width,
                    medium.height,
                    medium.duration_sec,
                    self._now_ms(),
                ),
            )
        return self.medium(medium.digest)

    def medium(self, digest: str) -> Medium:
        rows = self._read(f"SELECT {', '.join(_MEDIUM)} FROM media WHERE digest = ?", (digest,))
        if not rows:
            raise NotKept("no such file in the history: it may have been deleted")
        return Medium(**dict(rows[0]))

    # --- settings --------------------------------------------------------------------------------------

    def setting(self, name: str, default: Any = None) -> Any:
        rows = self._read("SELECT value FROM settings WHERE name = ?", (name,))
        return json.loads(rows[0]["value"]) if rows else default

    def set_setting(self, name: str, value: Any) -> None:
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, json.dumps(value)))

    # --- inside ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction; on any error nothing of it remains."""
        with self._lock, _translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock, _translated():
            return self._db.execute(query, values).fetchall()

    def _turns(self, where: str, values: Sequence[Any]) -> list[Turn]:
        media = ", ".join(f"m.{name} AS medium_{name}" for name in _MEDIUM)
        join = "FROM turns t JOIN conversations c ON c.id = t.conversation"
        alive = f"WHERE c.deleted_ms IS NULL AND {where}"
        with self._lock:
            rows = self._read(
                f"SELECT t.*, {media} {join} LEFT JOIN media m ON m.digest = t.speech {alive} ORDER BY number", values
            )
            parts: dict[str, list[Part]] = {row["id"]: [] for row in rows}
            for part in self._read(
                f"SELECT p.turn, p.text, p.name, {media} {join} JOIN parts p ON p.turn = t.id"
                f" LEFT JOIN media m ON m.digest = p.medium {alive} ORDER BY p.turn, p.position",
                values,
            ):
                parts[part["turn"]].append(
                    TextPart(part["text"], part["name"])
                    if part["text"] is not None
                    else MediaPart(_medium(part), part["name"] or "")
                )
        return [_turn(row, tuple(parts[row["id"]])) for row in rows]


_MEDIUM = ("digest", "kind", "mime", "size_bytes", "width", "height", "duration_sec")


def _medium(row: sqlite3.Row) -> Medium:
    return Medium(**{name: row[f"medium_{name}"] for name in _MEDIUM})


def _turn(row: sqlite3.Row, parts: tuple[Part, ...]) -> Turn:
    return Turn(
        **{
            name: row[name]
            for name in ("id", "conversation", "parent", "role", "created_ms", "heard_ms", *_TEXT_FIELDS)
        },
        parts=parts,
        ids=None if row["ids"] is None else tuple(json.loads(row["ids"])),
        speech=None if row["medium_digest"] is None else _medium(row),
        route=json.loads(row["route"]),
        usage=json.loads(row["usage"]),
        timings_ms=json.loads(row["timings_ms"]),
        places=tuple(json.loads(row["places"])),
        reasoning=json.loads(row["reasoning"]),
        inspection=json.loads(row["inspection"]),
    )


def _set_fields(db: sqlite3.Connection, turn: str, fields: dict[str, Any]) -> None:
    assert set(fields) <= _UPDATABLE, f"not a column of turns: {set(fields) - _UPDATABLE}"
    if not fields:
        return
    values: list[Any] = []
    for name, value in fields.items():
        if name == "speech" and value is not None:
            value = value.digest
        elif name in _JSON_FIELDS or (name == "ids" and value is not None):
            value = json.dumps(value)
        values.append(value)
    changed = db.execute(
        f"UPDATE turns SET {', '.join(f'{name} = ?' for name in fields)} WHERE id = ?", [*values, turn]
    )
    if not changed.rowcount:
        raise NotKept("no such turn: it may have been deleted")


def _set_parts(db: sqlite3.Connection, turn: str, parts: Iterable[Part]) -> None:
    db.execute("DELETE FROM parts WHERE turn = ?", (turn,))
    for position, part in enumerate(parts):
        values = (part.text, None) if isinstance(part, TextPart) else (None, part.medium.digest)
        db.execute(
            "INSERT INTO parts (turn, position, text, medium, name) VALUES (?, ?, ?, ?, ?)",
            (turn, position, *values, part.name),
        )


def _headline(turn: Turn) -> str:
    """What a conversation is called after its first turn."""
    return turn.text or turn.transcript or ", ".join(part.name or "" for part in turn.parts)


def _title(text: str) -> str:
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors in the user's words."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise DiskFull("the disk is full, nothing was kept: free some space and try again") from error
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError):
            raise HistoryError(
                f"the history cannot be used ({error}): check the disk, or give another --data-dir"
            ) from error
        raise


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(**{**dict(row), "spoken": bool(row["spoken"])})


def _anywhere(word: str) -> str:
    """A LIKE pattern (escaped with a backslash) for texts that hold `word` as it stands."""
    return "%" + "".join("\\" + ch if ch in "\\%_" else ch for ch in word) + "%"


def _excerpt(text: str, word: str) -> str:
    """One line of `text` around the first `word`."""
    flat = " ".join(text.split())
    at = max(0, flat.lower().find(word.lower()))
    start = max(0, min(at - EXCERPT_CHARS // 3, len(flat) - EXCERPT_CHARS))
    end = start + EXCERPT_CHARS
    return f"{'…' if start else ''}{flat[start:end].strip()}{'…' if end < len(flat) else ''}"


def _own(folder: Path) -> int:
    """Hold `folder` against other processes for as long as the returned handle is open."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise HistoryError(f"{folder} is used by another Tandem: close it, or give another --data-dir") from None
    return handle

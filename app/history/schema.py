"""The tables, and the steps from each version of them to the next. The version is SQLite's `user_version`."""

from __future__ import annotations

import sqlite3

from app.history.records import HistoryError

# Step i leads from version i to i + 1. A released step is never edited: a change is a new step.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            created_ms INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL,
            deleted_ms INTEGER,
            head TEXT
        ) STRICT""",
        """CREATE TABLE media (
            digest TEXT PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('image', 'audio', 'video')),
            mime TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            width INTEGER,
            height INTEGER,
            duration_sec REAL,
            added_ms INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE turns (
            id TEXT PRIMARY KEY,
            number INTEGER NOT NULL UNIQUE,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            parent TEXT REFERENCES turns (id) ON DELETE CASCADE,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
            status TEXT NOT NULL CHECK (status IN ('answering', 'completed', 'length', 'cancelled', 'failed')),
            created_ms INTEGER NOT NULL,
            ids TEXT,
            vocabulary TEXT,
            model TEXT,
            error TEXT,
            speech TEXT REFERENCES media (digest),
            heard_ms INTEGER,
            route TEXT NOT NULL DEFAULT '{}',
            usage TEXT NOT NULL DEFAULT '{}',
            timings_ms TEXT NOT NULL DEFAULT '{}',
            places TEXT NOT NULL DEFAULT '[]',
            places_of TEXT
        ) STRICT""",
        """CREATE TABLE parts (
            turn TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            text TEXT,
            medium TEXT REFERENCES media (digest),
            name TEXT,
            PRIMARY KEY (turn, position),
            CHECK ((text IS NULL) <> (medium IS NULL))
        ) STRICT, WITHOUT ROWID""",
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        "CREATE INDEX turns_of_conversation ON turns (conversation, number)",
        "CREATE INDEX turns_of_parent ON turns (parent)",
        "CREATE INDEX turns_of_speech ON turns (speech)",
        "CREATE INDEX parts_of_medium ON parts (medium)",
    ),
    (
        "ALTER TABLE turns ADD COLUMN transcript TEXT",
        "ALTER TABLE turns ADD COLUMN unheard TEXT",
        "ALTER TABLE turns ADD COLUMN reasoning TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE turns ADD COLUMN inspection TEXT NOT NULL DEFAULT '{}'",
    ),
)


def migrate(database: sqlite3.Connection, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Bring the tables to the newest version, each step whole or not at all.

    Raises HistoryError for tables that a newer Tandem wrote.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise HistoryError(
            f"the history is of version {version} and this Tandem knows {len(steps)}: "
            "update Tandem, or give another --data-dir"
        )
    for number in range(version, len(steps)):
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in steps[number]:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {number + 1}")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

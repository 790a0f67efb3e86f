"""The embedded store's file: schema, statements, and the lock that keeps a second instance out.

`log` has one row for each revision (a NULL value is a deletion) and is the history that watches and reads of
the past use; `live` says which revision of each existing key is the newest and when it expires. Everything
here is synchronous; `sqlite.py` decides what runs when.

Invariant: the newest revision's row is never removed, so the revision survives a restart.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from .store import Change, CompareFailed, Entry, Page, StoreError

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB);
CREATE INDEX IF NOT EXISTS log_by_key ON log (key, revision);
CREATE TABLE IF NOT EXISTS live (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, expires REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""

CURRENT = "SELECT log.key, value, live.revision FROM live JOIN log ON log.revision = live.revision"

PAST = """SELECT key, value, revision FROM log WHERE key >= :start AND key < :end AND revision = (
    SELECT max(revision) FROM log AS version WHERE version.key = log.key AND version.revision <= :revision
) AND value IS NOT NULL"""

CHANGES = """SELECT key, value, (
    SELECT value FROM log AS older WHERE older.key = log.key AND older.revision < log.revision
    ORDER BY older.revision DESC LIMIT 1
), revision FROM log WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision LIMIT ?"""

# Ascending, so that a deletion's row goes after the rows that it hides.
OVERWRITTEN = """SELECT revision FROM log WHERE revision > :cursor AND revision < :compacted AND (
    value IS NULL OR EXISTS (
        SELECT 1 FROM log AS newer
        WHERE newer.key = log.key AND newer.revision > log.revision AND newer.revision <= :compacted
    )
) ORDER BY revision LIMIT :limit"""


class Lock:
    """Exclusive use of a data file, for as long as the process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def take(self) -> None:
        """Raises StoreError that names the holder."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            self.release()
            folder = self._path.parent
            raise StoreError(f"{folder} is in use by another kplane instance (pid {holder})") from error
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """The file stays: removing it would race with the next holder."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection that starts no transaction by itself; None: a store in memory."""
    if path:
        # SQLite would make the file, and after its example the others, readable by everyone.
        path.touch(mode=0o600)
    connection = sqlite3.connect(
        path or ":memory:", isolation_level=None, check_same_thread=False, cached_statements=64
    )
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA cache_size = -65536")
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Make a connection the writer's; create the schema where it is missing."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.executescript(SCHEMA)


def current(connection: sqlite3.Connection, key: str) -> Entry | None:
    row = connection.execute(f"{CURRENT} WHERE live.key = ?", (key,)).fetchone()
    return None if row is None else Entry(*row)


def past(connection: sqlite3.Connection, key: str, revision: int) -> Entry | None:
    row = connection.execute(
        "SELECT key, value, revision FROM log WHERE key = ? AND revision <= ? ORDER BY revision DESC LIMIT 1",
        (key, revision),
    ).fetchone()
    return None if row is None or row[1] is None else Entry(*row)


def page(
    connection: sqlite3.Connection, prefix: str, start: str, limit: int, revision: int, newest: int
) -> Page:
    """A page of a range at `revision`, which may be `newest`."""
    bounds = {"start": max(prefix, start), "end": end_of(prefix), "revision": revision}
    source, key = (
        (f"{CURRENT} WHERE live.key >= :start AND live.key < :end", "live.key")
        if revision == newest
        else (PAST, "log.key")
    )
    query = f"{source} ORDER BY {key} LIMIT :limit"
    rows = connection.execute(query, bounds | {"limit": limit or -1}).fetchall()
    remaining = 0
    if limit and len(rows) == limit:
        total = connection.execute(f"SELECT count(*) FROM ({source})", bounds).fetchone()[0]  # noqa: S608
        remaining = total - len(rows)
    return Page([Entry(*row) for row in rows], revision, remaining)


def count(connection: sqlite3.Connection, prefix: str) -> int:
    bounds = (prefix, end_of(prefix))
    number: int = connection.execute(
        "SELECT count(*) FROM live WHERE key >= ? AND key < ?", bounds
    ).fetchone()[0]
    return number


def changes(connection: sqlite3.Connection, prefix: str, after: int, limit: int) -> Sequence[Change]:
    """The oldest `limit` changes after a revision."""
    rows = connection.execute(CHANGES, (after, prefix, end_of(prefix), limit)).fetchall()
    return [Change(*row) for row in rows]


def write(
    connection: sqlite3.Connection,
    revision: int,
    key: str,
    value: bytes | None,
    expect: int | None,
    expires: float | None,
) -> Change:
    """Write, or delete with value None, as `revision`, in the open transaction. Raises CompareFailed."""
    before = current(connection, key)
    known = before.revision if before else 0
    if (expect is not None and expect != known) or (value is None and before is None):
        raise CompareFailed(before)
    connection.execute("INSERT INTO log VALUES (?, ?, ?)", (revision, key, value))
    if value is None:
        connection.execute("DELETE FROM live WHERE key = ?", (key,))
    elif before is None:
        connection.execute("INSERT INTO live VALUES (?, ?, ?)", (key, revision, expires))
    else:
        connection.execute(
            "UPDATE live SET revision = ?, expires = ? WHERE key = ?", (revision, expires, key)
        )
    return Change(key, value, before.value if before else None, revision)


def expiring(connection: sqlite3.Connection) -> Iterator[tuple[float, str, int]]:
    """(expires, key, revision) of every key that has an end."""
    yield from connection.execute("SELECT expires, key, revision FROM live WHERE expires IS NOT NULL")


def newest_revision(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT coalesce(max(revision), 1) FROM log").fetchone()[0]
    return number


def compacted_revision(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT number FROM meta WHERE name = 'compacted'").fetchone()
    return 0 if row is None else int(row[0])


def set_compacted(connection: sqlite3.Connection, revision: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (revision,))


def remove_overwritten(connection: sqlite3.Connection, compacted: int, cursor: int, limit: int) -> int:
    """Remove up to `limit` rows behind `cursor` that compaction makes useless. Returns the next cursor, 0 at
    the end."""
    bounds = {"compacted": compacted, "cursor": cursor, "limit": limit}
    rows = connection.execute(OVERWRITTEN, bounds).fetchall()
    connection.executemany("DELETE FROM log WHERE revision = ?", rows)
    return rows[-1][0] if len(rows) == limit else 0


def end_of(prefix: str) -> str:
    """The first string behind every string with this prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\U0010ffff"

"""The Store protocol: what the API server asks of a storage backend. Semantics are etcd's.

One global revision counts every write. Each key remembers the revision of its last change (`revision`);
writes compare against it and swap, or fail. A range can be read at an older revision, and changes can be
watched from one, as far back as the last compaction.

Backends: `sqlite.py` (embedded), `etcd.py`. One contract test suite runs against both. Nothing above this
protocol knows which backend it has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A key, its value, and the revision of the write that set it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a range: `entries` in key order, read at `revision`; `remaining` further keys follow."""

    entries: Sequence[Entry]
    revision: int
    remaining: int


class Change(NamedTuple):
    """One write, as a watcher sees it. `value` is None for a deletion; `previous` None for a creation."""

    key: str
    value: bytes | None
    previous: bytes | None
    revision: int


class Batch(NamedTuple):
    """What a watch yields: `changes` in order, and the revision up to which there are no others. Without
    changes it only says how far the watch has come."""

    changes: Sequence[Change]
    revision: int


class StoreError(Exception):
    """The backend failed or cannot be reached; the outcome of a write is unknown."""


class CompareFailed(Exception):
    """A write's comparison did not hold. `current` is the entry as it is now, None if there is none."""

    def __init__(self, current: Entry | None) -> None:
        super().__init__("compare failed")
        self.current = current


class Compacted(Exception):
    """The revision that was asked for has been compacted away. `oldest` is 0 where etcd does not tell it."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"required revision has been compacted; the oldest is {oldest}")
        self.oldest = oldest


class FutureRevision(Exception):
    """The revision that was asked for has not happened yet."""

    def __init__(self, current: int) -> None:
        super().__init__(f"revision is in the future; the current one is {current}")
        self.current = current


class Store(Protocol):
    """Keys to bytes with revisions. All methods may raise StoreError."""

    async def open(self) -> None:
        """Connect or open files; raises StoreError with a sentence that a person can act on."""

    async def close(self) -> None: ...

    async def revision(self) -> int:
        """The newest revision, linearizable. Concurrent callers may share one round trip."""

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        """The entry as of `revision` (0: now, linearizable). Raises Compacted, FutureRevision."""

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Entries whose key has `prefix`, from key `start` on (inclusive; "": from the first), at most
        `limit` (0: all), as of `revision` (0: now). Raises Compacted, FutureRevision."""

    async def count(self, prefix: str) -> int:
        """How many keys have this prefix now."""

    async def put(self, key: str, value: bytes, *, expect: int | None, ttl: int = 0) -> int:
        """Write, and return the new revision. `expect` is the key's current revision, 0 if it must not
        exist, None for an unconditional write. With `ttl` the key vanishes after so many seconds.
        Raises CompareFailed."""

    async def delete(self, key: str, *, expect: int | None) -> int:
        """Delete, and return the new revision. Raises CompareFailed (also when the key is absent)."""

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """Every change with revision > `after`, in order, in batches; one revision is never split. The
        first batch comes at once, when the watch stands. Raises Compacted, and StoreError when the backend
        stays away; ends only by being closed (`aclose`)."""

    async def compact(self, revision: int) -> None:
        """Forget what was overwritten or deleted before `revision`."""

"""The watch cache of one resource: its objects as wire bytes, and its recent changes.

GET, LIST and WATCH are answered from here. `hub.py` feeds it from the one store watch and makes one per
resource on first use (`hub.cache(prefix, fields)`); `watcher.py` holds what a watch request sees, `events.py`
and `listing.py` the values that come out.

How fresh an answer is, is the caller's choice, as `at_least`: a revision that the answer must include
(0: whatever is here), or None for a consistent read, which includes every write that was acknowledged
before the call. `exact` reads the past: from the recent changes, or else from the store.

Invariant: once loaded, the cache holds exactly the state of its prefix at `revision`.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from kplane.api.errors import Timeout, TooManyRequests
from kplane.api.resource import Object

from . import codec
from .events import Event, Item, Selection, Transition
from .listing import Listing, Snapshot
from .store import Change, Compacted, Entry, StoreError
from .watcher import Overrun, Watcher, Watchers

if TYPE_CHECKING:
    from .hub import Hub

__all__ = [
    "EVERYTHING",
    "Event",
    "Fields",
    "Item",
    "Listing",
    "Overrun",
    "Selection",
    "WatchCache",
    "Watcher",
]

log = logging.getLogger(__name__)

Fields = Callable[[Object], Mapping[str, str]]
"""The selectable fields of a decoded object: `Strategy.fields`."""

Normalise = Callable[[bytes], bytes]
"""From stored bytes to those that the cache holds. Raises msgspec.MsgspecError."""

Decode = Callable[[bytes], Object]
"""From the bytes that the cache holds to as much of the object as its labels and `Fields` need. Raises
msgspec.MsgspecError."""

EVERYTHING = Selection()

HISTORY_MIN = 4096
"""Changes that are always kept for watches to resume from."""
HISTORY_MAX = 32768
HISTORY_SECONDS = 75.0
"""A change beyond HISTORY_MIN is kept for so long; upstream's `eventFreshDuration`."""
WATCHER_BACKLOG = 8192
"""Events that may wait for one slow watcher before it is ended."""
LOAD_SECONDS = 10.0
"""How long a request waits for the first list."""
CATCH_UP_SECONDS = 1.0
"""How long a consistent read waits for the cache before it goes to the store."""
RETRY_SECONDS = 1.0
SLICE = 500
"""Objects of the first list that are decoded before others have a turn."""
SAMPLE = 16
"""Objects whose size is looked at."""
SHARED = 4096
"""Different sets of labels, or of fields, that are remembered to be shared."""

NOTHING: Mapping[str, str] = {}


class WatchCache:
    """One resource's objects. Made by `Hub.cache`."""

    def __init__(
        self,
        hub: Hub,
        prefix: str,
        fields: Fields | None,
        normalise: Normalise | None = None,
        decode: Decode = codec.decode,
    ) -> None:
        self._hub = hub
        self._prefix = prefix
        self._fields = fields
        self._normalise = normalise
        self._decode = decode
        self._items: dict[str, Item] = {}
        self._keys: list[str] = []
        self._history: deque[tuple[float, Transition]] = deque()
        """Recent changes with the time of their arrival, oldest first."""
        self._oldest = 0
        """Watches can start at this revision or later."""
        self._listed = 0
        """Revision of the last list from the store: earlier changes are in it already, and the history
        before it may have gaps."""
        self._shared: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._early: list[Change] | None = []
        """Changes that arrive while the first list is under way; None once it is loaded."""
        self._loaded = asyncio.Event()
        self._watchers = Watchers()
        self.changes = 0
        """Counts changes of the objects here, for those who keep what they derive from them."""

    @property
    def revision(self) -> int:
        """The cache includes everything up to this revision."""
        return max(self._listed, self._hub.revision)

    @property
    def size(self) -> int:
        """How many objects there are."""
        return len(self._items)

    @property
    def average_size(self) -> int:
        """Bytes of an object, about: a few of them tell."""
        keys = self._keys
        sample = keys[:: len(keys) // SAMPLE + 1]
        return sum(len(self._items[key].wire) for key in sample) // max(len(sample), 1)

    @property
    def watched(self) -> int:
        """How many watches there are."""
        return sum(1 for _ in self._watchers.all())

    def key(self, namespace: str, name: str) -> str:
        """The object's key in the store."""
        return f"{self._prefix}{namespace}/{name}" if namespace else f"{self._prefix}{name}"

    async def get(self, namespace: str, name: str, *, at_least: int | None = None) -> Item | None:
        """One object. Raises Timeout when the cache does not become that fresh in time."""
        if at_least is not None:
            await self.fresh(at_least)
        elif not await self._catches_up():
            entry = await self._hub.store.get(self.key(namespace, name))
            return None if entry is None else self._item(*entry)
        return self._items.get(self.key(namespace, name))

    async def list(
        self,
        selection: Selection = EVERYTHING,
        *,
        at_least: int | None = None,
        exact: int = 0,
        limit: int = 0,
        start: str = "",
    ) -> Listing:
        """Objects of the selection, from key `start` on, at most `limit` (0: all). With `exact`, as of that
        revision: the following pages of a list pass its revision and `next`. Raises Timeout, Compacted."""
        if not exact and at_least is None and not await self._catches_up():
            return await self._list_store(selection, 0, limit, start)
        await self.fresh(exact or at_least or 0)
        if exact and exact < self.revision:
            return await self._list_past(selection, exact, limit, start)
        return self._now().page(selection, limit, start)

    async def watch(
        self, selection: Selection = EVERYTHING, *, after: int | None = None, at_least: int | None = None
    ) -> Watcher:
        """Changes with revision > `after`. Without `after`: the present state, `at_least` so fresh, in
        `Watcher.initial`, and every change from there on. Raises Timeout, Compacted."""
        await self.fresh(at_least if after is None else 0)
        initial: Sequence[Item] = ()
        if after is None:
            after = self.revision
            initial = self._now().page(selection, 0, "").items
        elif after < self._oldest:
            raise Compacted(self._oldest)
        watcher = Watcher(selection, after, initial, self._reached, self._watchers.remove, WATCHER_BACKLOG)
        for transition in reversed(self._since(after)):
            watcher.offer(transition)
        self._watchers.add(watcher)
        return watcher

    async def wait(self, revision: int) -> None:
        """Return when the cache includes `revision`. Raises Timeout."""
        await self.fresh(revision)

    async def fresh(self, at_least: int | None) -> None:
        """Return when the cache is as fresh as that; None means every acknowledged write."""
        if not self._loaded.is_set():
            await self._until_loaded()
        if at_least is None:
            at_least = await self._hub.newest()
        if at_least > self.revision:
            await self._hub.wait(at_least)

    def apply(self, change: Change) -> None:
        """Take in one change of the store watch. Called by the hub, in revision order."""
        if self._early is not None:
            self._early.append(change)
        elif change.revision > self._listed:
            after = None if change.value is None else self._item(change.key, change.value, change.revision)
            self._record(change.key, after, change.revision)

    async def load(self) -> None:
        """Fill from the store, then catch up with what changed meanwhile. Called by the hub, once."""
        while self._early is not None:
            generation = self._hub.generation
            try:
                page = await self._hub.store.range(self._prefix)
                items = await self._items_of(page.entries)
            except StoreError as error:
                log.warning("list failed prefix=%s error=%s", self._prefix, error)
                await self._hub.clock.sleep(RETRY_SECONDS)
                continue
            # Another generation: the store watch lost changes while we listed, so the buffer has a gap.
            if generation == self._hub.generation:
                self._fill(items, page.revision)

    async def reload(self) -> None:
        """List again after the store watch lost changes; watchers get the differences. Called by the hub."""
        if self._early is not None:
            self._early.clear()
            return
        page = await self._hub.store.range(self._prefix)
        entries = {entry.key: entry for entry in page.entries}
        for entry in sorted(page.entries, key=lambda entry: entry.revision):
            known = self._items.get(entry.key)
            if known is None or known.revision < entry.revision:
                self._record_gap(known, self._item(*entry))
        for key in [key for key in self._keys if key not in entries]:
            self._record(key, None, page.revision)
        self._listed = page.revision

    def end(self) -> None:
        """End every watch: the resource is gone."""
        for watcher in self._watchers.all():
            watcher.close()

    async def _items_of(self, entries: Sequence[Entry]) -> dict[str, Item]:
        """Many items, in turns with everybody else."""
        items: dict[str, Item] = {}
        for start in range(0, len(entries), SLICE):
            for entry in entries[start : start + SLICE]:
                if item := self._item(*entry):
                    items[item.key] = item
            await self._hub.clock.sleep(0)
        return items

    def _fill(self, items: dict[str, Item], revision: int) -> None:
        self._items, self._keys = items, list(items)
        self._listed = self._oldest = revision
        self.changes += 1
        early, self._early = self._early or [], None
        for change in early:
            self.apply(change)
        self._loaded.set()

    def _record_gap(self, before: Item | None, after: Item | None) -> None:
        """Record what is found after a gap. Another uid means that the object was deleted in between, which
        a watcher must be told."""
        if after is None:
            return
        if before is not None and codec.metadata(before.wire).uid != codec.metadata(after.wire).uid:
            self._record(after.key, None, after.revision)
        self._record(after.key, after, after.revision)

    def _record(self, key: str, after: Item | None, revision: int) -> None:
        before = self._items.get(key)
        if before is None and after is None:
            return
        self.changes += 1
        if after is not None:
            self._items[key] = after
            if before is None:
                insort(self._keys, key)
        else:
            del self._items[key]
            del self._keys[bisect_left(self._keys, key)]
        transition = Transition(before, after, revision)
        self._remember(transition)
        self._watchers.offer(transition)

    def _remember(self, transition: Transition) -> None:
        now = self._hub.clock.monotonic()
        history = self._history
        history.append((now, transition))
        while len(history) > HISTORY_MIN and (
            len(history) > HISTORY_MAX or history[0][0] < now - HISTORY_SECONDS
        ):
            self._oldest = history.popleft()[1].revision

    def _item(self, key: str, value: bytes, revision: int) -> Item | None:
        """The item of a stored value; None, and a line in the log, if the value cannot be read."""
        try:
            if self._normalise is not None:
                value = self._normalise(value)
            wire = codec.wire(value, revision)
            if self._fields is None:
                labels, fields = codec.metadata(value).labels, NOTHING
            else:
                obj = self._decode(value)
                labels, fields = obj["metadata"].get("labels"), self._fields(obj) or NOTHING
        except msgspec.MsgspecError as error:
            log.error("undecodable object key=%s revision=%d error=%s", key, revision, error)
            return None
        namespace = key[len(self._prefix) :].rpartition("/")[0]
        return Item(key, intern(namespace), revision, wire, self._share(labels), self._share(fields))

    def _share(self, pairs: Mapping[str, str] | None) -> Mapping[str, str]:
        """The same pairs as ever, kept once: those of a ReplicaSet's pods are all alike."""
        if not pairs:
            return NOTHING
        same = tuple(pairs.items())
        known = self._shared.get(same)
        if known is None:
            if len(self._shared) >= SHARED:
                self._shared.clear()
            known = self._shared[same] = {intern(name): intern(value) for name, value in same}
        return known

    async def _list_past(self, selection: Selection, exact: int, limit: int, start: str) -> Listing:
        if exact >= max(self._oldest, self._listed):
            return self._now().rewound(exact, self._since(exact)).page(selection, limit, start)
        return await self._list_store(selection, exact, limit, start)

    async def _list_store(self, selection: Selection, revision: int, limit: int, start: str) -> Listing:
        """A list that the cache cannot answer; revision 0 is the present."""
        scope = self.key(selection.namespace, "") if selection.namespace else self._prefix
        page = await self._hub.store.range(scope, start=start, revision=revision)
        items = [item for item in (self._item(*entry) for entry in page.entries) if item is not None]
        keys = [item.key for item in items]
        state = Snapshot(self._prefix, dict(zip(keys, items, strict=True)), keys, page.revision)
        return state.page(selection, limit, start)

    async def _catches_up(self) -> bool:
        """Whether the cache soon includes every acknowledged write. It may not while the store watch is away,
        nor when others write other keys into an etcd that does not report progress in order."""
        try:
            if not self._loaded.is_set():
                await self._until_loaded()
            newest = await self._hub.newest()
            if newest > self.revision:
                await self._hub.wait(newest, CATCH_UP_SECONDS)
        except Timeout:
            return False
        return True

    def _since(self, revision: int) -> Sequence[Transition]:
        """Changes after a revision, newest first."""
        found = []
        for _, transition in reversed(self._history):
            if transition.revision <= revision:
                break
            found.append(transition)
        return found

    def _now(self) -> Snapshot:
        return Snapshot(self._prefix, self._items, self._keys, self.revision)

    def _reached(self) -> int:
        return self.revision

    async def _until_loaded(self) -> None:
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await self._loaded.wait()
        except TimeoutError as error:
            raise TooManyRequests("storage is (re)initializing", retry_after=1) from error

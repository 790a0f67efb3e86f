"""What changed in a watch cache since one last looked, taken without waiting.

Whoever derives something from a cache (the index of roles, the graph of nodes) looks here before every
answer: nothing runs in the background, and an answer is as fresh as the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..storage.cache import WatchCache
from ..storage.events import Event, Item
from ..storage.watcher import Overrun, Watcher

FindCache = Callable[[], WatchCache]


class Feed:
    """`put` is called with each object that is there or has changed, `drop` with each that is gone, `clear`
    before everything is told anew."""

    def __init__(
        self,
        find: FindCache,
        put: Callable[[Item], None],
        drop: Callable[[Item], None],
        clear: Callable[[], None],
    ) -> None:
        self._find = find
        self._put = put
        self._drop = drop
        self._clear = clear
        self._cache: WatchCache | None = None
        self._watcher: Watcher | None = None

    async def refresh(self) -> bool:
        """Take in what the cache knows; whether there was anything. Raises ApiError while it is filled."""
        if self._watcher is None:
            return await self._start()
        try:
            events = self._watcher.take()
        except Overrun:
            return await self._start()
        for event in events:
            self._apply(event)
        return bool(events)

    async def catch_up(self) -> None:
        """Wait until the cache has every acknowledged write. Raises ApiError, StoreError."""
        if self._cache is not None:
            await self._cache.fresh(None)

    async def _start(self) -> bool:
        before = self._watcher
        self._cache = self._find()
        watcher = await self._cache.watch(at_least=0)
        if self._watcher is not before:
            watcher.close()  # Another request was first.
            return False
        self._watcher = watcher
        self._clear()
        self._tell(watcher.initial)
        watcher.initial = ()
        return True

    def _tell(self, items: Sequence[Item]) -> None:
        for item in items:
            self._put(item)

    def _apply(self, event: Event) -> None:
        if event.type == "DELETED":
            self._drop(event.item)
        else:
            self._put(event.item)

"""Periodic compaction: what was overwritten before the last round is forgotten.

Every API server of a cluster runs one; a round that another one was faster with changes nothing.
"""

from __future__ import annotations

import logging

from kplane.api.clock import Clock

from .store import Compacted, Store, StoreError

log = logging.getLogger(__name__)

INTERVAL = 300.0
"""Upstream's `--etcd-compaction-interval`."""


class Compactor:
    """Keeps the past of one to two intervals, which is how old a continue token may be."""

    def __init__(self, store: Store, clock: Clock, interval: float = INTERVAL) -> None:
        self._store = store
        self._clock = clock
        self._interval = interval

    async def run(self) -> None:
        """Until cancelled."""
        previous = 0
        while True:
            try:
                current = await self._store.revision()
                if previous:
                    await self._store.compact(previous)
                previous = current
            except Compacted:
                previous = current
            except StoreError as error:
                log.warning("compaction failed error=%s", error)
            await self._clock.sleep(self._interval)

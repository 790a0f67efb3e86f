"""Pod life-cycle events: tells which pods' containers changed in the runtime.

From the runtime's own event stream where it has one; else by looking at its lists, once a second while
there are pods, and ten times a second for a moment after something was started (it may end at once).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from kplane.api.clock import Clock

from . import labels
from .alarm import Alarm
from .runtime.interface import Runtime, RuntimeFailure, Unsupported

log = logging.getLogger(__name__)

RELIST_SECONDS = 1.0
SOON_SECONDS = 0.1
SOON_FOR_SECONDS = 2.0
HEALTHY_SECONDS = 180.0
"""Upstream's relistThreshold."""

_States = dict[str, tuple[str, object]]


class PodEvents:
    """`wake` gets the uid of each pod that changed, known or not."""

    def __init__(
        self, runtime: Runtime, clock: Clock, wake: Callable[[str], None], has_pods: Callable[[], bool]
    ) -> None:
        self._runtime, self._clock, self._wake, self._has_pods = runtime, clock, wake, has_pods
        self._alarm = Alarm(clock)
        self._soon_until = 0.0
        self._seen: _States = {}

    def expect_soon(self) -> None:
        """Something was started: look more often for a moment."""
        self._soon_until = self._clock.monotonic() + SOON_FOR_SECONDS
        self._alarm.ring()

    async def run(self) -> None:
        """Until cancelled; an unreachable runtime is asked again."""
        while True:
            try:
                await self._relist()
                if not await self._listen():
                    await self._look_again_and_again()
            except RuntimeFailure as failure:
                log.warning("no container events error=%s", failure)
            await self._clock.sleep(RELIST_SECONDS)

    async def _listen(self) -> bool:
        """Follow the runtime's events to their end; False where it has none."""
        try:
            async for uid in self._runtime.events():
                self._wake(uid)
        except Unsupported:
            return False
        return True

    async def _look_again_and_again(self) -> None:
        while True:
            await self._relist()
            if not self._has_pods():
                await self._alarm.wait()
                continue
            soon = self._clock.monotonic() < self._soon_until
            await self._alarm.wait(SOON_SECONDS if soon else RELIST_SECONDS)

    async def _relist(self) -> None:
        """Compare with the last look; wake the pods whose things changed."""
        now: _States = {}
        for sandbox in await self._runtime.list_sandboxes():
            now[sandbox.id] = (sandbox.uid, sandbox.ready)
        for container in await self._runtime.list_containers():
            uid = container.labels.get(labels.POD_UID, "")
            now[container.id] = (uid, container.state)
        changed = {uid for key, (uid, what) in now.items() if self._seen.get(key) != (uid, what)}
        changed |= {uid for key, (uid, _) in self._seen.items() if key not in now}
        self._seen = now
        for uid in changed:
            self._wake(uid)

"""A controller at work, and how often it looked at an object."""

from __future__ import annotations

from typing import Protocol

from kplane.api.resource import Key
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.testing.cluster import FakeCluster


class Reconciling(Protocol):
    async def reconcile(self, key: Key) -> Requeue | None: ...


class Steps:
    """Runs the controller until the test ends. `taken` may be set back."""

    taken = 0

    def __init__(self, cluster: FakeCluster, context: Context, controller: Reconciling) -> None:
        self._controller = controller
        cluster.start(context.queue.run(self._reconcile))

    async def _reconcile(self, key: Key) -> Requeue | None:
        self.taken += 1
        return await self._controller.reconcile(key)

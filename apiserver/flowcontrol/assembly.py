"""Flow control of one server, put together from its settings; or the plain limits in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute

from kplane.api.clock import Clock

from ..config import ApiServerConfig
from ..http.requestinfo import RequestInfo
from ..registry.generic import Registry
from .control import FlowControl
from .dumps import Dumps
from .following import FlowObjects
from .gate import FairGate, Gate, PlainGate
from .metrics import FlowMetrics
from .seats import Estimator, Stored
from .watchcounts import WatchCounts

WAIT_SHARE = 4
"""Requests wait for a quarter of the time that they may take at most."""


class FlowParts:
    """`gate` is for the boundary, `routes` for the router; `run` is what goes on beside the requests."""

    def __init__(
        self,
        config: ApiServerConfig,
        clock: Clock,
        find: Callable[[str, str, str], Registry],
        stored: Callable[[RequestInfo], Stored | None],
        metrics: CollectorRegistry,
    ) -> None:
        reads, writes = config.max_requests_inflight, config.max_mutating_requests_inflight
        self.routes: Sequence[BaseRoute] = ()
        self._objects: FlowObjects | None = None
        if not config.enable_priority_and_fairness:
            self.gate: Gate = PlainGate(reads, writes)
            return
        control = FlowControl(reads + writes, clock.monotonic, _later)
        watches = WatchCounts()
        wait_seconds = config.request_timeout / WAIT_SHARE
        self.gate = FairGate(control, Estimator(stored, watches), watches, clock.monotonic, wait_seconds)
        self.routes = Dumps(control, clock).routes()
        self._objects = FlowObjects(control, find, clock)
        FlowMetrics(control, metrics)

    async def start(self) -> None:
        """Take the objects as they are. Raises ApiError and StoreError."""
        if self._objects is not None:
            await self._objects.start()

    async def run(self) -> None:
        """Until cancelled."""
        if self._objects is not None:
            await self._objects.run()


def _later(seconds: float, act: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, act)

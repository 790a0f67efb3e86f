"""The proxy: keeps the node's rules in step with Services and EndpointSlices.

Reads: Services, EndpointSlices and this Node, from informer caches.
Writes: the node's rules, through a Backend. Nothing in the API.

Invariant: a change is applied at once if the last sync is long enough ago, and changes that come faster are
applied together. A sync that failed is repeated until one succeeds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kplane.api.clock import Clock, Entropy
from kplane.api.resource import Key
from kplane.api.types import EndpointSlice, Node
from kplane.client.backoff import Backoff
from kplane.client.informer import InformerFactory

from . import metrics
from .backend import Backend, SyncFailed
from .config import Config
from .plan import ZONE_LABEL, Ruleset, plan
from .views import ProxiedService

log = logging.getLogger(__name__)

NOT_HEADLESS = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"
OURS = "!service.kubernetes.io/service-proxy-name"
"""Services that name another proxy are not ours."""

PATIENCE = 60.0
"""Seconds for which a change may stay unapplied: twice upstream's sync period."""

FIRST_RETRY = 1.0
LONGEST_RETRY = 30.0


class Proxier:
    def __init__(
        self,
        informers: InformerFactory,
        backend: Backend,
        clock: Clock,
        entropy: Entropy,
        config: Config,
        families: Sequence[str] = metrics.FAMILIES,
    ) -> None:
        """`families`: those that the backend sets rules for; only metrics ask."""
        self._backend = backend
        self._clock = clock
        self._config = config
        self._families = families
        self._programming = metrics.Programming(clock.now())
        self._retry = Backoff(FIRST_RETRY, LONGEST_RETRY, entropy, jitter=0.1)
        self._services = informers.informer(ProxiedService, label_selector=OURS)
        self._slices = informers.informer(EndpointSlice, label_selector=NOT_HEADLESS)
        self._nodes = informers.informer(Node, field_selector=f"metadata.name={config.node_name}")
        self._changed = asyncio.Event()
        self._pending_since: float | None = None
        self.last_updated: datetime | None = None
        self._applied = Ruleset()
        self._applied_anew = asyncio.Event()
        self._services.on_change(self._service_changed)
        self._slices.on_change(self._slice_changed)
        self._nodes.on_change(self._node_changed)

    @property
    def overdue(self) -> float:
        """Seconds since a change that has not been applied yet; 0 if everything is."""
        if self._pending_since is None:
            return 0.0
        return self._clock.monotonic() - self._pending_since

    @property
    def healthy(self) -> bool:
        """Whether the rules are not far behind."""
        return self.last_updated is not None and self.overdue < PATIENCE

    async def news(self) -> Ruleset:
        """Rules that have been applied since the last call. For one caller."""
        await self._applied_anew.wait()
        self._applied_anew.clear()
        return self._applied

    @property
    def node(self) -> Node | None:
        return self._nodes.get(Key("", self._config.node_name))

    async def run(self) -> None:
        """Sync until cancelled. The rules stay when it ends: connections must survive a restart."""
        for informer in (self._services, self._slices, self._nodes):
            await informer.wait_synced()
        self._note()
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = self._clock.monotonic()
            await self._sync(began)
            elapsed = self._clock.monotonic() - began
            await self._clock.sleep(self._config.min_sync_period - elapsed)

    async def _sync(self, began: float) -> None:
        wanted = plan(
            self._services.list(),
            self._slices.list(),
            self.node,
            self._config.node_name,
            self._config.node_port_addresses,
        )
        self._pending_since, pending = None, self._pending_since
        metrics.SERVICES_PENDING.set(0)
        metrics.ENDPOINTS_PENDING.set(0)
        try:
            await self._backend.sync(wanted)
        except SyncFailed as error:
            self._pending_since = pending
            delay = self._retry.delay()
            metrics.failed(self._families)
            log.error("rules not applied retry_in=%.1fs why=%s", delay, error)
            await self._clock.sleep(delay)
            self._changed.set()
            return
        self._retry.reset()
        self.last_updated = self._clock.now()
        self._applied = wanted
        self._applied_anew.set()
        seconds = self._clock.monotonic() - began
        metrics.synced(self._families, wanted, seconds, self.last_updated.timestamp())
        self._programming.applied(self._families, self.last_updated)

    def _service_changed(self, old: Any, new: Any) -> None:
        metrics.SERVICE_CHANGES.inc()
        metrics.SERVICES_PENDING.inc()
        self._note()

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        metrics.ENDPOINT_CHANGES.inc()
        metrics.ENDPOINTS_PENDING.inc()
        self._programming.changed(old, new)
        self._note()

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        # Heartbeats are no business of ours.
        if old is None or new is None or _shown(old) != _shown(new):
            self._note()

    def _note(self) -> None:
        if self._pending_since is None:
            self._pending_since = self._clock.monotonic()
        metrics.queued(self._families, self._clock.now().timestamp())
        self._changed.set()


def _shown(node: Node) -> tuple[object, ...]:
    """What rules depend on."""
    return node.status.addresses, node.metadata.labels.get(ZONE_LABEL)

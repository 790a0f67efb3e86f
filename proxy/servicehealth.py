"""Health of Services on this node: load balancers ask it at `spec.healthCheckNodePort`.

Reads: the newest rules, and whether the proxy itself is healthy. Writes: Events where a port is taken.
Rules: upstream `healthcheck/service_health.go`. Elsewhere: the health of the proxy and its node (health.py).

Invariant: a port that is wanted is listened at, or tried again every 30 seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kplane.api.clock import Clock
from kplane.api.resource import Key
from kplane.client.events import EventRecorder
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig

from .addresses import listening_at, local_addresses
from .plan import HealthCheck, Ruleset

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0


class Followed(Protocol):
    """What is asked of the proxier."""

    @property
    def healthy(self) -> bool: ...

    async def news(self) -> Ruleset:
        """Rules that have been applied since the last call."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Service's health is told."""

    service: Key
    port: int
    addresses: tuple[str, ...]


class ServiceHealth:
    def __init__(
        self,
        proxier: Followed,
        clock: Clock,
        events: EventRecorder,
        node: str,
        local: Callable[[], Sequence[str]] = local_addresses,
    ) -> None:
        self._proxier = proxier
        self._clock = clock
        self._events = events
        self._node = node
        self._local = local
        self._counts: dict[Place, int] = {}
        """Ready endpoints on this node."""
        self._open: dict[Place, Serving] = {}
        self._wake = asyncio.Event()
        self._reminding = False

    async def run(self) -> None:
        """Answer until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    if not await self._sync() and not self._reminding:
                        self._reminding = True
                        group.create_task(self._remind())
        finally:
            for place in list(self._open):
                await self._close(place)

    async def _follow(self) -> None:
        while True:
            rules = await self._proxier.news()
            local = self._local()
            self._counts = {
                _place(check, listening_at(family.node_port_addresses, version, local)): check.local_ready
                for version, family in ((4, rules.ipv4), (6, rules.ipv6))
                for check in family.health_checks
            }
            self._wake.set()

    async def _remind(self) -> None:
        await self._clock.sleep(RETRY_SECONDS)
        self._reminding = False
        self._wake.set()

    async def _sync(self) -> bool:
        """Close what is not wanted any more, and open what is; whether all is open now."""
        wanted = self._counts
        for place in self._open.keys() - wanted.keys():
            await self._close(place)
        opened = [await self._listen(place) for place in wanted.keys() - self._open.keys()]
        return all(opened)

    async def _listen(self, place: Place) -> bool:
        if not place.addresses:
            return True  # Nobody can ask here.
        config = ServingConfig(place.addresses[0], place.port, also=place.addresses[1:])
        serving = Serving(self._app(place), config)
        try:
            await serving.__aenter__()
        except Fatal as error:
            self._tell(place, error)
            return False
        log.info("telling health service=%s port=%d", place.service, place.port)
        self._open[place] = serving
        return True

    async def _close(self, place: Place) -> None:
        await self._open.pop(place).__aexit__(None, None, None)

    def _tell(self, place: Place, error: Fatal) -> None:
        key = place.service
        log.error("no health is told service=%s port=%d why=%s", key, place.port, error)
        about = {"apiVersion": "v1", "kind": "Service", "namespace": key.namespace, "name": key.name}
        name = f"{key.namespace}/{key.name}"
        text = f'node {self._node} failed to start healthcheck "{name}" on port {place.port}: {error}'
        self._events.event(about, "Warning", "FailedToStartServiceHealthcheck", text)

    def _app(self, place: Place) -> Callable[..., Any]:
        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            count = self._counts.get(place, 0)
            healthy = self._proxier.healthy
            body = _body(place.service, count, healthy=healthy).encode()
            headers = {
                "content-type": "application/json",
                "content-length": str(len(body)),
                "x-content-type-options": "nosniff",
                "x-load-balancing-endpoint-weight": str(count),
            }
            head = [(name.encode(), value.encode()) for name, value in headers.items()]
            status = 200 if count and healthy else 503
            await send({"type": "http.response.start", "status": status, "headers": head})
            await send({"type": "http.response.body", "body": body})

        return app


def _place(check: HealthCheck, addresses: Sequence[str]) -> Place:
    return Place(check.service, check.port, tuple(addresses))


def _body(service: Key, count: int, *, healthy: bool) -> str:
    """JSON, laid out as upstream lays it out."""
    return (
        "{\n"
        '\t"service": {\n'
        f'\t\t"namespace": "{service.namespace}",\n'
        f'\t\t"name": "{service.name}"\n'
        "\t},\n"
        f'\t"localEndpoints": {count},\n'
        f'\t"serviceProxyHealthy": {"true" if healthy else "false"}\n'
        "}"
    )

"""Asking every kubelet, again and again: one request for each node server, however many nodes it stands for.

Reads: Nodes from the informer cache, kubelets over HTTPS. Writes: `Usage`.
Hollow nodes share a server, which tells of their Pods alone; what such a node uses is what its Pods use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kplane.api.clock import Clock
from kplane.api.errors import ApiError
from kplane.api.types import Node
from kplane.client.informer import Informer
from kplane.client.transport import Transport

from .exposition import Point, Reading, read
from .metrics import Metrics
from .usage import Usage

log = logging.getLogger(__name__)

PATH = "/metrics/resource"
AT_ONCE = 32


class Target(NamedTuple):
    """Where a node server listens."""

    host: str
    port: int


class Scraper:
    """`connect` makes a transport to a node server."""

    def __init__(
        self,
        nodes: Informer[Node],
        usage: Usage,
        connect: Callable[[Target], Transport],
        clock: Clock,
        metrics: Metrics,
        *,
        address_types: Sequence[str],
        resolution: float,
    ) -> None:
        self._nodes = nodes
        self._usage = usage
        self._connect = connect
        self._clock = clock
        self._metrics = metrics
        self._address_types = address_types
        self._resolution = resolution
        self._transports: dict[Target, Transport] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._measured: dict[Target, str] = {}
        """The node by whose name the requests to a server are measured."""

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                began = self._clock.monotonic()
                await self.scrape()
                await self._clock.sleep(max(began + self._resolution - self._clock.monotonic(), 0.0))
        finally:
            for transport in self._transports.values():
                await transport.close()

    async def scrape(self) -> None:
        """One round: every node server is asked, and what the failing ones would have told is forgotten."""
        began = self._clock.monotonic()
        targets = self._targets()
        self._rename(targets)
        for gone in self._transports.keys() - targets.keys():
            await self._transports.pop(gone).close()
        async with asyncio.TaskGroup() as group:
            tasks = {target: group.create_task(self._ask(target)) for target in targets}
        readings = {target: reading for target, task in tasks.items() if (reading := task.result())}
        points: dict[str, Point] = {}
        for target, reading in readings.items():
            if reading.node is not None and len(targets[target]) == 1:
                points[targets[target][0]] = reading.node
        self._usage.take(points, readings.values())
        for kind, number in self._usage.points.items():
            self._metrics.points.labels(kind).set(number)
        self._metrics.ticks.observe(self._clock.monotonic() - began)

    def _rename(self, targets: Mapping[Target, Sequence[str]]) -> None:
        """Servers are measured by the first of their nodes; nodes that are gone no more."""
        named = {target: min(nodes) for target, nodes in targets.items()}
        for node in set(self._measured.values()) - set(named.values()):
            self._metrics.forget(node)
        self._measured = named

    def _targets(self) -> Mapping[Target, list[str]]:
        """Node servers, and the nodes that each stands for."""
        targets: dict[Target, list[str]] = {}
        for node in self._nodes.list():
            port = node.status.daemon_endpoints.kubelet_endpoint.port
            host = self._address(node)
            if host and port:
                targets.setdefault(Target(host, port), []).append(node.metadata.name)
        return targets

    def _address(self, node: Node) -> str:
        by_type = {entry.type: entry.address for entry in reversed(node.status.addresses)}
        return next((by_type[kind] for kind in self._address_types if kind in by_type), "")

    async def _ask(self, target: Target) -> Reading | None:
        async with self._places:
            began, node = self._clock.monotonic(), self._measured[target]
            self._metrics.last_request.labels(node).set(self._clock.now().timestamp())
            seconds = self._metrics.seconds.labels(node)
            try:
                reading = await self._read(target)
            except ApiError as error:
                log.warning("kubelet not read node_server=%s:%d why=%s", target.host, target.port, error)
                self._metrics.requests.labels("false").inc()
                return None
            finally:
                seconds.observe(self._clock.monotonic() - began)
            self._metrics.requests.labels("true").inc()
            return reading

    async def _read(self, target: Target) -> Reading:
        transport = self._transports.get(target)
        if transport is None:
            transport = self._transports[target] = self._connect(target)
        answer = await transport.request("GET", PATH, timeout=min(self._resolution * 0.9, 10.0))
        if answer.status != 200:
            raise ApiError(f"the kubelet answered {answer.status}")
        return read(answer.body.decode(errors="replace"), self._clock.now().timestamp())

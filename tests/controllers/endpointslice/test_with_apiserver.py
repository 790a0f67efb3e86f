"""Hints, from a Service's field to a node's rules: server, controllers and proxy with their own rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kplane.api.clock import Entropy, SystemClock
from kplane.api.errors import Invalid
from kplane.api.resource import Object, Resource
from kplane.api.types import EndpointSlice, Node, Pod
from kplane.api.types.core import Event
from kplane.client.informer import InformerFactory
from kplane.client.rest import Client
from kplane.controllers.config import Config
from kplane.proxy.config import Config as ProxyConfig
from kplane.proxy.plan import Ruleset
from kplane.proxy.proxier import Proxier
from kplane.testing.waiting import eventually

from ..guarded import PROXY, guarded, managed

ZONE = "topology.kubernetes.io/zone"
SERVICES: Resource[dict[str, Any]] = Resource("", "v1", "services", "Service", True, dict)


class Rules:
    """A Backend that keeps the newest rules."""

    def __init__(self) -> None:
        self.newest = Ruleset()

    async def sync(self, rules: Ruleset) -> None:
        self.newest = rules

    async def cleanup(self) -> None:
        self.newest = Ruleset()

    def targets(self) -> set[str]:
        return {
            target.ip for rules in self.newest.services for target in rules.cluster if "web" in rules.name
        }


@dataclass
class World:
    admin: Client
    rules: Rules
    """Of the node a1."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A server that asks RBAC, the controllers of endpoints as their accounts, and a proxy as itself."""
    names = ("endpoints", "endpointslice", "endpointslice-mirroring")
    options = Config(controllers=tuple(f"{name}-controller" for name in names))
    clock, entropy = SystemClock(), Entropy()
    async with guarded(tmp_path) as made, managed(made, options):
        informers = InformerFactory(made.client(PROXY), clock=clock, entropy=entropy)
        rules = Rules()
        proxier = Proxier(informers, rules, clock, entropy, ProxyConfig(node_name="a1", min_sync_period=0.01))
        running = [asyncio.create_task(part.run()) for part in (informers, proxier)]
        yield World(made.client(), rules)
        for task in running:
            task.cancel()
        for task in running:
            with suppress(asyncio.CancelledError):
                await task


async def make_nodes(admin: Client) -> None:
    for name, zone in (("a1", "a"), ("b1", "b")):
        await admin.create(Node, {"metadata": {"name": name, "labels": {ZONE: zone}}})
        status = {"allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]}
        await admin.patch(Node, name, "", {"status": status}, subresource="status")


async def make_pods(admin: Client) -> None:
    for number, node in enumerate(("a1", "b1"), 1):
        spec = {"nodeName": node, "containers": [{"name": "web", "image": "web:1"}]}
        await admin.create(
            Pod, {"metadata": {"name": f"web-{number}", "labels": {"app": "web"}}, "spec": spec}, "default"
        )
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ip = f"10.1.0.{number}"
        status = {"phase": "Running", "conditions": [ready], "podIP": ip, "podIPs": [{"ip": ip}]}
        await admin.patch(Pod, f"web-{number}", "default", {"status": status}, subresource="status")


async def shown(admin: Client) -> dict[str, tuple[list[str], list[str]]]:
    """Address -> zones and nodes of its hints."""
    of_web = "kubernetes.io/service-name=web"
    slices = (await admin.list(EndpointSlice, "default", label_selector=of_web)).items
    return {
        end.addresses[0]: (
            [zone.name for zone in (end.hints.for_zones if end.hints else ()) or ()],
            [node.name for node in (end.hints.for_nodes if end.hints else ()) or ()],
        )
        for entry in slices
        for end in entry.endpoints or ()
    }


async def reached(world: World, hints: dict[str, tuple[list[str], list[str]]], targets: set[str]) -> None:
    async def done() -> bool:
        return await shown(world.admin) == hints and world.rules.targets() == targets

    await eventually(done, what=f"{hints} and traffic to {targets}")


@pytest.mark.slow
async def test_traffic_stays_near_as_far_as_the_service_says_so(world: World) -> None:
    await make_nodes(world.admin)
    service: Object = {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"port": 80}],
            "trafficDistribution": "PreferSameNode",
        },
    }
    await world.admin.create(SERVICES, service, "default")
    await make_pods(world.admin)
    first, second = "10.1.0.1", "10.1.0.2"
    await reached(world, {first: (["a"], ["a1"]), second: (["b"], ["b1"])}, {first})

    await world.admin.patch(SERVICES, "web", "default", {"spec": {"trafficDistribution": "PreferSameZone"}})
    await reached(world, {first: (["a"], []), second: (["b"], [])}, {first})

    await world.admin.patch(Node, "a1", "", {"metadata": {"labels": {ZONE: "b"}}})
    await reached(world, {first: (["b"], []), second: (["b"], [])}, {first, second})

    await world.admin.patch(SERVICES, "web", "default", {"spec": {"trafficDistribution": None}})
    await reached(world, {first: ([], []), second: ([], [])}, {first, second})


@pytest.mark.slow
async def test_the_annotation_gives_hints_and_tells_so(world: World) -> None:
    await make_nodes(world.admin)
    annotations = {"service.kubernetes.io/topology-mode": "Auto"}
    service = {
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    await world.admin.create(SERVICES, service, "default")
    await make_pods(world.admin)
    await reached(world, {"10.1.0.1": (["a"], []), "10.1.0.2": (["b"], [])}, {"10.1.0.1"})

    async def told() -> bool:
        events = (await world.admin.list(Event, "default")).items
        return any(event.reason == "TopologyAwareHintsEnabled" for event in events)

    await eventually(told, what="the event")
    await world.admin.patch(Node, "b1", "", {"metadata": {"labels": {ZONE: None}}})
    await reached(world, {"10.1.0.1": ([], []), "10.1.0.2": ([], [])}, {"10.1.0.1", "10.1.0.2"})


@pytest.mark.slow
async def test_a_distribution_that_nobody_knows_is_refused(world: World) -> None:
    service = {
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80}], "trafficDistribution": "Elsewhere"},
    }

    with pytest.raises(Invalid, match='supported values: "PreferClose"'):
        await world.admin.create(SERVICES, service, "default")

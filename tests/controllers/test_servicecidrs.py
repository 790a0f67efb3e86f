"""Ranges of cluster addresses: ready when they are made, kept while addresses need them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.resource import Key
from kplane.api.types.meta import ObjectMeta
from kplane.api.types.networking import IPAddress, ServiceCIDR, ServiceCIDRSpec
from kplane.controllers.servicecidrs import FINALIZER, ServiceCIDRController, needed
from kplane.testing.cluster import FakeCluster

LABELS = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}


def cidr(name: str, *networks: str) -> dict[str, Any]:
    head = {"kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1"}
    return {**head, "metadata": {"name": name, "uid": name}, "spec": {"cidrs": [*networks]}}


def address(name: str, labels: dict[str, str] = LABELS) -> dict[str, Any]:
    head = {"kind": "IPAddress", "apiVersion": "networking.k8s.io/v1"}
    return {**head, "metadata": {"name": name, "uid": name, "labels": labels}, "spec": {}}


@pytest_asyncio.fixture
async def running(cluster: FakeCluster) -> AsyncIterator[FakeCluster]:
    context = cluster.context()
    cluster.start(context.queue.run(ServiceCIDRController(context).reconcile))
    yield cluster


def found(cluster: FakeCluster, name: str) -> ServiceCIDR | None:
    return cluster.get(ServiceCIDR, Key("", name))


def deleted(cluster: FakeCluster, body: dict[str, Any]) -> dict[str, Any]:
    """As the API server marks it, now."""
    now = cluster.clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**body, "metadata": {**body["metadata"], "deletionTimestamp": now, "finalizers": [FINALIZER]}}


async def test_a_new_range_is_protected_and_ready(running: FakeCluster) -> None:
    running.load(cidr("more", "10.1.0.0/24"))
    await running.settle()

    made = found(running, "more")
    assert made is not None
    assert made.metadata.finalizers == (FINALIZER,)
    (ready,) = made.status.conditions
    assert (ready.type, ready.status, ready.message) == ("Ready", "True", "Kubernetes Service CIDR is ready")


async def test_a_range_stays_while_an_address_needs_it(running: FakeCluster) -> None:
    running.load(address("10.1.0.9"), deleted(running, cidr("more", "10.1.0.0/24")))
    await running.settle()
    await running.advance(60)

    kept = found(running, "more")
    assert kept is not None
    (ready,) = kept.status.conditions
    assert (ready.status, ready.reason) == ("False", "Terminating")
    assert kept.metadata.finalizers == (FINALIZER,)

    running.delete(IPAddress, Key("", "10.1.0.9"))
    await running.settle()
    after = found(running, "more")
    assert after is None or after.metadata.finalizers == ()


async def test_a_range_that_nobody_needs_waits_for_the_api_servers(running: FakeCluster) -> None:
    running.load(deleted(running, cidr("more", "10.1.0.0/24")))
    await running.settle()
    before = found(running, "more")
    await running.advance(11)
    after = found(running, "more")

    assert before is not None
    assert before.metadata.finalizers == (FINALIZER,)
    assert after is None or after.metadata.finalizers == ()


@pytest.mark.parametrize(
    ("others", "addresses", "wanted"),
    [
        pytest.param([], ["10.1.0.9"], True, id="alone"),
        pytest.param([], ["10.2.0.9"], False, id="elsewhere"),
        pytest.param(["10.0.0.0/8"], ["10.1.0.9"], False, id="inside of another"),
        pytest.param(["10.1.0.0/24"], ["10.1.0.9"], False, id="the same twice"),
        pytest.param(["10.1.0.0/28"], ["10.1.0.9"], False, id="in a part that stays"),
        pytest.param(["10.1.0.0/28"], ["10.1.0.99"], True, id="outside of the part that stays"),
        pytest.param(["fd00::/8"], ["10.1.0.9"], True, id="of the other family"),
    ],
)
def test_who_needs_a_range(others: list[str], addresses: list[str], wanted: bool) -> None:
    def make(*networks: str) -> ServiceCIDR:
        meta = ObjectMeta(name="x", creation_timestamp=datetime(2026, 1, 1, tzinfo=UTC))
        return ServiceCIDR(metadata=meta, spec=ServiceCIDRSpec(cidrs=networks))

    assert needed(make("10.1.0.0/24"), [make(text) for text in others], addresses) is wanted

"""Endpoints that people write are shown as slices."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, EndpointSlice, Service
from kplane.controllers.config import Config
from kplane.controllers.endpointslicemirroring import MANAGER, EndpointSliceMirroringController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_endpoint_slice, make_object, make_service

KEY = Key("default", "web")
PORTS: list[Object] = [{"name": "http", "port": 80, "protocol": "TCP"}]


def run(cluster: FakeCluster, most: int = 1000) -> None:
    context = cluster.context(options=Config(mirroring_max_endpoints_per_subset=most))
    cluster.start(context.queue.run(EndpointSliceMirroringController(context).reconcile))


def endpoints(*addresses: str, unready: tuple[str, ...] = (), ports: Any = PORTS, **meta: Any) -> Object:
    subset: Object = {"addresses": [{"ip": ip} for ip in addresses], "ports": ports}
    if unready:
        subset["notReadyAddresses"] = [{"ip": ip} for ip in unready]
    return make_object("v1", "Endpoints", "web", "default", subsets=[subset], **meta)


def shown(cluster: FakeCluster) -> dict[str, dict[str, bool | None]]:
    """Family -> address -> ready."""
    found: dict[str, dict[str, bool | None]] = {}
    for entry in cluster.list(EndpointSlice):
        assert entry.address_type not in found, "one slice of each family"
        found[entry.address_type] = {e.addresses[0]: e.conditions.ready for e in entry.endpoints or ()}
    return found


async def test_addresses_are_split_by_family(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None), endpoints("10.0.0.1", "fd00:0::1", unready=("10.0.0.2",)))
    run(cluster)
    await cluster.settle()
    assert shown(cluster) == {"IPv4": {"10.0.0.1": True, "10.0.0.2": False}, "IPv6": {"fd00::1": True}}


async def test_a_slice_belongs_to_its_endpoints_and_carries_their_labels(cluster: FakeCluster) -> None:
    notes = {"note": "kept", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    cluster.load(make_service(selector=None))
    cluster.load(endpoints("10.0.0.1", labels={"team": "a"}, annotations=notes))
    run(cluster)
    await cluster.settle()
    (entry,) = cluster.list(EndpointSlice)
    owner = entry.metadata.controller
    assert owner is not None
    assert (owner.kind, owner.name) == ("Endpoints", "web")
    assert entry.metadata.annotations == {"note": "kept"}
    assert entry.metadata.labels == {
        "team": "a", "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": MANAGER,
    }  # fmt: skip
    assert [(port.name, port.port) for port in entry.ports or ()] == [("http", 80)]


async def test_changes_are_followed_in_the_same_slice(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None), endpoints("10.0.0.1"))
    run(cluster)
    await cluster.settle()
    first = cluster.list(EndpointSlice)[0].metadata.uid
    cluster.load(endpoints("10.0.0.3", ports=[{"name": "https", "port": 443}], labels={"team": "b"}))
    await cluster.settle()
    (entry,) = cluster.list(EndpointSlice)
    assert entry.metadata.uid == first
    assert shown(cluster) == {"IPv4": {"10.0.0.3": True}}
    assert entry.metadata.labels["team"] == "b"
    assert [port.port for port in entry.ports or ()] == [443]


@pytest.mark.parametrize("how", ["service", "endpoints", "selector", "label", "leader"])
async def test_what_is_not_mirrored_any_more_goes(cluster: FakeCluster, how: str) -> None:
    cluster.load(make_service(selector=None), endpoints("10.0.0.1"))
    foreign = make_endpoint_slice("web", name="foreign")
    cluster.load(foreign)
    run(cluster)
    await cluster.settle()
    before = len(cluster.list(EndpointSlice))
    if how == "service":
        cluster.delete(Service, KEY)
    elif how == "endpoints":
        cluster.delete(Endpoints, KEY)
    elif how == "selector":
        cluster.load(make_service())
    elif how == "label":
        cluster.load(endpoints("10.0.0.1", labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
    else:
        cluster.load(endpoints("10.0.0.1", annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}))
    await cluster.settle()
    assert before == 2
    assert [entry.metadata.name for entry in cluster.list(EndpointSlice)] == ["foreign"]


async def test_what_cannot_be_mirrored_is_told(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None))
    cluster.load(endpoints("nonsense", "10.0.0.1", "10.0.0.2", "10.0.0.3", unready=("10.0.0.4",)))
    run(cluster, most=2)
    await cluster.settle()
    assert shown(cluster) == {"IPv4": {"10.0.0.1": True, "10.0.0.2": True}}
    assert [(event.reason, event.message) for event in cluster.events()] == [
        ("InvalidIPAddress", "Skipped 1 invalid IP addresses when mirroring to EndpointSlices"),
        (
            "TooManyAddressesToMirror",
            "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset. "
            "3 addresses were skipped",
        ),
    ]


async def test_addresses_are_written_in_the_form_that_the_api_takes(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None))
    cluster.load(endpoints("010.0.0.1", "FD00:0:0::0A", "::ffff:10.0.0.2", "fe80::1%eth0", "10.0.0"))
    run(cluster)
    await cluster.settle()
    assert shown(cluster) == {"IPv4": {"10.0.0.1": True, "10.0.0.2": True}, "IPv6": {"fd00::a": True}}


async def test_subsets_with_the_same_ports_share_a_slice_that_is_never_too_large(
    cluster: FakeCluster,
) -> None:
    cluster.load(make_service(selector=None))
    both = endpoints("10.0.0.1", "10.0.0.2")
    both["subsets"] += endpoints("10.0.0.3", "10.0.0.4")["subsets"]
    cluster.load(both)
    run(cluster, most=3)
    await cluster.settle()
    assert len(shown(cluster)["IPv4"]) == 3


async def test_an_address_that_is_named_twice_is_shown_once_as_it_is_named_last(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None), endpoints("10.0.0.1", unready=("10.0.0.1",)))
    run(cluster)
    await cluster.settle()
    assert shown(cluster) == {"IPv4": {"10.0.0.1": False}}


async def test_slices_change_hands_when_endpoints_are_made_anew(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None), endpoints("10.0.0.1"))
    run(cluster)
    await cluster.settle()
    again = endpoints("10.0.0.1")
    again["metadata"]["uid"] = "another"
    cluster.load(again)
    await cluster.settle()
    (entry,) = cluster.list(EndpointSlice)
    assert entry.metadata.controller is not None
    assert entry.metadata.controller.uid == "another"


async def test_no_slice_shows_subsets_without_addresses(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None), endpoints())
    run(cluster)
    await cluster.settle()
    assert not cluster.list(EndpointSlice)


async def test_a_slice_that_was_tampered_with_is_put_right(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None), endpoints("10.0.0.1"))
    run(cluster)
    await cluster.settle()
    (entry,) = cluster.list(EndpointSlice)
    await cluster.client().patch(EndpointSlice, entry.metadata.name, "default", {"endpoints": []})
    await cluster.settle()
    assert shown(cluster) == {"IPv4": {"10.0.0.1": True}}


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_fails_the_slices_show_the_endpoints(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_service(selector=None))
        run(cluster)
        for turn in range(20):
            error = dice.choice([InternalError("broken"), Conflict("old")])
            cluster.faults.fail_next(error, times=2, plural="endpointslices")
            cluster.faults.lose_next_answers(times=1, plural="endpointslices")
            if dice.uniform(0, 1) < 0.3:
                cluster.drop_watches()
            port = dice.choice([80, 443])
            cluster.load(endpoints(f"10.0.0.{turn}", f"fd00::{turn}", ports=[{"port": port}]))
            await cluster.clock.advance(dice.uniform(0, 5))
        cluster.faults.clear()
        await cluster.advance(2000)
        assert shown(cluster) == {"IPv4": {"10.0.0.19": True}, "IPv6": {"fd00::19": True}}

"""Hints in the slices of a Service: by trafficDistribution, and by the annotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import EndpointSlice, Node, Pod, Service
from kplane.api.types.discovery import Endpoint
from kplane.controllers.config import Config
from kplane.controllers.endpointslice import EndpointSliceController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod, make_service

KEY = Key("default", "web")
ZONE = "topology.kubernetes.io/zone"
AUTO = {"service.kubernetes.io/topology-mode": "Auto"}
ENABLED = ("Normal", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4")


def run(cluster: FakeCluster, maximum: int = 100) -> None:
    context = cluster.context("endpointslice-controller", options=Config(max_endpoints_per_slice=maximum))
    cluster.start(context.queue.run(EndpointSliceController(context).reconcile))


def node(zone: str, number: int = 1, **options: Any) -> Object:
    return make_node(f"{zone}{number}", labels={ZONE: zone} if zone else {}, **options)


def pods(zone: str, *numbers: int, ready: bool = True) -> list[Object]:
    return [
        make_pod(f"web-{number}", node=f"{zone}1", ready=ready, ip=f"10.0.0.{number}") for number in numbers
    ]


def annotated(annotations: dict[str, str] = AUTO, **spec: Any) -> Object:
    body = make_service(**spec)
    body["metadata"]["annotations"] = annotations
    return body


def endpoints(cluster: FakeCluster) -> Sequence[Endpoint]:
    return [endpoint for entry in cluster.list(EndpointSlice) for endpoint in entry.endpoints or ()]


def hinted(cluster: FakeCluster) -> dict[str, tuple[list[str], list[str]]]:
    """Address -> zones and nodes of its hints; endpoints without hints are left out."""
    return {
        found.addresses[0]: (
            [zone.name for zone in found.hints.for_zones or ()],
            [name.name for name in found.hints.for_nodes or ()],
        )
        for found in endpoints(cluster)
        if found.hints is not None
    }


def by_zone(cluster: FakeCluster) -> dict[str, int]:
    return dict(Counter(zone for zones, _ in hinted(cluster).values() for zone in zones))


def told(cluster: FakeCluster) -> list[tuple[str, str, str]]:
    return [(event.type, event.reason, event.message) for event in cluster.events()]


@pytest.mark.parametrize(
    ("distribution", "nodes"),
    [("PreferClose", []), ("PreferSameZone", []), ("PreferSameNode", ["a1"])],
)
async def test_each_ready_endpoint_is_for_its_own_place(
    cluster: FakeCluster, distribution: str, nodes: list[str]
) -> None:
    service = make_service(trafficDistribution=distribution)
    cluster.load(node("a"), node("b"), service, *pods("a", 1), *pods("b", 2, ready=False))

    run(cluster)
    await cluster.settle()

    assert hinted(cluster) == {"10.0.0.1": (["a"], nodes)}


async def test_an_endpoint_whose_zone_is_unknown_is_for_its_node_only(cluster: FakeCluster) -> None:
    cluster.load(make_node("x1"), make_service(trafficDistribution="PreferSameNode"), *pods("x", 1))

    run(cluster)
    await cluster.settle()

    assert hinted(cluster) == {"10.0.0.1": ([], ["x1"])}


async def test_hints_follow_the_field(cluster: FakeCluster) -> None:
    cluster.load(node("a"), make_service(), *pods("a", 1))
    run(cluster)
    await cluster.settle()
    seen = [hinted(cluster)]
    for distribution in ("PreferSameNode", "PreferSameZone", "Elsewhere", "PreferClose", None):
        cluster.load(make_service(trafficDistribution=distribution))
        await cluster.settle()
        seen.append(hinted(cluster))

    assert [found.get("10.0.0.1") for found in seen] == [
        None, (["a"], ["a1"]), (["a"], []), None, (["a"], []), None,
    ]  # fmt: skip
    assert told(cluster) == []


async def test_hints_follow_readiness_and_the_zone_of_the_node(cluster: FakeCluster) -> None:
    cluster.load(node("a"), make_service(trafficDistribution="PreferSameZone"), *pods("a", 1, 2))
    run(cluster)
    await cluster.settle()

    cluster.load(*pods("a", 2, ready=False))
    await cluster.settle()
    cluster.load(make_node("a1", labels={ZONE: "moved"}))
    await cluster.settle()

    assert hinted(cluster) == {"10.0.0.1": (["moved"], [])}
    assert [endpoint.zone for endpoint in endpoints(cluster)] == ["moved", "moved"]


async def test_hints_that_somebody_put_in_are_taken_out(cluster: FakeCluster) -> None:
    cluster.load(node("a"), make_service(), *pods("a", 1))
    run(cluster)
    await cluster.settle()
    (entry,) = cluster.list(EndpointSlice)
    forged = {"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "b"}]}}
    await cluster.client().patch(EndpointSlice, entry.metadata.name, "default", {"endpoints": [forged]})

    await cluster.settle()

    assert hinted(cluster) == {}
    (endpoint,) = endpoints(cluster)
    assert endpoint.conditions.ready


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param(AUTO, id="Auto"),
        pytest.param({"service.kubernetes.io/topology-mode": "auto"}, id="auto"),
        pytest.param({"service.kubernetes.io/topology-aware-hints": "Auto"}, id="older-name"),
    ],
)
async def test_zones_get_hints_in_proportion_to_their_cpu(
    cluster: FakeCluster, annotations: dict[str, str]
) -> None:
    cluster.load(node("a", cpu="6"), node("b", cpu="2"), annotated(annotations), *pods("b", *range(1, 9)))

    run(cluster)
    await cluster.settle()

    assert by_zone(cluster) == {"a": 6, "b": 2}
    assert told(cluster) == [ENABLED]


async def test_the_older_annotation_comes_first_and_the_annotation_before_the_field(
    cluster: FakeCluster,
) -> None:
    off = {**AUTO, "service.kubernetes.io/topology-aware-hints": "Disabled"}
    cluster.load(node("a"), node("b"), *pods("a", 1, 2, 3, 4))
    cluster.load(annotated(off, trafficDistribution="PreferSameNode"))
    run(cluster)
    await cluster.settle()
    by_field = hinted(cluster)

    cluster.load(annotated(trafficDistribution="PreferSameNode"))
    await cluster.settle()

    assert by_field["10.0.0.1"] == (["a"], ["a1"])
    assert by_zone(cluster) == {"a": 2, "b": 2}
    assert all(nodes == [] for _, nodes in hinted(cluster).values())


async def test_only_ready_endpoints_have_hints_and_count(cluster: FakeCluster) -> None:
    cluster.load(node("a"), node("b"), annotated(), *pods("a", 1, 2), *pods("b", 3, ready=False))

    run(cluster)
    await cluster.settle()

    assert by_zone(cluster) == {"a": 1, "b": 1}
    assert "10.0.0.3" not in hinted(cluster)


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        pytest.param(
            [node("a"), *pods("a", 1, 2)],
            "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
            id="one-zone",
        ),
        pytest.param(
            [node("a"), node("b"), *pods("a", 1)],
            "Insufficient number of endpoints (1 endpoints, 2 zones)",
            id="too-few-endpoints",
        ),
        pytest.param(
            [node("a", cpu="7"), node("b", cpu="7"), node("c", cpu="6"), *pods("a", 1, 2, 3, 4)],
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
            " (4 endpoints, 3 zones)",
            id="overload",
        ),
        pytest.param(
            [
                node("a"),
                node("b"),
                make_node("x1", labels={"node-role.kubernetes.io/control-plane": ""}),
                *pods("a", 1, 2),
                *pods("x", 3, 4),
            ],
            "One or more endpoints do not have a zone specified",
            id="endpoint-without-zone",
        ),
    ],
)
async def test_why_there_are_no_hints_is_told(cluster: FakeCluster, objects: list[Object], why: str) -> None:
    cluster.load(*objects, annotated())

    run(cluster)
    await cluster.settle()

    assert hinted(cluster) == {}
    assert told(cluster)[0] == ("Warning", "TopologyAwareHintsDisabled", f"{why}, addressType: IPv4")


@pytest.mark.parametrize("cpu", ["nonsense", "-2", "0", ""])
async def test_a_node_whose_cpu_makes_no_sense_is_one_that_tells_none(cluster: FakeCluster, cpu: str) -> None:
    cluster.load(node("a"), node("b", cpu=cpu), annotated(), *pods("a", 1, 2))
    run(cluster)
    await cluster.settle()
    assert told(cluster)[0][2].startswith("Insufficient Node information")

    cluster.load(node("b"))
    await cluster.settle()

    assert by_zone(cluster) == {"a": 1, "b": 1}


async def test_hints_go_with_the_annotation_and_that_is_told(cluster: FakeCluster) -> None:
    cluster.load(node("a"), node("b"), annotated(), *pods("a", 1, 2))
    run(cluster)
    await cluster.settle()

    cluster.load(annotated({}))
    await cluster.settle()

    text = "Topology Aware Hints has been disabled, addressType: IPv4"
    assert hinted(cluster) == {}
    assert told(cluster) == [ENABLED, ("Warning", "TopologyAwareHintsDisabled", text)]


async def test_hints_go_with_their_conditions_and_come_back(cluster: FakeCluster) -> None:
    cluster.load(node("a"), node("b"), annotated(), *pods("a", 1, 2))
    run(cluster)
    await cluster.settle()
    before = by_zone(cluster)

    cluster.load(node("b", ready=False))
    await cluster.settle()
    without = by_zone(cluster)
    cluster.load(node("b"))
    await cluster.settle()

    assert (before, without, by_zone(cluster)) == ({"a": 1, "b": 1}, {}, {"a": 1, "b": 1})
    assert {event.reason: event.count for event in cluster.events()} == {
        "TopologyAwareHintsEnabled": 2,
        "TopologyAwareHintsDisabled": 1,
    }


async def test_hints_for_a_zone_that_is_gone_go_elsewhere(cluster: FakeCluster) -> None:
    cluster.load(node("a"), node("b"), node("c"), annotated(), *pods("a", *range(1, 7)))
    run(cluster)
    await cluster.settle()
    before = by_zone(cluster)

    cluster.delete(Node, Key("", "b1"))
    await cluster.settle()

    assert (before, by_zone(cluster)) == ({"a": 2, "b": 2, "c": 2}, {"a": 3, "c": 3})


async def test_a_family_that_the_service_gives_up_has_no_hints_to_count(cluster: FakeCluster) -> None:
    both = pods("a", 1, 2)
    for body in both:
        body["status"]["podIPs"].append({"ip": body["status"]["podIP"].replace("10.0.0.", "fd00::")})
    cluster.load(node("a"), node("b"), annotated(ipFamilies=["IPv4", "IPv6"]), *both)
    run(cluster)
    await cluster.settle()

    cluster.load(annotated(ipFamilies=["IPv4"]))
    await cluster.settle()

    assert by_zone(cluster) == {"a": 1, "b": 1}
    # As upstream: what counts as enabled is the Service, whichever family lost its hints.
    assert [(event.reason, event.count) for event in cluster.events()] == [("TopologyAwareHintsEnabled", 2)]


@pytest.mark.parametrize("what", ["cpu", "zone", "node", "gone"])
async def test_a_change_of_nodes_that_overloads_a_zone_moves_hints(cluster: FakeCluster, what: str) -> None:
    cluster.load(node("a"), node("b"), annotated(), *pods("a", *range(1, 9)))
    run(cluster)
    await cluster.settle()
    before = by_zone(cluster)

    if what == "cpu":
        cluster.load(node("b", cpu="28"))
    elif what == "zone":
        cluster.load(node("b", 2), node("b", 3), make_node("a1", cpu="2", labels={ZONE: "a"}))
    elif what == "node":
        cluster.load(node("b", 2, cpu="24"))
    else:
        cluster.delete(Node, Key("", "b1"))
    await cluster.settle()

    assert before == {"a": 4, "b": 4}
    assert by_zone(cluster) == {"cpu": {"a": 1, "b": 7}, "zone": {"a": 2, "b": 6},
                                "node": {"a": 1, "b": 7}, "gone": {}}[what]  # fmt: skip


async def test_a_change_that_overloads_nobody_moves_nothing(cluster: FakeCluster) -> None:
    cluster.load(node("a"), node("b"), annotated(), *pods("a", *range(1, 9)))
    run(cluster)
    await cluster.settle()
    before = cluster.list(EndpointSlice)[0].metadata.resource_version

    cluster.load(node("b", cpu="5"))
    await cluster.settle()

    assert cluster.list(EndpointSlice)[0].metadata.resource_version == before


async def test_slices_whose_hints_are_still_right_stay_as_they_are(cluster: FakeCluster) -> None:
    cluster.load(node("a"), node("b"), annotated(), *pods("a", 1, 2, 3), *pods("b", 4, 5, 6))
    run(cluster, maximum=3)
    await cluster.settle()
    before = {entry.metadata.name: entry.metadata.resource_version for entry in cluster.list(EndpointSlice)}

    cluster.load(*pods("b", 7))
    await cluster.settle()

    after = {entry.metadata.name: entry.metadata.resource_version for entry in cluster.list(EndpointSlice)}
    assert len(after) == 3
    assert sum(after.get(name) == revision for name, revision in before.items()) == 2
    assert by_zone(cluster) == {"a": 3, "b": 4}


async def test_each_address_family_has_hints_of_its_own(cluster: FakeCluster) -> None:
    both = pods("a", 1, 2)
    for body in both:
        body["status"]["podIPs"].append({"ip": body["status"]["podIP"].replace("10.0.0.", "fd00::")})
    cluster.load(node("a"), node("b"), annotated(ipFamilies=["IPv4", "IPv6"]), *both, *pods("b", 3, 4))

    run(cluster)
    await cluster.settle()

    families = {
        entry.address_type: Counter(
            end.hints.for_zones[0].name for end in entry.endpoints or () if end.hints and end.hints.for_zones
        )
        for entry in cluster.list(EndpointSlice)
    }
    assert families == {"IPv4": {"a": 2, "b": 2}, "IPv6": {"a": 1, "b": 1}}
    # As upstream: the Service, not each of its families, has hints or not.
    assert told(cluster) == [ENABLED]


async def test_a_service_that_comes_back_is_told_about_anew(cluster: FakeCluster) -> None:
    cluster.load(node("a"), node("b"), annotated(), *pods("a", 1, 2))
    run(cluster)
    await cluster.settle()
    cluster.delete(Service, KEY)
    await cluster.settle()

    cluster.load(annotated())
    await cluster.settle()

    assert [(event.reason, event.count) for event in cluster.events()] == [("TopologyAwareHintsEnabled", 2)]


async def test_nothing_is_written_where_hints_are_settled(cluster: FakeCluster) -> None:
    stray = make_node("x1", labels={ZONE: "x", "node-role.kubernetes.io/control-plane": ""})
    cluster.load(node("a"), node("b"), stray, annotated(), *pods("a", 1, 2, 3), *pods("x", 4))
    run(cluster)
    await cluster.advance(5)
    told_before = len(cluster.events())
    # A write, even one that changes nothing, would fail and be told of.
    cluster.faults.fail_next(InternalError("broken"), times=1, plural="endpointslices")
    cluster.load(make_pod("other", labels={"app": "web", "more": "1"}))
    cluster.delete(Pod, Key("default", "other"))

    await cluster.advance(5)

    assert len(cluster.events()) == told_before

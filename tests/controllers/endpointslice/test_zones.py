"""Sharing endpoints out to zones, in proportion to the CPU of their nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from kplane.api.clock import Entropy
from kplane.api.resource import Object
from kplane.api.types import Node
from kplane.client.codec import codec, encode
from kplane.controllers.endpointslice.zones import Allocation, allocate, overloaded, shares, transfers
from kplane.testing.objects import make_node

CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


def node(zone: str, cpu: str = "4", *, ready: bool = True, labels: Mapping[str, str] | None = None) -> Node:
    zoned = {"topology.kubernetes.io/zone": zone} if zone else {}
    body: Object = make_node(f"{zone}-{cpu}", cpu=cpu, ready=ready, labels={**zoned, **(labels or {})})
    return codec(Node).one(encode(body))


EVEN = {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([node("a"), node("b")], EVEN, id="even"),
        pytest.param(
            [node("a", "1"), node("a", "2"), node("b", "1000m")], {"a": 0.75, "b": 0.25}, id="added-up"
        ),
        pytest.param([node("a"), node("b", ready=False)], None, id="ready-in-one-zone-only"),
        pytest.param([node("a"), node("b"), node("")], None, id="one-without-a-zone"),
        pytest.param([node("a"), node("b"), node("c", "0")], None, id="one-without-cpu"),
        pytest.param([node("a"), node("b"), node("", ready=False)], EVEN, id="unready-tells-nothing"),
        pytest.param(
            [node("a"), node("b"), node("c", labels=CONTROL_PLANE)], EVEN, id="control-plane-is-left-out"
        ),
        pytest.param([], None, id="none"),
    ],
)
def test_a_zones_share_is_its_part_of_all_cpu(
    nodes: list[Node], expected: Mapping[str, float] | None
) -> None:
    assert shares(nodes) == expected


NODE_REASON = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
FEW_REASON = "Insufficient number of endpoints (1 endpoints, 2 zones)"
OVERLOAD_REASON = (
    "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
    " (4 endpoints, 3 zones)"
)


@pytest.mark.parametrize(
    ("parts", "endpoints", "expected"),
    [
        pytest.param(EVEN, 10, {"a": Allocation(5, 5, 5), "b": Allocation(5, 5, 5)}, id="even"),
        pytest.param(EVEN, 13, {"a": Allocation(6, 7, 6.5), "b": Allocation(6, 7, 6.5)}, id="odd"),
        pytest.param(
            {"a": 0.25, "b": 0.75},
            100,
            {"a": Allocation(21, 37, 25), "b": Allocation(63, 79, 75)},
            id="slack",
        ),
        pytest.param(
            {"a": 0.05, "b": 0.95}, 10, {"a": Allocation(1, 2, 1), "b": Allocation(8, 9, 9.5)}, id="tiny-zone"
        ),
        pytest.param(None, 10, NODE_REASON, id="nodes-unknown"),
        pytest.param(EVEN, 1, FEW_REASON, id="too-few"),
        pytest.param({"a": 0.35, "b": 0.35, "c": 0.3}, 4, OVERLOAD_REASON, id="overload"),
    ],
)
def test_zones_get_a_least_and_a_most_or_a_reason(
    parts: Mapping[str, float] | None, endpoints: int, expected: Mapping[str, Allocation] | str
) -> None:
    assert allocate(parts, endpoints) == expected


@pytest.mark.parametrize(
    ("desired", "allocated", "expected"),
    [
        pytest.param({"a": 5.0, "b": 5.0}, {"a": 8, "b": 2}, ({"a": 3}, {"b": 3}), id="simple"),
        pytest.param({"a": 5.0, "b": 5.0}, {"a": 5, "b": 5}, ({}, {}), id="settled"),
        pytest.param({"a": 5.4, "b": 4.6}, {"a": 6, "b": 4}, ({}, {}), id="less-than-one-off"),
        pytest.param(
            {"a": 5.5, "b": 4.25, "c": 1.25}, {"a": 7, "b": 3, "c": 1}, ({"a": 1}, {"b": 1}), id="rounded"
        ),
        pytest.param({"a": 2.0, "b": 2.0}, {"c": 4}, ({}, {}), id="zones-without-nodes-give-nothing"),
    ],
)
def test_endpoints_move_from_zones_with_too_many_to_zones_with_too_few(
    desired: Mapping[str, float],
    allocated: Mapping[str, int],
    expected: tuple[Mapping[str, int], Mapping[str, int]],
) -> None:
    allocations = {zone: Allocation(0, 100, wanted) for zone, wanted in desired.items()}

    giving, receiving = transfers(allocations, allocated)

    assert (dict(giving), dict(receiving)) == expected


@pytest.mark.parametrize(
    ("allocated", "parts", "expected"),
    [
        pytest.param({"a": 5, "b": 5}, EVEN, False, id="fair"),
        pytest.param({"a": 5, "b": 5}, {"a": 0.7, "b": 0.3}, True, id="too-few-for-a-grown-zone"),
        pytest.param({"a": 5, "b": 5}, {"a": 0.4, "b": 0.4, "c": 0.2}, True, id="none-for-a-new-zone"),
        pytest.param({"a": 5, "b": 5}, None, True, id="nodes-unknown"),
        pytest.param({}, None, False, id="no-hints"),
    ],
)
def test_overload(allocated: Mapping[str, int], parts: Mapping[str, float] | None, expected: bool) -> None:
    assert overloaded(allocated, parts) is expected


@pytest.mark.parametrize("seed", range(20))
def test_every_zone_comes_within_one_of_what_it_should_have(seed: int) -> None:
    dice = Entropy(seed)
    weights = [dice.uniform(1, 10) for _ in range(int(dice.uniform(2, 6)))]
    parts = {f"z{number}": weight / sum(weights) for number, weight in enumerate(weights)}
    placed = Counter(dice.choice(list(parts)) for _ in range(int(dice.uniform(2, 60))))
    allocations = allocate(parts, placed.total())
    if isinstance(allocations, str):
        return

    giving, receiving = transfers(allocations, placed)

    assert giving.total() == receiving.total()
    for zone, allocation in allocations.items():
        after = placed[zone] - giving[zone] + receiving[zone]
        assert after >= allocation.desired - 1

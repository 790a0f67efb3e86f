"""Filters and scores, each over a small table."""

from typing import Any

import numpy as np
import pytest

from kplane.scheduler.plugins.nodeaffinity import NodeAffinity, NodeAffinityScore
from kplane.scheduler.plugins.nodename import NodeName
from kplane.scheduler.plugins.nodeports import NodePorts
from kplane.scheduler.plugins.noderesourcesbalancedallocation import NodeResourcesBalancedAllocation
from kplane.scheduler.plugins.noderesourcesfit import LeastAllocated, NodeResourcesFit
from kplane.scheduler.plugins.nodeunschedulable import NodeUnschedulable
from kplane.scheduler.plugins.tainttoleration import TaintToleration, TaintTolerationScore
from kplane.scheduler.table import NodeTable, Scores
from kplane.testing.objects import make_node

from .support import named, pod_info, table_of, three_nodes

NAMED_C = {"key": "metadata.name", "operator": "In", "values": ["c"]}
CORDON = "node.kubernetes.io/unschedulable"


def by_name(table: NodeTable, scores: Scores | None) -> dict[str, int]:
    assert scores is not None
    return {name: int(score) for name, score in zip(table.names, scores, strict=True) if name}


def requires(*terms: dict[str, Any]) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def test_cordoned_nodes_take_only_pods_that_tolerate_it() -> None:
    table = three_nodes(unschedulable=True)
    tolerant = pod_info(tolerations=[{"key": CORDON, "operator": "Exists"}])

    assert named(table, NodeUnschedulable().feasible(pod_info(), table)) == {"b", "c"}
    assert named(table, NodeUnschedulable().feasible(tolerant, table)) == {"a", "b", "c"}


def test_a_named_node_is_the_only_one() -> None:
    table = three_nodes()

    assert named(table, NodeName().feasible(pod_info(node="b"), table)) == {"b"}
    assert named(table, NodeName().feasible(pod_info(node="gone"), table)) == set()


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        pytest.param(None, False, id="none"),
        pytest.param({"key": "gpu", "value": "old"}, True, id="equal"),
        pytest.param({"key": "gpu", "value": "new"}, False, id="other-value"),
        pytest.param({"key": "gpu", "operator": "Exists"}, True, id="exists"),
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"operator": "Exists", "effect": "NoExecute"}, False, id="other-effect"),
    ],
)
def test_hard_taints_need_a_toleration(toleration: dict[str, str] | None, fits: bool) -> None:
    table = three_nodes(taints=[{"key": "gpu", "value": "old", "effect": "NoSchedule"}])
    pod = pod_info(tolerations=[toleration] if toleration else [])

    assert ("a" in named(table, TaintToleration().feasible(pod, table))) is fits


def test_soft_taints_only_lower_the_score() -> None:
    soft = [{"key": key, "effect": "PreferNoSchedule"} for key in "xy"]
    table = table_of(make_node("a", taints=soft), make_node("b", taints=soft[:1]), make_node("c"))
    pod = pod_info()

    assert named(table, TaintToleration().feasible(pod, table)) == {"a", "b", "c"}
    assert by_name(table, TaintTolerationScore().score(pod, table, table.all)) == {"a": 0, "b": 50, "c": 100}


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        pytest.param(expression("zone", "In", "x", "y"), "ab", id="in"),
        pytest.param(expression("zone", "NotIn", "x"), "bc", id="not-in-matches-missing"),
        pytest.param(expression("zone", "Exists"), "ab", id="exists"),
        pytest.param(expression("zone", "DoesNotExist"), "c", id="does-not-exist"),
        pytest.param(expression("cores", "Gt", "8"), "b", id="gt"),
        pytest.param(expression("cores", "Lt", "16"), "a", id="lt"),
        pytest.param({"matchFields": [NAMED_C]}, "c", id="name"),
        pytest.param({}, "", id="empty-term-matches-nothing"),
    ],
)
def test_required_affinity_terms(term: dict[str, Any], expected: str) -> None:
    table = table_of(
        make_node("a", labels={"zone": "x", "cores": "8"}),
        make_node("b", labels={"zone": "y", "cores": "16"}),
        make_node("c", labels={"cores": "many"}),
    )

    assert named(table, NodeAffinity().feasible(pod_info(affinity=requires(term)), table)) == set(expected)


def test_terms_are_alternatives_and_the_node_selector_comes_on_top() -> None:
    table = table_of(
        make_node("a", labels={"zone": "x", "disk": "ssd"}),
        make_node("b", labels={"zone": "y", "disk": "ssd"}),
        make_node("c", labels={"zone": "y"}),
    )
    either = requires(expression("zone", "In", "x"), expression("zone", "In", "y"))

    found = NodeAffinity().feasible(pod_info(affinity=either, nodeSelector={"disk": "ssd"}), table)

    assert named(table, found) == {"a", "b"}


def test_preferred_terms_add_their_weights() -> None:
    table = table_of(
        make_node("a", labels={"x": "1", "y": "1"}), make_node("b", labels={"y": "1"}), make_node("c")
    )
    preferred = [
        {"weight": 30, "preference": expression("x", "Exists")},
        {"weight": 10, "preference": expression("y", "Exists")},
    ]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}

    scores = NodeAffinityScore().score(pod_info(affinity=affinity), table, table.all)

    assert by_name(table, scores) == {"a": 100, "b": 25, "c": 0}


@pytest.mark.parametrize(
    ("taken", "wanted", "fits"),
    [
        pytest.param("", "", False, id="both-everywhere"),
        pytest.param("10.0.0.1", "10.0.0.2", True, id="different-addresses"),
        pytest.param("10.0.0.1", "10.0.0.1", False, id="same-address"),
        pytest.param("10.0.0.1", "", False, id="everywhere-includes-one"),
    ],
)
def test_host_ports_are_taken_once_per_address(taken: str, wanted: str, fits: bool) -> None:
    def pod(name: str, ip: str) -> Any:
        port = {"containerPort": 80, "hostPort": 8080, "hostIP": ip}
        return pod_info(name, containers=[{"name": "web", "ports": [port]}])

    table = three_nodes()
    table.place(pod("first", taken), "a")

    assert ("a" in named(table, NodePorts().feasible(pod("second", wanted), table))) is fits


def test_a_pod_needs_its_requests_and_a_place_free() -> None:
    table = table_of(make_node("full", cpu="2"), make_node("crowded", pods=1), make_node("good", cpu="2"))
    table.place(pod_info("one", requests={"cpu": "1500m"}), "full")
    table.place(pod_info("two"), "crowded")
    pod = pod_info(requests={"cpu": "1"})

    feasible = NodeResourcesFit().feasible(pod, table)

    assert named(table, feasible) == {"good"}
    failures = NodeResourcesFit().failures(pod, table, table.all & ~feasible)
    assert {failure.reason: named(table, failure.nodes) for failure in failures} == {
        "Too many pods": {"crowded"},
        "Insufficient cpu": {"full"},
    }


def test_a_resource_that_no_node_has_is_insufficient_everywhere() -> None:
    table = three_nodes()
    pod = pod_info(requests={"example.com/gpu": "1"})

    assert named(table, NodeResourcesFit().feasible(pod, table)) == set()
    assert named(table, NodeResourcesFit().curable(pod, table)) == set()
    reasons = [
        entry.reason for entry in NodeResourcesFit().failures(pod, table, table.all) if entry.nodes.any()
    ]
    assert reasons == ["Insufficient example.com/gpu"]


def test_least_allocated_is_the_mean_of_what_stays_free() -> None:
    table = three_nodes()
    table.place(pod_info("one", requests={"cpu": "2", "memory": "2Gi"}), "a")
    pod = pod_info(requests={"cpu": "1", "memory": "2Gi"})

    # a: 1 of 4 CPUs and 4 of 8 Gi stay free; b: 3 of 4, and 6 of 8.
    assert by_name(table, LeastAllocated().score(pod, table, table.all)) == {"a": 37, "b": 75, "c": 75}


def test_least_allocated_rounds_down_as_integers_do() -> None:
    table = table_of(make_node("a", cpu="3", memory="7Gi"))
    pod = pod_info(requests={"cpu": "1", "memory": "1Gi"})

    assert by_name(table, LeastAllocated().score(pod, table, table.all)) == {"a": (66 + 85) // 2}


def test_balanced_allocation_prefers_even_use() -> None:
    table = three_nodes()
    table.place(pod_info("one", requests={"cpu": "2"}), "a")
    pod = pod_info(requests={"cpu": "1", "memory": "2Gi"})

    scores = NodeResourcesBalancedAllocation().score(pod, table, table.all)

    assert by_name(table, scores) == {"a": 75, "b": 100, "c": 100}
    assert NodeResourcesBalancedAllocation().score(pod_info(), table, table.all) is None


def test_masks_have_one_entry_per_row() -> None:
    table = three_nodes()

    assert NodeResourcesFit().feasible(pod_info(), table).shape == table.all.shape
    assert table.none.dtype == np.bool_

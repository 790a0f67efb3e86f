"""Decisions: which node, and what is said where none fits."""

from typing import Any

from kplane.api.clock import Entropy
from kplane.scheduler.decision import Chosen, Refused, decide
from kplane.scheduler.registry import default_profile
from kplane.scheduler.table import NodeTable
from kplane.testing.objects import make_node

from .support import pod_info, table_of

TAINT = {"key": "gpu", "effect": "NoSchedule"}
PROFILE = default_profile()


def refusal(table: NodeTable, **pod: Any) -> Refused:
    verdict = decide(pod_info(**pod), table, PROFILE, Entropy(0))
    assert isinstance(verdict, Refused)
    return verdict


def test_the_emptiest_node_wins() -> None:
    table = table_of(make_node("a"), make_node("b"))
    table.place(pod_info("other", requests={"cpu": "2", "memory": "4Gi"}), "a")

    assert decide(pod_info(), table, PROFILE, Entropy(0)) == Chosen("b")


def test_equal_nodes_are_chosen_from_at_random() -> None:
    table = table_of(*(make_node(f"n{number}") for number in range(10)))
    entropy = Entropy(0)

    chosen = {decide(pod_info(), table, PROFILE, entropy) for _ in range(100)}

    assert len(chosen) == 10


def test_refusal_counts_the_reasons_as_upstream_words_them() -> None:
    table = table_of(make_node("a", cpu="1"), make_node("b", taints=[TAINT]), make_node("c", taints=[TAINT]))
    table.place(pod_info("other", requests={"cpu": "1"}), "a")

    verdict = refusal(table, requests={"cpu": "1"})

    assert verdict.message == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."
        " preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod,"
        " 2 Preemption is not helpful for scheduling."
    )
    assert verdict.plugins == {"NodeResourcesFit", "TaintToleration"}


def test_a_node_too_small_even_when_empty_is_beyond_preemption() -> None:
    verdict = refusal(table_of(make_node("a", cpu="1")), requests={"cpu": "2"})

    assert verdict.message == (
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available:"
        " 1 Preemption is not helpful for scheduling."
    )


def test_a_pod_that_names_its_node_hears_little_of_the_others() -> None:
    table = table_of(make_node("a", cpu="1"), make_node("b", unschedulable=True), make_node("c"))
    field = {"key": "metadata.name", "operator": "In", "values": ["a"]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}

    verdict = refusal(table, affinity=affinity, requests={"cpu": "2"})

    assert verdict.message.startswith(
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_a_pod_that_never_preempts_is_told_so() -> None:
    verdict = refusal(table_of(make_node("a", unschedulable=True)), preemptionPolicy="Never")

    assert verdict.message == (
        "0/1 nodes are available: 1 node(s) were unschedulable. preemption: not eligible due to"
        " preemptionPolicy=Never."
    )


def test_without_nodes_any_node_may_help() -> None:
    verdict = refusal(NodeTable())

    assert verdict.message == "no nodes available to schedule pods"
    assert verdict.plugins == {plugin.name for plugin in PROFILE.filters}

"""The node table under changes."""

import random
from typing import Any

import numpy as np
import pytest

from kplane.scheduler.pod import PodInfo
from kplane.scheduler.table import NodeTable
from kplane.testing.objects import make_node

from .support import node_view, pod_info, table_of

RESOURCES = ("cpu", "memory", "example.com/gpu")


def contents(table: NodeTable) -> dict[str, Any]:
    """Everything that plug-ins can read, by node name: rows and codes may differ between equal tables."""
    return {name: _row(table, name, row) for row, name in enumerate(table.names) if name}


def _row(table: NodeTable, name: str, row: int) -> dict[str, Any]:
    node = table.node(name)
    assert node is not None
    labels = sorted(node.metadata.labels.items())
    amounts = {
        array: {key: int(value) for key, at in table.resources.items() if (value := values[at, row])}
        for array, values in (("allocatable", table.allocatable), ("requested", table.requested))
    }
    return amounts | {
        "scoring": table.scoring[:, row].tolist(),
        "pods": (int(table.pods[row]), int(table.pods_allowed[row])),
        "unschedulable": bool(table.unschedulable[row]),
        "present": bool(table.all[row]),
        "labels": [bool(table.labels.among(key, [value])[row]) for key, value in labels],
        "zone": bool(table.labels.having("zone")[row]),
        "taints": int(table.by_taints(len, np.int64)[row]),
        "ports": sorted(ports for at, ports in table.holders("TCP", 80) if at == row),
        "uids": sorted(pod.uid for pod in table.pods_on(name)),
    }  # fmt: skip


def random_node(dice: random.Random) -> Any:
    node = make_node(
        f"n{dice.randrange(90)}",
        cpu=str(dice.randrange(1, 9)),
        labels={"zone": dice.choice("abc")} if dice.random() < 0.7 else {},
        taints=[{"key": dice.choice("xy"), "effect": "NoSchedule"}] if dice.random() < 0.4 else [],
        unschedulable=dice.random() < 0.2,
    )
    if dice.random() < 0.3:
        node["status"]["allocatable"]["example.com/gpu"] = "2"
    return node_view(node)


def random_pod(dice: random.Random) -> PodInfo:
    requests = {resource: str(dice.randrange(3)) for resource in RESOURCES if dice.random() < 0.5}
    ports = [{"containerPort": 80, "hostPort": 80}] if dice.random() < 0.2 else []
    container = {"name": "web", "resources": {"requests": requests}, "ports": ports}
    return pod_info(f"p{dice.randrange(150)}", containers=[container])


def change(table: NodeTable, dice: random.Random) -> None:
    match dice.randrange(6):
        case 0 | 1:
            table.put_node(random_node(dice))
        case 2:
            table.remove_node(f"n{dice.randrange(90)}")
        case 3 | 4:
            table.place(random_pod(dice), f"n{dice.randrange(95)}")
        case 5:
            table.remove_pod(f"pod-default-p{dice.randrange(150)}")


@pytest.mark.parametrize("seed", range(5))
def test_after_any_sequence_of_changes_the_table_equals_one_built_anew(seed: int) -> None:
    dice = random.Random(seed)
    table = NodeTable()
    for _ in range(600):
        change(table, dice)

    rebuilt = NodeTable()
    for name in filter(None, table.names):
        node = table.node(name)
        assert node is not None
        rebuilt.put_node(node)
    for placement in table.placements():
        rebuilt.place(placement.pod, placement.node)

    assert contents(table) == contents(rebuilt)
    assert len(table) == len(rebuilt) > 0


def test_rows_and_codes_of_removed_nodes_are_used_again() -> None:
    table = NodeTable()
    for number in range(500):
        table.put_node(
            node_view(make_node(f"n{number}", taints=[{"key": f"k{number}", "effect": "NoSchedule"}]))
        )
        table.remove_node(f"n{number}")

    assert len(table.names) == 64
    assert len(table.labels) == 0
    assert not table.all.any()


def test_a_pod_on_an_unknown_node_counts_once_the_node_appears() -> None:
    table = NodeTable()
    table.place(pod_info(requests={"cpu": "1"}), "late")

    table.put_node(node_view(make_node("late")))

    assert contents(table)["late"]["requested"]["cpu"] == 1000


def test_placing_a_pod_again_moves_it() -> None:
    table = table_of(make_node("a"), make_node("b"))
    pod = pod_info(requests={"cpu": "1"})
    table.place(pod, "a")

    table.place(pod, "b")

    assert [contents(table)[name]["requested"] for name in "ab"] == [{}, {"cpu": 1000}]


def test_a_heartbeat_changes_nothing() -> None:
    table = table_of(make_node("a"))
    node = make_node("a")
    node["status"]["conditions"] = []

    table.put_node(node_view(node))

    assert table.changes == 1
    assert table.node("a") == node_view(node)

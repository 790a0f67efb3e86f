"""Aggregated ClusterRoles."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.errors import InternalError
from kplane.api.resource import Key
from kplane.controllers.clusterroleaggregation import ROLES, ClusterRoleAggregationController, gathered
from kplane.testing.cluster import FakeCluster

READ: dict[str, Any] = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
WRITE: dict[str, Any] = {"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}
OTHER: dict[str, Any] = {"verbs": ["get"], "nonResourceURLs": ["/x"]}


def role(
    name: str, *rules: dict[str, Any], selects: list[Any] | None = None, **labels: str
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": ROLES.api_version,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": list(rules),
    }
    if selects is not None:
        made["aggregationRule"] = {"clusterRoleSelectors": selects}
    return made


def labelled(**labels: str) -> dict[str, Any]:
    return {"matchLabels": labels}


@pytest.mark.parametrize(
    ("selectors", "rules"),
    [
        pytest.param([labelled(a="1")], [READ, WRITE], id="by name"),
        pytest.param([labelled(b="1"), labelled(a="1")], [OTHER, READ, WRITE], id="selector by selector"),
        pytest.param([labelled(a="1", b="1")], [], id="none"),
        pytest.param([{}], [READ, WRITE, OTHER], id="all, each rule once, without itself"),
        pytest.param([], [], id="no selector"),
    ],
)
def test_rules_of_the_selected_roles_are_gathered(selectors: list[Any], rules: list[Any]) -> None:
    own = role("all", {"verbs": ["*"]}, selects=selectors, a="1")
    roles = [role("z", OTHER, b="1"), role("q", WRITE, READ, a="1"), role("p", READ, a="1"), own]

    assert gathered(own, roles) == rules


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(ClusterRoleAggregationController(context).reconcile))


def rules_of(cluster: FakeCluster, name: str) -> Any:
    found = cluster.get(ROLES, Key("", name))
    assert found is not None
    return found.get("rules")


async def test_a_role_follows_those_it_is_made_of(cluster: FakeCluster) -> None:
    cluster.load(role("all", selects=[labelled(a="1")]), role("p", READ, a="1"))
    run(cluster)
    await cluster.settle()
    assert rules_of(cluster, "all") == [READ]

    cluster.load(role("q", WRITE, a="1"))
    await cluster.settle()
    assert rules_of(cluster, "all") == [READ, WRITE]

    cluster.delete(ROLES, Key("", "p"))
    await cluster.settle()
    assert rules_of(cluster, "all") == [WRITE]


async def test_chains_of_aggregation_settle(cluster: FakeCluster) -> None:
    cluster.load(
        role("admin", selects=[labelled(to="admin")]),
        role("edit", selects=[labelled(to="edit")], to="admin"),
        role("part", READ, to="edit"),
    )
    run(cluster)

    await cluster.settle()

    assert rules_of(cluster, "admin") == rules_of(cluster, "edit") == [READ]


async def test_what_others_write_into_an_aggregated_role_is_lost(cluster: FakeCluster) -> None:
    cluster.load(role("all", WRITE, OTHER, selects=[labelled(a="1")]), role("p", READ, a="1"))
    run(cluster)

    await cluster.settle()

    assert rules_of(cluster, "all") == [READ]
    assert rules_of(cluster, "p") == [READ]


async def test_a_failed_write_is_tried_again(cluster: FakeCluster) -> None:
    cluster.load(role("all", selects=[labelled(a="1")]), role("p", READ, a="1"))
    cluster.faults.fail_next(InternalError("broken"), times=2)
    run(cluster)

    await cluster.advance(10)

    assert rules_of(cluster, "all") == [READ]

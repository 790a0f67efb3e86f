"""Quotas are counted from what there is."""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Key, Object
from kplane.api.scheme import builtin
from kplane.controllers.resourcequota import ResourceQuotaController
from kplane.testing.cluster import FakeCluster

QUOTAS = builtin().rows["", "v1", "resourcequotas"].resource
PODS = builtin().rows["", "v1", "pods"].resource
KEY = Key("default", "quota")


def quota(hard: dict[str, str], status: Object | None = None, **spec: Any) -> Object:
    metadata = {"name": "quota", "namespace": "default"}
    body = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": metadata, "spec": {"hard": hard} | spec}
    return body | ({"status": status} if status else {})


def pod(name: str, cpu: str = "1", phase: str = "Running") -> Object:
    resources = {"requests": {"cpu": cpu}}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
        "status": {"phase": phase},
    }


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(ResourceQuotaController(context).reconcile))


def status(cluster: FakeCluster) -> Any:
    found = cluster.get(QUOTAS, KEY)
    assert found is not None
    return found.get("status")


async def test_a_new_quota_is_counted(cluster: FakeCluster) -> None:
    hard = {"pods": "5", "requests.cpu": "4", "services": "2"}
    cluster.load(quota(hard), pod("a"), pod("b"), pod("ended", phase="Succeeded"))
    run(cluster)
    await cluster.settle()
    assert status(cluster) == {"hard": hard, "used": {"pods": "2", "requests.cpu": "2", "services": "0"}}


async def test_what_a_deleted_pod_used_is_given_back(cluster: FakeCluster) -> None:
    cluster.load(quota({"pods": "5"}), pod("a"), pod("b"))
    run(cluster)
    await cluster.settle()
    cluster.delete(PODS, Key("default", "a"))
    await cluster.settle()
    assert status(cluster)["used"] == {"pods": "1"}


async def test_what_a_finished_pod_used_is_given_back(cluster: FakeCluster) -> None:
    cluster.load(quota({"pods": "5", "count/pods": "5"}), pod("a"))
    run(cluster)
    await cluster.settle()
    cluster.load(pod("a", phase="Failed"))
    await cluster.settle()
    assert status(cluster)["used"] == {"pods": "0", "count/pods": "1"}


async def test_a_charge_is_left_alone_until_the_next_count(cluster: FakeCluster) -> None:
    """The object that it is for may not be visible yet."""
    cluster.load(quota({"pods": "5"}))
    run(cluster)
    await cluster.settle()
    charged = {"status": {"used": {"pods": "3"}}}
    await cluster.context().client.patch(QUOTAS, *reversed(KEY), charged, subresource="status")
    await cluster.settle()
    assert status(cluster)["used"] == {"pods": "3"}
    await cluster.advance(301)
    assert status(cluster)["used"] == {"pods": "0"}


async def test_another_limit_replaces_the_old_one(cluster: FakeCluster) -> None:
    cluster.load(quota({"services": "5"}, {"hard": {"pods": "5"}, "used": {"pods": "3"}}))
    run(cluster)
    await cluster.settle()
    assert status(cluster) == {"hard": {"services": "5"}, "used": {"services": "0"}}


async def test_scopes_choose_what_counts(cluster: FakeCluster) -> None:
    cluster.load(quota({"pods": "5"}, scopes=["BestEffort"]), pod("a"))
    run(cluster)
    await cluster.settle()
    assert status(cluster)["used"] == {"pods": "0"}


async def test_kinds_that_are_only_counted_are_counted(cluster: FakeCluster) -> None:
    meta = {"name": "w", "namespace": "default"}
    cluster.load(
        quota({"count/deployments.apps": "3", "count/nothing.example.com": "1"}),
        {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": meta, "spec": {}},
    )
    run(cluster)
    await cluster.settle()
    assert status(cluster)["used"] == {"count/deployments.apps": "1", "count/nothing.example.com": "0"}

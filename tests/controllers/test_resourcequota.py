"""Quotas are counted from what there is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kplane.api.clock import rfc3339
from kplane.api.resource import Key, Object
from kplane.api.scheme import ALL_VERBS, ResourceInfo, builtin
from kplane.controllers.config import Config
from kplane.controllers.resourcequota import ResourceQuotaController
from kplane.testing.cluster import FakeCluster
from kplane.testing.discoverable import DiscoverableCluster

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
    await cluster.context().client.patch(QUOTAS, KEY.name, KEY.namespace, charged, subresource="status")
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


async def test_kinds_that_are_only_counted_are_counted() -> None:
    meta = {"name": "w", "namespace": "default"}
    async with DiscoverableCluster() as cluster:
        cluster.load(
            quota({"count/deployments.apps": "3", "count/nothing.example.com": "1"}),
            {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": meta, "spec": {}},
        )
        run(cluster)
        await cluster.settle()
        assert status(cluster)["used"] == {"count/deployments.apps": "1", "count/nothing.example.com": "0"}


async def test_what_a_kind_that_is_only_counted_used_is_given_back_soon(cluster: FakeCluster) -> None:
    deployments = builtin().rows["apps", "v1", "deployments"].resource
    meta = {"name": "w", "namespace": "default"}
    cluster.load(
        quota({"count/deployments.apps": "3"}),
        {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": meta, "spec": {}},
    )
    run(cluster)
    await cluster.settle()
    cluster.delete(deployments, Key("default", "w"))
    await cluster.settle()
    assert status(cluster)["used"] == {"count/deployments.apps": "0"}


WIDGETS = ResourceInfo(
    "example.com", "v2", "widgets", "widget", "Widget", namespaced=True, definition="", verbs=ALL_VERBS
)


def widget(name: str, namespace: str = "default") -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"kind": "Widget", "apiVersion": "example.com/v2", "metadata": metadata}


async def test_custom_resources_are_counted_and_given_back() -> None:
    async with DiscoverableCluster() as cluster:
        cluster.server.scheme.add(WIDGETS)
        try:
            cluster.load(
                quota({"count/widgets.example.com": "3"}), widget("a"), widget("b"), widget("c", "other")
            )
            run(cluster)
            await cluster.settle()
            counted = status(cluster)["used"]
            cluster.delete(WIDGETS.resource, Key("default", "a"))
            await cluster.settle()
            after = status(cluster)["used"]
        finally:
            cluster.server.scheme.remove(WIDGETS)

    assert (counted, after) == ({"count/widgets.example.com": "2"}, {"count/widgets.example.com": "1"})


async def test_a_count_waits_for_discovery_that_fails() -> None:
    async with DiscoverableCluster() as cluster:
        cluster.server.scheme.add(WIDGETS)
        try:
            cluster.broken.add("example.com/v2")
            cluster.load(quota({"count/widgets.example.com": "3", "pods": "5"}), widget("a"), pod("a"))
            run(cluster)
            await cluster.settle()
            before = status(cluster)
            cluster.broken.clear()
            await cluster.advance(60)
            await cluster.settle()
            after = status(cluster)
        finally:
            cluster.server.scheme.remove(WIDGETS)

    # What can be counted is; of the rest nothing is said, so that nothing of it is granted.
    assert before["used"] == {"pods": "1"}
    assert after["used"] == {"count/widgets.example.com": "1", "pods": "1"}


async def test_devices_of_claims_are_counted_by_their_class(cluster: FakeCluster) -> None:
    requests = [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {"name": "b", "exactly": {"deviceClassName": "net", "allocationMode": "All"}},
        {
            "name": "c",
            "firstAvailable": [
                {"name": "x", "deviceClassName": "gpu", "count": 4},
                {"name": "y", "deviceClassName": "gpu"},
                {"name": "z", "deviceClassName": "disk"},
            ],
        },
    ]
    device = "{}.deviceclass.resource.k8s.io/devices".format
    hard = {device("gpu"): "9", device("net"): "99", device("disk"): "9"}
    cluster.load(
        quota(hard | {"count/resourceclaims.resource.k8s.io": "3"}),
        {
            "kind": "ResourceClaim",
            "apiVersion": "resource.k8s.io/v1",
            "metadata": {"name": "c", "namespace": "default"},
            "spec": {"devices": {"requests": requests}},
        },
    )
    run(cluster)
    await cluster.settle()
    assert status(cluster)["used"] == {
        device("gpu"): "6",
        device("net"): "32",
        device("disk"): "1",
        "count/resourceclaims.resource.k8s.io": "1",
    }


async def test_a_container_that_is_being_resized_costs_the_most_of_what_it_wants_and_has(
    cluster: FakeCluster,
) -> None:
    resized = pod("a", cpu="1")
    entry = {"name": "c", "resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "3"}}
    resized["status"] |= {"containerStatuses": [entry]}
    cluster.load(quota({"requests.cpu": "9"}), resized)
    run(cluster)
    await cluster.settle()
    first = status(cluster)["used"]
    infeasible = pod("a", cpu="8")
    refused = {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}
    infeasible["status"] |= {"containerStatuses": [entry], "conditions": [refused]}
    cluster.load(infeasible)
    await cluster.settle()
    second = status(cluster)["used"]
    done = pod("a", cpu="1")
    done["status"] |= {"containerStatuses": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
    cluster.load(done)
    await cluster.settle()
    assert (first, second) == ({"requests.cpu": "3"}, {"requests.cpu": "3"})
    assert status(cluster)["used"] == {"requests.cpu": "1"}


async def test_what_pods_ask_of_a_device_class_counts(cluster: FakeCluster) -> None:
    name = "deviceclass.resource.kubernetes.io/gpu"
    asking = pod("a")
    asking["spec"]["containers"][0]["resources"]["requests"] = {name: "2"}
    cluster.load(quota({f"requests.{name}": "4"}), asking)
    run(cluster)
    await cluster.settle()
    assert status(cluster)["used"] == {f"requests.{name}": "2"}


def claim(name: str, status: Object | None = None, **spec: Any) -> Object:
    meta = {"name": name, "namespace": "default"}
    body = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": meta, "spec": spec}
    return body | {"status": status or {}}


async def test_storage_is_counted_in_whole_bytes(cluster: FakeCluster) -> None:
    cluster.load(quota({"requests.storage": "9"}), claim("a", resources={"requests": {"storage": "1500m"}}))
    run(cluster)
    await cluster.settle()
    assert status(cluster)["used"] == {"requests.storage": "2"}


async def test_a_claim_that_leaves_an_attributes_class_is_given_back(cluster: FakeCluster) -> None:
    need = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    limited = quota({"persistentvolumeclaims": "5"}, scopeSelector={"matchExpressions": [need]})
    cluster.load(limited, claim("a", {"currentVolumeAttributesClassName": "gold"}))
    run(cluster)
    await cluster.settle()
    before = status(cluster)["used"]
    cluster.load(claim("a", {"currentVolumeAttributesClassName": "tin"}))
    await cluster.settle()
    assert (before, status(cluster)["used"]) == (
        {"persistentvolumeclaims": "1"}, {"persistentvolumeclaims": "0"},
    )  # fmt: skip


async def test_a_pod_that_gets_a_deadline_counts_for_another_quota(cluster: FakeCluster) -> None:
    cluster.load(quota({"pods": "5"}, scopes=["NotTerminating"]), pod("a"))
    run(cluster)
    await cluster.settle()
    ending = pod("a")
    ending["spec"]["activeDeadlineSeconds"] = 60
    cluster.load(ending)
    await cluster.settle()
    assert status(cluster)["used"] == {"pods": "0"}


async def test_a_quota_that_can_not_be_written_leaves_the_others_alone(cluster: FakeCluster) -> None:
    bad, good = quota({"pods": "5"}), quota({"pods": "5"})
    bad["metadata"]["name"] = "a-bad"
    bad["spec"]["scopeSelector"] = {"matchExpressions": [{"scopeName": "Odd", "operator": "Sideways"}]}
    cluster.load(bad, good, pod("a"))
    run(cluster)
    await cluster.settle()
    assert status(cluster)["used"] == {"pods": "1"}


async def test_quotas_are_counted_anew_as_often_as_is_said(cluster: FakeCluster) -> None:
    cluster.load(quota({"pods": "5"}))
    context = cluster.context(options=Config(resource_quota_sync_period=10))
    cluster.start(context.queue.run(ResourceQuotaController(context).reconcile))
    await cluster.settle()
    charged = {"status": {"used": {"pods": "3"}}}
    await cluster.context().client.patch(QUOTAS, KEY.name, KEY.namespace, charged, subresource="status")
    await cluster.advance(11)
    assert status(cluster)["used"] == {"pods": "0"}


async def test_a_pod_that_ends_after_its_time_is_given_back_at_once(cluster: FakeCluster) -> None:
    going = pod("a")
    end = rfc3339(cluster.clock.now() + timedelta(seconds=30))
    going["metadata"] |= {"deletionTimestamp": end, "deletionGracePeriodSeconds": 0, "finalizers": ["x"]}
    cluster.load(quota({"pods": "5"}), going)
    run(cluster)
    await cluster.settle()
    before = status(cluster)["used"]
    await cluster.advance(60)
    cluster.load(going | {"status": {"phase": "Failed"}})
    await cluster.settle()
    assert (before, status(cluster)["used"]) == ({"pods": "1"}, {"pods": "0"})

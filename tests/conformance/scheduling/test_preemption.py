"""Pods of higher priority take the places of others: who leaves, what they are told, who comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from ..api import Api, condition, ready

FOO = "scheduling.example.com/foo"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest_asyncio.fixture
async def node(api: Api, namespace: str) -> AsyncIterator[str]:
    """A node that has five of something, and classes of priority named after the namespace."""
    name = str((await api.items("/api/v1/nodes"))[0]["metadata"]["name"])
    patch = {"status": {"capacity": {FOO: "5"}, "allocatable": {FOO: "5"}}}
    await api.patch(f"/api/v1/nodes/{name}/status", patch)
    for level, value in (("low", 1), ("high", 1000)):
        await api.make(CLASSES, {"metadata": {"name": f"{level}-{namespace}"}, "value": value})
    yield name
    gone = {"status": {"capacity": {FOO: None}, "allocatable": {FOO: None}}}
    await api.patch(f"/api/v1/nodes/{name}/status", gone)
    for level in ("low", "high"):
        await api.delete(f"{CLASSES}/{level}-{namespace}")


def pod(name: str, level: str, count: int, **metadata: Any) -> dict[str, Any]:
    amount = {FOO: str(count)}
    container = {
        "name": "c",
        "image": "web:1",
        "resources": {"requests": amount, "limits": amount},
    }
    spec = {"priorityClassName": level, "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"metadata": {"name": name, **metadata}, "spec": spec}


async def test_important_pod_takes_the_place_of_one_and_leaves_the_other(
    api: Api, core: str, namespace: str, node: str
) -> None:
    pods = f"{core}/pods"
    await api.make(pods, pod("low", f"low-{namespace}", 2))
    await api.make(pods, pod("high", f"high-{namespace}", 3))
    for name in ("low", "high"):
        await api.until(f"{pods}/{name}", ready)

    await api.make(pods, pod("preemptor", f"high-{namespace}", 2))

    found = await api.until(f"{pods}/preemptor", ready)
    assert found["spec"]["nodeName"] == node
    await api.until_gone(f"{pods}/low")
    assert ready(await api.get(f"{pods}/high"))
    [event] = await api.items(f"{core}/events", fieldSelector="reason=Preempted")
    assert event["involvedObject"]["name"] == "low"
    assert event["message"] == f"Preempted by pod {found['metadata']['uid']} on node {node}"


async def test_critical_pod_of_the_system_takes_the_place_of_anybody(
    api: Api, core: str, namespace: str, node: str
) -> None:
    await api.make(f"{core}/pods", pod("high", f"high-{namespace}", 4))
    await api.until(f"{core}/pods/high", ready)
    system = "/api/v1/namespaces/kube-system/pods"

    await api.make(system, pod("critical", "system-cluster-critical", 4))
    await api.until(f"{system}/critical", ready)
    await api.until_gone(f"{core}/pods/high")
    await api.delete(f"{system}/critical", {"gracePeriodSeconds": "0"})


async def test_victim_is_marked_as_the_target_of_a_disruption(
    api: Api, core: str, namespace: str, node: str
) -> None:
    pods = f"{core}/pods"
    await api.make(pods, pod("victim", f"low-{namespace}", 4, finalizers=["example.com/test-finalizer"]))
    await api.until(f"{pods}/victim", ready)

    await api.make(pods, pod("preemptor", f"high-{namespace}", 4))
    found = await api.until(
        f"{pods}/victim", lambda found: condition(found, "DisruptionTarget") and found["metadata"].get(
            "deletionTimestamp"
        )
    )  # fmt: skip

    [told] = [entry for entry in found["status"]["conditions"] if entry["type"] == "DisruptionTarget"]
    assert (told["status"], told["reason"]) == ("True", "PreemptionByScheduler")
    waiting = await api.get(f"{pods}/preemptor")
    assert waiting["status"]["nominatedNodeName"] == node
    await api.patch(f"{pods}/victim", {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    await api.until(f"{pods}/preemptor", ready)


async def test_replicas_that_had_to_leave_are_made_again_and_wait(
    api: Api, core: str, apps: str, namespace: str, node: str
) -> None:
    def replicaset(name: str, level: str, count: int) -> dict[str, Any]:
        labels = {"name": name}
        template = {"metadata": {"labels": labels}, "spec": pod(name, level, count)["spec"]}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        return {"metadata": {"name": name}, "spec": spec}

    for name, level, count in (("low", "low", 2), ("high", "high", 2)):
        await api.make(f"{apps}/replicasets", replicaset(name, f"{level}-{namespace}", count))
        await api.until(
            f"{apps}/replicasets/{name}", lambda found: found["status"].get("availableReplicas") == 1
        )
    [first] = await api.names(f"{core}/pods", labelSelector="name=low")

    await api.make(f"{core}/pods", pod("preemptor", f"high-{namespace}", 3))

    await api.until(f"{core}/pods/preemptor", ready)
    [second] = await api.until_listed(
        f"{core}/pods",
        lambda found: [entry for entry in found if entry["metadata"]["name"] != first] == found != [],
        labelSelector="name=low",
    )
    assert "nodeName" not in second["spec"]
    await api.until(f"{apps}/replicasets/high", lambda found: found["status"].get("availableReplicas") == 1)

"""Garbage collection: what goes with its owner, what stays, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

from .api import Api, ready, template

LABELS = {"app": "gc-test"}


def rc(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    spec = {"replicas": replicas, "selector": labels, "template": template(labels)}
    return {"metadata": {"name": name}, "spec": spec}


def deployment() -> dict[str, Any]:
    spec = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template(LABELS)}
    return {"metadata": {"name": "web"}, "spec": spec}


def reference(kind: str, found: Any, blocks: bool = False) -> dict[str, Any]:
    meta = found["metadata"]
    made = {"apiVersion": "v1", "kind": kind, "name": meta["name"], "uid": meta["uid"]}
    return made | ({"blockOwnerDeletion": True, "controller": True} if blocks else {})


async def running(api: Api, core: str, count: int) -> list[Any]:
    return await api.until_listed(f"{core}/pods", lambda pods: sum(map(ready, pods)) == count)


async def test_pods_go_with_their_controller(api: Api, core: str) -> None:
    await api.make(f"{core}/replicationcontrollers", rc("simpletest", 2))
    await running(api, core, 2)
    path = f"{core}/replicationcontrollers/simpletest"
    uid = (await api.get(path))["metadata"]["uid"]

    await api.delete(path, preconditions={"uid": uid}, propagationPolicy="Background")

    assert await api.gone(path)
    await api.until_listed(f"{core}/pods", lambda pods: not pods)


async def test_orphaned_pods_stay(api: Api, core: str) -> None:
    await api.make(f"{core}/replicationcontrollers", rc("simpletest", 10))
    await running(api, core, 10)
    path = f"{core}/replicationcontrollers/simpletest"

    # The old way to say it, which the suite still uses.
    await api.delete(path, orphanDependents=True)

    await api.until_gone(path)
    left = await api.until_listed(
        f"{core}/pods", lambda pods: not any(pod["metadata"].get("ownerReferences") for pod in pods)
    )
    assert len(left) == 10


async def test_sets_go_with_their_deployment(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/deployments", deployment())
    await running(api, core, 2)
    await api.delete(f"{apps}/deployments/web", propagationPolicy="Background")
    await api.until_listed(f"{apps}/replicasets", lambda sets: not sets)
    await api.until_listed(f"{core}/pods", lambda pods: not pods)


async def test_sets_stay_when_their_deployment_orphans_them(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/deployments", deployment())
    await running(api, core, 2)
    await api.delete(f"{apps}/deployments/web", propagationPolicy="Orphan")
    await api.until_gone(f"{apps}/deployments/web")
    (left,) = await api.until_listed(
        f"{apps}/replicasets", lambda sets: not any(each["metadata"].get("ownerReferences") for each in sets)
    )
    assert left["spec"]["replicas"] == 2


async def test_foreground_keeps_the_owner_until_all_its_pods_are_gone(api: Api, core: str) -> None:
    path = f"{core}/replicationcontrollers/simpletest"
    await api.make(f"{core}/replicationcontrollers", rc("simpletest", 3))
    pods = await running(api, core, 3)
    holding = f"{core}/pods/{pods[0]['metadata']['name']}"
    await api.patch(holding, {"metadata": {"finalizers": ["conformance.example.com/hold"]}})

    await api.delete(path, propagationPolicy="Foreground")

    await api.until_listed(f"{core}/pods", lambda pods: len(pods) == 1)
    waiting = await api.get(path)
    assert "foregroundDeletion" in waiting["metadata"]["finalizers"]
    assert waiting["metadata"]["deletionTimestamp"]
    await api.patch(holding, {"metadata": {"finalizers": None}})
    await api.until_gone(path)
    assert not await api.items(f"{core}/pods")


async def test_a_pod_with_another_living_owner_outlives_the_one_that_waits(api: Api, core: str) -> None:
    controllers = f"{core}/replicationcontrollers"
    await api.make(controllers, rc("to-be-deleted", 4))
    stays = await api.make(controllers, rc("to-stay", 0))
    pods = await running(api, core, 4)
    kept = {pod["metadata"]["name"] for pod in pods[:2]}
    for name in kept:
        patch = {"metadata": {"ownerReferences": [reference("ReplicationController", stays)]}}
        await api.patch(f"{core}/pods/{name}", patch)

    await api.delete(f"{controllers}/to-be-deleted", propagationPolicy="Foreground")

    await api.until_gone(f"{controllers}/to-be-deleted")
    left = await api.until_listed(f"{core}/pods", lambda pods: len(pods) == 2)
    assert {pod["metadata"]["name"] for pod in left} == kept
    assert all("deletionTimestamp" not in pod["metadata"] for pod in left)
    assert {pod["metadata"]["ownerReferences"][0]["name"] for pod in left} == {"to-stay"}


async def test_a_circle_of_owners_is_deleted(api: Api, core: str) -> None:
    for name in ("pod1", "pod2", "pod3"):
        await api.make(f"{core}/pods", {"metadata": {"name": name}, "spec": template({})["spec"]})
    made = {name: await api.get(f"{core}/pods/{name}") for name in ("pod1", "pod2", "pod3")}
    for name, owner in (("pod1", "pod3"), ("pod2", "pod1"), ("pod3", "pod2")):
        owners = [reference("Pod", made[owner], blocks=True)]
        await api.patch(f"{core}/pods/{name}", {"metadata": {"ownerReferences": owners}})

    await api.delete(f"{core}/pods/pod1", propagationPolicy="Foreground")

    await asyncio.gather(*(api.until_gone(f"{core}/pods/{name}") for name in made))

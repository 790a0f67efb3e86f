"""ReplicaSets and ReplicationControllers: whose Pods they are, and what is said about them."""

from __future__ import annotations

from typing import Any

import pytest

from .api import MERGE, STRATEGIC, Api, condition, ready, template

LABELS = {"name": "sample", "pod": "httpd"}


def replicaset(name: str = "sample", replicas: int = 1, labels: Any = None) -> dict[str, Any]:
    labels = labels or LABELS
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels)}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def controller(name: str = "sample", replicas: int = 1, labels: Any = None) -> dict[str, Any]:
    labels = labels or LABELS
    spec = {"replicas": replicas, "selector": labels, "template": template(labels)}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def orphan(name: str = "orphan") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": LABELS}, "spec": template(LABELS)["spec"]}


def controlled(pod: Any) -> str:
    owners = pod["metadata"].get("ownerReferences", ())
    return next((owner["name"] for owner in owners if owner.get("controller")), "")


@pytest.fixture(params=["replicasets", "replicationcontrollers"])
def kind(request: pytest.FixtureRequest, core: str, apps: str) -> tuple[str, Any]:
    """The path of each of the two kinds, and what makes one."""
    made: tuple[str, Any] = (f"{apps}/replicasets", replicaset)
    if request.param == "replicationcontrollers":
        made = (f"{core}/replicationcontrollers", controller)
    return made


async def test_matching_pods_are_adopted_and_others_let_go(
    api: Api, core: str, kind: tuple[str, Any]
) -> None:
    path, make = kind
    await api.make(f"{core}/pods", orphan())
    await api.until(f"{core}/pods/orphan", ready)
    await api.make(path, make())
    await api.until(f"{core}/pods/orphan", controlled)
    assert await api.names(f"{core}/pods") == {"orphan"}

    await api.patch(f"{core}/pods/orphan", {"metadata": {"labels": {"name": "not-sample"}}})

    await api.until(f"{core}/pods/orphan", lambda pod: not controlled(pod))
    await api.until_listed(f"{core}/pods", lambda pods: len(pods) == 2)


async def test_every_replica_runs_and_a_full_quota_is_a_condition(
    api: Api, core: str, kind: tuple[str, Any]
) -> None:
    path, make = kind
    await api.make(f"{core}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}})
    await api.until(f"{core}/resourcequotas/q", lambda found: found["status"].get("hard"))
    await api.make(path, make(replicas=3))

    failed = await api.until(f"{path}/sample", lambda found: condition(found, "ReplicaFailure") == "True")
    (why,) = failed["status"]["conditions"]
    assert why["reason"] == "FailedCreate"
    assert "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2" in why["message"]
    await api.change(f"{path}/sample", lambda found: found["spec"].update(replicas=2))
    done = await api.until(f"{path}/sample", lambda found: condition(found, "ReplicaFailure") is None)
    assert done["status"]["replicas"] == 2
    await api.until(f"{path}/sample", lambda found: found["status"].get("readyReplicas") == 2)


async def test_scale_is_read_replaced_and_patched(api: Api, core: str, kind: tuple[str, Any]) -> None:
    path, make = kind
    await api.make(path, make())
    scale = await api.get(f"{path}/sample/scale")
    assert scale["spec"]["replicas"] == 1
    assert scale["status"]["selector"] == "name=sample,pod=httpd"
    del scale["metadata"]["resourceVersion"]
    scale["spec"]["replicas"] = 2
    assert (await api.put(f"{path}/sample/scale", scale))["spec"]["replicas"] == 2
    assert (await api.get(f"{path}/sample"))["spec"]["replicas"] == 2
    await api.patch(f"{path}/sample/scale", {"spec": {"replicas": 4}})
    await api.until(f"{path}/sample", lambda found: found["status"].get("readyReplicas") == 4)


async def test_replicaset_is_scaled_patched_and_its_template_too(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/replicasets/sample"
    await api.make(f"{apps}/replicasets", replicaset())
    async with api.watch(f"{apps}/replicasets", labelSelector="name=sample,pod=httpd") as watch:
        await api.change(f"{path}/scale", lambda scale: scale["spec"].update(replicas=2))
        await watch.until("MODIFIED", lambda found: found["status"].get("replicas") == 2)
        pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "app", "image": "web:2"}]}
        patch = {
            "metadata": {"labels": {"test-rs": "patched"}},
            "spec": {"replicas": 3, "template": {"spec": pod}},
        }
        await api.patch(path, patch, STRATEGIC)
        done = await watch.until(
            "MODIFIED",
            lambda found: (
                found["metadata"]["labels"].get("test-rs") == "patched"
                and found["status"].get("readyReplicas") == 3
            ),
        )
    assert done["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"


async def test_a_collection_of_replicasets_is_listed_and_deleted(api: Api, core: str, apps: str) -> None:
    labels = {"name": "collected"}
    await api.make(f"{apps}/replicasets", replicaset("collected", 3, labels))
    await api.until(f"{apps}/replicasets/collected", lambda found: found["status"].get("readyReplicas") == 3)
    assert await api.names("/apis/apps/v1/replicasets", labelSelector="name=collected") == {"collected"}

    await api.delete(f"{apps}/replicasets", {"labelSelector": "name=collected"}, gracePeriodSeconds=0)

    assert not await api.items(f"{apps}/replicasets")
    await api.until_listed(f"{core}/pods", lambda found: not found)


async def test_status_of_a_replicaset_is_written_and_patched(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/replicasets/sample"
    await api.make(f"{apps}/replicasets", replicaset())
    await api.until(path, lambda found: found["status"].get("readyReplicas") == 1)
    assert (await api.get(f"{path}/status"))["status"]["replicas"] == 1
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def add(found: Any) -> None:
        found["status"].setdefault("conditions", []).append(update)

    async with api.watch(f"{apps}/replicasets") as watch:
        await api.change(f"{path}/status", add)
        await watch.until("MODIFIED", lambda found: condition(found, "StatusUpdate"))
        patched = {"conditions": [{"type": "StatusPatched", "status": "True"}]}
        await api.patch(f"{path}/status", {"status": patched}, MERGE)
        await watch.until("MODIFIED", lambda found: condition(found, "StatusPatched"))


async def test_a_replicationcontroller_lives(api: Api, core: str) -> None:
    controllers = f"{core}/replicationcontrollers"
    path = f"{controllers}/sample"
    labels = {"test-rc-static": "true"}
    async with api.watch(controllers, labelSelector="test-rc-static=true") as watch:
        await api.make(controllers, controller(labels=labels))
        await watch.until("ADDED")
        await watch.until("MODIFIED", lambda found: found["status"].get("readyReplicas") == 1)
        await api.patch(path, {"metadata": {"labels": {"test-rc": "patched"}}})
        await watch.until("MODIFIED", lambda found: found["metadata"]["labels"].get("test-rc") == "patched")

        zero = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        await api.patch(f"{path}/status", zero)
        await watch.until("MODIFIED", lambda found: not found["status"].get("readyReplicas"))
        assert (await api.get(f"{path}/status"))["kind"] == "ReplicationController"
        await watch.until("MODIFIED", lambda found: found["status"].get("readyReplicas") == 1)

        await api.patch(f"{path}/scale", {"spec": {"replicas": 2}})
        await watch.until("MODIFIED", lambda found: found["spec"]["replicas"] == 2)
        await watch.until("MODIFIED", lambda found: found["status"].get("readyReplicas") == 2)
        await api.change(path, lambda found: found["metadata"]["labels"].update({"test-rc": "updated"}))
        await watch.until("MODIFIED", lambda found: found["metadata"]["labels"]["test-rc"] == "updated")
        listed = await api.names("/api/v1/replicationcontrollers", labelSelector="test-rc-static=true")
        assert "sample" in listed
        await api.delete(controllers, {"labelSelector": "test-rc-static=true"}, gracePeriodSeconds=0)
        await watch.until("DELETED")


async def test_a_pod_that_one_controller_lets_go_is_not_counted_by_it(api: Api, core: str) -> None:
    await api.make(f"{core}/replicationcontrollers", controller())
    (pod,) = await api.until_listed(f"{core}/pods", lambda pods: len(pods) == 1 and ready(pods[0]))
    path = f"{core}/pods/{pod['metadata']['name']}"

    def away(found: Any) -> None:
        found["metadata"]["labels"] = {"name": "not-matching-name"}

    await api.change(path, away)
    assert controlled(await api.until(path, lambda found: not controlled(found))) == ""

"""Deployments: how they replace Pods, in which proportions, and what is said about them."""

from __future__ import annotations

from typing import Any

from .api import GO_ACCEPT, MERGE, Api, condition, template

REVISION = "deployment.kubernetes.io/revision"
LABELS = {"name": "sample-pod"}


def workload(name: str, replicas: int = 1, labels: Any = None, **spec: Any) -> dict[str, Any]:
    """A Deployment or a ReplicaSet."""
    labels = labels or LABELS
    made = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels)}
    return {"metadata": {"name": name, "labels": labels}, "spec": made | spec}


def image(name: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": name}]}}}}


def complete(found: Any) -> bool:
    status, spec = found.get("status", {}), found["spec"]
    counts = [status.get(f"{each}eplicas") for each in ("r", "updatedR", "availableR", "readyR")]
    settled = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
    return settled and counts == [spec["replicas"]] * 4


def revision(found: Any) -> str:
    number: str = found["metadata"]["annotations"].get(REVISION, "")
    return number


async def sets(api: Api, apps: str) -> dict[str, Any]:
    """The ReplicaSets, by their image."""
    found = await api.items(f"{apps}/replicasets")
    return {each["spec"]["template"]["spec"]["containers"][0]["image"]: each for each in found}


async def test_rolling_update_adopts_the_old_set_and_counts_its_revision_on(
    api: Api, core: str, apps: str
) -> None:
    old = workload("controller")
    old["metadata"]["annotations"] = {REVISION: "3546343826724305832"}
    await api.make(f"{apps}/replicasets", old)
    await api.until(f"{apps}/replicasets/controller", lambda found: found["status"].get("readyReplicas") == 1)

    new = workload("web")
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    await api.make(f"{apps}/deployments", new)

    done = await api.until(f"{apps}/deployments/web", complete)
    assert revision(done) == "3546343826724305833"
    found = await sets(api, apps)
    assert {name: each["spec"]["replicas"] for name, each in found.items()} == {"web:1": 0, "web:2": 1}
    assert found["web:1"]["metadata"]["ownerReferences"][0]["uid"] == done["metadata"]["uid"]


async def test_recreate_ends_the_old_pods_before_it_starts_new_ones(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/deployments", workload("web", 2, strategy={"type": "Recreate"}))
    before = await api.until(f"{apps}/deployments/web", complete)
    assert revision(before) == "1"

    since = (await api.get(f"{core}/pods"))["metadata"]["resourceVersion"]
    await api.patch(f"{apps}/deployments/web", image("web:2"))
    assert revision(await api.until(f"{apps}/deployments/web", complete)) == "2"

    said = []
    async with api.watch(f"{core}/pods", resourceVersion=since) as watch:
        while [type for type, _ in said].count("ADDED") < 2:
            event = await watch.next()
            said.append((event.type, event.object["spec"]["containers"][0]["image"]))
    ends = [number for number, each in enumerate(said) if each == ("DELETED", "web:1")]
    starts = [number for number, each in enumerate(said) if each == ("ADDED", "web:2")]
    assert len(ends) == 2
    assert max(ends) < min(starts)


async def test_old_sets_go_when_no_history_is_kept(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/replicasets", workload("cleanup"))
    await api.until(f"{apps}/replicasets/cleanup", lambda found: found["status"].get("readyReplicas") == 1)
    since = (await api.get(f"{core}/pods"))["metadata"]["resourceVersion"]

    new = workload("web", revisionHistoryLimit=0)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    await api.make(f"{apps}/deployments", new)
    await api.until(f"{apps}/deployments/web", complete)
    await api.until_gone(f"{apps}/replicasets/cleanup")

    assert set(await sets(api, apps)) == {"web:2"}
    async with api.watch(f"{core}/pods", resourceVersion=since) as watch:
        await watch.until("ADDED")
        await watch.until("DELETED")
        assert await watch.silent()


async def test_a_rollout_that_is_stuck_gives_way_to_the_next_one(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/replicasets", workload("controller"))
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    new = workload("web", strategy=rolling, minReadySeconds=1)
    new["spec"]["template"]["spec"] |= {
        "containers": [{"name": "app", "image": "none:none"}],
        "nodeSelector": {"no": "node"},
    }
    await api.make(f"{apps}/deployments", new)
    await api.until(
        f"{apps}/deployments/web", lambda found: found.get("status", {}).get("updatedReplicas") == 1
    )
    stuck = (await sets(api, apps))["none:none"]
    assert stuck["spec"]["replicas"] == 1

    fixed = {
        "spec": {"template": {"spec": {"nodeSelector": None, **image("web:2")["spec"]["template"]["spec"]}}}
    }
    await api.patch(f"{apps}/deployments/web", fixed)

    assert revision(await api.until(f"{apps}/deployments/web", complete)) == "2"
    found = await sets(api, apps)
    counts = {name: (each["spec"]["replicas"], each["status"]["replicas"]) for name, each in found.items()}
    assert counts == {"web:1": (0, 0), "none:none": (0, 0), "web:2": (1, 1)}


async def test_scaling_in_the_middle_of_a_rollout_is_shared_out(api: Api, core: str, apps: str) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2, "maxSurge": 3}}
    await api.make(f"{apps}/deployments", workload("web", 10, strategy=rolling))
    await api.until(f"{apps}/deployments/web", complete)
    stuck = {"nodeSelector": {"no": "node"}, **image("web:404")["spec"]["template"]["spec"]}
    await api.patch(f"{apps}/deployments/web", {"spec": {"template": {"spec": stuck}}})

    async def shares(first: int, second: int) -> None:
        await api.until_listed(
            f"{apps}/replicasets",
            lambda found: sorted(each["spec"]["replicas"] for each in found) == sorted((first, second)),
        )
        found = await sets(api, apps)
        assert (found["web:1"]["spec"]["replicas"], found["web:404"]["spec"]["replicas"]) == (first, second)

    await shares(8, 5)
    await api.until(f"{apps}/deployments/web", lambda found: found["status"].get("availableReplicas") == 8)
    await api.change(f"{apps}/deployments/web", lambda found: found["spec"].update(replicas=30))
    await shares(20, 13)


async def test_a_deployment_lives(api: Api, core: str, apps: str) -> None:
    path, labels = f"{apps}/deployments/web", {"static": "true"}
    made = workload("web", 2, labels)
    made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
    # As Go writes it: with what is empty.
    made |= {"status": {}, "kind": "Deployment", "apiVersion": "apps/v1"}
    made["metadata"]["creationTimestamp"] = None
    made["spec"]["template"]["metadata"]["creationTimestamp"] = None
    made["spec"] |= {"strategy": {}}
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = {}
    async with api.watch(f"{apps}/deployments", labelSelector="static=true") as watch:
        await api.make(f"{apps}/deployments", made)
        await watch.until("ADDED")
        await watch.until("MODIFIED", lambda found: found["status"].get("readyReplicas") == 2)

        container = {"name": "app", "image": "web:2", "command": ["/bin/sleep", "100000"]}
        patch = {
            "metadata": {"labels": {"test-deployment": "patched"}},
            "spec": {
                "replicas": 1,
                # In capitals, as the suite writes it: nobody's field.
                "template": {"spec": {"TerminationGracePeriodSeconds": 0, "containers": [container]}},
            },
        }
        await api.patch(path, patch)
        await watch.until(
            "MODIFIED",
            lambda found: found["metadata"]["labels"].get("test-deployment") == "patched" and complete(found),
        )
        everywhere = await api.items("/apis/apps/v1/deployments", labelSelector="static=true")
        assert [each["metadata"]["name"] for each in everywhere] == ["web"]

        made["metadata"]["labels"] = labels | {"test-deployment": "updated"}
        made["spec"]["template"]["spec"]["containers"][0]["image"] = "web:3"
        await api.put(path, made)
        await watch.until(
            "MODIFIED",
            lambda found: found["metadata"]["labels"].get("test-deployment") == "updated" and complete(found),
        )
        status = await api.get(f"{path}/status")
        assert status["spec"]["template"]["spec"]["containers"][0]["image"] == "web:3"

        patch = {
            "metadata": {"labels": {"test-deployment": "status"}},
            "status": {"readyReplicas": 0, "availableReplicas": 0},
        }
        await api.patch(f"{path}/status", patch)
        assert (await api.get(path))["metadata"]["labels"]["test-deployment"] == "updated"
        await watch.until("MODIFIED", complete)

        await api.delete(f"{apps}/deployments", {"labelSelector": "static=true"}, gracePeriodSeconds=0)
        await watch.until("DELETED")


async def test_scale_is_read_replaced_and_patched(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/deployments/web/scale"
    await api.make(f"{apps}/deployments", workload("web"))

    scale = await api.get(path, accept=GO_ACCEPT)
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    del scale["metadata"]["resourceVersion"]
    scale["spec"]["replicas"] = 2
    assert (await api.put(path, scale))["spec"]["replicas"] == 2
    assert (await api.get(f"{apps}/deployments/web"))["spec"]["replicas"] == 2
    await api.patch(path, {"spec": {"replicas": 4}})
    assert (await api.get(f"{apps}/deployments/web"))["spec"]["replicas"] == 4


async def test_conditions_that_others_set_stay(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/deployments/web"
    await api.make(f"{apps}/deployments", workload("web"))
    await api.until(path, complete)
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    async with api.watch(f"{apps}/deployments") as watch:
        await api.change(f"{path}/status", lambda found: found["status"]["conditions"].append(update))
        seen = await watch.until("MODIFIED", lambda found: condition(found, "StatusUpdate"))
        assert {
            key: each for key, each in seen["status"]["conditions"][-1].items() if key in update
        } == update
        patched = {"conditions": [{"type": "StatusPatched", "status": "True"}]}
        await api.patch(f"{path}/status", {"status": patched}, MERGE)
        await watch.until("MODIFIED", lambda found: condition(found, "StatusPatched"))

    await api.patch(path, {"spec": {"replicas": 2}})
    done = await api.until(path, lambda found: complete(found) and condition(found, "Available"))
    assert condition(done, "StatusPatched") == "True"


async def test_sets_that_are_left_behind_are_found_by_the_next_deployment(
    api: Api, core: str, apps: str
) -> None:
    await api.make(f"{apps}/deployments", workload("web"))
    await api.until(f"{apps}/deployments/web", complete)
    (before,) = await api.items(f"{apps}/replicasets")

    await api.delete(f"{apps}/deployments/web", propagationPolicy="Orphan")
    await api.until_gone(f"{apps}/deployments/web")
    (left,) = await api.items(f"{apps}/replicasets")
    assert "ownerReferences" not in left["metadata"]

    await api.make(f"{apps}/deployments", workload("again"))
    done = await api.until(f"{apps}/deployments/again", complete)
    (found,) = await api.items(f"{apps}/replicasets")
    assert found["metadata"]["uid"] == before["metadata"]["uid"]
    assert found["metadata"]["ownerReferences"][0]["uid"] == done["metadata"]["uid"]
    assert revision(done) == "1"


async def test_changes_in_quick_succession_end_with_the_last(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/deployments/web"
    await api.make(f"{apps}/deployments", workload("web", 4, revisionHistoryLimit=1))

    for number in range(2, 8):
        await api.patch(path, image(f"web:{number}"))
        await api.patch(path, {"spec": {"replicas": 3 + number % 3, "paused": number == 5}}, MERGE)
    await api.patch(path, {"spec": {"paused": False}}, MERGE)

    done = await api.until(path, complete)
    found = await api.until_listed(f"{apps}/replicasets", lambda each: len(each) == 2)
    assert {_image(each): each["spec"]["replicas"] for each in found}["web:7"] == done["spec"]["replicas"]
    assert max(int(revision(each)) for each in found) == int(revision(done))


def _image(found: Any) -> str:
    name: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
    return name

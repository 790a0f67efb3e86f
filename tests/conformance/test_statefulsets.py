"""StatefulSets: Pods with names, one after the other, and what becomes of them when the template changes."""

from __future__ import annotations

from typing import Any

from .api import MERGE, Api, condition, ready, template

LABELS = {"baz": "blah", "foo": "bar"}
SELECTOR = "baz=blah,foo=bar"
HASH = "controller-revision-hash"
GATE = "conformance.example.com/ready"


def statefulset(name: str = "ss", replicas: int = 3, **spec: Any) -> dict[str, Any]:
    pod = spec.pop("pod", {})
    made = {
        "serviceName": "test",
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": template(LABELS, terminationGracePeriodSeconds=0, **pod),
    }
    return {"metadata": {"name": name, "labels": LABELS}, "spec": made | spec}


def image(name: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": name}]}}}}


async def images(api: Api, core: str) -> list[str]:
    pods = sorted(await api.items(f"{core}/pods"), key=lambda pod: pod["metadata"]["name"])
    return [pod["spec"]["containers"][0]["image"] for pod in pods]


async def running(api: Api, core: str, count: int, image: str = "", name: str = "ss") -> None:
    def there(pods: list[Any]) -> bool:
        fit = [p for p in pods if ready(p) and image in ("", p["spec"]["containers"][0]["image"])]
        return {p["metadata"]["name"] for p in fit} == {f"{name}-{n}" for n in range(count)} and len(
            pods
        ) == len(fit)

    await api.until_listed(f"{core}/pods", there)


def settled(found: Any) -> bool:
    status = found["status"]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas") == found["spec"]["replicas"]
        and status["currentRevision"] == status["updateRevision"]
    )


async def hold(api: Api, core: str, name: str, value: str) -> None:
    """Open or shut the gate of this Pod, as the suite breaks and mends a probe."""
    opened = {"status": {"conditions": [{"type": GATE, "status": value}]}}
    await api.until(f"{core}/pods/{name}")
    await api.patch(f"{core}/pods/{name}/status", opened)


async def test_new_template_rolls_from_the_last_pod_to_the_first_and_back(
    api: Api, core: str, apps: str
) -> None:
    path = f"{apps}/statefulsets/ss"
    await api.make(f"{core}/services", {"metadata": {"name": "test"}, "spec": {"clusterIP": "None"}})
    await api.make(f"{apps}/statefulsets", statefulset())
    await running(api, core, 3)
    before = (await api.until(path, settled))["status"]["currentRevision"]

    since = (await api.get(f"{core}/pods"))["metadata"]["resourceVersion"]
    for wanted in ("web:2", "web:1"):
        await api.patch(path, image(wanted))
        moving = await api.until(
            path, lambda found: found["status"]["observedGeneration"] == found["metadata"]["generation"]
        )
        assert moving["status"]["currentRevision"] != moving["status"]["updateRevision"]
        await running(api, core, 3, wanted)
        after = (await api.until(path, settled))["status"]["currentRevision"]
        assert {pod["metadata"]["labels"][HASH] for pod in await api.items(f"{core}/pods")} == {after}
    assert after == before

    async with api.watch(f"{core}/pods", resourceVersion=since) as watch:
        added = [(await watch.until("ADDED"))["metadata"]["name"] for _ in range(6)]
    assert added == ["ss-2", "ss-1", "ss-0"] * 2


async def test_an_unready_pod_holds_up_a_rollout(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/statefulsets/ss"
    gated = {"readinessGates": [{"conditionType": GATE}]}
    await api.make(f"{apps}/statefulsets", statefulset(replicas=2, pod=gated))
    for name in ("ss-0", "ss-1"):
        await hold(api, core, name, "True")
    await running(api, core, 2)
    await hold(api, core, "ss-0", "False")
    await api.until(path, lambda found: found["status"].get("readyReplicas") == 1)

    await api.patch(path, image("web:2"))
    moving = await api.until(
        path, lambda found: found["status"]["observedGeneration"] == found["metadata"]["generation"]
    )
    assert moving["status"]["currentRevision"] != moving["status"]["updateRevision"]
    assert await images(api, core) == ["web:1", "web:1"]
    await hold(api, core, "ss-0", "True")
    await api.until(f"{core}/pods/ss-1", lambda pod: pod["spec"]["containers"][0]["image"] == "web:2")


async def test_canaries_and_phases_follow_the_partition(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/statefulsets/ss"

    async def partition(number: int) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}
        await api.patch(path, {"spec": {"updateStrategy": strategy}})
        await api.until(
            path, lambda found: found["status"]["observedGeneration"] == found["metadata"]["generation"]
        )

    await api.make(f"{apps}/statefulsets", statefulset())
    await running(api, core, 3)
    await partition(3)
    await api.patch(path, image("web:2"))
    moved = await api.until(
        path, lambda found: found["status"]["currentRevision"] != found["status"]["updateRevision"]
    )
    old, new = moved["status"]["currentRevision"], moved["status"]["updateRevision"]
    assert await images(api, core) == ["web:1"] * 3

    await partition(2)
    await api.until(f"{core}/pods/ss-2", lambda pod: pod["metadata"]["labels"][HASH] == new and ready(pod))
    assert await images(api, core) == ["web:1", "web:1", "web:2"]

    # Deleted Pods come back in the revision that their number has.
    for name in ("ss-0", "ss-2"):
        uid = (await api.get(f"{core}/pods/{name}"))["metadata"]["uid"]
        await api.delete(f"{core}/pods/{name}")
        await api.until(
            f"{core}/pods/{name}", lambda pod, uid=uid: ready(pod) and pod["metadata"]["uid"] != uid
        )
    assert await images(api, core) == ["web:1", "web:1", "web:2"]
    assert (await api.get(f"{core}/pods/ss-0"))["metadata"]["labels"][HASH] == old

    for number, wanted in ((1, ["web:1", "web:2", "web:2"]), (0, ["web:2"] * 3)):
        await partition(number)
        await api.until(
            f"{core}/pods/ss-{number}", lambda pod: pod["metadata"]["labels"][HASH] == new and ready(pod)
        )
        assert await images(api, core) == wanted
    assert (await api.until(path, settled))["status"]["currentRevision"] == new


async def test_scaling_is_in_order_and_waits_for_an_unready_pod(api: Api, core: str, apps: str) -> None:
    path, pods = f"{apps}/statefulsets/ss", f"{core}/pods"
    gated = {"readinessGates": [{"conditionType": GATE}]}
    since = (await api.get(pods))["metadata"]["resourceVersion"]
    await api.make(f"{apps}/statefulsets", statefulset(replicas=3, pod=gated))
    await api.until(f"{pods}/ss-0", lambda pod: pod["status"]["phase"] == "Running")
    await api.until(path, lambda found: found["status"].get("replicas") == 1)
    assert await api.names(pods) == {"ss-0"}
    for name in ("ss-0", "ss-1", "ss-2"):
        await hold(api, core, name, "True")
    await running(api, core, 3)

    async with api.watch(pods, resourceVersion=since, labelSelector=SELECTOR) as watch:
        added = [(await watch.until("ADDED"))["metadata"]["name"] for _ in range(3)]
        assert added == ["ss-0", "ss-1", "ss-2"]

        for name in ("ss-0", "ss-1", "ss-2"):
            await hold(api, core, name, "False")
        await api.until(path, lambda found: found["status"].get("readyReplicas", 0) == 0)
        await api.patch(path, {"spec": {"replicas": 0}})
        await api.until(
            path, lambda found: found["status"]["observedGeneration"] == found["metadata"]["generation"]
        )
        assert await api.names(pods) == {"ss-0", "ss-1", "ss-2"}
        for name in ("ss-2", "ss-1", "ss-0"):  # Each goes as soon as it is ready.
            await hold(api, core, name, "True")
        gone = [(await watch.until("DELETED"))["metadata"]["name"] for _ in range(3)]
        assert gone == ["ss-2", "ss-1", "ss-0"]


async def test_parallel_sets_do_not_wait_for_unready_pods(api: Api, core: str, apps: str) -> None:
    path, pods = f"{apps}/statefulsets/ss", f"{core}/pods"
    gated = {"readinessGates": [{"conditionType": GATE}]}
    burst = statefulset(replicas=1, podManagementPolicy="Parallel", pod=gated)
    await api.make(f"{apps}/statefulsets", burst)
    await api.until(f"{pods}/ss-0", lambda pod: pod["status"]["phase"] == "Running")
    await api.patch(path, {"spec": {"replicas": 3}})
    await api.until_listed(pods, lambda found: [p["status"]["phase"] for p in found] == ["Running"] * 3)
    assert (await api.get(path))["status"].get("readyReplicas", 0) == 0
    await api.patch(path, {"spec": {"replicas": 0}})
    await api.until_listed(pods, lambda found: not found)
    await api.until(path, lambda found: found["status"]["replicas"] == 0)


async def test_pod_that_its_node_refuses_is_made_again_until_it_fits(api: Api, core: str, apps: str) -> None:
    node = min(await api.names("/api/v1/nodes"))
    port = {"name": "app", "image": "web:1", "ports": [{"containerPort": 21017, "hostPort": 21017}]}
    blocker = {
        "metadata": {"name": "test-pod"},
        "spec": {"containers": [port], "nodeName": node, "terminationGracePeriodSeconds": 0},
    }
    await api.make(f"{core}/pods", blocker)
    await api.until(f"{core}/pods/test-pod", ready)

    async with api.watch(f"{core}/pods", labelSelector=SELECTOR) as watch:
        await api.make(
            f"{apps}/statefulsets", statefulset(replicas=1, pod={"nodeName": node, "containers": [port]})
        )
        refused = await watch.until("MODIFIED", lambda pod: pod["status"]["phase"] == "Failed")
        deleted = await watch.until("DELETED")
        assert deleted["metadata"]["uid"] == refused["metadata"]["uid"]
    await api.delete(f"{core}/pods/test-pod")
    pod = await api.until(f"{core}/pods/ss-0", ready)
    assert pod["metadata"]["uid"] != refused["metadata"]["uid"]


async def test_scale_is_read_replaced_and_patched(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/statefulsets/ss/scale"
    await api.make(f"{apps}/statefulsets", statefulset(replicas=1))
    await running(api, core, 1)

    scale = await api.get(path)
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
    del scale["metadata"]["resourceVersion"]
    scale["spec"]["replicas"] = 2
    assert (await api.put(path, scale))["spec"]["replicas"] == 2
    assert (await api.get(f"{apps}/statefulsets/ss"))["spec"]["replicas"] == 2
    await api.patch(path, {"spec": {"replicas": 4}})
    assert (await api.get(f"{apps}/statefulsets/ss"))["spec"]["replicas"] == 4


async def test_a_collection_is_listed_patched_and_deleted(api: Api, core: str, apps: str) -> None:
    sets = f"{apps}/statefulsets"
    await api.make(sets, statefulset("listed", replicas=1))
    await api.until(f"{sets}/listed", lambda found: found["status"].get("readyReplicas") == 1)
    patch = {
        "metadata": {"labels": {"test-ss": "patched"}},
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "app", "image": "web:2"}],
                }
            },
        },
    }
    await api.patch(f"{sets}/listed", patch)
    await api.until(f"{sets}/listed", lambda found: settled(found) and found["status"]["readyReplicas"] == 2)

    assert await api.names("/apis/apps/v1/statefulsets", labelSelector="test-ss=patched") == {"listed"}
    await api.delete(sets, {"labelSelector": "test-ss=patched"}, gracePeriodSeconds=0)
    assert not await api.items("/apis/apps/v1/statefulsets", labelSelector="test-ss=patched")


async def test_status_is_written_and_patched(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/statefulsets/ss"
    await api.make(f"{apps}/statefulsets", statefulset(replicas=1))
    await api.until(path, settled)
    assert (await api.get(f"{path}/status"))["status"]["replicas"] == 1
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def add(found: Any) -> None:
        found["status"].setdefault("conditions", []).append(update)

    async with api.watch(f"{apps}/statefulsets", labelSelector=SELECTOR) as watch:
        await api.change(f"{path}/status", add)
        await watch.until("MODIFIED", lambda found: condition(found, "StatusUpdate"))
        patched = {"conditions": [{"type": "StatusPatched", "status": "True"}]}
        await api.patch(f"{path}/status", {"status": patched}, MERGE)
        await watch.until("MODIFIED", lambda found: condition(found, "StatusPatched"))

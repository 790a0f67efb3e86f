"""Pods that are resized while they run: cgroups, statuses, restarts, and what is refused."""

from __future__ import annotations

from typing import Any

from kplane.testing.images import BUSYBOX

from ..api import condition
from .pods import Pods, restarts

GROUPS = """cd /sys/fs/cgroup
cat cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 cpu.max
cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max"""
"""The container's quota of processor time and its limit of memory, in either version of cgroups."""
MEBI = 1 << 20


def size(cpu: str, memory: str, **limits: str) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory}
    return {"requests": requests, "limits": {**requests, **limits}}


def containers(*sizes: dict[str, Any], policy: str = "NotRequired") -> list[dict[str, Any]]:
    command = ["sh", "-c", "sleep 1000"]
    rules = [{"resourceName": "memory", "restartPolicy": policy}]
    return [
        {"name": f"c{index}", "image": BUSYBOX, "command": command, "resources": found, "resizePolicy": rules}
        for index, found in enumerate(sizes, 1)
    ]


async def resize(pods: Pods, *sizes: dict[str, Any]) -> None:
    wanted = [{"name": f"c{index}", "resources": found} for index, found in enumerate(sizes, 1)]
    await pods.api.patch(f"{pods.path('p')}/resize", {"spec": {"containers": wanted}})


async def settled(pods: Pods, *sizes: dict[str, Any]) -> Any:
    def holds(found: Any) -> bool:
        statuses = sorted(found["status"]["containerStatuses"], key=lambda entry: str(entry["name"]))
        resizing = [kind for kind in conditions(found) if kind.startswith("PodResize")]
        shown = [entry.get("resources") for entry in statuses]
        return shown == list(sizes) and not resizing and condition(found, "Ready") == "True"

    return await pods.until("p", holds)


def conditions(pod: Any) -> dict[str, Any]:
    return {entry["type"]: entry for entry in pod["status"]["conditions"]}


async def groups(pods: Pods, container: str) -> list[int]:
    said = await pods.exec("p", "sh", "-c", GROUPS, container=container)
    return [int(word) for word in said.out.split()]


async def test_containers_of_a_guaranteed_pod_grow_and_shrink_as_they_run(pods: Pods) -> None:
    before = [size("50m", "20Mi")] * 3
    after = [size("70m", "40Mi"), size("40m", "15Mi"), size("40m", "25Mi")]
    await pods.make("p", containers=containers(*before), restartPolicy="OnFailure")
    await pods.running("p")

    await resize(pods, *after)
    found = await settled(pods, *after)

    assert [entry["restartCount"] for entry in found["status"]["containerStatuses"]] == [0, 0, 0]
    assert await groups(pods, "c1") == [7000, 40 * MEBI]
    assert await groups(pods, "c2") == [4000, 15 * MEBI]
    [started], [completed] = [
        await pods.events("p", reason) for reason in ("ResizeStarted", "ResizeCompleted")
    ]
    assert started["message"].startswith('Pod resize started: {"containers":[{"name":"c1","resources":')
    assert completed["message"].endswith('"generation":2}')
    await resize(pods, *before)
    await settled(pods, *before)


async def test_policy_asks_for_a_new_start(pods: Pods) -> None:
    await pods.make(
        "p", containers=containers(size("50m", "20Mi"), policy="RestartContainer"), restartPolicy="OnFailure"
    )
    await pods.running("p")

    more = size("50m", "30Mi")
    await resize(pods, more)
    found = await settled(pods, more)

    assert restarts(found) == 1
    assert (await groups(pods, "c1"))[1] == 30 * MEBI


async def test_limits_are_added_to_what_had_none(pods: Pods) -> None:
    await pods.make("p", containers=containers({"requests": {"cpu": "50m"}}))
    await pods.running("p")

    more = {"requests": {"cpu": "50m", "memory": "20Mi"}, "limits": {"cpu": "100m", "memory": "40Mi"}}
    await resize(pods, more)
    await settled(pods, more)

    assert await groups(pods, "c1") == [10000, 40 * MEBI]


async def test_memory_in_use_is_not_taken_away(pods: Pods) -> None:
    large, small = size("50m", "40Mi"), size("50m", "6Mi")
    await pods.make("p", containers=containers(large))
    await pods.running("p")
    await pods.exec("p", "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=20", container="c1")

    await resize(pods, small)
    found = await pods.until(
        "p", lambda found: conditions(found).get("PodResizeInProgress", {}).get("reason") == "Error"
    )
    assert "memory limit (6291456) below current usage" in conditions(found)["PodResizeInProgress"]["message"]
    await resize(pods, large)
    await settled(pods, large)


async def test_pod_has_limits_of_its_own(pods: Pods) -> None:
    own = {"requests": {"cpu": "100m", "memory": "50Mi"}, "limits": {"cpu": "200m", "memory": "100Mi"}}

    ended = await pods.run("p", GROUPS, resources=own)

    assert ended.pod["status"]["qosClass"] == "Burstable"
    assert [int(word) for word in ended.log.split()] == [20000, 100 * MEBI]

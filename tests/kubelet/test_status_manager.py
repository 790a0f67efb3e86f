"""Sending statuses: the newest wins, failures are repeated, others' pods are left alone."""

from __future__ import annotations

import asyncio

from kplane.api.errors import ServiceUnavailable
from kplane.api.resource import Key, Object
from kplane.kubelet.pod import Pod
from kplane.kubelet.status_manager import StatusManager, changes
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod

from .support import NODE, status_of


def loaded(cluster: FakeCluster) -> Pod:
    cluster.load(make_pod(node=NODE))
    pod = cluster.get(Pod, Key("default", "web"))
    assert pod is not None
    return pod


def status(phase: str, **more: object) -> Object:
    return {"phase": phase, "conditions": [], **more}


async def test_status_that_changes_back_while_it_is_sent_ends_as_it_was(cluster: FakeCluster) -> None:
    pod = loaded(cluster)
    manager = StatusManager(cluster.client(), cluster.clock)
    cluster.start(manager.run())

    await manager.report(pod, status("Running"))
    await asyncio.sleep(0)
    await manager.report(pod, status("Pending"))
    await manager.settled(pod.metadata.uid)

    assert status_of(cluster, "web")["phase"] == "Pending"


async def test_failed_request_is_repeated(cluster: FakeCluster) -> None:
    pod = loaded(cluster)
    manager = StatusManager(cluster.client(), cluster.clock)
    cluster.start(manager.run())
    cluster.faults.fail_next(ServiceUnavailable("busy"), plural="pods")

    await manager.report(pod, status("Running"))
    await cluster.clock.advance_until(lambda: status_of(cluster, "web")["phase"] == "Running", limit=5)


async def test_status_of_a_pod_that_was_replaced_is_dropped(cluster: FakeCluster) -> None:
    old = loaded(cluster)
    cluster.delete(Pod, old.key)
    cluster.load(make_pod(node=NODE) | {"metadata": {"name": "web", "namespace": "default", "uid": "new"}})
    manager = StatusManager(cluster.client(), cluster.clock)
    cluster.start(manager.run())

    await manager.report(old, status("Running"))
    await manager.settled(old.metadata.uid)

    assert status_of(cluster, "web")["phase"] == "Pending"


async def test_condition_of_another_survives(cluster: FakeCluster) -> None:
    pod = loaded(cluster)
    manager = StatusManager(cluster.client(), cluster.clock)
    cluster.start(manager.run())
    gate = {"type": "example.com/gate", "status": "True"}
    path = "/api/v1/namespaces/default/pods/web/status"
    await cluster.client().raw("PUT", path, body=make_pod(node=NODE) | {"status": {"conditions": [gate]}})

    await manager.report(pod, status("Running", conditions=[{"type": "Ready", "status": "True"}]))
    await manager.settled(pod.metadata.uid)

    assert {entry["type"] for entry in status_of(cluster, "web")["conditions"]} == {"Ready", gate["type"]}


async def test_a_pod_that_the_control_plane_called_not_ready_is_reported_ready_again(
    cluster: FakeCluster,
) -> None:
    pod = loaded(cluster)
    manager = StatusManager(cluster.client(), cluster.clock)
    cluster.start(manager.run())
    running = status("Running", conditions=[{"type": "Ready", "status": "True"}])
    await manager.report(pod, running)
    await manager.settled(pod.metadata.uid)
    path = "/api/v1/namespaces/default/pods/web/status"
    refused = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    await cluster.client().raw("PUT", path, body=make_pod(node=NODE) | {"status": refused})

    changed = cluster.get(Pod, pod.key)
    assert changed is not None
    await manager.report(changed, running)
    await manager.settled(pod.metadata.uid)

    assert status_of(cluster, "web")["conditions"] == [{"type": "Ready", "status": "True"}]


async def test_a_status_on_its_way_is_what_the_next_one_is_made_from(cluster: FakeCluster) -> None:
    """Else two statuses that differ in a time replace each other for ever, each on the other's event."""

    def ready(since: str) -> Object:
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        return status("Running", conditions=[condition])

    pod = loaded(cluster)
    manager = StatusManager(cluster.client(), cluster.clock)
    await manager.report(pod, ready("2026-01-01T00:00:02Z"))

    # The event of an earlier report comes while the later one waits to be sent.
    cluster.load(make_pod(node=NODE) | {"status": ready("2026-01-01T00:00:01Z")})
    earlier = cluster.get(Pod, pod.key)
    assert earlier is not None

    assert manager.known(earlier)["conditions"] == ready("2026-01-01T00:00:02Z")["conditions"]


def test_condition_of_a_resize_goes_with_the_resize_and_those_of_others_stay() -> None:
    ready = {"type": "Ready", "status": "True"}
    other = {"type": "example.com/gate", "status": "True"}
    old = {"conditions": [{"type": "PodResizePending", "status": "True"}, ready, other]}

    assert changes(old, {"conditions": [ready, other]}) == {
        "conditions": [{"$patch": "delete", "type": "PodResizePending"}]
    }


async def test_who_waits_for_a_status_is_told_when_its_pod_is_forgotten(cluster: FakeCluster) -> None:
    pod = loaded(cluster)
    manager = StatusManager(cluster.client(), cluster.clock)
    await manager.report(pod, status("Running"))
    waiting = asyncio.create_task(manager.settled(pod.metadata.uid))
    await asyncio.sleep(0)

    manager.forget(pod.metadata.uid)

    await asyncio.wait_for(waiting, 1)

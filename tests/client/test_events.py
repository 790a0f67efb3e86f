"""The event recorder: what people read about an object, without flooding the API."""

from __future__ import annotations

import pytest

from kplane.api.errors import Forbidden, Unreachable
from kplane.api.resource import Key, Object
from kplane.api.types import Event, Pod
from kplane.client.events import EventRecorder
from kplane.testing import FakeCluster, make_pod


@pytest.fixture
def recorder(cluster: FakeCluster) -> EventRecorder:
    return EventRecorder(
        cluster.client(), "kubelet", clock=cluster.clock, entropy=cluster.entropy, host="node-1"
    )


@pytest.fixture
def pod(cluster: FakeCluster) -> Pod:
    return load_pod(cluster, "web")


def load_pod(cluster: FakeCluster, name: str) -> Pod:
    cluster.load(make_pod(name))
    found = cluster.get(Pod, Key("default", name))
    assert found is not None
    return found


def plain(cluster: FakeCluster) -> list[Object]:
    return list(cluster.list(Event.API.as_type(dict)))


async def test_event_has_upstreams_form(cluster: FakeCluster, recorder: EventRecorder, pod: Pod) -> None:
    recorder.event(pod, "Warning", "BackOff", "Back-off restarting", field_path="spec.containers{web}")
    await recorder.flush()

    (event,) = plain(cluster)
    metadata = event.pop("metadata")
    assert metadata["name"] == "web.18867251edfa0000"
    assert metadata["namespace"] == "default"
    assert event == {
        "kind": "Event",
        "apiVersion": "v1",
        "involvedObject": {
            "kind": "Pod",
            "namespace": "default",
            "name": "web",
            "uid": pod.metadata.uid,
            "apiVersion": "v1",
            "resourceVersion": pod.metadata.resource_version,
            "fieldPath": "spec.containers{web}",
        },
        "reason": "BackOff",
        "message": "Back-off restarting",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "type": "Warning",
        "eventTime": None,
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
    }


async def test_repeats_are_counted(cluster: FakeCluster, recorder: EventRecorder, pod: Pod) -> None:
    for _ in range(3):
        recorder.event(pod, "Normal", "Pulled", "Container image already present")
        await recorder.flush()
        await cluster.clock.advance(60)

    (event,) = plain(cluster)
    assert event["count"] == 3
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["lastTimestamp"] == "2026-01-01T00:02:00Z"


async def test_repeats_of_an_expired_event_begin_anew(
    cluster: FakeCluster, recorder: EventRecorder, pod: Pod
) -> None:
    recorder.event(pod, "Normal", "Pulled", "present")
    await recorder.flush()
    await cluster.clock.advance(3600)
    cluster.delete(Event, cluster.events()[0].key)

    recorder.event(pod, "Normal", "Pulled", "present")
    await recorder.flush()

    (event,) = plain(cluster)
    assert (event["count"], event["firstTimestamp"]) == (1, "2026-01-01T01:00:00Z")


async def test_many_similar_messages_are_combined(
    cluster: FakeCluster, recorder: EventRecorder, pod: Pod
) -> None:
    await cluster.clock.advance(1000)
    for number in range(15):
        recorder.event(pod, "Warning", "Failed", f"attempt {number}")
    await recorder.flush()

    events = cluster.events()
    assert len(events) == 10
    combined = events[-1]
    assert combined.message == "(combined from similar events): attempt 14"
    assert combined.count == 6


async def test_flood_about_one_object_is_cut_off(
    cluster: FakeCluster, recorder: EventRecorder, pod: Pod
) -> None:
    other = load_pod(cluster, "other")
    for number in range(40):
        recorder.event(pod, "Normal", f"Reason{number}", "x")
    recorder.event(other, "Normal", "Started", "x")
    await recorder.flush()

    assert len(cluster.events()) == 26
    await cluster.clock.advance(300)
    recorder.event(pod, "Normal", "Later", "x")
    await recorder.flush()
    assert len(cluster.events()) == 27


async def test_a_change_of_the_object_makes_no_other_event(
    cluster: FakeCluster, recorder: EventRecorder, pod: Pod
) -> None:
    for _ in range(2):
        recorder.event(pod, "Normal", "Pulled", "present", field_path="spec.containers{web}")
        await recorder.flush()
        cluster.load(make_pod("web") | {"status": {"phase": "Running"}})
        changed = cluster.get(Pod, pod.key)
        assert changed is not None
        assert changed.metadata.resource_version != pod.metadata.resource_version
        pod = changed
    recorder.event(pod, "Normal", "Pulled", "present", field_path="spec.containers{side}")
    await recorder.flush()

    assert sorted(event["count"] for event in plain(cluster)) == [1, 2]
    for number in range(40):
        cluster.load(make_pod("web") | {"status": {"phase": f"{number}"}})
        changed = cluster.get(Pod, pod.key)
        recorder.event(changed, "Normal", f"Reason{number}", "x")
    await recorder.flush()
    assert len(cluster.events()) == 24


async def test_cluster_scoped_objects_have_events_in_default(
    cluster: FakeCluster, recorder: EventRecorder
) -> None:
    recorder.event({"kind": "Node", "name": "node-1", "uid": "node-1"}, "Normal", "Starting", "x")
    await recorder.flush()

    assert cluster.events()[0].metadata.namespace == "default"


async def test_events_wait_for_an_unreachable_server(
    cluster: FakeCluster, recorder: EventRecorder, pod: Pod
) -> None:
    cluster.faults.fail_next(Unreachable("down"), times=3, plural="events")
    cluster.start(recorder.run())
    recorder.event(pod, "Normal", "Started", "x")

    await cluster.clock.advance(60)

    assert len(cluster.events()) == 1


async def test_refused_event_does_not_hold_up_the_next(
    cluster: FakeCluster, recorder: EventRecorder, pod: Pod
) -> None:
    cluster.faults.fail_next(Forbidden("namespace is being terminated"), plural="events")
    cluster.start(recorder.run())
    recorder.event(pod, "Normal", "Refused", "x")
    recorder.event(pod, "Normal", "Accepted", "x")

    await cluster.clock.idle()

    assert [event.reason for event in cluster.events()] == ["Accepted"]


async def test_similar_messages_long_apart_are_told_one_by_one(
    cluster: FakeCluster, recorder: EventRecorder, pod: Pod
) -> None:
    for number in range(18):
        if number == 9:
            await cluster.clock.advance(601)
        recorder.event(pod, "Warning", "Failed", f"attempt {number}")
    await recorder.flush()

    assert len(cluster.events()) == 18
    assert not any(event.message.startswith("(combined") for event in cluster.events())


@pytest.mark.slow
async def test_oldest_of_too_many_waiting_events_are_dropped(
    cluster: FakeCluster, recorder: EventRecorder
) -> None:
    for number in range(1200):
        recorder.event({"kind": "Node", "name": f"node-{number}"}, "Normal", "Starting", "x")
    await recorder.flush()

    names = {event.involved_object.name for event in cluster.events()}
    assert len(names) == 1000
    assert "node-0" not in names
    assert "node-1199" in names

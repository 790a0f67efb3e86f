"""A whole kubelet on the hollow runtime, under virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kplane.api.resource import Key
from kplane.api.types import Lease, Node
from kplane.client.rest import PatchType
from kplane.kubelet.pod import Pod
from kplane.kubelet.registration import NodeView
from kplane.kubelet.runtime.interface import ContainerState, RuntimeCondition, RuntimeUnavailable
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod

from .support import NODE, condition_of, hollow_kubelet, reasons, status_of

HOOK = {"preStop": {"sleep": {"seconds": 5}}}


async def until_phase(cluster: FakeCluster, phase: str, name: str = "web") -> None:
    await cluster.clock.advance_until(lambda: status_of(cluster, name).get("phase") == phase, limit=60)


def node_of(cluster: FakeCluster) -> NodeView:
    found = cluster.get(NodeView, Key("", NODE))
    assert found is not None
    return found


def web(**container: Any) -> Any:
    return make_pod(node=NODE, containers=[{"name": "web", "image": "web:1", **container}])


async def test_node_registers_with_labels_resources_and_ready_condition(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    async with hollow_kubelet(cluster, tmp_path, node_labels={"zone": "a"}):
        await cluster.clock.advance_until(lambda: cluster.get(Node, Key("", NODE)) is not None)

        node = node_of(cluster)
    assert node.metadata.labels["kubernetes.io/hostname"] == NODE
    assert node.metadata.labels["zone"] == "a"
    assert node.status["capacity"]["pods"] == "110"
    assert node.status["nodeInfo"]["kubeletVersion"] == "v1.37.0+kplane"
    assert node.status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert condition_of(node.status, "Ready")["reason"] == "KubeletReady"
    assert node.spec["podCIDR"] == "10.1.0.0/24"


async def test_node_that_exists_keeps_its_own_labels(cluster: FakeCluster, tmp_path: Path) -> None:
    existing = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"own": "x"}}}
    cluster.load(existing)

    async with hollow_kubelet(cluster, tmp_path):
        await cluster.clock.advance_until(
            lambda: condition_of(node_of(cluster).status, "Ready").get("status") == "True"
        )

    labels = node_of(cluster).metadata.labels
    assert (labels["own"], labels["kubernetes.io/os"]) == ("x", "linux")


async def test_a_node_that_was_given_up_says_that_it_is_ready_as_soon_as_it_can(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    def readiness() -> str | None:
        return condition_of(node_of(cluster).status, "Ready").get("status") if node_exists() else None

    def node_exists() -> bool:
        return cluster.get(Node, Key("", NODE)) is not None

    async with hollow_kubelet(cluster, tmp_path):
        await cluster.clock.advance_until(lambda: readiness() == "True")
        for _ in range(60):
            cluster.faults.fail_next(times=20, plural="leases")
            await cluster.clock.advance(1)
        patch = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
        await cluster.client().patch(
            NodeView, NODE, "", patch, kind=PatchType.STRATEGIC, subresource="status"
        )
        cluster.faults.clear()
        await cluster.clock.advance_until(lambda: readiness() == "True", limit=15)


async def test_lease_is_renewed_every_ten_seconds_and_owned_by_the_node(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    def lease() -> Lease | None:
        return cluster.get(Lease, Key("kube-node-lease", NODE))

    async with hollow_kubelet(cluster, tmp_path):
        await cluster.clock.advance_until(lambda: lease() is not None)
        first = lease()
        await cluster.clock.advance(10)
        second = lease()

    assert first is not None
    assert second is not None
    assert first.spec.renew_time is not None
    assert second.spec.renew_time is not None
    assert (second.spec.renew_time - first.spec.renew_time).total_seconds() == 10
    assert [owner.kind for owner in second.metadata.owner_references] == ["Node"]


async def test_unchanged_node_status_is_sent_every_five_minutes_only(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    async with hollow_kubelet(cluster, tmp_path):
        await cluster.clock.advance(20)
        settled = node_of(cluster).metadata.resource_version
        await cluster.clock.advance(200)
        later = node_of(cluster).metadata.resource_version
        await cluster.clock.advance(120)

    assert later == settled
    assert node_of(cluster).metadata.resource_version != settled


async def test_node_is_not_ready_while_the_runtime_is_down_and_recovers(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    def ready() -> Any:
        return condition_of(node_of(cluster).status, "Ready")

    async def down() -> list[RuntimeCondition]:
        raise RuntimeUnavailable("rpc error: code = Unavailable desc = connection refused")

    async with hollow_kubelet(cluster, tmp_path) as runtime:
        await cluster.clock.advance(10)
        answering, runtime.conditions = runtime.conditions, down  # type: ignore[method-assign]
        await cluster.clock.advance_until(lambda: ready()["status"] == "False", limit=60)
        broken = ready()
        runtime.conditions = answering  # type: ignore[method-assign]
        await cluster.clock.advance_until(lambda: ready()["status"] == "True", limit=20)

    assert (broken["reason"], broken["message"]) == ("KubeletNotReady", "container runtime is down")


async def test_pod_becomes_running_and_ready_with_an_address(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(web())

    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running")

        status = status_of(cluster, "web")
    assert status["podIP"].startswith("10.1.0.")
    assert condition_of(status, "Ready")["status"] == "True"
    assert status["qosClass"] == "BestEffort"


async def test_pod_of_another_node_is_left_alone(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(make_pod(node="another"), make_pod("mine", node=NODE))

    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running", "mine")

    assert status_of(cluster, "web")["phase"] == "Pending"


async def test_pod_of_a_job_succeeds(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(
        make_pod(node=NODE, labels={"batch.kubernetes.io/job-name": "job"}, restartPolicy="OnFailure")
    )

    async with hollow_kubelet(cluster, tmp_path) as runtime:
        await until_phase(cluster, "Succeeded")

        assert not any(sandbox.ready for sandbox in await runtime.list_sandboxes())
    assert condition_of(status_of(cluster, "web"), "Ready")["reason"] == "PodCompleted"


async def test_init_containers_run_before_the_others(cluster: FakeCluster, tmp_path: Path) -> None:
    init = [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]
    cluster.load(make_pod(node=NODE, initContainers=init))

    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running")

    statuses = status_of(cluster, "web")["initContainerStatuses"]
    assert [entry["state"]["terminated"]["reason"] for entry in statuses] == ["Completed", "Completed"]


async def test_crashing_container_backs_off_and_restarts(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(web())

    def waiting() -> str:
        state = status_of(cluster, "web")["containerStatuses"][0]["state"]
        return str(state.get("waiting", {}).get("reason", ""))

    def restarts() -> int:
        return int(status_of(cluster, "web")["containerStatuses"][0]["restartCount"])

    async with hollow_kubelet(cluster, tmp_path) as runtime:
        await until_phase(cluster, "Running")
        await crash(runtime)
        await cluster.clock.advance_until(lambda: restarts() == 1, limit=2)
        await crash(runtime)
        await cluster.clock.advance_until(lambda: waiting() == "CrashLoopBackOff", limit=2)
        begun = cluster.clock.monotonic()
        await cluster.clock.advance_until(lambda: restarts() == 2, limit=20)

        assert 8 < cluster.clock.monotonic() - begun <= 11
    assert "BackOff" in reasons(cluster)


async def crash(runtime: Any) -> None:
    """End the running containers as if by themselves."""
    for container in await runtime.list_containers():
        if container.state is ContainerState.RUNNING:
            await runtime.stop_container(container.id, 0)


async def test_deleted_pod_is_stopped_and_removed(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(web(lifecycle=HOOK))

    async with hollow_kubelet(cluster, tmp_path) as runtime:
        await until_phase(cluster, "Running")
        await cluster.client().delete(Pod, "web", "default")
        begun = cluster.clock.monotonic()
        await cluster.clock.advance_until(lambda: not status_of(cluster, "web"), limit=30)
        took = cluster.clock.monotonic() - begun
        await cluster.clock.advance(1)

        assert await runtime.list_sandboxes() == []
    assert 5 <= took < 7, "preStop sleeps five seconds"
    assert "Killing" in reasons(cluster)


async def test_shorter_grace_cuts_a_long_deletion_short(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(web(lifecycle={"preStop": {"sleep": {"seconds": 25}}}))

    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running")
        await cluster.client().delete(Pod, "web", "default")
        await cluster.clock.advance(3)
        await cluster.client().delete(Pod, "web", "default", grace_seconds=1)
        begun = cluster.clock.monotonic()
        await cluster.clock.advance_until(lambda: not status_of(cluster, "web"), limit=30)

        assert cluster.clock.monotonic() - begun < 5


async def test_pod_that_vanished_from_the_api_is_stopped(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(web())

    async with hollow_kubelet(cluster, tmp_path) as runtime:
        await until_phase(cluster, "Running")
        cluster.delete(Pod, Key("default", "web"))
        await cluster.clock.advance(5)

        assert await runtime.list_sandboxes() == []


async def test_pod_with_a_deadline_fails(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(make_pod(node=NODE, activeDeadlineSeconds=20))

    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running")
        await until_phase(cluster, "Failed")

    assert status_of(cluster, "web")["reason"] == "DeadlineExceeded"


async def test_readiness_follows_the_probe_thresholds(cluster: FakeCluster, tmp_path: Path) -> None:
    probe = {"exec": {"command": ["x"]}, "initialDelaySeconds": 5, "periodSeconds": 2, "successThreshold": 2}
    cluster.load(web(readinessProbe=probe))

    def ready() -> bool:
        return condition_of(status_of(cluster, "web"), "Ready").get("status") == "True"

    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running")
        begun = cluster.clock.monotonic()
        await cluster.clock.advance_until(ready, limit=60)

        assert 6 <= cluster.clock.monotonic() - begun <= 8


async def test_kubelet_that_starts_again_finds_its_pods_running(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(web())
    async with hollow_kubelet(cluster, tmp_path) as runtime:
        await until_phase(cluster, "Running")
    before = status_of(cluster, "web")

    async with hollow_kubelet(cluster, tmp_path, runtime=runtime):
        await cluster.clock.advance(30)

    assert status_of(cluster, "web") == before


async def test_pod_that_does_not_fit_is_refused(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(make_pod(node=NODE, requests={"cpu": "20"}))

    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running")
        cluster.load(make_pod("late", node=NODE, requests={"cpu": "20"}))
        await until_phase(cluster, "Failed", "late")

    refused = status_of(cluster, "late")
    assert refused["reason"] == "OutOfcpu"
    assert refused["message"] == (
        "Pod was rejected: Node didn't have enough resource: cpu, "
        "requested: 20000, used: 20000, capacity: 32000"
    )


async def test_pod_whose_host_port_is_taken_is_refused(cluster: FakeCluster, tmp_path: Path) -> None:
    def listening(name: str, **port: Any) -> Any:
        made = make_pod(name, node=NODE)
        made["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 8080, **port}]
        return made

    cluster.load(listening("first"))
    async with hollow_kubelet(cluster, tmp_path):
        await until_phase(cluster, "Running", "first")
        cluster.load(listening("same"), listening("other", protocol="UDP"))
        await until_phase(cluster, "Failed", "same")
        await until_phase(cluster, "Running", "other")

    refused = status_of(cluster, "same")
    assert (refused["reason"], refused["message"]) == (
        "NodePorts",
        "Pod was rejected: Predicate NodePorts failed: "
        "node(s) didn't have free ports for the requested pod ports",
    )


async def test_sandbox_that_cannot_be_made_is_tried_again(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(web())
    async with hollow_kubelet(cluster, tmp_path) as runtime:

        async def broken(_config: Any) -> str:
            raise RuntimeUnavailable("rpc error: code = Unavailable desc = connection refused")

        working, runtime.run_sandbox = runtime.run_sandbox, broken  # type: ignore[method-assign,assignment]
        await cluster.clock.advance_until(lambda: "FailedCreatePodSandBox" in reasons(cluster), limit=30)
        runtime.run_sandbox = working  # type: ignore[method-assign]
        await until_phase(cluster, "Running")

"""What controllers count, under the names that dashboards of Kubernetes look for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from kplane.api.clock import rfc3339
from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, Job, Pod, Service
from kplane.controllers.config import Config
from kplane.controllers.cronjob import CronJobController
from kplane.controllers.endpointslice import EndpointSliceController
from kplane.controllers.endpointslicemirroring import EndpointSliceMirroringController
from kplane.controllers.horizontalpodautoscaler.controller import HorizontalPodAutoscalerController
from kplane.controllers.horizontalpodautoscaler.monitor import Outcome
from kplane.controllers.job import JobController
from kplane.controllers.registry import CONTROLLERS
from kplane.controllers.replicaset import ReplicaSetController
from kplane.controllers.root_ca import RootCAPublisher
from kplane.controllers.storage.binder import VolumeBinder
from kplane.controllers.storage.ephemeral import EphemeralVolumeController
from kplane.controllers.ttl_after_finished import TTLAfterFinishedController
from kplane.testing.batch import make_cronjob, make_job
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_object, make_pod, make_pods, make_replicaset, make_service
from kplane.testing.storage import make_claim, make_storage_class, make_volume

Grown = Callable[..., float]


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def grown() -> Callable[..., Grown]:
    """By how much a sample has grown since it was first asked for."""

    def watch(name: str, **labels: str) -> Grown:
        before = value(name, **labels)
        return lambda: value(name, **labels) - before

    return watch


def run(cluster: FakeCluster, make: Callable[..., object]) -> None:
    context = cluster.context()
    controller = make(context)
    cluster.start(context.queue.run(controller.reconcile))  # type: ignore[attr-defined]


def end(cluster: FakeCluster, phase: str, **status: object) -> None:
    """Every Pod of the cluster ends so."""
    for pod in cluster.list(Pod.API.as_type(dict)):
        cluster.load(pod | {"status": {"phase": phase, **status}})


async def test_a_job_is_counted_from_its_first_look_to_its_end(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    labels = {"completion_mode": "Indexed", "result": "success"}
    created = grown("job_controller_job_syncs_total", action="pods_created", **labels)
    looked = grown("job_controller_job_sync_duration_seconds_count", action="pods_created", **labels)
    made = grown("job_controller_job_pods_creation_total", reason="new", status="succeeded")
    pods = grown("job_controller_job_pods_finished_total", completion_mode="Indexed", result="succeeded")
    done = grown(
        "job_controller_jobs_finished_total",
        completion_mode="Indexed", result="succeeded", reason="CompletionsReached",
    )  # fmt: skip
    indexes = grown("job_controller_job_finished_indexes_total", status="succeeded", backoffLimit="global")
    added = grown("job_controller_terminated_pods_tracking_finalizer_total", event="add")
    removed = grown("job_controller_terminated_pods_tracking_finalizer_total", event="delete")
    cluster.load(make_job(completions=3, parallelism=3, completionMode="Indexed"))
    run(cluster, JobController)
    await cluster.advance(2)
    end(cluster, "Succeeded")
    await cluster.advance(5)

    assert [created(), looked(), made()] == [1, 1, 3]
    assert [pods(), done(), indexes()] == [3, 1, 3]
    assert [added(), removed()] == [3, 3]


async def test_what_a_failure_policy_decides_is_counted_once(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    ignored = grown("job_controller_pod_failures_handled_by_failure_policy_total", action="Ignore")
    again = grown("job_controller_job_pods_creation_total", reason="new", status="succeeded")
    rule = {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}
    cluster.load(make_job(podFailurePolicy={"rules": [rule]}, podReplacementPolicy="Failed"))
    run(cluster, JobController)
    await cluster.advance(2)
    ended = {"exitCode": 42, "finishedAt": rfc3339(cluster.clock.now())}
    end(cluster, "Failed", containerStatuses=[{"name": "work", "state": {"terminated": ended}}])
    await cluster.advance(30)
    assert ignored() == 1
    assert again() == 2


async def test_a_refused_pod_and_a_look_that_fails_are_counted(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    refused = grown("job_controller_job_pods_creation_total", reason="new", status="failed")
    failed = grown(
        "job_controller_job_syncs_total",
        completion_mode="NonIndexed", result="error", action="pods_created",
    )  # fmt: skip
    cluster.load(make_job())
    cluster.faults.fail_next(InternalError("broken"), plural="pods", methods=("POST",))
    run(cluster, JobController)
    await cluster.settle()
    assert [refused(), failed()] == [1, 1]


async def test_jobs_of_other_controllers_are_counted(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    theirs = grown("job_controller_jobs_by_external_controller_total", controller_name="example.com/queue")
    cluster.load(make_job(managedBy="example.com/queue"))
    run(cluster, JobController)
    await cluster.settle()
    assert theirs() == 1


async def test_how_late_a_run_starts_is_observed(cluster: FakeCluster, grown: Callable[..., Grown]) -> None:
    started = grown("cronjob_controller_job_creation_skew_duration_seconds_count")
    seconds = grown("cronjob_controller_job_creation_skew_duration_seconds_sum")
    cluster.load(make_cronjob(schedule="*/5 * * * *"))
    await cluster.clock.advance(302)
    run(cluster, CronJobController)
    await cluster.settle()
    assert started() == 1
    assert 1 <= seconds() <= 3


async def test_deleted_pods_are_compared_with_the_youngest(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    observed = grown("replicaset_controller_sorting_deletion_age_ratio_count")
    total = grown("replicaset_controller_sorting_deletion_age_ratio_sum")
    await cluster.clock.advance(1000)
    owner = make_replicaset(replicas=1)
    pods = make_pods(3, owner=owner, node="node-1", ready=True)
    for age, pod in zip((1000, 450, 200), pods, strict=True):
        pod["metadata"]["creationTimestamp"] = rfc3339(cluster.clock.now() - timedelta(seconds=age))
    cluster.load(owner, *pods)
    run(cluster, ReplicaSetController)
    await cluster.settle()
    assert observed() == 2
    assert total() == 3, "200 s to 200 s, and 450 s to 200 s in whole numbers"


async def test_endpoints_and_slices_are_counted(cluster: FakeCluster, grown: Callable[..., Grown]) -> None:
    created = grown("endpoint_slice_controller_changes", operation="create")
    synced = grown("endpoint_slice_controller_syncs", result="success")
    added = grown("endpoint_slice_controller_endpoints_added_per_sync_sum")
    removed = grown("endpoint_slice_controller_endpoints_removed_per_sync_sum")
    cluster.load(make_node(), make_service())
    pods = [make_pod(f"web-{n}", node="node-1", ready=True, ip=f"10.0.0.{n}") for n in range(1, 4)]
    cluster.load(*pods)
    run(cluster, EndpointSliceController)
    await cluster.settle()
    full = [
        value(f"endpoint_slice_controller_{name}") for name in ("endpoints_desired", "num_endpoint_slices")
    ]

    cluster.delete(Pod, Key("default", "web-1"))
    await cluster.advance(2)

    assert full == [3, 1]
    assert value("endpoint_slice_controller_endpoints_desired") == 2
    assert value("endpoint_slice_controller_desired_endpoint_slices") == 1
    assert [created(), added(), removed()] == [1, 3, 1]
    assert synced() >= 2


async def test_services_are_counted_by_their_traffic_distribution(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    changed = {
        labels: grown(
            "endpoint_slice_controller_endpointslices_changed_per_sync_sum",
            topology=labels[0],
            traffic_distribution=labels[1],
        )
        for labels in (("Disabled", "PreferClose"), ("Disabled", "PreferSameNode"), ("Auto", ""))
    }
    automatic = make_service("auto", trafficDistribution="PreferClose")
    automatic["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": "Auto"}
    cluster.load(
        make_service("a", trafficDistribution="PreferClose"),
        make_service("b", trafficDistribution="PreferSameNode"),
        make_service("c", trafficDistribution="PreferSameZone"),
        make_service("plain"),
        automatic,
    )
    run(cluster, EndpointSliceController)
    await cluster.settle()

    def count(distribution: str) -> float:
        name = "endpoint_slice_controller_services_count_by_traffic_distribution"
        return value(name, traffic_distribution=distribution)

    assert [count("PreferClose"), count("ImplementationSpecific")] == [1, 2]
    cluster.delete(Service, Key("default", "b"))
    cluster.load(make_service("a"))
    await cluster.settle()
    assert [count("PreferClose"), count("ImplementationSpecific")] == [0, 1]
    assert [number() for number in changed.values()] == [1, 1, 1]


async def test_mirroring_is_counted(cluster: FakeCluster, grown: Callable[..., Grown]) -> None:
    prefix = "endpoint_slice_mirroring_controller_"
    steps = [
        grown(f"{prefix}{name}_per_sync_sum")
        for name in ("endpoints_added", "endpoints_updated", "endpoints_removed", "addresses_skipped")
    ]
    changes = [grown(f"{prefix}changes", operation=verb) for verb in ("create", "update", "delete")]
    took = grown(f"{prefix}endpoints_sync_duration_count")

    def written(ready: str, unready: str) -> Object:
        subset = {
            "addresses": [{"ip": ready}, {"ip": "nonsense"}],
            "notReadyAddresses": [{"ip": unready}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
        return make_object("v1", "Endpoints", "web", "default", subsets=[subset])

    cluster.load(make_service(selector=None), written("10.0.0.1", "10.0.0.2"))
    run(cluster, EndpointSliceMirroringController)
    await cluster.settle()
    sizes = [value(f"{prefix}{name}") for name in ("endpoints_desired", "num_endpoint_slices")]

    cluster.load(written("10.0.0.2", "10.0.0.3"))
    await cluster.settle()
    cluster.delete(Endpoints, Key("default", "web"))
    await cluster.settle()

    assert sizes == [2, 1]
    assert [step() for step in steps[:3]] == [3, 1, 1]
    assert steps[3]() >= 2
    assert [change() for change in changes] == [1, 1, 1]
    assert took() >= 3
    assert value(f"{prefix}desired_endpoint_slices") == 0


async def test_volumes_and_claims_are_counted_as_they_are_now(cluster: FakeCluster) -> None:
    mine = {"namespace": "default", "storage_class": "slow", "volume_attributes_class": "gold"}
    cluster.load(
        make_volume("a", storage_class="slow", phase="Bound", claim=make_claim()),
        make_volume("b", storage_class="slow", hostPath={"path": "/b"}),
        make_claim("wanting", storage_class="slow", volumeAttributesClassName="gold"),
    )
    VolumeBinder(cluster.context())

    assert value("pv_collector_bound_pv_count", storage_class="slow") == 1
    assert value("pv_collector_unbound_pv_count", storage_class="slow") == 1
    assert value("pv_collector_unbound_pvc_count", **mine) == 1
    for plugin in ("kubernetes.io/csi:csi.example.com", "kubernetes.io/host-path"):
        assert value("pv_collector_total_pv_count", plugin_name=plugin, volume_mode="Filesystem") == 1


async def test_claims_of_ephemeral_volumes_are_counted(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    tried = grown("ephemeral_volume_controller_create_total")
    failed = grown("ephemeral_volume_controller_create_failures_total")
    source: Object = {"volumeClaimTemplate": {"spec": {}}}
    cluster.load(make_pod(volumes=[{"name": "scratch", "ephemeral": source}]))
    cluster.faults.fail_next(InternalError("broken"), plural="persistentvolumeclaims")
    run(cluster, EphemeralVolumeController)
    await cluster.advance(5)
    assert [tried(), failed()] == [2, 1]


async def test_how_late_a_finished_job_goes_is_observed(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    gone = grown("ttl_after_finished_controller_job_deletion_duration_seconds_count")
    done = {"type": "Complete", "status": "True", "lastTransitionTime": rfc3339(cluster.clock.now())}
    cluster.load(make_job(ttlSecondsAfterFinished=10, status={"conditions": [done]}))
    run(cluster, TTLAfterFinishedController)
    await cluster.advance(20)
    found = cluster.get(Job, Key("default", "work"))
    assert found is None or found.metadata.deletion_timestamp is not None
    assert gone() == 1


async def test_attempts_to_publish_the_authority_are_counted_by_their_answer(
    cluster: FakeCluster, grown: Callable[..., Grown], tmp_path: Path
) -> None:
    done, failed = (grown("root_ca_cert_publisher_sync_total", code=code) for code in ("200", "500"))
    authority = tmp_path / "ca.crt"
    authority.write_text("an authority")
    cluster.load(make_object("v1", "Namespace", "web"))
    publisher = RootCAPublisher(cluster.context(options=Config(root_ca_file=authority)))
    cluster.faults.fail_next(InternalError("broken"), times=1, plural="configmaps")
    with pytest.raises(InternalError):
        await publisher.reconcile(Key("", "web"))
    await publisher.reconcile(Key("", "web"))
    assert (done(), failed()) == (1, 1)


async def test_claims_that_get_a_class_afterwards_are_counted(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    given, failed = (grown(f"retroactive_storageclass_{end}") for end in ("total", "errors_total"))
    cluster.load(make_claim(storage_class=None), make_storage_class(default=True))
    cluster.faults.fail_next(InternalError("broken"), times=1, plural="persistentvolumeclaims")
    run(cluster, VolumeBinder)
    await cluster.advance(5)
    assert given() >= 1
    assert failed() == 1


@pytest.mark.parametrize(
    ("outcome", "action"),
    [
        pytest.param(Outcome(2, 4), "scale_up", id="more"),
        pytest.param(Outcome(4, 2), "scale_down", id="fewer"),
        pytest.param(Outcome(2, 2), "none", id="as-many"),
        pytest.param(Outcome(2, 4, "internal"), "none", id="failed"),
        pytest.param(Outcome(2, 4, "internal", scaled=True), "scale_up", id="more-though-some-of-it-failed"),
    ],
)
def test_a_look_at_an_autoscaler_is_named_after_what_came_of_it(outcome: Outcome, action: str) -> None:
    assert outcome.action == action


async def test_a_look_at_an_autoscaler_that_comes_to_nothing_is_counted(
    cluster: FakeCluster, grown: Callable[..., Grown]
) -> None:
    looks = grown(
        "horizontal_pod_autoscaler_controller_reconciliations_total", action="none", error="internal"
    )
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "no"}, "maxReplicas": 3}
    cluster.load(make_object("autoscaling/v2", "HorizontalPodAutoscaler", "web", "default", spec=spec))
    run(cluster, HorizontalPodAutoscalerController)
    await cluster.settle()
    assert looks() == 1


NAMES = """
attach_detach_controller_attachdetach_controller_forced_detaches
attachdetach_controller_total_volumes
clustertrustbundle_publisher_sync_duration_seconds
clustertrustbundle_publisher_sync_total
cronjob_controller_job_creation_skew_duration_seconds
dynamic_resource_allocation_resource_claims
dynamic_resource_allocation_resourceclaim_creates_total
endpoint_slice_controller_changes
endpoint_slice_controller_desired_endpoint_slices
endpoint_slice_controller_endpoints_added_per_sync
endpoint_slice_controller_endpoints_desired
endpoint_slice_controller_endpoints_removed_per_sync
endpoint_slice_controller_endpointslices_changed_per_sync
endpoint_slice_controller_num_endpoint_slices
endpoint_slice_controller_services_count_by_traffic_distribution
endpoint_slice_controller_syncs
endpoint_slice_mirroring_controller_addresses_skipped_per_sync
endpoint_slice_mirroring_controller_changes
endpoint_slice_mirroring_controller_desired_endpoint_slices
endpoint_slice_mirroring_controller_endpoints_added_per_sync
endpoint_slice_mirroring_controller_endpoints_desired
endpoint_slice_mirroring_controller_endpoints_removed_per_sync
endpoint_slice_mirroring_controller_endpoints_sync_duration
endpoint_slice_mirroring_controller_endpoints_updated_per_sync
endpoint_slice_mirroring_controller_num_endpoint_slices
ephemeral_volume_controller_create_failures_total
ephemeral_volume_controller_create_total
garbagecollector_controller_resources_sync_error_total
horizontal_pod_autoscaler_controller_metric_computation_duration_seconds
horizontal_pod_autoscaler_controller_metric_computation_total
horizontal_pod_autoscaler_controller_reconciliation_duration_seconds
horizontal_pod_autoscaler_controller_reconciliations_total
job_controller_job_finished_indexes_total
job_controller_job_pods_creation_total
job_controller_job_pods_finished_total
job_controller_job_sync_duration_seconds
job_controller_job_syncs_total
job_controller_jobs_by_external_controller_total
job_controller_jobs_finished_total
job_controller_pod_failures_handled_by_failure_policy_total
job_controller_terminated_pods_tracking_finalizer_total
node_collector_evictions_total
pv_collector_bound_pv_count
pv_collector_bound_pvc_count
pv_collector_total_pv_count
pv_collector_unbound_pv_count
pv_collector_unbound_pvc_count
replicaset_controller_sorting_deletion_age_ratio
retroactive_storageclass_errors_total
retroactive_storageclass_total
root_ca_cert_publisher_sync_duration_seconds
root_ca_cert_publisher_sync_total
taint_eviction_controller_pod_deletion_duration_seconds
taint_eviction_controller_pod_deletions_total
ttl_after_finished_controller_job_deletion_duration_seconds
"""


def test_the_names_are_upstreams() -> None:
    assert CONTROLLERS
    text = generate_latest().decode()
    assert [name for name in NAMES.split() if f"# TYPE {name} " not in text] == []

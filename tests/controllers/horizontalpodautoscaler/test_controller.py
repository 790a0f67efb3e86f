"""Autoscalers set the scale of their targets, and say why they do or do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.errors import Conflict, Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types.meta import condition
from kplane.controllers.config import Config
from kplane.controllers.horizontalpodautoscaler.controller import HorizontalPodAutoscalerController
from kplane.controllers.horizontalpodautoscaler.views import HorizontalPodAutoscaler
from kplane.testing.autoscaling import FakeMetrics, ScaledCluster
from kplane.testing.discoverable import DiscoverableCluster
from kplane.testing.objects import make_object, make_pod

KEY = Key("default", "web")
CPU: Object = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
QUEUE: Object = {
    "type": "External",
    "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}},
}
CUSTOM: Object = {"kind": "APIGroup", "preferredVersion": {"version": "v1beta2"}}


@pytest_asyncio.fixture
async def scaled() -> AsyncIterator[ScaledCluster]:
    async with DiscoverableCluster() as cluster:
        metrics = FakeMetrics(cluster)
        metrics.set_scale(3)
        yield ScaledCluster(cluster, metrics)


def run(scaled: ScaledCluster) -> None:
    context = scaled.context(Config())
    scaled.cluster.start(context.queue.run(HorizontalPodAutoscalerController(context).reconcile))


def scaler(*metrics: Object, name: str = "web", least: int = 1, most: int = 10, **spec: Any) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    whole = {
        "scaleTargetRef": target,
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": list(metrics or (CPU,)),
    }
    return make_object(
        "autoscaling/v2", "HorizontalPodAutoscaler", name, "default", spec=whole | spec, status={}
    )


OLD = "2020-01-01T00:00:00Z"
READY = {"type": "Ready", "status": "True", "lastTransitionTime": OLD}
RUNNING = {"phase": "Running", "startTime": OLD, "conditions": [READY]}


def pods(count: int = 3) -> list[Object]:
    return [make_pod(f"web-{number}", requests={"cpu": "1"}) | {"status": RUNNING} for number in range(count)]


def busy(scaled: ScaledCluster, cpu: str, count: int = 3) -> None:
    scaled.metrics.set_usage({f"web-{number}": {"web": cpu} for number in range(count)})


def found(scaled: ScaledCluster, name: str = "web") -> HorizontalPodAutoscaler:
    entry: HorizontalPodAutoscaler | None = scaled.cluster.get(HorizontalPodAutoscaler, Key("default", name))
    assert entry is not None
    return entry


def says(scaled: ScaledCluster, kind: str) -> tuple[str, str, str]:
    entry = condition(found(scaled).status.conditions, kind)
    assert entry is not None
    return entry.status, entry.reason, entry.message


def told(scaled: ScaledCluster) -> list[tuple[str, str]]:
    return [(event.reason, event.message) for event in scaled.cluster.events()]


async def test_a_busy_target_is_scaled_up(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "900m")
    run(scaled)
    await scaled.cluster.settle()

    assert scaled.metrics.replicas == 6
    status = found(scaled).status
    assert (status.current_replicas, status.desired_replicas) == (3, 6)
    assert status.last_scale_time == scaled.cluster.clock.now()
    assert status.observed_generation == 1
    assert status.current_metrics == (
        {
            "type": "Resource",
            "resource": {"name": "cpu", "current": {"averageUtilization": 90, "averageValue": "900m"}},
        },
    )
    assert says(scaled, "AbleToScale") == (
        "True", "SucceededRescale", "the HPA controller was able to update the target scale to 6",
    )  # fmt: skip
    assert says(scaled, "ScalingActive") == (
        "True", "ValidMetricFound",
        "the HPA was able to successfully calculate a replica count from cpu resource utilization "
        "(percentage of request)",
    )  # fmt: skip
    assert says(scaled, "ScalingLimited")[:2] == ("False", "DesiredWithinRange")
    assert told(scaled) == [
        (
            "SuccessfulRescale",
            "New size: 6; reason: cpu resource utilization (percentage of request) above target",
        )
    ]
    assert scaled.metrics.asked[0] == (
        "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", {"labelSelector": "app=web"},
    )  # fmt: skip


async def test_an_idle_target_is_scaled_down_when_the_window_has_passed(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "100m")
    run(scaled)
    await scaled.cluster.advance(290)
    early, why = scaled.metrics.replicas, says(scaled, "AbleToScale")
    await scaled.cluster.advance(30)
    assert (early, why[1]) == (3, "ScaleDownStabilized")
    assert scaled.metrics.replicas == 1
    assert told(scaled) == [("SuccessfulRescale", "New size: 1; reason: All metrics below target")]


async def test_metrics_are_looked_at_every_15_seconds(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "500m")
    run(scaled)
    await scaled.cluster.advance(60)
    assert len(scaled.metrics.asked) == 5
    assert says(scaled, "AbleToScale")[1] == "ReadyForNewScale"


@pytest.mark.parametrize(
    ("replicas", "want", "reason"),
    [
        pytest.param(20, 10, "Current number of replicas above Spec.MaxReplicas", id="too-many"),
        pytest.param(1, 2, "Current number of replicas below Spec.MinReplicas", id="too-few"),
    ],
)
async def test_bounds_hold_without_metrics(
    scaled: ScaledCluster, replicas: int, want: int, reason: str
) -> None:
    scaled.metrics.set_scale(replicas)
    scaled.cluster.load(scaler(least=2))
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == want
    assert told(scaled) == [("SuccessfulRescale", f"New size: {want}; reason: {reason}")]


async def test_a_target_without_replicas_is_left_alone(scaled: ScaledCluster) -> None:
    scaled.metrics.set_scale(0)
    scaled.cluster.load(scaler())
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == 0
    assert says(scaled, "ScalingActive") == (
        "False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero",
    )  # fmt: skip


async def test_missing_metrics_are_told_and_change_nothing(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == 3
    why = (
        "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from "
        "resource metrics API: the server could not find it"
    )
    assert says(scaled, "ScalingActive") == (
        "False", "FailedGetResourceMetric", f"the HPA was unable to compute the replica count: {why}",
    )  # fmt: skip
    assert told(scaled) == [
        ("FailedGetResourceMetric", why),
        (
            "FailedComputeMetricsReplicas",
            "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: "
            + why,
        ),
    ]
    busy(scaled, "1")
    await scaled.cluster.advance(16)
    assert scaled.metrics.replicas == 6


@pytest.mark.parametrize(
    ("cpu", "replicas"), [pytest.param("1", 6, id="up-all-the-same"), pytest.param("0", 3, id="not-down")]
)
async def test_a_metric_that_fails_beside_others_only_keeps_from_going_down(
    scaled: ScaledCluster, cpu: str, replicas: int
) -> None:
    scaled.cluster.load(scaler(CPU, QUEUE), *pods())
    busy(scaled, cpu)
    run(scaled)
    await scaled.cluster.advance(400)
    assert scaled.metrics.replicas == replicas


async def test_of_several_metrics_the_highest_counts(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(CPU, QUEUE), *pods())
    busy(scaled, "100m")
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"
    scaled.metrics.answers[path] = {"items": [{"value": "30"}, {"value": "20"}]}
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == 5
    assert told(scaled)[0][1] == "New size: 5; reason: external metric queue(nil) above target"


async def test_a_container_is_judged_apart(scaled: ScaledCluster) -> None:
    metric = {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "web", "target": CPU["resource"]["target"]},
    }
    scaled.cluster.load(scaler(metric), *pods())
    usage = {f"web-{n}": {"web": "1", "sidecar": "9"} for n in range(3)}
    scaled.metrics.set_usage(usage)
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == 6
    assert found(scaled).status.current_metrics == (
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": "cpu",
                "container": "web",
                "current": {"averageUtilization": 100, "averageValue": "1"},
            },
        },
    )


async def test_a_metric_of_pods_is_averaged(scaled: ScaledCluster) -> None:
    metric = {
        "type": "Pods",
        "pods": {
            "metric": {"name": "requests", "selector": {"matchLabels": {"verb": "GET"}}},
            "target": {"type": "AverageValue", "averageValue": "100"},
        },
    }
    base = "/apis/custom.metrics.k8s.io"
    scaled.metrics.answers[base] = CUSTOM
    scaled.metrics.answers[f"{base}/v1beta2/namespaces/default/pods/*/requests"] = {
        "items": [{"describedObject": {"name": f"web-{n}"}, "value": "150"} for n in range(3)]
    }
    scaled.cluster.load(scaler(metric), *pods())
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == 5
    assert scaled.metrics.asked[-1][1] == {"labelSelector": "app=web", "metricLabelSelector": "verb=GET"}


@pytest.mark.parametrize(
    ("target", "replicas"),
    [
        pytest.param({"type": "Value", "value": "10"}, 6, id="value"),
        pytest.param({"type": "AverageValue", "averageValue": "5"}, 4, id="average"),
    ],
)
async def test_a_metric_of_another_object_is_followed(
    scaled: ScaledCluster, target: Object, replicas: int
) -> None:
    described = {"apiVersion": "v1", "kind": "Service", "name": "front"}
    metric = {
        "type": "Object",
        "object": {"metric": {"name": "hits"}, "describedObject": described, "target": target},
    }
    base = "/apis/custom.metrics.k8s.io"
    scaled.metrics.answers[base] = CUSTOM
    path = f"{base}/v1beta2/namespaces/default/services/front/hits"
    scaled.metrics.answers[path] = {"items": [{"value": "20"}]}
    scaled.cluster.load(scaler(metric), *pods())
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == replicas


async def test_behavior_limits_the_rate(scaled: ScaledCluster) -> None:
    slow = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
    scaled.cluster.load(scaler(behavior={"scaleUp": slow}), *pods())
    busy(scaled, "1")
    run(scaled)
    await scaled.cluster.advance(50)
    first, limited = scaled.metrics.replicas, says(scaled, "ScalingLimited")
    assert first == 4
    assert limited == (
        "True", "ScaleUpLimit",
        "the desired replica count is increasing faster than the maximum scale rate",
    )  # fmt: skip


async def test_a_missing_target_is_told(scaled: ScaledCluster) -> None:
    target = {"apiVersion": "example.com/v1", "kind": "Nothing", "name": "web"}
    scaled.cluster.load(scaler(scaleTargetRef=target))
    run(scaled)
    await scaled.cluster.settle()
    why = 'no matches for kind "Nothing" in group "example.com"'
    assert says(scaled, "AbleToScale") == (
        "False", "FailedGetScale",
        f"the HPA controller was unable to get the target's current scale: {why}",
    )  # fmt: skip
    assert told(scaled) == [("FailedGetScale", why)]


async def test_a_scale_that_is_refused_is_told(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    scaled.metrics.fail_scale = Forbidden("no")
    run(scaled)
    await scaled.cluster.settle()
    assert says(scaled, "AbleToScale")[:2] == ("False", "FailedGetScale")
    scaled.metrics.fail_scale = None
    await scaled.cluster.advance(16)
    assert says(scaled, "AbleToScale")[0] == "True"


async def test_a_scale_without_a_selector_is_told(scaled: ScaledCluster) -> None:
    scaled.metrics.set_scale(3, selector="")
    scaled.cluster.load(scaler())
    run(scaled)
    await scaled.cluster.settle()
    assert says(scaled, "ScalingActive") == (
        "False", "InvalidSelector", "the HPA target's scale is missing a selector",
    )  # fmt: skip


async def test_two_autoscalers_of_the_same_pods_change_nothing(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), scaler(name="other"), *pods())
    run(scaled)
    await scaled.cluster.settle()
    busy(scaled, "1")
    await scaled.cluster.advance(30)
    assert scaled.metrics.replicas == 3
    assert says(scaled, "ScalingActive") == (
        "False", "AmbiguousSelector",
        "pods by selector app=web are controlled by multiple HPAs: [default/other default/web]",
    )  # fmt: skip
    scaled.cluster.delete(HorizontalPodAutoscaler, Key("default", "other"))
    await scaled.cluster.advance(30)
    assert scaled.metrics.replicas == 6


async def test_nonsense_from_a_metrics_server_is_told(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "lots")
    run(scaled)
    await scaled.cluster.settle()
    assert says(scaled, "ScalingActive")[:2] == ("False", "FailedGetResourceMetric")


async def test_a_status_is_not_written_where_nothing_changed(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "500m")
    run(scaled)
    await scaled.cluster.advance(30)
    before = found(scaled).metadata.resource_version
    await scaled.cluster.advance(300)
    assert found(scaled).metadata.resource_version == before


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_fails_the_scale_is_right_in_the_end(scaled: ScaledCluster, seed: int) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "1")
    run(scaled)
    for turn in range(10):
        error = InternalError("broken") if (turn + seed) % 2 else Conflict("old")
        scaled.metrics.fail_scale = error if turn % 3 else None
        scaled.cluster.faults.fail_next(error, times=2, plural="horizontalpodautoscalers")
        scaled.cluster.faults.lose_next_answers(times=1, plural="horizontalpodautoscalers")
        scaled.cluster.drop_watches()
        await scaled.cluster.clock.advance(7 + seed)
    scaled.cluster.faults.clear()
    scaled.metrics.fail_scale = None
    await scaled.cluster.advance(120)
    # As the Deployment has it: more Pods, each less busy.
    assert scaled.metrics.replicas in (6, 10)
    assert says(scaled, "ScalingActive")[0] == "True"


async def test_a_metric_that_fails_has_an_empty_place_in_the_status(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(CPU, QUEUE), *pods())
    busy(scaled, "100m")
    run(scaled)
    await scaled.cluster.settle()
    shown = found(scaled).status.current_metrics
    assert shown is not None
    assert [entry["type"] for entry in shown] == ["Resource", ""]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        pytest.param(
            {"type": "AverageValue", "averageValue": "1"}, "failed to get queue external metric", id="average"
        ),
        pytest.param({"type": "Value", "value": "1"}, "failed to get external metric queue", id="value"),
    ],
)
async def test_an_external_metric_that_fails_is_told_with_its_selector(
    scaled: ScaledCluster, target: Object, said: str
) -> None:
    selector = {"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}
    metric = {"name": "queue", "selector": selector}
    scaled.cluster.load(
        scaler({"type": "External", "external": {"metric": metric, "target": target}}), *pods()
    )
    run(scaled)
    await scaled.cluster.settle()
    why = (
        "unable to get external metric default/queue/&LabelSelector{MatchLabels:map[string]string{a: 2,b: 1,}"
        ",MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:c,Operator:Exists,Values:[]"
        ",},},}: unable to fetch metrics from external metrics API: the server could not find it"
    )
    assert told(scaled) == [
        ("FailedGetExternalMetric", why),
        (
            "FailedComputeMetricsReplicas",
            "invalid metrics (1 invalid out of 1), first error is: failed to get queue external metric "
            f"value: {said}: {why}",
        ),
    ]


@pytest.mark.parametrize(
    ("selector", "reason", "said"),
    [
        pytest.param("", "SelectorRequired", "selector is required", id="none"),
        pytest.param("a in (", "InvalidSelector", "couldn't convert selector into", id="bad"),
    ],
)
async def test_a_selector_of_no_use_ends_in_an_event_about_the_computation(
    scaled: ScaledCluster, selector: str, reason: str, said: str
) -> None:
    scaled.metrics.set_scale(3, selector=selector)
    scaled.cluster.load(scaler())
    run(scaled)
    await scaled.cluster.settle()
    first, second = told(scaled)
    assert (first[0], second[0]) == (reason, "FailedComputeMetricsReplicas")
    assert first[1] == second[1]
    assert first[1].startswith(said)


async def test_a_scale_that_changed_meanwhile_is_read_anew(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "900m")
    scaled.metrics.conflicts = 4
    run(scaled)
    await scaled.cluster.settle()
    assert scaled.metrics.replicas == 6
    assert [reason for reason, _ in told(scaled)] == ["SuccessfulRescale"]


async def test_an_api_version_that_is_none_is_told(scaled: ScaledCluster) -> None:
    target = {"apiVersion": "apps/v1/more", "kind": "Deployment", "name": "web"}
    scaled.cluster.load(scaler(scaleTargetRef=target))
    run(scaled)
    await scaled.cluster.settle()
    assert told(scaled) == [("FailedGetScale", "unexpected GroupVersion string: apps/v1/more")]


async def test_huge_values_end_at_the_most_replicas_there_may_be(scaled: ScaledCluster) -> None:
    scaled.cluster.load(scaler(QUEUE, most=2**31 - 1), *pods())
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"
    scaled.metrics.answers[path] = {"items": [{"value": "9e18"}, {"value": "9e18"}]}
    run(scaled)
    await scaled.cluster.advance(700)
    assert scaled.metrics.replicas == 2**31 - 1
    assert says(scaled, "ScalingLimited")[:2] == ("True", "TooManyReplicas")


async def test_one_autoscaler_that_can_not_work_leaves_the_others_alone(scaled: ScaledCluster) -> None:
    nothing = {"apiVersion": "example.com/v1", "kind": "Nothing", "name": "web"}
    scaled.cluster.load(
        scaler(name="a-no-target", scaleTargetRef=nothing), scaler({"type": "Odd"}, name="b-odd"), scaler(),
        *pods(),
    )  # fmt: skip
    busy(scaled, "900m")
    run(scaled)
    # Those two select the same Pods: the odd one goes first.
    await scaled.cluster.settle()
    scaled.cluster.delete(HorizontalPodAutoscaler, Key("default", "b-odd"))
    await scaled.cluster.advance(16)
    assert scaled.metrics.replicas == 6
    assert condition(found(scaled, "a-no-target").status.conditions, "AbleToScale") is not None


async def test_a_container_that_is_not_measured_yet_counts_as_one_of_which_nothing_is_known(
    scaled: ScaledCluster,
) -> None:
    metric = {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "web", "target": CPU["resource"]["target"]},
    }
    scaled.cluster.load(scaler(metric), *pods())
    scaled.metrics.set_usage({"web-0": {"web": "1"}, "web-1": {"web": "1"}, "web-2": {"sidecar": "9"}})
    run(scaled)
    await scaled.cluster.settle()
    # Two are twice as busy as they should be, the third counts as idle.
    assert scaled.metrics.replicas == 4
    assert says(scaled, "ScalingActive")[:2] == ("True", "ValidMetricFound")


async def test_a_metric_of_another_object_that_is_missing_is_told_with_the_object(
    scaled: ScaledCluster,
) -> None:
    described = {"apiVersion": "v1", "kind": "Service", "name": "front"}
    source = {"metric": {"name": "hits"}, "describedObject": described}
    metric = {"type": "Object", "object": source | {"target": {"type": "Value", "value": "10"}}}
    scaled.metrics.answers["/apis/custom.metrics.k8s.io"] = CUSTOM
    scaled.cluster.load(scaler(metric), *pods())
    run(scaled)
    await scaled.cluster.settle()
    assert told(scaled)[0] == (
        "FailedGetObjectMetric",
        "unable to get metric hits on Service default/front: unable to fetch metrics from custom metrics "
        "API: the server could not find it",
    )


async def test_what_was_written_a_moment_ago_is_known_before_the_cache_shows_it(
    scaled: ScaledCluster,
) -> None:
    scaled.cluster.load(scaler(), *pods())
    busy(scaled, "900m")
    controller = HorizontalPodAutoscalerController(scaled.context(Config()))
    await scaled.cluster.settle()
    scaled.cluster.hold_watches()
    await controller.reconcile(KEY)
    written = found(scaled).status.last_scale_time
    scaled.metrics.set_usage({f"web-{n}": {"web": "500m"} for n in range(3)})
    await scaled.cluster.clock.advance(15)
    await controller.reconcile(KEY)
    assert written is not None
    assert found(scaled).status.last_scale_time == written

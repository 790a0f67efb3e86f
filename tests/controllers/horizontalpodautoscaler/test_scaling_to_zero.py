"""Targets go to zero where an outer metric allows it, and come back; whatever others set to zero stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.resource import Key, Object
from kplane.api.types.meta import condition
from kplane.controllers.config import Config
from kplane.controllers.horizontalpodautoscaler.controller import HorizontalPodAutoscalerController
from kplane.controllers.horizontalpodautoscaler.views import HorizontalPodAutoscaler
from kplane.testing.autoscaling import FakeMetrics, ScaledCluster
from kplane.testing.discoverable import DiscoverableCluster
from kplane.testing.objects import make_object

KEY = Key("default", "web")
SAMPLES = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"
QUEUE: Object = {
    "type": "External",
    "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}},
}
CPU: Object = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
ZEROED = ("True", "ScaledToZero", "the HPA controller scaled the workload to zero")
NOT_ZEROED = ("False", "NotScaledToZero", "the HPA controller did not scale the workload to zero")
DISABLED = (
    "False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero",
)  # fmt: skip


@pytest_asyncio.fixture
async def scaled() -> AsyncIterator[ScaledCluster]:
    async with DiscoverableCluster() as cluster:
        metrics = FakeMetrics(cluster)
        metrics.set_scale(1)
        yield ScaledCluster(cluster, metrics)


def start(scaled: ScaledCluster, least: int = 0, *, gate: bool = True, status: Object | None = None) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": 10, "metrics": [QUEUE]}
    kind = "HorizontalPodAutoscaler"
    scaled.cluster.load(make_object("autoscaling/v2", kind, "web", "default", spec=spec, status=status or {}))
    context = scaled.context(Config(feature_gates={"HPAScaleToZero": gate}))
    scaled.cluster.start(context.queue.run(HorizontalPodAutoscalerController(context).reconcile))


def queued(scaled: ScaledCluster, value: int) -> None:
    scaled.metrics.answers[SAMPLES] = {"items": [{"value": str(value)}]}


def said(scaled: ScaledCluster, kind: str) -> tuple[str, str, str] | None:
    scaler: Any = scaled.cluster.get(HorizontalPodAutoscaler, KEY)
    entry = condition(scaler.status.conditions, kind)
    return None if entry is None else (entry.status, entry.reason, entry.message)


async def edit(scaled: ScaledCluster, **spec: Any) -> None:
    client = scaled.context().client
    await client.patch(HorizontalPodAutoscaler, "web", "default", {"spec": spec})


async def idle(scaled: ScaledCluster) -> None:
    """The controller has scaled to zero."""
    queued(scaled, 0)
    start(scaled)
    await scaled.cluster.advance(320)
    assert scaled.metrics.replicas == 0


async def test_a_target_goes_to_zero_and_back(scaled: ScaledCluster) -> None:
    await idle(scaled)
    there = said(scaled, "ScaledToZero"), said(scaled, "ScalingActive")
    queued(scaled, 25)
    await scaled.cluster.advance(20)

    assert there[0] == ZEROED
    assert there[1] is not None
    assert there[1][:2] == ("True", "ValidMetricFound")
    assert scaled.metrics.replicas == 3
    assert said(scaled, "ScaledToZero") == NOT_ZEROED
    assert [event.message for event in scaled.cluster.events()] == [
        "New size: 0; reason: All metrics below target",
        "New size: 3; reason: external metric queue(nil) above target",
    ]


@pytest.mark.parametrize("least", [0, 1])
async def test_what_somebody_else_has_set_to_zero_stays(scaled: ScaledCluster, least: int) -> None:
    scaled.metrics.set_scale(0)
    queued(scaled, 25)
    start(scaled, least)
    await scaled.cluster.advance(20)

    assert scaled.metrics.replicas == 0
    assert said(scaled, "ScalingActive") == DISABLED
    assert said(scaled, "ScaledToZero") is None
    assert scaled.cluster.events() == []


async def test_a_raised_minimum_brings_an_idle_target_back(scaled: ScaledCluster) -> None:
    await idle(scaled)
    await edit(scaled, minReplicas=2)
    await scaled.cluster.advance(20)

    assert scaled.metrics.replicas == 2
    assert said(scaled, "ScaledToZero") == NOT_ZEROED
    last = scaled.cluster.events()[-1].message
    assert last == "New size: 2; reason: Current number of replicas below Spec.MinReplicas"


async def test_metrics_that_ask_for_more_than_the_raised_minimum_are_heard(scaled: ScaledCluster) -> None:
    await idle(scaled)
    queued(scaled, 35)
    await edit(scaled, minReplicas=2)
    await scaled.cluster.advance(20)

    assert [event.message for event in scaled.cluster.events()][1:] == [
        "New size: 4; reason: external metric queue(nil) above target",
    ]


async def test_an_idle_target_without_an_outer_metric_is_paused(scaled: ScaledCluster) -> None:
    await idle(scaled)
    await edit(scaled, metrics=[CPU])
    await scaled.cluster.advance(20)

    assert scaled.metrics.replicas == 0
    assert said(scaled, "ScalingActive") == DISABLED


async def test_set_to_zero_by_hand_after_a_change_of_the_controller_it_stays(scaled: ScaledCluster) -> None:
    queued(scaled, 25)
    start(scaled)
    await scaled.cluster.settle()
    before = scaled.metrics.replicas, said(scaled, "ScaledToZero")
    scaled.metrics.set_scale(0)
    await scaled.cluster.advance(20)

    assert before == (3, NOT_ZEROED)
    assert scaled.metrics.replicas == 0
    assert said(scaled, "ScalingActive") == DISABLED


async def test_without_the_gate_an_idle_target_is_not_marked_and_stays(scaled: ScaledCluster) -> None:
    queued(scaled, 0)
    start(scaled, gate=False)
    await scaled.cluster.advance(320)
    queued(scaled, 25)
    await scaled.cluster.advance(20)

    assert scaled.metrics.replicas == 0
    assert said(scaled, "ScaledToZero") is None
    assert said(scaled, "ScalingActive") == DISABLED


async def test_without_the_gate_a_mark_of_earlier_times_means_nothing(scaled: ScaledCluster) -> None:
    scaled.metrics.set_scale(0)
    queued(scaled, 25)
    mark = {"type": "ScaledToZero", "status": "True", "reason": "ScaledToZero", "message": ZEROED[2]}
    start(scaled, gate=False, status={"conditions": [mark]})
    await scaled.cluster.settle()

    assert scaled.metrics.replicas == 0
    assert said(scaled, "ScalingActive") == DISABLED

"""How many replicas samples ask for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kplane.api.types import Pod
from kplane.controllers.horizontalpodautoscaler.usage import (
    Delays,
    NoReplicas,
    PodsTarget,
    Sample,
    Tolerances,
    pods_replicas,
    requests,
    share_replicas,
    value_replicas,
)
from kplane.testing.objects import as_view, make_pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD = "2026-01-01T00:00:00Z"
NO_SAMPLES = r"did not receive metrics for targeted pods \(pods might be unready\)"


def pod(name: str, *, ready: bool = True, started: str = OLD, since: str = OLD, **options: Any) -> Pod:
    body = make_pod(name, requests={"cpu": "1"}, **({"phase": "Running"} | options))
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
    body["status"] |= {"startTime": started, "conditions": [condition]}
    return as_view(Pod, body)


def replicas(
    pods: list[Pod], values: Mapping[str, int], target: int = 50, *, utilization: bool = True, **up: float
) -> int:
    samples = {name: Sample(value, NOW) for name, value in values.items()}
    wanted = PodsTarget(target, "cpu", utilization)
    return pods_replicas(len(pods), pods, samples, wanted, Tolerances(**up), Delays(), NOW).replicas


def three(**options: Any) -> list[Pod]:
    return [pod(f"p{number}", **options) for number in range(3)]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        pytest.param((1000, 1000, 1000), 6, id="twice-the-target"),
        pytest.param((250, 250, 250), 2, id="half-the-target-rounded-up"),
        pytest.param((545, 545, 545), 3, id="a-little-more-is-tolerated"),
        pytest.param((455, 455, 455), 3, id="a-little-less-is-tolerated"),
        pytest.param((0, 0, 0), 0, id="idle"),
    ],
)
def test_utilization_follows_the_target(values: tuple[int, int, int], want: int) -> None:
    usage = {f"p{number}": value for number, value in enumerate(values)}
    assert replicas(three(), usage) == want


def test_average_values_follow_the_target() -> None:
    usage = {"p0": 100, "p1": 200, "p2": 300}
    assert replicas(three(), usage, 100, utilization=False) == 6


def test_tolerances_differ_by_direction() -> None:
    usage = dict.fromkeys(("p0", "p1", "p2"), 600)
    assert [replicas(three(), usage, up=0.1), replicas(three(), usage, up=0.25)] == [4, 3]


@pytest.mark.parametrize(
    ("usage", "want"),
    [
        pytest.param({"p0": 900, "p1": 900}, 4, id="idle-when-it-goes-up"),
        pytest.param({"p0": 100, "p1": 100}, 3, id="busy-when-it-goes-down"),
        pytest.param({"p0": 510}, 3, id="no-change-of-direction"),
        pytest.param({"p0": 500, "p1": 500}, 3, id="nothing-where-the-others-are-on-target"),
    ],
)
def test_pods_without_samples_temper_the_change(usage: dict[str, int], want: int) -> None:
    assert replicas(three(), usage) == want


def test_pods_that_start_count_as_idle_when_it_goes_up() -> None:
    pods = [pod("p0"), pod("p1"), pod("p2", phase="Pending")]
    assert replicas(pods, {"p0": 1000, "p1": 1000}) == 4


def test_pods_that_have_ended_or_are_going_do_not_count() -> None:
    going = make_pod("p2", phase="Running", requests={"cpu": "1"})
    going["metadata"]["deletionTimestamp"] = OLD
    pods = [pod("p0"), pod("p1", phase="Failed"), as_view(Pod, going)]
    assert replicas(pods, {"p0": 1000, "p1": 9000, "p2": 9000}) == 2


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        pytest.param({}, True, id="long-ready"),
        pytest.param(
            {"started": "2026-01-01T11:58:00Z", "since": "2026-01-01T11:58:30Z"}, True, id="measured"
        ),
        pytest.param(
            {"started": "2026-01-01T11:58:00Z", "since": "2026-01-01T11:59:30Z"}, False, id="window-too-early"
        ),
        pytest.param({"started": "2026-01-01T11:58:00Z", "ready": False}, False, id="starts-unready"),
        pytest.param({"ready": False}, False, id="never-ready"),
        pytest.param({"ready": False, "since": "2026-01-01T11:00:00Z"}, True, id="unready-later"),
    ],
)
def test_cpu_of_a_pod_that_starts_says_nothing(options: dict[str, Any], counts: bool) -> None:
    pods = [pod("p0"), pod("p1", **options)]
    # Alone, p0 asks for twice its share; the other one, where it counts, for nothing at all.
    assert replicas(pods, {"p0": 1000, "p1": 0}, 100) == (1 if counts else 2)


@pytest.mark.parametrize(
    ("pods", "usage", "said"),
    [
        pytest.param([], {}, "no pods returned by selector", id="no-pods"),
        pytest.param([pod("p0")], {}, NO_SAMPLES, id="no-samples"),
        pytest.param([as_view(Pod, make_pod("p0"))], {}, NO_SAMPLES, id="no-samples-before-no-request"),
    ],
)
def test_without_pods_or_samples_nothing_follows(pods: list[Pod], usage: dict[str, int], said: str) -> None:
    with pytest.raises(NoReplicas, match=said):
        replicas(pods, usage)


def test_a_container_without_a_request_is_named() -> None:
    bare = as_view(Pod, make_pod("p0"))
    with pytest.raises(NoReplicas, match="missing request for cpu in container web of Pod p0"):
        requests([bare], "cpu")
    with pytest.raises(NoReplicas, match="container other not found in Pod p0"):
        requests([bare], "cpu", "other")


CPU = {"requests": {"cpu": "1"}}
SOME = [{"name": "a", "resources": CPU}, {"name": "b"}]
MEMORY = {"requests": {"memory": "1Gi"}}
START = {"name": "i", "resources": CPU}
SIDECAR = {"name": "s", "resources": CPU, "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({"resources": {"requests": {"cpu": "3"}}}, 3000, id="said-of-the-pod"),
        pytest.param({"resources": MEMORY, "containers": SOME}, 1000, id="of-some-containers"),
        pytest.param(
            {"resources": MEMORY, "initContainers": [SIDECAR, START]}, 2000, id="most-while-it-starts"
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "250m"}}, 3250, id="with-overhead"
        ),
        pytest.param({"containers": SOME[:1], "initContainers": [SIDECAR]}, 2000, id="sidecars"),
    ],
)
def test_a_pod_asks_for_what_it_says_as_a_whole(spec: dict[str, Any], want: int) -> None:
    body = make_pod("p0")
    body["spec"] |= spec
    assert requests([as_view(Pod, body)], "cpu") == {"p0": want}


def test_a_pod_that_says_nothing_of_a_resource_is_named() -> None:
    body = make_pod("p0")
    body["spec"] |= {"resources": {"requests": {"memory": "1Gi"}}}
    with pytest.raises(NoReplicas, match="missing pod-level request for cpu in Pod p0"):
        requests([as_view(Pod, body)], "cpu")


@pytest.mark.parametrize(
    ("current", "value", "want"), [(3, 200, 6), (3, 105, 3), (3, 10, 1), (0, 250, 3), (0, 0, 0)]
)
def test_a_shared_value_follows_the_target(current: int, value: int, want: int) -> None:
    assert value_replicas(current, three(), value, 100, Tolerances()) == want


@pytest.mark.parametrize(
    ("running", "value", "want"), [(2, 500, (5, 250)), (2, 210, (2, 105)), (0, 250, (3, 0)), (4, 0, (0, 0))]
)
def test_a_value_is_shared_out(running: int, value: int, want: tuple[int, int]) -> None:
    assert share_replicas(running, value, 100, Tolerances()) == want


def test_a_window_is_as_long_as_it_says() -> None:
    young: dict[str, Any] = {"started": "2026-01-01T11:58:00Z", "since": "2026-01-01T11:59:30Z"}
    pods = [pod("p0", **young)]
    samples = {"p0": Sample(1000, NOW, timedelta(seconds=10))}
    target = PodsTarget(50, "cpu", True)
    assert pods_replicas(1, pods, samples, target, Tolerances(), Delays(), NOW).replicas == 2

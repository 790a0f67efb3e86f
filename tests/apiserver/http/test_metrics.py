"""/metrics: what dashboards and alerts for Kubernetes look for, under its names and labels."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from kplane.apiserver.measuring import Histogram

from ..conftest import Api, configmap, pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


async def value(api: Api, metric: str, /, **labels: str) -> float | None:
    """The sum of the samples with these labels among theirs; None without any."""
    found = None
    for line in (await api("GET", "/metrics")).body.decode().splitlines():
        head, _, number = line.rpartition(" ")
        if head.partition("{")[0] != metric:
            continue
        if all(f'{label}="{wanted}"' in head for label, wanted in labels.items()):
            found = (found or 0) + float(number)
    return found


async def test_requests_are_timed_and_answers_measured(api: Api) -> None:
    await api.make(MAPS, configmap("a", text="x" * 5000))
    await api("GET", f"{MAPS}/a")
    where = {"group": "", "version": "v1", "resource": "configmaps", "component": "apiserver"}

    for name in ("apiserver_request_duration_seconds", "apiserver_request_sli_duration_seconds"):
        assert await value(api, f"{name}_count", verb="POST", scope="namespace", **where) is None
        assert await value(api, f"{name}_count", verb="POST", scope="resource", **where) == 1
        assert await value(api, f"{name}_bucket", verb="GET", le="+Inf", **where) == 1
    assert await value(api, "apiserver_response_sizes_bucket", verb="GET", le="1000.0", **where) == 0
    assert await value(api, "apiserver_response_sizes_bucket", verb="GET", le="10000.0", **where) == 1
    assert await value(api, "apiserver_response_sizes_count", verb="POST", **where) is None
    assert await value(api, "apiserver_current_inflight_requests", request_kind="readOnly") == 1


async def test_dry_runs_are_told_apart(api: Api) -> None:
    await api("POST", MAPS, configmap(), dryRun="All")

    assert await value(api, "apiserver_request_total", verb="POST", dry_run="All", code="201") == 1
    assert await value(api, "apiserver_request_total", verb="POST", dry_run="") is None


async def test_watches_count_their_events(api: Api) -> None:
    await api.make(MAPS, configmap("a"))
    where = {"group": "", "version": "v1", "resource": "configmaps"}
    async with api.transport.stream("GET", MAPS, query={"watch": "1"}) as stream:
        lines = stream.lines()
        await anext(lines)
        await api.make(MAPS, configmap("b", text="x" * 5000))
        await anext(lines)

        assert await value(api, "apiserver_longrunning_requests", verb="WATCH", **where) == 1
        assert await value(api, "apiserver_registered_watchers", kind="ConfigMap", version="v1") == 1
        assert await value(api, "apiserver_watch_events_total", **where) == 2
        assert await value(api, "apiserver_watch_events_sizes_bucket", le="1024.0", **where) == 1
        assert await value(api, "apiserver_watch_events_sizes_count", **where) == 2


async def test_stored_objects_are_counted(api: Api) -> None:
    for name in "abc":
        await api.make(MAPS, configmap(name))
    await api("GET", MAPS)
    await api("GET", "/apis/apps/v1/deployments")

    assert await value(api, "apiserver_storage_objects", resource="configmaps") == 3
    assert await value(api, "apiserver_storage_objects", resource="deployments.apps") == 0
    assert await value(api, "apiserver_resource_objects", group="apps", resource="deployments") == 0


async def test_the_store_is_timed_by_resource(api: Api) -> None:
    await api.make(PODS, pod())
    await api("PATCH", f"{PODS}/web", {"metadata": {"labels": {"a": "b"}}},
              content_type="application/merge-patch+json")  # fmt: skip
    await api("DELETE", f"{PODS}/web", gracePeriodSeconds="0")

    for operation in ("create", "update", "delete"):
        labels = {"operation": operation, "group": "", "resource": "pods"}
        assert await value(api, "etcd_request_duration_seconds_count", **labels) == 1
        assert await value(api, "etcd_requests_total", **labels) == 1
    services = {"operation": "create", "group": "", "resource": "services"}
    assert await value(api, "etcd_requests_total", **services) == 1


async def test_admission_is_timed_by_plugin_and_verdict(api: Api) -> None:
    name = "apiserver_admission_controller_admission_duration_seconds_count"
    plugin = {"name": "NamespaceLifecycle", "operation": "CREATE", "type": "admit"}
    # The server itself has written what every cluster has.
    before = await value(api, name, rejected="false", **plugin) or 0

    await api.make(PODS, pod())
    await api("POST", "/api/v1/namespaces/none/pods", pod())

    assert await value(api, name, rejected="false", **plugin) == before + 1
    assert await value(api, name, rejected="true", **plugin) == 1
    step = "apiserver_admission_step_admission_duration_seconds_count"
    assert await value(api, step, operation="CREATE", rejected="true", type="admit") == 1
    assert await value(api, step, operation="CREATE", rejected="true", type="validate") is None


@pytest.mark.parametrize(
    ("observed", "counts"),
    [
        pytest.param([0.5], [0, 1, 1], id="between"),
        pytest.param([0.1], [1, 1, 1], id="at-the-bound"),
        pytest.param([5, 0.01], [1, 1, 2], id="beyond"),
    ],
)
def test_histograms_are_cumulative(observed: list[float], counts: list[int]) -> None:
    registry = CollectorRegistry()
    series = Histogram("seconds", "text", ("verb",), registry, (0.1, 1)).labels("GET")

    for seconds in observed:
        series.observe(seconds)

    text = generate_latest(registry).decode()
    for bound, count in zip(("0.1", "1.0", "+Inf"), counts, strict=True):
        assert f'seconds_bucket{{le="{bound}",verb="GET"}} {float(count)}' in text
    assert f'seconds_count{{verb="GET"}} {float(len(observed))}' in text
    assert f'seconds_sum{{verb="GET"}} {float(sum(observed))}' in text

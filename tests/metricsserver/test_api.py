"""What is served: discovery, metrics of nodes and Pods, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kplane.api.resource import Key
from kplane.api.types import Node
from kplane.metricsserver.api import Health, MetricsApi
from kplane.metricsserver.objects import duration
from kplane.metricsserver.scraper import Target
from kplane.runtime import pki
from kplane.runtime.health import component_app

from .conftest import World

BASE = "/apis/metrics.k8s.io/v1beta1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def container(pod: str, cpu: float, memory: int, at: int, name: str = "web") -> str:
    labels = f'container="{name}",namespace="default",pod="{pod}"'
    return (
        f"container_cpu_usage_seconds_total{{{labels}}} {cpu} {at}000\n"
        f"container_memory_working_set_bytes{{{labels}}} {memory} {at}000\n"
    )


def node(cpu: float, memory: int, at: int) -> str:
    return f"node_cpu_usage_seconds_total {cpu} {at}000\nnode_memory_working_set_bytes {memory} {at}000\n"


async def measured(world: World) -> None:
    """Two nodes with a Pod each, measured twice: web-1 uses 0.2 cores, node-1 half of one."""
    first, second = world.add_node("node-1", "10.0.0.1"), world.add_node("node-2", "10.0.0.2")
    world.add_pod("web-1", "node-1")
    world.add_pod("web-2", "node-2", labels={"app": "other"})
    await world.cluster.settle()
    for at, cpu in ((1767225600, 1.0), (1767225620, 5.0)):
        first.text = container("web-1", cpu, 64 << 20, at) + node(cpu * 2.5, 1 << 30, at)
        second.text = container("web-2", 0.0, 1000, at) + node(cpu, 1 << 20, at)
        await world.scraper.scrape()


async def test_pods_are_told_with_what_each_container_uses(world: World) -> None:
    await measured(world)

    status, body = await world.ask(f"{BASE}/namespaces/default/pods/web-1")

    assert status == 200
    assert body == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {
            "name": "web-1",
            "namespace": "default",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "web"},
        },
        "timestamp": "2026-01-01T00:00:20Z",
        "window": "20s",
        "containers": [{"name": "web", "usage": {"cpu": "200m", "memory": "64Mi"}}],
    }


async def test_nodes_are_told(world: World) -> None:
    await measured(world)

    _, body = await world.ask(f"{BASE}/nodes")

    assert body["kind"] == "NodeMetricsList"
    assert {item["metadata"]["name"]: item["usage"] for item in body["items"]} == {
        "node-1": {"cpu": "500m", "memory": "1Gi"},
        "node-2": {"cpu": "200m", "memory": "1Mi"},
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("pods", ["web-1", "web-2"]),
        ("namespaces/default/pods?labelSelector=app%3Dother", ["web-2"]),
        ("pods?fieldSelector=metadata.name%3Dweb-1", ["web-1"]),
        ("namespaces/elsewhere/pods", []),
    ],
)
async def test_lists_are_chosen_by_namespace_and_selectors(
    world: World, query: str, names: list[str]
) -> None:
    await measured(world)

    _, body = await world.ask(f"{BASE}/{query}")

    assert [item["metadata"]["name"] for item in body["items"]] == names


async def test_a_pod_is_told_of_only_when_all_of_its_containers_are_known(world: World) -> None:
    await measured(world)
    sidecar = {"name": "log", "restartPolicy": "Always"}
    world.add_pod("web-1", "node-1", initContainers=[sidecar, {"name": "setup"}])
    await world.cluster.settle()

    status, body = await world.ask(f"{BASE}/namespaces/default/pods/web-1")

    assert (status, body["reason"]) == (404, "NotFound")
    assert body["message"] == 'pods.metrics.k8s.io "default/web-1" not found'


async def test_hollow_nodes_that_share_a_server_use_what_their_pods_use(world: World) -> None:
    kubelet = world.add_node("hollow-1", "127.0.0.1", 4711)
    world.add_node("hollow-2", "127.0.0.1", 4711)
    for name, place in (("a", "hollow-1"), ("b", "hollow-2"), ("c", "hollow-2")):
        world.add_pod(name, place)
    await world.cluster.settle()
    for at, cpu in ((1767225600, 0.0), (1767225610, 1.0)):
        kubelet.text = "".join(container(name, cpu, 1 << 20, at) for name in "abc")
        await world.scraper.scrape()

    _, body = await world.ask(f"{BASE}/nodes")

    assert kubelet.asked == 2, "one request a round"
    assert [item["usage"] for item in body["items"]] == [
        {"cpu": "100m", "memory": "1Mi"},
        {"cpu": "200m", "memory": "2Mi"},
    ]


@pytest.mark.parametrize("failure", [None, "", "nonsense"])
async def test_a_kubelet_that_fails_takes_nothing_else_with_it(world: World, failure: str | None) -> None:
    await measured(world)
    first, second = world.kubelets.values()
    first.text = failure
    second.text = container("web-2", 2.0, 1000, 1767225640) + node(6.0, 1 << 20, 1767225640)

    await world.scraper.scrape()

    _, body = await world.ask(f"{BASE}/pods")
    assert [item["metadata"]["name"] for item in body["items"]] == ["web-2"]


async def test_a_refusal_is_no_measurement(world: World) -> None:
    await measured(world)
    for kubelet in world.kubelets.values():
        kubelet.status = 403

    await world.scraper.scrape()

    assert (await world.ask(f"{BASE}/nodes"))[1]["items"] == []


async def test_tables_have_upstreams_columns(world: World) -> None:
    await measured(world)

    _, body = await world.ask(f"{BASE}/pods", accept=TABLE)

    assert [column["name"] for column in body["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert [row["cells"] for row in body["rows"]] == [
        ["web-1", "200m", "64Mi", "20s"],
        ["web-2", "0", "1000", "20s"],
    ]


async def test_lists_and_tables_have_the_version_that_was_asked_for(world: World) -> None:
    await measured(world)
    stable = BASE.removesuffix("beta1")

    _, pods = await world.ask(f"{stable}/pods")
    _, node = await world.ask(f"{stable}/nodes/node-1")
    _, lines = await world.ask(f"{stable}/nodes/node-1", accept=TABLE)
    missing, _ = await world.ask("/apis/metrics.k8s.io/v2/pods")

    assert (pods["kind"], pods["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1")
    assert "kind" not in pods["items"][0]
    assert (node["kind"], node["apiVersion"]) == ("NodeMetrics", "metrics.k8s.io/v1")
    assert [row["cells"] for row in lines["rows"]] == [["node-1", "500m", "1Gi", "20s"]]
    assert missing == 404


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_discovery_names_both_resources(world: World, version: str) -> None:
    _, groups = await world.ask("/apis")
    _, resources = await world.ask(f"/apis/metrics.k8s.io/{version}")

    assert [group["name"] for group in groups["groups"]] == ["metrics.k8s.io"]
    assert [entry["version"] for entry in groups["groups"][0]["versions"]] == ["v1", "v1beta1"]
    assert resources["groupVersion"] == f"metrics.k8s.io/{version}"
    assert [(entry["name"], entry["namespaced"]) for entry in resources["resources"]] == [
        ("nodes", False),
        ("pods", True),
    ]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (f"{BASE}/secrets", "GET", 404),
        ("/api/v1/pods", "GET", 404),
        (f"{BASE}/nodes", "POST", 405),
        (f"{BASE}/nodes/nobody", "GET", 404),
        (f"{BASE}/pods?labelSelector=a%20b", "GET", 400),
        (f"{BASE}/pods?fieldSelector=spec.x%3D1", "GET", 400),
    ],
)
async def test_what_cannot_be_served_is_refused(world: World, path: str, method: str, status: int) -> None:
    code, body = await world.ask(path, method=method)
    assert (code, body["kind"], body["status"]) == (status, "Status", "Failure")


def certificate(folder: Path, name: str) -> bytes:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("name", "status"),
    [("", 401), ("admin", 401), ("front-proxy-client", 200)],
    ids=["none", "other", "proxy"],
)
async def test_only_the_front_proxy_may_ask(world: World, tmp_path: Path, name: str, status: int) -> None:
    pki.ensure(tmp_path, server_names=["localhost"], server_ips=["127.0.0.1"])
    health = Health(component_app({}), component_app({}))
    options: Any = world.app.__dict__
    world.app = MetricsApi(
        options["_viewer"], options["_nodes"], options["_pods"], world.cluster.clock, health,
        options["_metrics"],
        ["front-proxy-client"],
    )  # fmt: skip
    shown = certificate(tmp_path, name) if name else None

    found, _ = await world.call(f"{BASE}/nodes", "GET", [], shown)
    metrics, _ = await world.call("/metrics", "GET", [], shown)
    alive, _ = await world.call("/livez", "GET", [], shown)

    assert (found, metrics, alive) == (status, status, 200)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(15.053, "15.053s"), (60, "1m0s"), (0.5, "0.5s"), (3661.25, "1h1m1.25s"), (15, "15s")],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


async def test_it_measures_itself_under_upstreams_names(world: World) -> None:
    await measured(world)
    world.kubelets[Target("10.0.0.2", 10250)].text = None
    await world.scraper.scrape()
    await world.ask(f"{BASE}/nodes/node-1")

    def value(name: str, **labels: str) -> float | None:
        found: float | None = world.registry.get_sample_value(f"metrics_server_{name}", labels)
        return found

    now = world.cluster.clock.now().timestamp()
    assert value("kubelet_request_total", success="true") == 5
    assert value("kubelet_request_total", success="false") == 1
    assert value("kubelet_request_duration_seconds_count", node="node-2") == 3
    assert value("kubelet_last_request_time_seconds", node="node-1") == now
    assert value("manager_tick_duration_seconds_count") == 3
    assert value("storage_points", type="node") == 2
    assert value("storage_points", type="container") == 2
    assert value("api_metric_freshness_seconds_count") == 1


async def test_a_node_that_is_gone_is_measured_no_more(world: World) -> None:
    await measured(world)
    world.cluster.delete(Node, Key("", "node-2"))
    await world.cluster.settle()
    await world.scraper.scrape()
    labels = {"node": "node-2"}
    assert world.registry.get_sample_value("metrics_server_kubelet_last_request_time_seconds", labels) is None

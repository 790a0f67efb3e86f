"""metrics.k8s.io in a running cluster: what containers really use, and autoscalers that follow it."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from kplane.testing.clusters import Cluster, cluster
from kplane.testing.images import HELLO, hello
from kplane.testing.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

ASK = """
import ssl, sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[2], context=ssl.create_default_context(cafile=sys.argv[1]))
except urllib.error.HTTPError as error:
    print(error.code)
"""
BUSY = "while true; do :; done"
SECONDS = 90
"""Longer than two rounds of measuring, on a busy machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[Cluster]:
    async with cluster("--runtime", "containerd", "--port", "0") as made:
        await made.load(hello())
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hollow() -> AsyncIterator[Cluster]:
    async with cluster("--runtime", "hollow", "--nodes", "2", "--port", "0") as made:
        yield made


async def top(made: Cluster, *arguments: str) -> dict[str, list[str]]:
    """The lines of `kubectl top` by name."""
    finished = await made.kubectl("top", *arguments, "--no-headers", check=False)
    return {words[0]: words[1:] for line in finished.out.splitlines() if (words := line.split())}


async def test_top_shows_what_a_busy_container_uses(machine: Cluster) -> None:
    container = {
        "name": "busy",
        "image": HELLO,
        "command": ["sh", "-c", BUSY],
        "resources": {"limits": {"cpu": "300m"}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "busy"}, "spec": spec}
    await machine.kubectl("apply", "-f", "-", input=json.dumps(pod))
    found: dict[str, list[str]] = {}

    async def busy() -> bool:
        found.update(await top(machine, "pods"))
        return "busy" in found and int(found["busy"][0].removesuffix("m")) > 20

    await eventually(busy, seconds=SECONDS, interval=1)
    [(_, node)] = (await top(machine, "nodes")).items()

    assert int(found["busy"][0].removesuffix("m")) <= 450, "its limit, and what a short window adds"
    assert int(node[0].removesuffix("m")) > 0
    assert node[2].endswith("Mi")


async def test_an_autoscaler_follows_what_pods_use(hollow: Cluster) -> None:
    manifest: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "web:1",
                            "env": [{"name": "HOLLOW_CPU_USAGE", "value": "150m"}],
                            "resources": {"requests": {"cpu": "100m"}},
                        }
                    ]
                },
            },
        },
    }
    await hollow.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    await hollow.kubectl("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu=50%")

    await hollow.kubectl(
        "wait", "deployment/web", "--for=jsonpath={.spec.replicas}=3", f"--timeout={SECONDS}s"
    )
    scaler = await hollow.get("hpa", "web")

    conditions = {entry["type"]: entry["status"] for entry in scaler["status"]["conditions"]}
    assert conditions["AbleToScale"] == "True"
    assert conditions["ScalingActive"] == "True"
    assert scaler["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"] >= 100


async def test_nobody_but_the_api_server_reads_the_metrics_server(hollow: Cluster) -> None:
    port = (await hollow.get("apiservice", "v1beta1.metrics.k8s.io"))["spec"]["service"]["port"]
    url = f"https://localhost:{port}/apis/metrics.k8s.io/v1beta1/pods"

    stranger = await hollow.run(sys.executable, "-c", ASK, str(hollow.folder / "pki" / "ca.crt"), url)
    forbidden = await hollow.kubectl("get", "podmetrics", "--as", "nobody", check=False)

    assert stranger.out.strip() == "401"
    assert 'User "nobody" cannot list resource "pods" in API group "metrics.k8s.io"' in forbidden.err

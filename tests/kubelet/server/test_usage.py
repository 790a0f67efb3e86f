"""What the kubelet tells of Pods' and nodes' use of CPU and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.kubelet.pod import Pod
from kplane.kubelet.runtime.hollow import HollowRuntime
from kplane.kubelet.runtime.interface import ContainerConfig, RuntimeFailure, SandboxConfig
from kplane.kubelet.server.usage import resource_metrics, summary
from kplane.kubelet.usage import Member, Usage, machine_usage
from kplane.testing import VirtualClock
from kplane.testing.objects import as_view, make_object

STARTED = "2026-01-01T00:00:00Z"


def pod() -> Pod:
    running = {"name": "web", "state": {"running": {"startedAt": STARTED}}}
    status = {"containerStatuses": [running], "startTime": STARTED}
    return as_view(Pod, make_object("v1", "Pod", "web", "default", spec={"containers": []}, status=status))


async def runtime_with(clock: VirtualClock, **env: str) -> HollowRuntime:
    runtime = HollowRuntime(clock, Entropy(0), "10.0.0.0/24")
    config = SandboxConfig(name="web", namespace="default", uid=pod().metadata.uid, log_directory="/none")
    sandbox = await runtime.run_sandbox(config)
    image = await runtime.pull_image("web:1")
    container = ContainerConfig(name="web", image=image, env=tuple(env.items()))
    await runtime.start_container(await runtime.create_container(sandbox, container, config))
    return runtime


def usage_of(runtime: HollowRuntime, clock: VirtualClock, *, hollow: bool = True) -> Usage:
    return Usage(lambda: [Member("node-1", runtime, lambda: [pod()])], clock, hollow=hollow)


def samples(text: bytes) -> dict[str, str]:
    lines = (line for line in text.decode().splitlines() if not line.startswith("#"))
    return dict(line.split(" ", 1) for line in lines)


async def test_containers_and_pods_are_told_with_the_time_of_the_measurement() -> None:
    clock = VirtualClock()
    runtime = await runtime_with(clock, HOLLOW_CPU_USAGE="250m", HOLLOW_MEMORY_USAGE="64Mi")
    await clock.advance(40)

    text = await resource_metrics(usage_of(runtime, clock))

    labels = 'container="web",namespace="default",pod="web"'
    assert samples(text) == {
        f"container_cpu_usage_seconds_total{{{labels}}}": "10.0 1767225640000",
        f"container_memory_working_set_bytes{{{labels}}}": "67108864 1767225640000",
        f"container_start_time_seconds{{{labels}}}": "1767225600.0",
        'pod_cpu_usage_seconds_total{namespace="default",pod="web"}': "10.0 1767225640000",
        'pod_memory_working_set_bytes{namespace="default",pod="web"}': "67108864 1767225640000",
        "resource_scrape_error": "0",
    }
    assert b"# TYPE container_cpu_usage_seconds_total counter\n" in text


async def test_a_machine_tells_of_itself_too() -> None:
    clock = VirtualClock()
    runtime = await runtime_with(clock)

    found = samples(await resource_metrics(usage_of(runtime, clock, hollow=False)))
    body = await summary(usage_of(runtime, clock, hollow=False))

    assert float(found["node_cpu_usage_seconds_total"].split()[0]) > 0
    assert float(found["node_memory_working_set_bytes"].split()[0]) > 0
    assert body["node"]["nodeName"] == "node-1"
    assert body["node"]["memory"]["workingSetBytes"] > 0


async def test_the_summary_names_pods_and_containers() -> None:
    clock = VirtualClock()
    runtime = await runtime_with(clock, HOLLOW_CPU_USAGE="1", HOLLOW_MEMORY_USAGE="1Ki")
    await clock.advance(2)

    body = await summary(usage_of(runtime, clock))

    (found,) = body["pods"]
    assert found["podRef"] == {"name": "web", "namespace": "default", "uid": pod().metadata.uid}
    assert found["cpu"] == {"time": "2026-01-01T00:00:02Z", "usageCoreNanoSeconds": 2_000_000_000}
    assert found["memory"]["workingSetBytes"] == 1024
    assert found["containers"][0]["startTime"] == STARTED
    assert "node" not in body


async def test_nonsense_in_the_environment_counts_as_nothing() -> None:
    clock = VirtualClock()
    runtime = await runtime_with(clock, HOLLOW_CPU_USAGE="much", HOLLOW_MEMORY_USAGE="-5")
    await clock.advance(2)

    (found,) = (await summary(usage_of(runtime, clock)))["pods"]

    assert (found["cpu"]["usageCoreNanoSeconds"], found["memory"]["workingSetBytes"]) == (0, 0)


async def test_a_runtime_that_fails_is_told_as_an_error_of_the_scrape() -> None:
    class Broken(HollowRuntime):
        async def stats(self) -> Any:
            raise RuntimeFailure("no answer")

    clock = VirtualClock()
    runtime = Broken(clock, Entropy(0), "10.0.0.0/24")

    assert samples(await resource_metrics(usage_of(runtime, clock))) == {"resource_scrape_error": "1"}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text("cpu  100 10 50 1000 200 5 5 30 7 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    (tmp_path / "meminfo").write_text(
        "MemTotal:       1000 kB\nMemFree:         300 kB\nInactive(file):  200 kB\nAnonPages:       150 kB\n"
        "HugePages_Total:       0\n"
    )
    return tmp_path


def test_the_machine_is_busy_when_it_is_not_idle_waiting_or_somebody_elses(proc: Path) -> None:
    found = machine_usage(VirtualClock(), proc)

    assert found.cpu == 170 * 10_000_000
    assert (found.memory, found.working_set, found.rss) == (700 * 1024, 500 * 1024, 150 * 1024)

"""A whole cluster with real containers: start to ready, memory of each process, apply to Running. Needs root.

python -m tests.bench.cluster
"""

from __future__ import annotations

import asyncio
import re
import statistics
from pathlib import Path

import msgspec

from kplane.api.clock import SystemClock
from kplane.api.resource import Object
from kplane.testing.clusters import Cluster, cluster
from kplane.testing.images import HELLO, hello

RUNS = 3
CLOCK = SystemClock()


def pod(name: str) -> Object:
    container = {"name": "c", "image": HELLO}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"bench": "yes"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }


async def apply_to_running(running: Cluster, names: list[str]) -> float:
    """Seconds from the start of `kubectl apply` until the last Pod is Running, as a client sees it."""
    items = [pod(name) for name in names]
    manifest = running.folder / "pods.json"
    manifest.write_bytes(msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items}))
    began = CLOCK.monotonic()
    await running.kubectl("apply", "-f", str(manifest))
    phase = "--for=jsonpath={.status.phase}=Running"
    await running.kubectl("wait", "pod", "-l", "bench=yes", phase, "--timeout=60s")
    seconds = CLOCK.monotonic() - began
    await running.kubectl("delete", "-f", str(manifest), "--wait=true")
    return seconds


async def memory(running: Cluster) -> dict[str, float]:
    """Resident MiB by process."""
    found = {}
    for name, process in (await running.processes()).items():
        status = Path(f"/proc/{process['pid']}/status").read_text()
        kilobytes = re.search(r"VmRSS:\s+(\d+)", status)
        assert kilobytes
        found[name] = int(kilobytes[1]) / 1024
    return found


async def measure(store: str) -> None:
    starts = []
    for run in range(RUNS):
        began = CLOCK.monotonic()
        async with cluster("--runtime", "containerd", "--store", store, "--port", "0") as running:
            starts.append(CLOCK.monotonic() - began)
            if run < RUNS - 1:
                continue
            print(f"{store}: kplane up, start to everything ready: {statistics.median(starts):.2f} s")
            await running.load(hello())
            for count in (1, 30):
                times = [
                    await apply_to_running(running, [f"p{number}" for number in range(count)])
                    for _ in range(RUNS)
                ]
                pods = "1 pod" if count == 1 else f"{count} pods"
                print(f"{store}: kubectl apply to Running, {pods}: {statistics.median(times):.2f} s")
            resident = await memory(running)
            parts = ", ".join(f"{name} {size:.0f}" for name, size in resident.items())
            print(f"{store}: resident MiB: {parts}; together {sum(resident.values()):.0f}", flush=True)


if __name__ == "__main__":
    for chosen in ("sqlite", "etcd"):
        asyncio.run(measure(chosen))

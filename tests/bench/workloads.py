"""Workloads on a hollow cluster: how long every process together takes to bring them about.

    python -m tests.bench.workloads [runs]

A cluster as `kplane up` starts it, with 100 hollow nodes; the times are those that a client sees over TLS,
from its first write until the status says that all is done. Then the manager at rest: CPU and memory.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kplane.api.clock import SystemClock
from kplane.api.resource import Object
from kplane.api.types import ConfigMap, Deployment, Namespace, Pod, Secret
from kplane.client import kubeconfig
from kplane.client.rest import Client, connect
from kplane.testing import make_configmap, make_namespace, make_pod, make_secret

KPLANE = Path(sys.executable).parent / "kplane"
NODES = 100
REPLICAS = 1000
SMALL, SMALL_REPLICAS = 500, 3
OBJECTS = 1000
AT_ONCE = 16
IDLE_SECONDS = 30
CLOCK = SystemClock()


def deployment(name: str, replicas: int, namespace: str = "default", image: str = "web:1") -> Object:
    labels = {"app": name}
    container = {"name": "web", "image": image}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def complete(found: Deployment) -> bool:
    status, want = found.status, found.spec.replicas
    counts = (status.updated_replicas, status.available_replicas, status.replicas)
    return status.observed_generation >= found.metadata.generation and counts == (want, want, want)


async def until(client: Client, namespace: str, done: Callable[[dict[str, Deployment]], bool]) -> None:
    """Watch the Deployments of a namespace until they are as they should be."""
    listing = await client.list(Deployment, namespace)
    found = {one.metadata.name: one for one in listing.items}
    if done(found):
        return
    async for event in client.watch(Deployment, namespace, resource_version=listing.resource_version):
        if event.object is not None:
            found[event.object.metadata.name] = event.object
        if done(found):
            return


async def create_all(client: Client, kind: Any, bodies: list[Object]) -> None:
    """Write them, a few at a time."""
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            await client.create(kind, body, body["metadata"]["namespace"])

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


async def large(client: Client) -> tuple[float, float]:
    """Seconds until 1,000 replicas are available, and until all of them are replaced."""
    await client.create(Namespace, make_namespace("large"))
    began = CLOCK.monotonic()
    await client.create(Deployment, deployment("web", REPLICAS, "large"), "large")
    await until(client, "large", lambda found: complete(found["web"]))
    available = CLOCK.monotonic() - began
    patch = {"spec": {"template": deployment("web", REPLICAS, "large", "web:2")["spec"]["template"]}}
    began = CLOCK.monotonic()
    changed = await client.patch(Deployment, "web", "large", patch)
    generation = changed.metadata.generation
    await until(
        client,
        "large",
        lambda found: found["web"].metadata.generation >= generation and complete(found["web"]),
    )
    return available, CLOCK.monotonic() - began


async def many(client: Client) -> float:
    """Seconds until 500 Deployments of 3 are available."""
    await client.create(Namespace, make_namespace("many"))
    bodies = [deployment(f"web-{number}", SMALL_REPLICAS, "many") for number in range(SMALL)]
    began = CLOCK.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(create_all(client, Deployment, bodies))
        group.create_task(
            until(client, "many", lambda found: len(found) == SMALL and all(map(complete, found.values())))
        )
    return CLOCK.monotonic() - began


async def forget(client: Client, name: str) -> float:
    """Seconds from the deletion of a namespace until it is gone."""
    began = CLOCK.monotonic()
    listing = await client.list(Namespace)
    await client.delete(Namespace, name)
    async for event in client.watch(Namespace, resource_version=listing.resource_version):
        if event.type == "DELETED" and event.object is not None and event.object.metadata.name == name:
            break
    return CLOCK.monotonic() - began


async def full_namespace(client: Client) -> float:
    """Seconds until a namespace of 1,000 objects is gone: a third each of ConfigMaps, Secrets, Pods."""
    await client.create(Namespace, make_namespace("full"))
    third = OBJECTS // 3
    for kind, make in ((ConfigMap, make_configmap), (Secret, make_secret), (Pod, make_pod)):
        await create_all(client, kind, [make(f"one-{number}", "full") for number in range(third)])
    return await forget(client, "full")


async def rest(pid: int) -> tuple[float, float]:
    """Percent of a core over half a minute, and resident MiB."""
    before = _ticks(pid)
    await CLOCK.sleep(IDLE_SECONDS)
    spent = (_ticks(pid) - before) / 100
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return 100 * spent / IDLE_SECONDS, int(found[1]) / 1024


def _ticks(pid: int) -> int:
    """CPU time of a process in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@asynccontextmanager
async def hollow() -> AsyncIterator[tuple[Client, int]]:
    """A client of a hollow cluster, and its controller manager's pid."""
    folder = Path(tempfile.mkdtemp(prefix="kp-"))
    common = ["--data-dir", str(folder)]
    options = ["--runtime", "hollow", "--nodes", str(NODES), "--port", "0", "--detach"]
    try:
        subprocess.run([KPLANE, "up", *common, *options], check=True, stdout=subprocess.DEVNULL)
        said = subprocess.run([KPLANE, "status", *common, "-o", "json"], check=True, capture_output=True)
        processes = {entry["name"]: entry["pid"] for entry in json.loads(said.stdout)["processes"]}
        client = connect(kubeconfig.load(folder / "admin.kubeconfig"), clock=CLOCK)
        try:
            yield client, processes["controller-manager"]
        finally:
            await client.close()
    finally:
        subprocess.run([KPLANE, "down", *common, "--purge"], check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


async def measure() -> dict[str, float]:
    async with hollow() as (client, manager):
        idle, fresh = await rest(manager)
        available, rolled = await large(client)
        gone = await forget(client, "large")
        small = await many(client)
        await forget(client, "many")
        emptied = await full_namespace(client)
        _, used = await rest(manager)
        return {
            f"Deployment of {REPLICAS:,}, until available, s": available,
            "the same, rolled over with 25 % surge, s": rolled,
            "its namespace, until gone, s": gone,
            f"{SMALL} Deployments of {SMALL_REPLICAS}, until all are available, s": small,
            f"namespace of {OBJECTS:,} objects, until gone, s": emptied,
            "idle controller manager, % of a core": idle,
            "idle controller manager, fresh, MiB": fresh,
            "controller manager after all that, MiB": used,
        }


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    figures = [asyncio.run(measure()) for _ in range(runs)]
    for name in figures[0]:
        print(f"{name}: {statistics.median(figure[name] for figure in figures):.2f}")


if __name__ == "__main__":
    main()

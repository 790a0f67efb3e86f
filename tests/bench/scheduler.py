"""The scheduler: CPU time of a decision alone, by number of nodes, and Pods bound per second end to end.

    python -m tests.bench.scheduler

End to end, an API server on SQLite, the scheduler and the load share the machine's cores.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kplane.api.clock import Entropy
from kplane.api.resource import Object
from kplane.api.types import Node, Pod
from kplane.client import kubeconfig
from kplane.client.codec import codec, encode
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client
from kplane.scheduler.decision import Chosen, decide
from kplane.scheduler.pod import PodInfo, describe
from kplane.scheduler.registry import default_profile
from kplane.scheduler.table import NodeTable
from kplane.testing.objects import make_node, make_pod
from kplane.testing.waiting import eventually

from .apiserver import TOKEN, give_account, server

PODS = 2000
NODES = 1000
ZONES = 3


def cluster(nodes: int) -> NodeTable:
    table = NodeTable()
    for number in range(nodes):
        node = make_node(
            f"n{number}", cpu="32", memory="128Gi",
            labels={"topology.kubernetes.io/zone": f"z{number % ZONES}"},
            taints=[{"key": "gpu", "effect": "NoSchedule"}] if number % 50 == 0 else [],
        )  # fmt: skip
        table.put_node(codec(Node).one(encode(node)))
    return table


def pods(count: int, **spec: Any) -> Iterable[PodInfo]:
    for number in range(count):
        obj = make_pod(f"p{number}", requests={"cpu": "100m", "memory": "500Mi"}, **spec)
        yield describe(codec(Pod).one(encode(obj)))


def measure(title: str, nodes: int, **spec: Any) -> None:
    table, profile, entropy = cluster(nodes), default_profile(), Entropy()
    waiting = list(pods(PODS, **spec))
    began = time.process_time()
    for pod in waiting:
        verdict = decide(pod, table, profile, entropy)
        assert isinstance(verdict, Chosen)
        table.place(pod, verdict.node)
    spent = time.process_time() - began
    print(f"scheduler: decision, {title}, {nodes} nodes: {spent / PODS * 1e6:.0f} us CPU per pod")


def bare(obj: Object) -> Object:
    """A body to create: without what the server gives."""
    return obj | {"metadata": {key: obj["metadata"][key] for key in ("name", "labels")}}


async def create_all(client: Client, what: type[Node] | type[Pod], bodies: list[Object]) -> None:
    async def some(share: list[Object]) -> None:
        for body in share:
            await client.create(what, body, "default" if what is Pod else "")

    async with asyncio.TaskGroup() as group:
        for start in range(32):
            group.create_task(some(bodies[start::32]))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def end_to_end() -> None:
    async with server("sqlite") as running:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "kubeconfig"
            kubeconfig.write(file, Credentials(running.url, token=TOKEN, insecure=True))
            await give_account(running.client, "default")
            await bind_all(running.client, file)


async def bind_all(client: Client, file: Path) -> None:
    """Create nodes, start the scheduler, create Pods, and wait until each has a node."""
    nodes = [make_node(f"n{number}", cpu="32", memory="128Gi") for number in range(NODES)]
    await create_all(client, Node, [bare(node) | {"status": node["status"]} for node in nodes])
    scheduler = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kplane.scheduler", f"--kubeconfig={file}", "--leader-elect=false",
        "--bind-address=127.0.0.1", "--secure-port=0", stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        began = time.monotonic()
        spent = cpu_seconds(scheduler.pid)
        await create_all(client, Pod, [bare(make_pod(f"p{number}")) for number in range(PODS)])

        async def all_bound() -> bool:
            left = await client.list(Pod, "default", field_selector="spec.nodeName=", limit=1)
            return not left.items

        await eventually(all_bound, seconds=120)
        elapsed, spent = time.monotonic() - began, cpu_seconds(scheduler.pid) - spent
        print(f"scheduler: {PODS} pods created and bound on {NODES} nodes: {PODS / elapsed:.0f} pods/s,"
              f" {spent / PODS * 1000:.2f} ms scheduler CPU per pod")  # fmt: skip
    finally:
        scheduler.terminate()
        await scheduler.wait()


def main() -> None:
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z1"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    for nodes in (100, 1000, 5000):
        measure("basic", nodes)
    measure("node affinity", 5000, affinity=affinity)
    asyncio.run(end_to_end())


if __name__ == "__main__":
    main()

"""The client library alone: GET/s and watch events/s over TLS, and an informer's memory for 10,000 Pods.

    python -m tests.bench.client

The server, a process of its own, answers with prepared bytes, so that the client is what is measured. CPU
figures are those of the client's process.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from kplane.api.clock import Entropy, SystemClock
from kplane.api.types import Pod
from kplane.client.codec import encode
from kplane.client.informer import Informer
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client, connect
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig
from kplane.testing import make_pod

GETS = 15_000
CONNECTIONS = 16
EVENTS = 50_000
PODS = 10_000


def sample(number: int) -> dict[str, Any]:
    """A Pod of about 2 KB, as a cluster stores it."""
    pod = make_pod(
        f"web-7c5ddbdf54-{number:05}", labels={"app": "web", "pod-template-hash": "7c5ddbdf54"}, ready=True,
        node=f"node-{number % 100}", ip=f"10.0.{number // 250}.{number % 250}",
        requests={"cpu": "100m", "memory": "64Mi"}, tolerations=[
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
        ],
    )  # fmt: skip
    pod["metadata"] |= {
        "uid": f"0b7c3f6e-1111-4222-8333-{number:012}",
        "resourceVersion": str(1000 + number),
        "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {}}}] * 6,
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs-1", "controller": True}
        ],
    }
    return pod


async def application(scope: Any, receive: Any, send: Any) -> None:
    """One Pod, a list, or a watch that sends EVENTS changes."""
    query = scope["query_string"]
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if b"watch=true" in query:
        await _send_events(send)
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    body = ONE if scope["path"].endswith("/web") else LIST
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_events(send: Any) -> None:
    batch = b"".join(b'{"type":"MODIFIED","object":' + ONE + b"}\n" for _ in range(50))
    for _ in range(EVENTS // 50):
        await send({"type": "http.response.body", "body": batch, "more_body": True})


ONE = encode(sample(0))
LIST = b""


async def serve(directory: Path) -> None:
    """The server's process: prints its port, and ends when its input does."""
    global LIST
    items = b",".join(encode(sample(number)) for number in range(PODS))
    LIST = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[' + items + b"]}"
    config = ServingConfig(
        "127.0.0.1", 0, directory / "apiserver.crt", directory / "apiserver.key", directory / "ca.crt"
    )
    async with Serving(application, config) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@asynccontextmanager
async def server(directory: Path) -> AsyncIterator[Client]:
    command = [sys.executable, "-m", "tests.bench.client", str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        client = connect(
            Credentials(
                f"https://127.0.0.1:{port}",
                ca=(directory / "ca.crt").read_bytes(),
                certificate=(directory / "admin.crt").read_bytes(),
                key=(directory / "admin.key").read_bytes(),
            )
        )
        yield client
        await client.close()
    finally:
        process.stdin.close()
        process.wait()


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure_gets(client: Client) -> None:
    async def worker() -> None:
        for _ in range(GETS // CONNECTIONS):
            await client.get(Pod, "web", "default")

    began, used = SystemClock().monotonic(), cpu()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(worker())
    seconds, used = SystemClock().monotonic() - began, cpu() - used
    print(f"client GET over TLS: {GETS / seconds:,.0f}/s, {GETS / used:,.0f} per CPU second of the client")


async def measure_watch(client: Client) -> None:
    began, used, count = SystemClock().monotonic(), cpu(), 0
    async for _ in client.watch(Pod):
        count += 1
        if count == EVENTS:
            break
    seconds, used = SystemClock().monotonic() - began, cpu() - used
    print(
        f"watch events over TLS: {EVENTS / seconds:,.0f}/s, {EVENTS / used:,.0f} per CPU second of the client"
    )


async def measure_informer(client: Client) -> None:
    gc.collect()
    before, began = resident(), SystemClock().monotonic()
    informer = Informer(client, Pod, clock=SystemClock(), entropy=Entropy())
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    seconds = SystemClock().monotonic() - began
    informer.owned_by("rs-1")
    task.cancel()
    await asyncio.wait([task])
    gc.collect()
    grown = resident() - before
    print(
        f"informer of {PODS:,} pods ({len(ONE)} bytes each): synced in {seconds:.2f} s, "
        f"{grown / 2**20:.0f} MiB resident, {grown / PODS / 1024:.1f} KiB a pod"
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        pki.ensure(directory, server_names=["localhost"], server_ips=["127.0.0.1"])
        async with server(directory) as client:
            assert (
                msgspec.json.decode(ONE)["metadata"]["name"]
                == (await client.get(Pod, "web", "default")).metadata.name
            )
            await measure_informer(client)
            await measure_gets(client)
            await measure_watch(client)


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])) if len(sys.argv) > 1 else main())

"""One API server process under load over TLS: GET, POST, apply, patch, watches, LIST; resident memory.

    python -m tests.bench.apiserver [sqlite|etcd]

Needs wrk and curl. The load generator shares the machine's cores with the server. Medians of RUNS runs.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from kplane.api.clock import SystemClock
from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.cli.probes import http_ok
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client, PatchType, connect
from kplane.runtime import pki
from kplane.runtime.serving import free_port
from kplane.testing.etcd import Etcd
from kplane.testing.waiting import eventually

RUNS = 3
SECONDS = 4
CONNECTIONS = 16
PODS = 10_000
APPLIES = 1_000
WATCHES = 1_000
EVENTS = 30
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
TOKEN = "bench"

POST = """
local thread_count = 0
function setup(thread) thread:set("id", thread_count); thread_count = thread_count + 1 end
function init(args) count = 0; run = args[1] end
function request()
  count = count + 1
  local name = string.format("bench-%s-%d-%d", run, id, count)
  return wrk.format("POST", nil, nil, (string.gsub(wrk.body, "NAME", name, 1)))
end
"""


def pod(name: str) -> Object:
    """A Pod of some 2 KB once it has its defaults."""
    container = {
        "name": "app",
        "image": "registry.example/app:1.2.3",
        "command": ["/app", "--serve"],
        "env": [{"name": f"VARIABLE_{number}", "value": "value" * 4} for number in range(8)],
        "ports": [{"containerPort": 8080, "name": "http"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench", "tier": "front"}},
        "spec": {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]},
    }


class Server:
    """A running API server."""

    def __init__(self, port: int, process: asyncio.subprocess.Process, client: Client, folder: Path) -> None:
        self.port = port
        self.url = f"https://127.0.0.1:{port}"
        self.process = process
        self.client = client
        self._folder = folder

    def resident(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def wrk(self, path: str, script: str = "", *arguments: str) -> tuple[float, float, float]:
        """Requests per second, and latencies p50 and p99 in milliseconds."""
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency"]
        command += ["-H", f"Authorization: Bearer {TOKEN}", "-H", "Content-Type: application/json"]
        if script:
            file = self._folder / "load.lua"
            file.write_text(script)
            command += ["-s", str(file)]
        run = subprocess.run([*command, self.url + path, "--", *arguments], capture_output=True, text=True)
        assert "Non-2xx" not in run.stdout, run.stdout
        rate = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
        assert rate, run.stdout + run.stderr
        return float(rate[1]), _latency(run.stdout, "50%"), _latency(run.stdout, "99%")

    def curl(self, path: str) -> tuple[float, int]:
        """Seconds and bytes of one GET."""
        command = [
            "curl",
            "-sSk",
            "-A",
            "bench",
            "-o",
            "/dev/null",
            "-w",
            "%{time_total} %{size_download} %{http_code}",
        ]
        run = subprocess.run(
            [*command, "-H", f"Authorization: Bearer {TOKEN}", self.url + path],
            capture_output=True,
            text=True,
        )
        seconds, size, code = run.stdout.split()
        assert code == "200", run.stdout + run.stderr
        return float(seconds), int(size)


def _latency(text: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text)
    assert found, text
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


@asynccontextmanager
async def server(store: str) -> AsyncIterator[Server]:
    """Start `python -m kplane.apiserver` and wait until it is ready; prints how long that took."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pki.ensure(folder / "pki", server_names=["localhost"], server_ips=["127.0.0.1"])
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},bench,1,"system:masters"\n')
        flags = [f"--storage-dir={folder / 'store'}"]
        if store == "etcd":
            flags = [f"--etcd-servers={(await stack.enter_async_context(Etcd())).url}"]
        port = free_port()
        began = SystemClock().monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kplane.apiserver", *flags, f"--secure-port={port}",
            "--bind-address=127.0.0.1", f"--tls-cert-file={folder / 'pki/apiserver.crt'}",
            f"--tls-private-key-file={folder / 'pki/apiserver.key'}", f"--token-auth-file={tokens}",
            # No controller sees that the scheduler's Nodes are ready.
            "--disable-admission-plugins=TaintNodesByCondition",
            # As a cluster runs it.
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        )  # fmt: skip
        try:
            await eventually(http_ok(f"https://127.0.0.1:{port}/readyz", folder / "pki"))
            print(f"{store}: start to ready {SystemClock().monotonic() - began:.2f} s")
            ca = (folder / "pki/ca.crt").read_bytes()
            client = connect(Credentials(f"https://127.0.0.1:{port}", ca=ca, token=TOKEN))
            stack.push_async_callback(client.close)
            yield Server(port, process, client, folder)
        finally:
            process.terminate()
            await process.wait()


def report(name: str, figures: Sequence[tuple[float, float, float]]) -> None:
    rate, p50, p99 = (statistics.median(column) for column in zip(*figures, strict=True))
    print(f"{name}: {rate:,.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms", flush=True)


async def reapply(client: Client) -> tuple[float, float, float]:
    """Server-side apply of a Pod that is what it should be: a second's rate, p50 and p99 in milliseconds."""
    clock, took = SystemClock(), []
    for _ in range(APPLIES):
        began = clock.monotonic()
        await client.patch(
            Pod, "applied", "default", pod("applied"), kind=PatchType.APPLY, field_manager="bench"
        )
        took.append((clock.monotonic() - began) * 1000)
    percentiles = statistics.quantiles(took, n=100)
    return 1000 / statistics.mean(took), percentiles[49], percentiles[98]


async def patch_labels(client: Client) -> tuple[float, float, float]:
    """Strategic merge patches that change one label of a Pod: the same figures."""
    clock, took = SystemClock(), []
    for number in range(APPLIES):
        began = clock.monotonic()
        await client.patch(
            Pod,
            "applied",
            "default",
            {"metadata": {"labels": {"turn": str(number)}}},
            kind=PatchType.STRATEGIC,
        )
        took.append((clock.monotonic() - began) * 1000)
    percentiles = statistics.quantiles(took, n=100)
    return 1000 / statistics.mean(took), percentiles[49], percentiles[98]


async def watch_events(running: Server, store: str) -> None:
    """Many watches over TLS: what they take of memory, and how long an event is on its way to all of them."""
    before, clock = running.resident(), SystemClock()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    streams = []
    for _ in range(WATCHES):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context, limit=2**20)
        head = f"GET {CONFIGMAPS}?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: bench\r\n"
        writer.write(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        streams.append((reader, writer))
    print(f"{store}: {WATCHES:,} watches over TLS: {running.resident() - before:.0f} MiB", flush=True)
    took = []
    for number in range(EVENTS):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"event-{number}"}}
        marker = f"event-{number}".encode()
        seen = asyncio.gather(*(reader.readuntil(marker) for reader, _ in streams))
        began = clock.monotonic()
        await running.client.raw("POST", CONFIGMAPS, body=body)
        await seen
        took.append((clock.monotonic() - began) * 1000)
    for _, writer in streams:
        writer.close()
    middle, longest = statistics.median(took), max(took)
    print(f"{store}: POST until all of them saw it: p50 {middle:.0f} ms, max {longest:.0f} ms")


async def give_account(client: Client, namespace: str) -> None:
    """What Pods need and a controller, which does not run here, would make."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await client.raw("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body=account)


async def fill(client: Client) -> None:
    """Create Pods until there are PODS of them."""

    async def create(numbers: range) -> None:
        for number in numbers:
            await client.create(Pod, pod(f"fill-{number}"), "fill")

    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fill"}}
    await client.raw("POST", "/api/v1/namespaces", body=namespace)
    await give_account(client, "fill")
    async with asyncio.TaskGroup() as group:
        for start in range(32):
            group.create_task(create(range(start, PODS, 32)))


async def measure(store: str) -> None:
    async with server(store) as running:
        print(f"{store}: resident when ready {running.resident():.0f} MiB")
        await give_account(running.client, "default")
        await running.client.create(Pod, pod("one"), "default")
        path = "/api/v1/namespaces/default/pods"
        report(f"{store}: GET pod", [running.wrk(f"{path}/one") for _ in range(RUNS)])
        body = msgspec.json.encode(pod("NAME")).decode()
        script = f"wrk.body = [==[{body}]==]\n{POST}"
        report(f"{store}: POST pod", [running.wrk(path, script, str(run)) for run in range(RUNS)])
        report(f"{store}: apply an unchanged pod, one at a time", [await reapply(running.client)])
        report(
            f"{store}: strategic merge patch of a pod, one at a time", [await patch_labels(running.client)]
        )
        await watch_events(running, store)
        await fill(running.client)
        lists = [running.curl("/api/v1/namespaces/fill/pods") for _ in range(5)]
        seconds = statistics.median(duration for duration, _ in lists)
        print(f"{store}: LIST {PODS:,} pods, {lists[0][1] / 2**20:.0f} MiB: {seconds:.2f} s")
        print(f"{store}: resident after lists {running.resident():.0f} MiB")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ("sqlite", "etcd"):
        asyncio.run(measure(chosen))

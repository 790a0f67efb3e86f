"""How long the API server takes to start, and what it takes then: import, start to ready, resident memory.

    python -m tests.bench.startup

Medians of RUNS runs, each of a new server with an empty store, with byte code at hand as an installed package
has it. CPU seconds are those of the process: they say more than the clock where others use the machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kplane.api.clock import SystemClock
from kplane.cli.probes import http_ok
from kplane.runtime import pki
from kplane.runtime.serving import free_port
from kplane.testing.waiting import eventually

RUNS = 5
IMPORT = """
import time
clock, cpu = time.perf_counter(), time.process_time()
import kplane.apiserver.main
print(time.perf_counter() - clock, time.process_time() - cpu)
"""


@contextmanager
def byte_code() -> Iterator[Mapping[str, str]]:
    """The environment of a process that finds byte code, and keeps what it has compiled."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = kept | {"PYTHONPYCACHEPREFIX": folder}
        subprocess.run([sys.executable, "-c", IMPORT], env=environment, check=True, capture_output=True)
        yield environment


def imported(environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds, and CPU seconds."""
    run = subprocess.run(
        [sys.executable, "-c", IMPORT], env=environment, check=True, capture_output=True, text=True
    )
    seconds, cpu = map(float, run.stdout.split())
    return seconds, cpu


async def started(environment: Mapping[str, str]) -> tuple[float, float, float]:
    """Seconds and CPU seconds until it is ready, and MiB that are resident then."""
    with tempfile.TemporaryDirectory() as name:
        folder, port, clock = Path(name), free_port(), SystemClock()
        pki.ensure(folder / "pki", server_names=["localhost"], server_ips=["127.0.0.1"])
        began = clock.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kplane.apiserver", f"--storage-dir={folder / 'store'}",
            f"--secure-port={port}", "--bind-address=127.0.0.1", "--authorization-mode=Node,RBAC",
            f"--tls-cert-file={folder / 'pki/apiserver.crt'}",
            f"--tls-private-key-file={folder / 'pki/apiserver.key'}",
            env=environment,
        )  # fmt: skip
        try:
            await eventually(http_ok(f"https://127.0.0.1:{port}/readyz", folder / "pki"))
            seconds = clock.monotonic() - began
            return seconds, *_used(process.pid)
        finally:
            process.terminate()
            await process.wait()


def _used(pid: int) -> tuple[float, float]:
    """CPU seconds, and MiB that are resident."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    resident = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert resident
    return ticks / os.sysconf("SC_CLK_TCK"), int(resident[1]) / 1024


async def main() -> int:
    with byte_code() as environment:
        imports = [imported(environment) for _ in range(RUNS)]
        starts = [await started(environment) for _ in range(RUNS)]
    seconds, cpu = (statistics.median(column) for column in zip(*imports, strict=True))
    print(f"import of the API server: {seconds:.2f} s, CPU {cpu:.2f} s")
    seconds, cpu, resident = (statistics.median(column) for column in zip(*starts, strict=True))
    print(f"start to ready: {seconds:.2f} s, CPU {cpu:.2f} s, resident {resident:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

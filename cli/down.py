"""`kplane down` and `kplane status`: what can be said to a cluster from outside."""

from __future__ import annotations

import asyncio
import shutil

import msgspec
from rich.console import Console
from rich.table import Table

from kplane.api.clock import Clock
from kplane.runtime.process import Fatal

from .containers import mounts_below, release_mounts, stop_pods
from .control import ask
from .layout import Layout
from .lock import held, locked
from .options import Options, Runtime
from .plan import containerd, remove_rules
from .supervisor import Supervisor

POLL = 0.05


async def down(layout: Layout, clock: Clock, console: Console, *, purge: bool) -> None:
    """Stop the cluster and wait until everything has ended; with `purge` delete its data folder too."""
    answer = await ask(layout, "stop")
    if answer is None:
        console.print(f"no cluster is running in {layout.root}")
    while answer is not None and held(layout):
        await clock.sleep(POLL)
    if layout.options.exists():
        with locked(layout):
            await sweep(layout, clock)
            layout.options.unlink()
    if purge and layout.root.exists():
        if not layout.admin_kubeconfig.exists() and not layout.kubeconfig("kubelet").exists():
            raise Fatal(f"{layout.root} is not the data folder of a cluster; nothing was deleted")
        await release_mounts(layout.root)
        if mounts_below(layout.root):
            raise Fatal(f"something is still mounted below {layout.root}; nothing was deleted")
        shutil.rmtree(layout.root)
        console.print(f"deleted {layout.root}")


async def sweep(layout: Layout, clock: Clock) -> None:
    """Stop the containers that a killed supervisor left running, through a containerd started for it."""
    options = msgspec.json.decode(layout.options.read_bytes(), type=Options)
    if options.runtime is not Runtime.CONTAINERD:
        return
    supervisor = Supervisor([containerd(layout, options)], clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run())
        async for _ in supervisor.becoming_ready():
            await stop_pods(layout.containerd_socket)
        supervisor.request_stop()
    await remove_rules()


async def status(layout: Layout, console: Console, output: str) -> bool:
    """Print the state of every process; False if no cluster is running."""
    view = await ask(layout, "status")
    if view is None:
        if output == "json":
            console.print_json('{"ready": false, "processes": []}')
        else:
            console.print(f"no cluster is running in {layout.root}")
        return False
    if output == "json":
        console.print_json(msgspec.json.encode(view).decode())
        return True
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "PID", "STATE", "RESTARTS", "SINCE"):
        table.add_column(title)
    for process in view.processes:
        pid = "" if process.pid is None else str(process.pid)
        table.add_row(process.name, pid, process.state, str(process.restarts), process.since)
    console.print(table)
    return True

"""`kplane up`: prepare, start everything under the supervisor, show progress, say what to do next."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from kplane.api.clock import Clock
from kplane.api.errors import ApiError
from kplane.api.types import Node
from kplane.api.types.meta import condition
from kplane.client import kubeconfig
from kplane.client.rest import connect
from kplane.runtime.process import Fatal
from kplane.runtime.serving import free_port

from .clusterinfo import publish
from .containers import make_bridge
from .control import ask
from .kubeadmconfig import publish as publish_config
from .layout import Layout
from .lock import locked
from .options import Options, Runtime
from .plan import BRIDGE, Ports, processes
from .prepare import prepare
from .supervisor import Supervisor, serve_status

DEFAULT_PORT = 6443
DETACH_POLL = 0.05


def choose_ports(options: Options) -> Ports:
    """Upstream's ports beside API port 6443; any free ones beside another, so that clusters can coexist."""
    api = options.port or free_port()
    ports = Ports(api, etcd=free_port(), etcd_peer=free_port(), etcd_metrics=free_port())
    if options.port == DEFAULT_PORT:
        return ports
    return replace(
        ports,
        kubelet=free_port(),
        kubelet_health=free_port(),
        scheduler=free_port(),
        controller_manager=free_port(),
        proxy_health=free_port(),
        proxy_metrics=free_port(),
        metrics_server=free_port(),
    )


async def up(layout: Layout, options: Options, clock: Clock, console: Console) -> None:
    """Run a cluster until it is told to stop. Raises Fatal where it cannot start."""
    layout.make()
    with locked(layout):
        ports = choose_ports(options)
        prepare(layout, options, ports)
        if options.runtime is Runtime.CONTAINERD:
            # First of all: the API server listens on its address.
            await make_bridge(BRIDGE, options.pod_cidr, options.service_cidr)
        supervisor = Supervisor(processes(layout, options, ports), clock)
        server = await serve_status(supervisor, layout.supervisor_socket)
        try:
            async with asyncio.TaskGroup() as group:
                announcer = group.create_task(_announce(supervisor, layout, options, ports, clock, console))
                await supervisor.run()
                announcer.cancel()
        finally:
            server.close()
            layout.supervisor_socket.unlink(missing_ok=True)
            layout.options.unlink(missing_ok=True)


async def _announce(
    supervisor: Supervisor, layout: Layout, options: Options, ports: Ports, clock: Clock, console: Console
) -> None:
    """Show each process as it becomes ready, then the nodes, then what to do next."""
    start = clock.monotonic()
    async for name in supervisor.becoming_ready():
        console.print(f"  [green]✓[/] {name:<20} {clock.monotonic() - start:5.2f} s")
    await _let_nodes_join(layout, options, ports)
    await wait_for_nodes(layout.admin_kubeconfig, options.nodes, clock)
    supervisor.ready = True
    nodes = "1 node is" if options.nodes == 1 else f"{options.nodes} nodes are"
    console.print(f"  [green]✓[/] {nodes} Ready{clock.monotonic() - start:>{14}.2f} s")
    console.print(f"\nThe cluster answers at https://127.0.0.1:{ports.api}. Try:\n")
    console.print(f"  export KUBECONFIG={layout.admin_kubeconfig}\n  kubectl get nodes\n", highlight=False)


async def _let_nodes_join(layout: Layout, options: Options, ports: Ports) -> None:
    client = connect(kubeconfig.load(layout.admin_kubeconfig))
    host = f"[{options.address}]" if ":" in options.address else options.address
    try:
        server = f"https://{host}:{ports.api}"
        await publish(client, server, (layout.pki / "ca.crt").read_bytes())
        await publish_config(client, server)
    finally:
        await client.close()


async def wait_for_nodes(admin: Path, count: int, clock: Clock) -> None:
    """Until so many nodes are Ready."""
    client = connect(kubeconfig.load(admin))
    try:
        while True:
            try:
                nodes = (await client.list(Node)).items
            except ApiError:
                nodes = ()
            ready = [condition(node.status.conditions, "Ready") for node in nodes]
            if sum(1 for found in ready if found and found.status == "True") >= count:
                return
            await clock.sleep(DETACH_POLL)
    finally:
        await client.close()


async def detach(layout: Layout, arguments: Sequence[str], clock: Clock) -> None:
    """Start `kplane up` in the background and return when the cluster is ready. Raises Fatal."""
    layout.make()
    log = layout.log("supervisor")
    with log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kplane.cli", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    shown = 0
    while True:
        text = log.read_text()
        print(text[shown:], end="", flush=True)
        shown = len(text)
        if child.returncode is not None:
            raise Fatal(f"the cluster did not start; its log is {log}")
        answer = await ask(layout, "status")
        if answer is not None and answer.ready and answer.pid == child.pid:
            return
        await clock.sleep(DETACH_POLL)

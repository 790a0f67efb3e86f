"""The command line: `kplane up|down|status`, the components by name, and the kubectl-like verbs.

A component runs as a process of its own: its name here replaces this process by it, flags untouched. What a
command needs is imported when it is called: `kplane get` must answer at once.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kplane.api.clock import SystemClock
from kplane.runtime.process import Fatal, run

from . import certscommand, initcommand, joincommand, tokencommand
from .layout import Layout, default_root
from .options import (
    ANY_ADDRESS,
    LOOPBACK,
    Options,
    Runtime,
    StoreKind,
    choose_runtime,
    missing_for_containers,
    node_address,
    reachable_at,
)
from .verbs import commands as verbs

COMPONENTS = {
    "apiserver": "apiserver",
    "scheduler": "scheduler",
    "controller-manager": "controllers",
    "kubelet": "kubelet",
    "proxy": "proxy",
    "metrics-server": "metricsserver",
}

POD_CIDR = "10.244.0.0/24"

app = typer.Typer(
    name="kplane", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Kubernetes' control plane and node agents in Python.",
)  # fmt: skip
verbs.register(app)
app.add_typer(certscommand.app, name="certs")
app.add_typer(initcommand.app, name="init")
app.add_typer(tokencommand.app, name="token")
app.command("join")(joincommand.join_command)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the cluster keeps its files.")]


@app.command("up")
def up_command(
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="API port; 0 takes any free one.")] = 6443,
    store: Annotated[StoreKind, typer.Option(help="Where objects are kept.")] = StoreKind.SQLITE,
    etcd_servers: Annotated[str, typer.Option(help="An etcd of yours, U,…; implies --store etcd.")] = "",
    runtime: Annotated[Runtime, typer.Option(help="What runs the containers.")] = Runtime.AUTO,
    nodes: Annotated[int, typer.Option(min=1, help="How many nodes; more than 1 with hollow only.")] = 1,
    node_name: Annotated[str, typer.Option(help="The node's name; the host name by default.")] = "",
    bind_address: Annotated[
        str, typer.Option(help="Listen where other machines can join; 0.0.0.0: all.")
    ] = "",
    metrics_server: Annotated[
        bool, typer.Option(help="Serve metrics.k8s.io, for `kubectl top` and autoscalers.")
    ] = True,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once the cluster is ready.")] = False,
    verbosity: Annotated[int, typer.Option("--v", help="How much the components log.")] = 0,
) -> None:
    """Start a cluster and keep it running."""
    from rich.console import Console

    from kplane.runtime import logs

    from . import up

    console = Console()
    layout = Layout((data_dir or default_root()).resolve())
    chosen = choose_runtime(runtime)
    if runtime is Runtime.AUTO and chosen is Runtime.HOLLOW:
        lacks = ", ".join(missing_for_containers())
        console.print(f"[yellow]hollow nodes:[/] Pods will not be real containers, for lack of {lacks}")
    if nodes > 1 and chosen is not Runtime.HOLLOW:
        raise Fatal("--nodes above 1 needs --runtime hollow: one machine is one containerd node")
    if detach:
        arguments = ["up", *(word for word in sys.argv[2:] if word not in ("--detach", "-d"))]
        _finish(run("kplane up", lambda: up.detach(layout, arguments, SystemClock())))
    options = Options(
        port=port,
        store=StoreKind.ETCD if etcd_servers else store,
        etcd_servers=etcd_servers,
        runtime=chosen,
        nodes=nodes,
        node_name=(node_name or socket.gethostname()).lower(),
        address=reachable_at(bind_address) if bind_address else node_address(chosen, POD_CIDR),
        bind_address=bind_address if bind_address in ANY_ADDRESS else LOOPBACK,
        pod_cidr=POD_CIDR,
        metrics_server=metrics_server,
        verbosity=verbosity,
    )
    logs.setup(verbosity)
    _finish(run("kplane up", lambda: up.up(layout, options, SystemClock(), console)))


@app.command("down")
def down_command(
    data_dir: DataDir = None,
    purge: Annotated[bool, typer.Option("--purge", help="Delete the data folder too.")] = False,
) -> None:
    """Stop a cluster."""
    from rich.console import Console

    from . import down

    layout = Layout((data_dir or default_root()).resolve())
    console = Console()
    _finish(run("kplane down", lambda: down.down(layout, SystemClock(), console, purge=purge)))


@app.command("status")
def status_command(
    data_dir: DataDir = None,
    output: Annotated[str, typer.Option("--output", "-o", help="json for machines.")] = "",
) -> None:
    """Show each process of a cluster; exit status 1 if none is running."""
    from rich.console import Console

    from . import down

    layout = Layout((data_dir or default_root()).resolve())
    console = Console()
    running = True

    async def show() -> None:
        nonlocal running
        running = await down.status(layout, console, output)

    _finish(run("kplane status", show) or int(not running))


@app.command("load")
def load_command(
    archive: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An OCI or Docker archive.")],
    data_dir: DataDir = None,
) -> None:
    """Hand an image to the cluster's node, with no registry in between."""
    from .containers import import_image

    layout = Layout((data_dir or default_root()).resolve())
    if not layout.containerd_socket.exists():
        raise Fatal(f"no containerd is running in {layout.root}; start a cluster with `kplane up`")
    image = archive.read_bytes()
    _finish(run("kplane load", lambda: import_image(layout.containerd_socket, image)))


def _finish(status: int) -> None:
    raise typer.Exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMPONENTS:
        os.execv(sys.executable, [sys.executable, "-m", f"kplane.{COMPONENTS[words[0]]}", *words[1:]])  # noqa: S606
    try:
        if words and words[0] in verbs.verbs():
            verbs.verb_app(words[0])(verbs.normalised(words[1:]), prog_name=f"kplane {words[0]}")
        app(words, standalone_mode=True)
    except Fatal as fault:
        print(f"kplane: {fault}", file=sys.stderr)
        return 1
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    return 0

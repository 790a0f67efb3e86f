"""The command `kplane join`, with kubeadm's flags."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from kplane.api.clock import SystemClock
from kplane.runtime.process import Fatal, run

from .layout import Layout, default_root
from .options import CGROUP, Runtime, cgroup, choose_runtime


def join_command(
    address: Annotated[str, typer.Argument(help="The API server, HOST:PORT; not needed to join again.")] = "",
    token: Annotated[str, typer.Option(help="A token of `kplane token create`.")] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token, which is then in no list of processes.")
    ] = None,
    pins: Annotated[
        list[str] | None,
        typer.Option("--discovery-token-ca-cert-hash", help="Hash of the cluster's authority, sha256:HEX."),
    ] = None,
    trusting: Annotated[
        bool,
        typer.Option("--discovery-token-unsafe-skip-ca-verification", help="Join without such a hash."),
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where the node keeps its files.")
    ] = None,
    runtime: Annotated[Runtime, typer.Option(help="What runs the containers.")] = Runtime.AUTO,
    node_name: Annotated[str, typer.Option(help="The node's name; the host name by default.")] = "",
    node_ip: Annotated[str, typer.Option(help="Its address; the one towards the API by default.")] = "",
    pod_cidr: Annotated[str, typer.Option(help="Range of its Pods' addresses.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The kubelet's port; 0: any free one.")] = 10250,
    cgroup_root: Annotated[
        str, typer.Option(help="Below which its Pods' cgroups are made, and nothing else's.")
    ] = CGROUP,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once the node is Ready.")] = False,
    verbosity: Annotated[int, typer.Option("--v", help="How much the components log.")] = 0,
) -> None:
    """Make this machine a node of a cluster, and keep it running."""
    from rich.console import Console

    from kplane.runtime import logs

    from . import join, up

    layout = Layout((data_dir or default_root()).resolve())
    clock = SystemClock()
    if detach:
        words = ["join", *(word for word in sys.argv[2:] if word not in ("--detach", "-d"))]
        raise typer.Exit(run("kplane join", lambda: up.detach(layout, words, clock)))
    wish = join.Wish(
        address=address,
        token=token_of(token, token_file),
        pins=tuple(pins or ()),
        trusting=trusting,
        runtime=choose_runtime(runtime),
        node_name=(node_name or socket.gethostname()).lower(),
        node_ip=node_ip,
        pod_cidr=pod_cidr,
        port=port,
        verbosity=verbosity,
        cgroup_root=cgroup(cgroup_root),
    )
    logs.setup(verbosity)
    raise typer.Exit(run("kplane join", lambda: join.join(layout, wish, clock, Console())))


def token_of(token: str, file: Path | None) -> str:
    """The one that was given, in either way. Raises Fatal."""
    if file is None:
        return token
    if token:
        raise Fatal("pass --token or --token-file, not both")
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"cannot read --token-file {file}: {error}") from error

"""`kplane join`: trust a cluster, become a node of it, and run it under the supervisor.

Reads: the cluster's `cluster-info`, the Node. Writes: the data folder: the cluster's authority, a kubeconfig
with the token, for as long as the kubelet has none of its own.
Elsewhere: trust (discovery.py), the node's certificates (the kubelet), its processes (plan.py).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import msgspec
from rich.console import Console

from kplane.api.bootstraptokens import Token
from kplane.api.clock import Clock
from kplane.api.errors import ApiError, Forbidden, NotFound, Unauthorized
from kplane.api.types import Node
from kplane.api.types.meta import condition
from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client, connect
from kplane.runtime import addresses, pki
from kplane.runtime.process import Fatal
from kplane.runtime.serving import free_port

from .containers import make_bridge
from .discovery import Discovered, check_pins, discover
from .kubeadmconfig import fetch_kubelet
from .layout import Layout
from .lock import locked
from .options import CGROUP, Options, Runtime, StoreKind
from .plan import BOOTSTRAP, BRIDGE, Ports, node_processes
from .prepare import write_containerd_config
from .supervisor import Supervisor, serve_status
from .tokens import parse_token

POLL = 0.2
KUBELET = "kubelet"


@dataclass(frozen=True)
class Wish:
    """What the command line says."""

    address: str
    token: str = field(repr=False)
    pins: Sequence[str]
    trusting: bool
    runtime: Runtime
    node_name: str
    node_ip: str
    pod_cidr: str
    port: int
    verbosity: int
    cgroup_root: str = CGROUP


async def join(layout: Layout, wish: Wish, clock: Clock, console: Console) -> None:
    """Join, and run the node until it is told to stop. Raises Fatal."""
    layout.make()
    with locked(layout):
        if layout.admin_kubeconfig.exists():
            raise Fatal(f"{layout.root} belongs to a control plane; choose another --data-dir for the node")
        server = await _trusted_server(layout, wish, clock)
        options = _options(wish, server)
        pki.write_private(layout.options, msgspec.json.encode(options))
        if options.runtime is Runtime.CONTAINERD:
            write_containerd_config(layout, options)
            await make_bridge(BRIDGE, options.pod_cidr, options.service_cidr)
        ports = Ports(0, etcd=0, etcd_peer=0, kubelet=wish.port or free_port(options.address))
        if wish.port != Ports.kubelet:
            ports = replace(
                ports, kubelet_health=free_port(), proxy_health=free_port(), proxy_metrics=free_port()
            )
        await _run(layout, options, ports, clock, console)


async def _run(layout: Layout, options: Options, ports: Ports, clock: Clock, console: Console) -> None:
    supervisor = Supervisor(node_processes(layout, options, ports), clock)
    status = await serve_status(supervisor, layout.supervisor_socket)
    try:
        async with asyncio.TaskGroup() as group:
            announcer = group.create_task(_announce(supervisor, layout, options, clock, console))
            await supervisor.run()
            announcer.cancel()
    finally:
        status.close()
        layout.supervisor_socket.unlink(missing_ok=True)
        layout.options.unlink(missing_ok=True)


async def _announce(
    supervisor: Supervisor, layout: Layout, options: Options, clock: Clock, console: Console
) -> None:
    start = clock.monotonic()
    async for name in supervisor.becoming_ready():
        console.print(f"  [green]✓[/] {name:<20} {clock.monotonic() - start:5.2f} s")
    # The node has an identity of its own: the token is of no more use here.
    layout.kubeconfig(BOOTSTRAP).unlink(missing_ok=True)
    client = connect(kubeconfig.load(layout.kubeconfig(KUBELET)))
    try:
        while not await _is_ready(client, options.node_name):
            await clock.sleep(POLL)
    finally:
        await client.close()
    supervisor.ready = True
    console.print(f"  [green]✓[/] node {options.node_name} is Ready   {clock.monotonic() - start:5.2f} s")


async def _is_ready(client: Client, name: str) -> bool:
    try:
        found = condition((await client.get(Node, name)).status.conditions, "Ready")
    except ApiError:
        return False  # The kubelet is still about to register it.
    return found is not None and found.status == "True"


async def _trusted_server(layout: Layout, wish: Wish, clock: Clock) -> str:
    """The API's address. Where this machine is a node already, the one that it knows. Raises Fatal."""
    known = layout.kubeconfig(KUBELET)
    if known.exists() and not wish.token:
        try:
            return kubeconfig.load(known).server
        except kubeconfig.ConfigError as error:
            raise Fatal(str(error)) from error
    if not wish.address or not wish.token:
        raise Fatal("say which cluster to join: kplane join HOST:PORT --token ID.SECRET …")
    _check(wish)
    token = parse_token(wish.token)
    found = await discover(wish.address, token, wish.pins, clock)
    await _check_token(found, token, wish.node_name, clock)
    await _take_configuration(layout, found, token)
    known.unlink(missing_ok=True)
    layout.pki.mkdir(mode=0o700, exist_ok=True)
    pki.write_private(layout.pki / "ca.crt", found.authority, pki.CERTIFICATE_MODE)
    given = Credentials(found.server, ca=found.authority, token=str(token))
    kubeconfig.write(layout.kubeconfig(BOOTSTRAP), given, user="tls-bootstrap-token-user")
    return found.server


def _check(wish: Wish) -> None:
    check_pins(wish.pins)
    if not wish.pins and not wish.trusting:
        raise Fatal(
            "pass --discovery-token-ca-cert-hash, as `kplane token create --print-join-command` shows it, or "
            "--discovery-token-unsafe-skip-ca-verification to trust whoever answers and knows the token"
        )


async def _check_token(found: Discovered, token: Token, node: str, clock: Clock) -> None:
    """That it authenticates, and that no other node has this one's name. Raises Fatal."""
    client = connect(Credentials(found.server, ca=found.authority, token=str(token)))
    try:
        present = await client.get(Node, node)
    except Unauthorized as error:
        raise Fatal(
            f'the cluster does not accept the token with id "{token.id}": it has expired, or is not for '
            "authentication; make another one with `kplane token create`"
        ) from error
    except (NotFound, Forbidden):
        return
    except ApiError as error:
        raise Fatal(f"cannot ask the API server about this node: {error}") from error
    finally:
        await client.close()
    ready = condition(present.status.conditions, "Ready")
    if ready is not None and ready.status == "True":
        raise Fatal(
            f'a Node with name "{node}" and status "Ready" already exists in the cluster; delete it, '
            "or choose another name with --node-name"
        )


async def _take_configuration(layout: Layout, found: Discovered, token: Token) -> None:
    """What the cluster says to its kubelets, or nothing if it says nothing. Raises Fatal."""
    client = connect(Credentials(found.server, ca=found.authority, token=str(token)))
    try:
        text = await fetch_kubelet(client)
    except ApiError as error:
        raise Fatal(f"cannot read the cluster's configuration for kubelets: {error}") from error
    finally:
        await client.close()
    if text is None:
        layout.kubelet_config.unlink(missing_ok=True)
    else:
        pki.write_private(layout.kubelet_config, text.encode())


def _options(wish: Wish, server: str) -> Options:
    return Options(
        port=0,
        store=StoreKind.SQLITE,
        etcd_servers="",
        runtime=wish.runtime,
        nodes=1,
        node_name=wish.node_name,
        address=wish.node_ip or address_towards(server),
        pod_cidr=wish.pod_cidr or pod_range(wish.node_name),
        cgroup_root=wish.cgroup_root,
        verbosity=wish.verbosity,
    )


def pod_range(node: str) -> str:
    """A range for the Pods of a node that was given none: not the first node's, and always the same."""
    return f"10.244.{1 + hashlib.sha256(node.encode()).digest()[0] % 254}.0/24"


def address_towards(server: str) -> str:
    """This machine's address as the API server sees it; nothing is sent. Raises Fatal."""
    host = urlsplit(server).hostname or ""
    try:
        return addresses.towards(host)
    except OSError as error:
        raise Fatal(f"cannot find out this node's address ({error}); give it with --node-ip") from error

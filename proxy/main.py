"""The proxy's process: flags, connection, health, metrics, and the proxy.

An API server that cannot be reached never ends this process, and the end of this process never ends the
rules: Services go on working as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from kplane.api.clock import Entropy, SystemClock
from kplane.client import kubeconfig
from kplane.client.events import EventRecorder
from kplane.client.informer import InformerFactory
from kplane.client.rest import Client, connect
from kplane.runtime import logs, process
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig

from .backend import Nftables, SyncFailed
from .config import Address, Config, parse
from .health import health_app, metrics_app
from .nft import CommandFailed, Commands
from .nftables import IPV4, IPV6, Options
from .proxier import Proxier
from .servicehealth import ServiceHealth

NAME = "kplane proxy"
IPV6_IN_KERNEL = Path("/proc/net/if_inet6")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit status."""

    async def start() -> None:
        config = parse(argv)
        logs.setup(config.verbosity)
        await run(config)

    return process.run(NAME, start)


async def run(config: Config) -> None:
    """Serve health and metrics, and keep the rules in step, until cancelled."""
    commands = Commands()
    families = (IPV4, IPV6) if IPV6_IN_KERNEL.exists() else (IPV4,)
    backend = Nftables(commands, Options(config.cluster_cidr, config.masquerade_all), families)
    if config.cleanup:
        await _cleanup(backend)
        return
    await _check_usable(commands)
    client = _connect(config)
    clock, entropy = SystemClock(), Entropy()
    informers = InformerFactory(client, clock=clock, entropy=entropy)
    names = [family.name for family in families]
    proxier = Proxier(informers, backend, clock, entropy, config, names)
    events = EventRecorder(client, "kube-proxy", clock=clock, entropy=entropy, host=config.node_name)
    services = ServiceHealth(proxier, clock, events, config.node_name)
    health = Serving(health_app(proxier, clock), _serving(config.healthz))
    metrics = Serving(metrics_app(), _serving(config.metrics))
    try:
        async with health, metrics, asyncio.TaskGroup() as group:
            group.create_task(informers.run())
            group.create_task(proxier.run())
            group.create_task(events.run())
            group.create_task(services.run())
    finally:
        await client.close()


async def _cleanup(backend: Nftables) -> None:
    try:
        await backend.cleanup()
    except SyncFailed as error:
        raise Fatal(f"the rules could not be removed: {error}") from error


async def _check_usable(commands: Commands) -> None:
    try:
        await commands.run(["nft", "list", "tables"])
    except CommandFailed as error:
        raise Fatal(f"nftables cannot be used: {error}; install nftables and run as root") from error


def _serving(address: Address) -> ServingConfig:
    return ServingConfig(address=address.ip, port=address.port)


def _connect(config: Config) -> Client:
    try:
        credentials = kubeconfig.load(config.kubeconfig)
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error
    return connect(credentials, user_agent="kube-proxy")

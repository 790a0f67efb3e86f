"""The scheduler's process: flags, connection, health, leadership, and the scheduler.

An API server that cannot be reached never ends this process: everything waits, with backoff, until it
answers. The port alone may need it at the start (`--authentication-tolerate-lookup-failure`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kplane.api.clock import Clock, Entropy, SystemClock
from kplane.client import kubeconfig
from kplane.client.events import EventRecorder
from kplane.client.informer import InformerFactory
from kplane.client.leaderelection import ElectionConfig, Fence, Fenced, LostLeadership, lead
from kplane.client.rest import Client, connect
from kplane.runtime import logs, process
from kplane.runtime.delegation.secureport import secure_port
from kplane.runtime.health import Unhealthy, component_app
from kplane.runtime.process import Fatal
from kplane.runtime.serving import ServingConfig

from . import metrics
from .config import Config, parse
from .scheduler import Scheduler

NAME = "kplane scheduler"
COMPONENT = "default-scheduler"
"""What Events name as their source: the profile, as upstream does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit status."""

    async def start() -> None:
        config = parse(argv)
        logs.setup(config.verbosity)
        await run(config)

    return process.run(NAME, start)


async def run(config: Config) -> None:
    """Serve health and metrics, and schedule, until cancelled."""
    client = _connect(config)
    clock, entropy = SystemClock(), Entropy()
    running = Running(client, clock, entropy)
    serving = ServingConfig(
        address=config.bind_address,
        port=config.secure_port,
        cert_file=config.cert_file,
        key_file=config.key_file,
    )
    app = component_app({"informer-sync": running.check_synced})
    try:
        async with secure_port(app, serving, config.delegation, clock, entropy):
            if config.leader_elect:
                await running.lead(config)
            else:
                await running.schedule()
    finally:
        await client.close()


class Running:
    """A scheduler with its informers and its Events."""

    def __init__(self, client: Client, clock: Clock, entropy: Entropy) -> None:
        self._elector = client
        self._fence = Fence(clock)
        client = Client(Fenced(client.transport, self._fence), user_agent=client.user_agent, clock=clock)
        self._clock = clock
        self._entropy = entropy
        self._informers = InformerFactory(client, clock=clock, entropy=entropy)
        self._events = EventRecorder(client, COMPONENT, clock=clock, entropy=entropy)
        self._scheduler = Scheduler(client, self._informers, self._events, clock, entropy)
        metrics.expose(self._scheduler.queue)

    async def schedule(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._events.run())
            group.create_task(self._scheduler.run())

    async def lead(self, config: Config) -> None:
        election = ElectionConfig(
            name=config.lease_name,
            namespace=config.lease_namespace,
            lease_duration=config.lease_duration,
            renew_deadline=config.renew_deadline,
            retry_period=config.retry_period,
        )
        try:
            await lead(self._elector, election, self._clock, self._entropy, self.schedule, self._fence)
        except LostLeadership as error:
            raise Fatal("another scheduler leads now; start again to stand by") from error

    async def check_synced(self) -> None:
        if not self._scheduler.synced:
            raise Unhealthy("the caches of Pods and Nodes are not filled yet")


def _connect(config: Config) -> Client:
    try:
        credentials = kubeconfig.load(config.kubeconfig)
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error
    return connect(credentials, user_agent="kube-scheduler")

"""The manager: runs the chosen controllers in one event loop, over shared informers.

Owns: one queue, one event recorder and one Context per controller.
Elsewhere: which controllers exist (registry.py), flags (config.py), the process (main.py).

Invariant: no controller acts before its caches hold the cluster's state; one whose resources the API server
does not serve holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, runtime_checkable

from prometheus_client import Gauge

from kplane.api.clock import Clock, Entropy
from kplane.client.controller import Context, Controller
from kplane.client.events import EventRecorder
from kplane.client.informer import InformerFactory
from kplane.client.leaderelection import ElectionConfig, Fence, Fenced, LostLeadership, lead
from kplane.client.rest import Client
from kplane.client.transport import Transport
from kplane.client.workqueue import WorkQueue
from kplane.runtime.health import Check, Unhealthy

from .config import Config
from .credentials import Clients
from .registry import CONTROLLERS
from .sharing import Sharing

log = logging.getLogger(__name__)

PUBLISHERS = (
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "root-ca-certificate-publisher-controller",
)
"""They publish the file of `--root-ca-file`."""

RUNNING = Gauge(
    "running_managed_controllers",
    "Indicates where instances of a controller are currently running",
    ["name", "manager"],
)

DEVICE_TAINTS = "DRADeviceTaints"
"""Name of a feature gate; of the others, `--feature-gates` has an effect on HPAScaleToZero only."""

STUCK_SECONDS = 300.0
"""Longer than any request to the API server takes, with all its retries."""


@runtime_checkable
class Background(Protocol):
    """A controller that has more to run than its queue, and to wait for than the shared informers."""

    async def run(self) -> None: ...

    async def wait_synced(self) -> None: ...


class Manager:
    """The controllers of one process. `run` can be called again after it was cancelled."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        entropy: Entropy,
        config: Config,
        accounts: Transport | None = None,
    ) -> None:
        """`accounts`: a transport without an identity, over which controllers ask as their own accounts; they
        share `client` without it."""
        self._elector = client
        self._fence = Fence(clock)
        behind = Fenced(client.transport, self._fence)
        self._client = Client(behind, user_agent=client.user_agent, clock=clock)
        self._clients = None
        if accounts is not None:
            self._clients = Clients(self._client, Fenced(accounts, self._fence), clock)
        self._clock = clock
        self._entropy = entropy
        self._config = config
        self._queues: dict[str, WorkQueue] = {}

    def checks(self) -> dict[str, Check]:
        """A health check for each controller: it fails while keys wait and nobody takes any."""
        return {name: self._check(name) for name in self._chosen()}

    def _check(self, name: str) -> Check:
        async def check() -> None:
            queue = self._queues.get(name)
            if queue is not None and queue.stuck_for > STUCK_SECONDS:
                raise Unhealthy(f"queue of {name} is stuck for {queue.stuck_for:.0f} s")

        return check

    async def run(self) -> None:
        """Run the controllers until cancelled."""
        factory = InformerFactory(self._client, clock=self._clock, entropy=self._entropy, prepare=Sharing())
        async with asyncio.TaskGroup() as group:
            # Queues and controllers exist before the informers start, so that no change is missed.
            for name in self._chosen():
                context = self._context(name, factory, group)
                controller = CONTROLLERS[name].make(context)
                group.create_task(self._run_controller(controller, context))
            group.create_task(factory.run())

    async def lead(self) -> None:
        """Run the controllers whenever this process holds the Lease, until cancelled."""
        config = ElectionConfig(
            name=self._config.lease_name,
            namespace=self._config.lease_namespace,
            lease_duration=self._config.lease_duration,
            renew_deadline=self._config.renew_deadline,
            retry_period=self._config.retry_period,
        )
        while True:
            try:
                await lead(self._elector, config, self._clock, self._entropy, self.run, self._fence)
            except LostLeadership:
                # Nothing of the old term is left: the next one starts with new queues and caches.
                log.warning("leadership lost, standing for election again lease=%s", config.name)

    def _chosen(self) -> list[str]:
        names = [name for name in CONTROLLERS if self._config.enabled(name)]
        if self._config.root_ca_file is None:
            names = [name for name in names if name not in PUBLISHERS]
        if self._config.service_account_private_key_file is None:
            names = [name for name in names if name != "serviceaccount-token-controller"]
        if not self._config.signing_files:
            names = [name for name in names if name != "certificatesigningrequest-signing-controller"]
        if not self._config.enable_garbage_collector:
            names = [name for name in names if name != "garbage-collector-controller"]
        if not self._config.feature_gates.get(DEVICE_TAINTS, True):
            names = [name for name in names if name != "device-taint-eviction-controller"]
        if not self._config.allocate_node_cidrs:
            names = [name for name in names if name != "node-ipam-controller"]
        return names

    def _context(self, name: str, factory: InformerFactory, group: asyncio.TaskGroup) -> Context:
        entry = CONTROLLERS[name]
        source = entry.event_source or name
        client = self._clients.client(name) if self._clients is not None else self._client
        recorder = EventRecorder(client, source, clock=self._clock, entropy=self._entropy)
        group.create_task(recorder.run())
        queue = self._queues[name] = WorkQueue(entry.queue, self._clock)
        return Context(client, factory, queue, self._clock, self._entropy, recorder, self._config)

    async def _run_controller(self, controller: Controller, context: Context) -> None:
        async with asyncio.TaskGroup() as group:
            if isinstance(controller, Background):
                group.create_task(controller.run())
                await controller.wait_synced()
            await context.wait_synced()
            workers = self._config.workers.get(controller.name, CONTROLLERS[controller.name].workers)
            log.info("started controller=%s workers=%d", controller.name, workers)
            running = RUNNING.labels(controller.name, "kube-controller-manager")
            running.set(1)
            try:
                await context.queue.run(controller.reconcile, workers)
            finally:
                running.set(0)

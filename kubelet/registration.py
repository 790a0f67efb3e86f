"""The node's presence in the API: registration, status, Lease.

Writes: the Node (once), its status (when it changed, and every 5 minutes), the Lease in kube-node-lease
(every 10 s), which the node owns, so that it goes with it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from kplane.api.clock import Clock, rfc3339_micro
from kplane.api.errors import AlreadyExists, ApiError, NotFound
from kplane.api.resource import Object, Resource
from kplane.api.types import Lease
from kplane.api.types.meta import View
from kplane.client.rest import Client, PatchType

from . import node
from .alarm import Alarm
from .config import KubeletConfig
from .machine import Machine
from .node import Observed
from .runtime.interface import Image, Runtime, RuntimeFailure, RuntimeVersion

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 7.0
DOWN_AFTER_SECONDS = 30.0
"""How long the runtime may be silent before the node is not ready (upstream's maxWaitForContainerRuntime)."""


class NodeView(View, frozen=True):
    """The node as the API has it; spec and status as plain objects, to compare with."""

    API: ClassVar[Resource[Any]]

    spec: Object = {}  # noqa: RUF012 msgspec copies it
    status: Object = {}  # noqa: RUF012


NodeView.API = Resource("", "v1", "nodes", "Node", False, NodeView)


class NodeRegistration:
    """One node. `port` is where the node server listens."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        clock: Clock,
        config: KubeletConfig,
        machine: Machine,
        port: int,
    ) -> None:
        self._client, self._runtime, self._clock = client, runtime, clock
        self._config, self._machine, self._port = config, machine, port
        self._uid = ""
        self._status: Object = {}
        self._reported_at = 0.0
        self._renewed_at: float | None = None
        self._alarm = Alarm(clock)
        self._heard_at: float | None = None
        self._version = RuntimeVersion("unknown", "")
        self._images: Sequence[Image] = ()

    @property
    def ready(self) -> bool:
        """Whether the API was told that this node is ready."""
        return any(
            entry["type"] == "Ready" and entry["status"] == "True"
            for entry in self._status.get("conditions") or ()
        )

    def look_now(self) -> None:
        """Something about the node changed: do not wait for the next turn."""
        self._alarm.ring()

    async def register(self) -> None:
        """Until the API has the node."""
        delay = RETRY_SECONDS
        while True:
            try:
                await self._register()
                return
            except ApiError as error:
                log.warning("not registered node=%s error=%s", self._config.node_name, error)
            await self._clock.sleep(delay)
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def keep_status(self) -> None:
        """Report the status until cancelled."""
        while True:
            try:
                await self._report()
            except NotFound:
                log.warning("node is gone from the API, registering again node=%s", self._config.node_name)
                await self.register()
            except ApiError as error:
                log.warning("status not sent node=%s error=%s", self._config.node_name, error)
            await self._alarm.wait(self._config.node_status_update_frequency)

    async def keep_lease(self) -> None:
        """Renew the Lease until cancelled."""
        period = self._config.node_lease_duration_seconds / 4
        while True:
            try:
                await self._renew()
                await self._make_known()
                delay = period
            except ApiError as error:
                log.warning("lease not renewed node=%s error=%s", self._config.node_name, error)
                delay = RETRY_SECONDS
            await self._clock.sleep(delay)

    async def _register(self) -> None:
        if not self._config.register_node:
            await self._adopt()
            return
        body = node.node_object(self._config, await self._observe(), self._clock.now())
        try:
            created = await self._client.create(NodeView, body)
        except AlreadyExists:
            await self._adopt(body)
            return
        self._uid, self._status = created.metadata.uid, body["status"] if created.status else {}
        log.info("registered node=%s", self._config.node_name)

    async def _adopt(self, body: Object | None = None) -> None:
        """The node exists already: bring its labels up to date, as upstream's reconcile does."""
        name = self._config.node_name
        found = await self._client.get(NodeView, name)
        if body is not None:
            own = body["metadata"]["labels"]
            if any(found.metadata.labels.get(key) != value for key, value in own.items()):
                found = await self._client.patch(NodeView, name, "", {"metadata": {"labels": own}})
        # Only the conditions, for their transition times: the rest is sent anew.
        self._uid = found.metadata.uid
        self._status = {"conditions": found.status.get("conditions", [])}
        log.info("registered before node=%s", name)

    async def _observe(self) -> Observed:
        error = ""
        now = self._clock.monotonic()
        try:
            conditions = await self._runtime.conditions()
            self._images = await self._runtime.list_images()
            if self._heard_at is None or now - self._heard_at > DOWN_AFTER_SECONDS:
                self._version = await self._runtime.version()
            self._heard_at = now
            error = node.runtime_error(conditions)
        except RuntimeFailure as failure:
            log.warning("runtime does not answer node=%s error=%s", self._config.node_name, failure)
            if self._heard_at is None or now - self._heard_at >= DOWN_AFTER_SECONDS:
                error = "container runtime is down"
        return Observed(self._machine, self._version, self._images, error, self._port)

    async def _report(self) -> None:
        now = self._clock.monotonic()
        observed = await self._observe()
        status = node.node_status(self._config, observed, self._status, self._clock.now())
        patch = node.changed(self._status, status)
        due = now - self._reported_at >= self._config.node_status_report_frequency
        if not patch and not due:
            return
        patch["conditions"] = status["conditions"]
        await self._client.patch(
            NodeView, self._config.node_name, "", {"status": patch},
            kind=PatchType.STRATEGIC, subresource="status",
        )  # fmt: skip
        # What was sent, not what came back: the server writes quantities in its own way.
        self._status, self._reported_at = status, now
        log.info("status sent node=%s ready=%s", self._config.node_name, self.ready)

    async def _make_known(self) -> None:
        """After a time without heartbeats the control plane has set conditions to Unknown: the next status
        is compared with what the API has, not with what was sent last."""
        before, now = self._renewed_at, self._clock.monotonic()
        if before is not None and now - before >= self._config.node_lease_duration_seconds:
            found = await self._client.get(NodeView, self._config.node_name)
            self._status = {"conditions": found.status.get("conditions", [])}
            self.look_now()
        self._renewed_at = now

    async def _renew(self) -> None:
        name = self._config.node_name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": self._config.node_lease_duration_seconds,
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        try:
            await self._client.patch(Lease, name, LEASE_NAMESPACE, {"spec": spec})
        except NotFound:
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._uid}
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
                "spec": spec,
            }
            await self._client.create(Lease, body)

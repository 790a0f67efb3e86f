"""The Available condition of remote APIServices: one watcher of changes, one prober for each of them.

Reads: APIServices, Services, EndpointSlices. Writes: the status of APIServices. After every look at a server
that is there, its discovery and schemas are fetched again (`on_look`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object

from ..bootstrap import SELF
from ..registry.apiservices import AVAILABLE, local_condition
from ..registry.generic import Registry
from ..storage import codec
from ..storage.background import Background
from ..storage.cache import Overrun, WatchCache
from ..storage.events import Item
from ..storage.store import Compacted, StoreError
from ..webhooks.errors import CallError
from ..webhooks.services import SERVICE_NAME_LABEL, ReadService, ReadSlices
from .conditions import PASSED, Verdict, failed, judge
from .connection import Connections, Unanswered
from .metrics import AvailabilityMetrics
from .remotes import Remote, Remotes, condition_of, read

log = logging.getLogger(__name__)

RESYNC_SECONDS = 30.0
FIRST_RETRY_SECONDS = 0.25
ATTEMPTS = 5
PROBE_SECONDS = 5.0
PROBE_LIMIT = 4 * 1024 * 1024

OnLook = Callable[[Remote, bool], Awaitable[None]]
"""(remote, whether it is available)"""


class Prober:
    """Looks at one APIService whenever something changed, and every now and then."""

    def __init__(self, remote: Remote, look: Callable[[Remote], Awaitable[bool]], clock: Clock) -> None:
        self.remote = remote
        self._look = look
        self._clock = clock
        self._changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        retry = FIRST_RETRY_SECONDS
        while True:
            self._changed.clear()
            good = await self._look(self.remote)
            retry = FIRST_RETRY_SECONDS if good else min(retry * 2, RESYNC_SECONDS)
            await self._pause(RESYNC_SECONDS if good else retry)

    async def _pause(self, seconds: float) -> None:
        waits = [
            asyncio.ensure_future(self._changed.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class Availability:
    """`run` keeps the conditions true for as long as it runs."""

    def __init__(
        self,
        services: Registry,
        remotes: Remotes,
        connections: Connections,
        background: Background,
        clock: Clock,
        *,
        backends: Callable[[], tuple[WatchCache, WatchCache]],
        service: ReadService,
        slices: ReadSlices,
        metrics: AvailabilityMetrics,
        on_look: OnLook,
    ) -> None:
        self._services = services
        self._remotes = remotes
        self._connections = connections
        self._background = background
        self._clock = clock
        self._read_service = service
        self._read_slices = slices
        self._metrics = metrics
        self._on_look = on_look
        self._backends = backends
        self._follows_backends = False
        self._probers: dict[str, Prober] = {}

    async def run(self) -> None:
        """Follow the APIServices."""
        await self._follow(self._services.cache, self._reconcile)

    async def _follow_backends(self) -> None:
        """Look again when a Service or its endpoints change."""
        services, slices = self._backends()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(services, self._wake_by_name))
            tasks.create_task(self._follow(slices, self._wake_by_label))

    async def _follow(self, cache: WatchCache, on_change: Callable[[Item | None], Awaitable[None]]) -> None:
        """Call for everything that is there and for every change; None after something was lost."""
        while True:
            try:
                with await cache.watch(at_least=0) as watcher:
                    await on_change(None)
                    for item in watcher.initial:
                        await on_change(item)
                    async for batch in watcher:
                        for event in batch:
                            await on_change(event.item)
            except (Overrun, Compacted, ApiError, StoreError) as error:
                log.warning("watch of API services ended error=%s", error)
            await self._clock.sleep(1.0)

    async def _wake_by_name(self, item: Item | None) -> None:
        for prober in self._probers.values():
            remote = prober.remote
            if item is None or item.key.endswith(f"/{remote.namespace}/{remote.service}"):
                prober.wake()

    async def _wake_by_label(self, item: Item | None) -> None:
        for prober in self._probers.values():
            remote = prober.remote
            if item is None or (
                item.namespace == remote.namespace and item.labels.get(SERVICE_NAME_LABEL) == remote.service
            ):
                prober.wake()

    async def _reconcile(self, item: Item | None) -> None:
        """One prober for each remote APIService; local ones get their condition."""
        wanted = {remote.name: remote for remote in (await self._remotes.refresh()).values()}
        if wanted and not self._follows_backends:
            self._follows_backends = True
            self._background.start(self._follow_backends())
        for name in [name for name in self._probers if name not in wanted]:
            self._stop(name)
            self._metrics.forget(name)
        for name, remote in wanted.items():
            known = self._probers.get(name)
            if known is not None and replace(known.remote, available=remote.available) == remote:
                continue
            self._stop(name)
            prober = self._probers[name] = Prober(remote, self._look, self._clock)
            prober.task = self._background.start(prober.run())
        if item is not None:
            obj = codec.decode(item.wire)
            if read(obj) is None and (condition_of(obj) or {}).get("reason") != "Local":
                await self._set(obj["metadata"]["name"], Verdict("True", "Local", ""))

    def _stop(self, name: str) -> None:
        prober = self._probers.pop(name, None)
        if prober is not None and prober.task is not None:
            prober.task.cancel()

    async def _look(self, remote: Remote) -> bool:
        """Write what is true now; whether it is available."""
        try:
            service = await self._read_service(remote.namespace, remote.service)
            slices = await self._read_slices(remote.namespace, remote.service)
            verdict = judge(remote, service, slices) or await self._probe(remote)
            self._metrics.seen(remote.name, verdict)
            await self._set(remote.name, verdict)
            await self._on_look(remote, verdict.status == "True")
        except NotFound:
            return True  # deleted a moment ago: its prober is about to end
        except (ApiError, StoreError) as error:
            log.warning("cannot tell whether an API is available name=%s error=%s", remote.name, error)
            return False
        return verdict.status == "True"

    async def _probe(self, remote: Remote) -> Verdict:
        """Several at once, which may reach several endpoints: one good answer is enough."""
        attempts = [asyncio.ensure_future(self._ask(remote)) for _ in range(ATTEMPTS)]
        fault = ""
        try:
            for attempt in asyncio.as_completed(attempts):
                fault = await attempt
                if not fault:
                    return PASSED
        finally:
            for task in attempts:
                task.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        return failed(fault)

    async def _ask(self, remote: Remote) -> str:
        """What is wrong with the server's answer; empty if nothing is."""
        try:
            address = await self._connections.address(remote)
        except CallError as error:
            return str(error)
        url = f"https://{address}{remote.root}"
        try:
            # Nothing that a forger could gain here is worth failing for a certificate: upstream's rule.
            answer = await self._connections.get(
                url, self._connections.unverified, timeout=PROBE_SECONDS, limit=PROBE_LIMIT
            )
        except Unanswered as error:
            return f"failing or missing response from {url}: {error}"
        if not 200 <= answer.status < 300:
            return f"failing or missing response from {url}: bad status from {url}: {answer.status}"
        return ""

    async def _set(self, name: str, verdict: Verdict) -> None:
        """Write the condition unless it says so already."""
        moment = rfc3339(self._clock.now())

        def changed(obj: Object) -> Object:
            known = condition_of(obj) or {}
            if verdict.reason == "Local":
                condition = local_condition(moment)
            else:
                condition = {"type": AVAILABLE, "status": verdict.status, "lastTransitionTime": moment}
                condition |= {"reason": verdict.reason, "message": verdict.message}
            if known.get("status") == condition["status"]:
                condition["lastTransitionTime"] = known.get("lastTransitionTime", moment)
            status = obj.get("status") or {}
            others = [entry for entry in status.get("conditions") or () if entry.get("type") != AVAILABLE]
            return obj | {"status": status | {"conditions": [*others, condition]}}

        item = await self._services.cache.get("", name, at_least=0)
        if item is None:
            return
        obj = codec.decode(item.wire)
        if changed(obj) == obj:
            return
        await self._services.amend(Key("", name), changed, SELF)
        log.info("API availability name=%s available=%s reason=%s", name, verdict.status, verdict.reason)

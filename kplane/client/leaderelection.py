"""Leader election over a Lease, as client-go's: LeaseDuration 15 s, RenewDeadline 10 s, RetryPeriod 2 s.

Invariant: at most one process leads. Another's Lease counts as expired only when this process has watched it
stay unchanged for a whole lease duration on its own monotonic clock; writes carry the revision that was read.
They are updates of the whole Lease, as it was read: the roles of schedulers and controller managers allow no
patches.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from prometheus_client import Gauge

from kplane.api.clock import Clock, Entropy, rfc3339_micro
from kplane.api.errors import ApiError, NotFound, Unreachable
from kplane.api.resource import Object
from kplane.api.types.coordination import Lease, LeaseSpec
from kplane.client.rest import Client
from kplane.client.transport import Relay, Response, Transport

log = logging.getLogger(__name__)

MASTER = Gauge(
    "leader_election_master_status",
    "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates "
    "master. 'name' is the string used to identify the lease. Please make sure to group by name.",
    ["name"],
)

_WHOLE = replace(Lease.API, view=dict)
"""Leases with every field that somebody else may have put there."""

JITTER = 1.2
"""Waiting to acquire, each retry period is lengthened by up to this factor of itself."""


@dataclass(frozen=True)
class ElectionConfig:
    name: str
    namespace: str = "kube-system"
    identity: str = ""
    """Host name and a unique suffix where empty."""
    lease_duration: float = 15
    renew_deadline: float = 10
    retry_period: float = 2


class LostLeadership(Exception):
    """The Lease could not be renewed in time; whoever was leading must stop at once."""


class Fence:
    """Whether a leader may still write; open where nobody stands for election.

    A process that was stopped, or starved, wakes up with work in mind that has become another's, and would do
    it before it notices. So every write asks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = float("inf")

    def open_until(self, moment: float) -> None:
        """On the monotonic clock."""
        self._until = moment

    def close(self) -> None:
        self._until = float("-inf")

    def check(self) -> None:
        """Raises Unreachable: nothing may be sent."""
        if self._clock.monotonic() >= self._until:
            raise Unreachable("not sent: this process leads no more")


class Fenced(Relay):
    """A transport whose writes pass while the fence is open."""

    def __init__(self, beyond: Transport, fence: Fence) -> None:
        super().__init__(beyond)
        self._fence = fence

    async def request(self, method: str, path: str, **options: Any) -> Response:
        if method != "GET":
            self._fence.check()
        return await super().request(method, path, **options)


async def lead(
    client: Client,
    config: ElectionConfig,
    clock: Clock,
    entropy: Entropy,
    work: Callable[[], Awaitable[None]],
    fence: Fence | None = None,
) -> None:
    """Wait for leadership, run `work` while holding it, release on the way out. What `work` writes goes
    through transports behind `fence`.

    `work` is cancelled, and LostLeadership raised, when the Lease is lost. Times are those of this
    process' monotonic clock: the holder's clock is never compared with ours.
    """
    if not config.identity:
        config = replace(config, identity=f"{socket.gethostname()}_{entropy.uid()}")
    elector = Elector(client, config, clock, fence or Fence(clock))
    master = MASTER.labels(config.name)
    master.set(0)
    await elector.acquire(entropy)
    log.info("leading lease=%s/%s identity=%s", config.namespace, config.name, config.identity)
    master.set(1)
    try:
        await _while_leading(elector, work)
    finally:
        master.set(0)
        await elector.release()


async def _while_leading(elector: Elector, work: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(elector.keep_renewing())
            await work()
            renewing.cancel()
    except BaseExceptionGroup as failures:
        # Whoever calls `lead` expects what `work` raised, or LostLeadership, as itself.
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise


class Elector:
    """One candidate. `try_acquire_or_renew` is client-go's step of that name."""

    def __init__(self, client: Client, config: ElectionConfig, clock: Clock, fence: Fence) -> None:
        self._client = client
        self._config = config
        self._clock = clock
        self._fence = fence
        fence.close()
        self._whole: Object = {}
        self._observed: Lease | None = None
        self._observed_at = float("-inf")
        self._leading = False

    @property
    def _seconds(self) -> int:
        """The lease duration as it is written."""
        return max(int(self._config.lease_duration), 1)

    async def acquire(self, entropy: Entropy) -> None:
        """Try until the Lease is ours."""
        began = self._clock.monotonic()
        while not await self._attempt(self._config.renew_deadline):
            period = self._config.retry_period
            await self._clock.sleep(period * (1 + entropy.uniform(0, JITTER)))
            began = self._clock.monotonic()
        self._leading = True
        self._renewed(began)

    async def keep_renewing(self) -> None:
        """Renew until the Lease is lost: raises LostLeadership."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._config.retry_period)
            # The time before the write counts: others begin to wait when they see it, which is later.
            began = self._clock.monotonic()
            left = renewed + self._config.renew_deadline - began
            if await self._attempt(max(left, 0)):
                renewed = began
                self._renewed(began)
            elif left <= self._config.retry_period or self._held_by_another():
                self._leading = False
                self._fence.close()
                raise LostLeadership(
                    f"lost the lease {self._config.namespace}/{self._config.name}: not renewed in time"
                )

    def _renewed(self, began: float) -> None:
        """Others may lead a lease duration after the write at the earliest, which began then."""
        self._fence.open_until(began + self._seconds)

    async def release(self) -> None:
        """Let another candidate lead at once."""
        self._fence.close()
        if not self._leading or self._observed is None:
            return
        self._leading = False
        spec = self._spec(self._observed.spec, holder="", seconds=1)
        try:
            await self._update(spec)
        except ApiError as error:
            log.warning("lease not released name=%s why=%s", self._config.name, error)

    async def try_acquire_or_renew(self) -> bool:
        """Whether this candidate holds the Lease now. Raises ApiError."""
        config = self._config
        try:
            self._whole = await self._client.get(_WHOLE, config.name, config.namespace)
        except NotFound:
            await self._create()
            return True
        found = msgspec.convert(self._whole, Lease)
        if self._observed is None or found.spec != self._observed.spec:
            self._observe(found)
        self._observed = found
        if found.spec.holder_identity and not self._mine() and not self._expired():
            return False
        await self._update(self._spec(found.spec, holder=config.identity))
        return True

    async def _attempt(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self.try_acquire_or_renew()
        except (ApiError, TimeoutError) as error:
            log.info("lease not obtained name=%s why=%s", self._config.name, error or "timed out")
            return False

    def _observe(self, lease: Lease) -> None:
        self._observed, self._observed_at = lease, self._clock.monotonic()

    def _mine(self) -> bool:
        return self._observed is not None and self._observed.spec.holder_identity == self._config.identity

    def _held_by_another(self) -> bool:
        return bool(self._observed and self._observed.spec.holder_identity) and not self._mine()

    def _expired(self) -> bool:
        """By the duration that the holder itself wrote into the Lease."""
        assert self._observed is not None
        duration = self._observed.spec.lease_duration_seconds or self._config.lease_duration
        return self._clock.monotonic() - self._observed_at >= duration

    async def _create(self) -> None:
        body = {
            "apiVersion": Lease.API.api_version,
            "kind": Lease.API.kind,
            "metadata": {"name": self._config.name, "namespace": self._config.namespace},
            "spec": self._spec(LeaseSpec(), holder=self._config.identity) | {"leaseTransitions": 0},
        }
        self._wrote(await self._client.create(_WHOLE, body))

    async def _update(self, spec: Object) -> None:
        """Write, unless somebody else has written since the Lease was read: raises Conflict."""
        body = self._whole | {"spec": {**self._whole.get("spec", {}), **spec}}
        self._wrote(await self._client.update(_WHOLE, body))

    def _wrote(self, whole: Object) -> None:
        self._whole = whole
        self._observe(msgspec.convert(whole, Lease))

    def _spec(self, old: LeaseSpec, *, holder: str, seconds: int | None = None) -> Object:
        now = rfc3339_micro(self._clock.now())
        spec: Object = {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds or self._seconds,
            "renewTime": now,
        }
        if old.holder_identity != holder:
            spec["acquireTime"] = now
            if holder:
                spec["leaseTransitions"] = (old.lease_transitions or 0) + 1
        return spec

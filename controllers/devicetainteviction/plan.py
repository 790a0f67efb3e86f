"""When a Pod must go because of its devices, and which rules are to blame. No I/O.

Rules: pkg/controller/devicetainteviction, KEP-5055.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kplane.api.types import Pod
from kplane.api.types.core import Toleration

from ..resourceclaim.plan import claim_name, is_for
from ..resourceclaim.views import AllocatedDevice, ResourceClaim
from .views import DeviceTaint, DeviceTaintRule, ResourceSlice

NO_EXECUTE = "NoExecute"


@dataclass(frozen=True)
class Source:
    """A NoExecute taint of a device; `rule` is the rule that it comes from, None for the driver's own."""

    taint: DeviceTaint
    rule: DeviceTaintRule | None = None


@dataclass(frozen=True)
class Eviction:
    """`rules` are the uids of those that have a part in it, with their names."""

    when: datetime
    rules: frozenset[tuple[str, str]] = frozenset()

    def joined(self, other: Eviction | None) -> Eviction:
        if other is None:
            return self
        return Eviction(min(self.when, other.when), self.rules | other.rules)


@dataclass(frozen=True)
class World:
    """Where devices and claims are looked up."""

    claim: Callable[[str, str], ResourceClaim | None]
    """By namespace and name."""
    pool: Callable[[str], Sequence[ResourceSlice]]
    """By what `pool_of` says."""


def pool_of(driver: str, pool: str) -> str:
    return f"{driver}/{pool}"


def pools_of(claim: ResourceClaim) -> list[str]:
    """The pools of all devices that the claim has."""
    return list(dict.fromkeys(pool_of(device.driver, device.pool) for device in devices_of(claim)))


def devices_of(claim: ResourceClaim) -> Sequence[AllocatedDevice]:
    allocation = claim.status.allocation
    return allocation.devices.results if allocation is not None else ()


def newest(pool: Sequence[ResourceSlice]) -> list[ResourceSlice]:
    """The slices that count: those of the pool's latest generation."""
    latest = max((entry.spec.pool.generation for entry in pool), default=0)
    return [entry for entry in pool if entry.spec.pool.generation == latest]


def evicting(entry: ResourceSlice) -> list[tuple[str, tuple[DeviceTaint, ...]]]:
    """The devices of a slice that have taints which make Pods go."""
    found = ((device.name, device.taints) for device in entry.spec.devices if device.taints)
    return [
        (name, only) for name, taints in found if (only := tuple(t for t in taints if t.effect == NO_EXECUTE))
    ]


def selects(rule: DeviceTaintRule, driver: str, pool: str, device: str) -> bool:
    chosen = rule.spec.device_selector
    if chosen is None:
        return False
    pairs = ((chosen.driver, driver), (chosen.pool, pool), (chosen.device, device))
    return all(wanted is None or wanted == actual for wanted, actual in pairs)


def tolerates(toleration: Toleration, taint: DeviceTaint) -> bool:
    """Whether it lets the taint's devices be used on. One without an effect is for the scheduler alone."""
    if toleration.effect != NO_EXECUTE or toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and toleration.value == taint.value


def due(device: AllocatedDevice, taint: DeviceTaint) -> datetime | None:
    """When users of the device must go because of this taint; None for never."""
    if taint.time_added is None:
        return None
    used = [entry.toleration_seconds for entry in device.tolerations if tolerates(entry, taint)]
    if None in used:
        return None
    seconds = min((max(value, 0) for value in used if value is not None), default=0)
    return taint.time_added + timedelta(seconds=seconds)


def claim_eviction(
    claim: ResourceClaim, rules: Iterable[DeviceTaintRule], pool: Callable[[str], Sequence[ResourceSlice]]
) -> Eviction | None:
    """When those that use the claim must go. `rules`: those that count, whatever effect they name."""
    found: Eviction | None = None
    rules = tuple(rules)
    for device in devices_of(claim):
        for source in _sources(device, rules, pool):
            when = due(device, source.taint)
            if when is not None:
                rule = source.rule
                blamed = [(rule.metadata.uid, rule.metadata.name)] if rule else []
                found = Eviction(when, frozenset(blamed)).joined(found)
    return found


def _sources(
    device: AllocatedDevice,
    rules: Iterable[DeviceTaintRule],
    pool: Callable[[str], Sequence[ResourceSlice]],
) -> Iterator[Source]:
    published = (
        found
        for entry in newest(pool(pool_of(device.driver, device.pool)))
        for found in entry.spec.devices
        if found.name == device.device
    )
    if (first := next(published, None)) is not None:
        yield from (Source(taint) for taint in first.taints if taint.effect == NO_EXECUTE)
    for rule in rules:
        if selects(rule, device.driver, device.pool, device.device):
            yield Source(rule.spec.taint, rule)


def pod_eviction(pod: Pod, rules: Sequence[DeviceTaintRule], world: World) -> Eviction | None:
    """When the Pod must go; None for never. One without a node has no devices yet."""
    if not pod.spec.node_name:
        return None
    found: Eviction | None = None
    for entry in pod.spec.resource_claims:
        name = claim_name(pod, entry)
        claim = world.claim(pod.metadata.namespace, name) if name else None
        if claim is None:
            continue
        # Somebody else's claim under that name, or one that is this Pod's no more.
        ours = entry.resource_claim_name is not None or is_for(pod, claim)
        if not ours or all(consumer.uid != pod.metadata.uid for consumer in claim.status.reserved_for):
            continue
        if (eviction := claim_eviction(claim, rules, world.pool)) is not None:
            found = eviction.joined(found)
    return found

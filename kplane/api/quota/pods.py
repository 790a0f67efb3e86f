"""What a pod costs: requests and limits of all its containers together, and one of `pods`.

Rules: `pkg/quota/v1/evaluator/core/pods.go`, `component-helpers/resource`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kplane.api import quantity
from kplane.api.quantity import Wire
from kplane.api.quota.amounts import Amounts, added, largest
from kplane.api.resource import Object

COUNT = "count/pods"
NAMES = frozenset(
    {
        COUNT, "pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
        "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
    }
)  # fmt: skip
REQUIRED = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""A quota on one of these wants every container to say what it needs."""
_HUGE = "hugepages-"
_REQUESTS = "requests."
_OF_CLASS = "deviceclass.resource.kubernetes.io/"


def counts(name: str) -> bool:
    """Whether pods are charged for a quota's resource of that name."""
    if name in NAMES or name.startswith((_HUGE, _REQUESTS + _HUGE)):
        return True
    # Extended resources are never overcommitted, so that only their requests are limited.
    return name.startswith(_REQUESTS) and _is_extended(name.removeprefix(_REQUESTS))


def _is_extended(name: str) -> bool:
    """Also the names that devices of a class have, as a Pod may ask for without a claim."""
    if name.startswith(_OF_CLASS):
        return True
    domain, slash, _ = name.partition("/")
    return bool(slash) and not (domain == "kubernetes.io" or domain.endswith(".kubernetes.io"))


def usage(pod: Object, now: datetime) -> dict[str, Wire]:
    """What one pod is charged for. One that has ended is only an object."""
    if not is_live(pod, now):
        return {COUNT: "1"}
    return {COUNT: "1"} | _named(pod_total(pod, "requests"), pod_total(pod, "limits"))


def is_live(pod: Object, now: datetime) -> bool:
    """Whether the pod still takes something away from others."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return False
    metadata = pod["metadata"]
    deleted, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    if deleted is None or grace is None:
        return True
    return now <= datetime.fromisoformat(deleted) + timedelta(seconds=grace)


def _named(requests: Amounts, limits: Amounts) -> dict[str, Wire]:
    """Under the names that quotas use."""
    found: dict[str, Wire] = {"pods": "1"}
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in requests:
            found[name] = found[_REQUESTS + name] = requests[name]
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith(_HUGE):
            found[name] = found[_REQUESTS + name] = amount
        elif _is_extended(name):
            found[_REQUESTS + name] = amount
    return found


def pod_total(pod: Object, field: str) -> dict[str, Wire]:
    """The `requests` or `limits` of a pod as a whole: what its containers and sidecars need together, or what
    it needs while it starts, if that is more; what is said of the whole pod counts instead; then overhead.
    While a container is being resized, the most of what it wants, was given and has counts."""
    spec = pod["spec"]
    given = _Given.of(pod, field)
    total: dict[str, Wire] = {}
    for container in spec.get("containers") or []:
        total = added(total, given.most(container))
    sidecars: dict[str, Wire] = {}
    starting: dict[str, Wire] = {}
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            sidecars = added(sidecars, given.most(container))
            starting = largest(starting, sidecars)
        else:
            starting = largest(starting, added(sidecars, _own(container, field)))
    total = largest(added(total, sidecars), starting)
    total |= {name: amount for name, amount in _own(spec, field).items() if _is_pod_level(name)}
    overhead = spec.get("overhead") or {}
    if field == "limits":
        overhead = {name: amount for name, amount in overhead.items() if quantity.sign(total.get(name, "0"))}
    return added(total, overhead)


@dataclass(frozen=True)
class _Given:
    """What the kubelet says that containers have."""

    field: str
    statuses: Mapping[str, Object]
    infeasible: bool
    """Whether what the spec wants will never be given."""

    @classmethod
    def of(cls, pod: Object, field: str) -> _Given:
        status = pod.get("status") or {}
        entries = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
        infeasible = any(
            (entry.get("type"), entry.get("reason")) == ("PodResizePending", "Infeasible")
            for entry in status.get("conditions") or []
        )
        return cls(field, {entry.get("name", ""): entry for entry in entries}, infeasible)

    def most(self, container: Object) -> Amounts:
        wanted, status = _own(container, self.field), self.statuses.get(container["name"]) or {}
        if status.get("resources") is None:
            return wanted
        has = _own(status, self.field)
        if self.field == "requests":
            has = largest(has, status.get("allocatedResources") or {})
        return has if self.infeasible else largest(wanted, has)


def _is_pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith(_HUGE)


def _own(part: Object, field: str) -> Amounts:
    found: Amounts = (part.get("resources") or {}).get(field) or {}
    return found


def missing(pod: Object, names: Iterable[str]) -> str:
    """Why the pod does not say enough for a quota on these resources, or nothing."""
    spec = pod["spec"]
    if any(_is_pod_level(name) for field in ("requests", "limits") for name in _own(spec, field)):
        return ""
    required = REQUIRED.intersection(names)
    lacking: dict[str, set[str]] = {}
    for container in _containers(spec):
        said = _named(_own(container, "requests"), _own(container, "limits"))
        for name in required - said.keys():
            lacking.setdefault(name, set()).add(container["name"])
    if not lacking:
        return ""
    parts = [f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking)]
    return f"must specify {'; '.join(parts)}"


def _containers(spec: Object) -> Iterator[Object]:
    yield from spec.get("containers") or []
    yield from spec.get("initContainers") or []

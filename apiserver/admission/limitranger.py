"""LimitRanger: default requests and limits of containers, and the bounds that LimitRanges set.

Bounds exist for containers, whole pods and persistent volume claims. What was defaulted is told in an
annotation of the pod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api import quantity
from kplane.api.quantity import Wire
from kplane.api.quota.amounts import added, largest
from kplane.api.resource import Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext, aggregate, refused

POD_LEVEL = frozenset({"cpu", "memory"})
"""What can be said of a whole pod, besides huge pages."""
ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, Wire]


class LimitRanger:
    name = "LimitRanger"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods", "pods/resize", "persistentvolumeclaims"))

    def __init__(self, context: AdmissionContext) -> None:
        self._ranges = context.read("limitranges")

    def admit(self, attributes: Attributes) -> Waiting:
        """Fill in what the namespace's LimitRanges give to containers that do not say it."""
        if attributes.info.plural != "pods" or self._unlimited(attributes.namespace):
            return None
        return self._admit(attributes) if _supported(attributes) else None

    def _unlimited(self, namespace: str) -> bool:
        """Whether it is known that the namespace has no LimitRanges."""
        known = self._ranges.known_list(namespace)
        return known is not None and not known

    async def _admit(self, attributes: Attributes) -> None:
        for limit_range in await self._ranges.list(attributes.namespace):
            assert attributes.object is not None
            set_defaults(attributes.object, limit_range)

    def validate(self, attributes: Attributes) -> Waiting:
        if self._unlimited(attributes.namespace):
            return None
        return self._validate(attributes) if _supported(attributes) else None

    async def _validate(self, attributes: Attributes) -> None:
        for limit_range in await self._ranges.list(attributes.namespace):
            assert attributes.object is not None
            faults = list(violations(attributes.info.plural, attributes.object, limit_range))
            if faults:
                raise refused(attributes, aggregate(faults))


def _supported(attributes: Attributes) -> bool:
    if ((attributes.old or {}).get("metadata") or {}).get("deletionTimestamp"):
        return False
    created = attributes.operation is Operation.CREATE
    # The resources of a pod only change through `resize`, which bounds apply to again.
    return attributes.info.plural != "pods" or created != (attributes.subresource == "resize")


def set_defaults(pod: Object, limit_range: Object) -> None:
    requests, limits = default_amounts(limit_range)
    if not requests and not limits:
        return
    told: list[str] = []
    spec = pod["spec"]
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or []:
            for amounts, kind in ((requests, "request"), (limits, "limit")):
                if names := _fill(container, f"{kind}s", amounts):
                    told.append(f"{', '.join(names)} {kind} for {what} {container['name']}")
    if told:
        annotations = pod["metadata"].get("annotations") or {}
        annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(told)}"
        pod["metadata"]["annotations"] = annotations


def default_amounts(limit_range: Object) -> tuple[Amounts, Amounts]:
    """Requests and limits of a container that has none."""
    requests: dict[str, Wire] = {}
    limits: dict[str, Wire] = {}
    for item in limit_range["spec"].get("limits") or []:
        if item.get("type") == "Container":
            requests |= item.get("defaultRequest") or {}
            limits |= item.get("default") or {}
    return requests, limits


def _fill(container: Object, field: str, amounts: Amounts) -> list[str]:
    """The names of the resources that were set."""
    resources = container.setdefault("resources", {})
    missing = sorted(amounts.keys() - (resources.get(field) or {}).keys())
    if missing:
        resources[field] = (resources.get(field) or {}) | {name: amounts[name] for name in missing}
    return missing


def violations(plural: str, obj: Object, limit_range: Object) -> Iterator[str]:
    """Why the object is outside of the bounds, in upstream's words."""
    for item in limit_range["spec"].get("limits") or []:
        kind = item.get("type", "")
        if plural == "persistentvolumeclaims":
            if kind == "PersistentVolumeClaim":
                yield from _claim_violations(item, obj)
        elif kind == "Container":
            for container in _containers(obj):
                resources = container.get("resources") or {}
                yield from _violations(item, resources.get("requests") or {}, resources.get("limits") or {})
        elif kind == "Pod":
            yield from _violations(item, pod_amounts(obj, "requests"), pod_amounts(obj, "limits"))


def _claim_violations(item: Object, claim: Object) -> Iterator[str]:
    kind = "PersistentVolumeClaim"
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    for name, bound in (item.get("min") or {}).items():
        yield from _minimum(kind, name, bound, requests, {})
    for name, bound in (item.get("max") or {}).items():
        if name not in requests:
            yield f"maximum {name} usage per {kind} is {_shown(bound)}.  No request is specified"
        elif quantity.compare(requests[name], bound) > 0:
            yield _outside("maximum", name, kind, bound, "request", requests[name])


def _containers(pod: Object) -> Iterator[Object]:
    yield from pod["spec"].get("containers") or []
    yield from pod["spec"].get("initContainers") or []


def _violations(item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = item.get("type", "")
    for name, bound in (item.get("min") or {}).items():
        yield from _minimum(kind, name, bound, requests, limits)
    for name, bound in (item.get("max") or {}).items():
        yield from _maximum(kind, name, bound, requests, limits)
    for name, bound in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(kind, name, bound, requests.get(name), limits.get(name))


def _shown(amount: Wire) -> str:
    return quantity.canonical(amount)


def _outside(which: str, name: str, kind: str, bound: Wire, what: str, amount: Wire) -> str:
    return f"{which} {name} usage per {kind} is {_shown(bound)}, but {what} is {_shown(amount)}"


def _minimum(kind: str, name: str, bound: Wire, requests: Amounts, limits: Amounts) -> Iterator[str]:
    if name not in requests:
        yield f"minimum {name} usage per {kind} is {_shown(bound)}.  No request is specified"
    elif quantity.compare(requests[name], bound) < 0:
        yield _outside("minimum", name, kind, bound, "request", requests[name])
    elif name in limits and quantity.compare(limits[name], bound) < 0:
        yield _outside("minimum", name, kind, bound, "limit", limits[name])


def _maximum(kind: str, name: str, bound: Wire, requests: Amounts, limits: Amounts) -> Iterator[str]:
    if name not in limits:
        yield f"maximum {name} usage per {kind} is {_shown(bound)}.  No limit is specified"
    elif quantity.compare(limits[name], bound) > 0:
        yield _outside("maximum", name, kind, bound, "limit", limits[name])
    elif name in requests and quantity.compare(requests[name], bound) > 0:
        yield _outside("maximum", name, kind, bound, "request", requests[name])


def _ratio(kind: str, name: str, bound: Wire, request: Wire | None, limit: Wire | None) -> Iterator[str]:
    start = f"{name} max limit to request ratio per {kind} is {_shown(bound)}, but"
    if request is None or quantity.sign(request) == 0:
        yield f"{start} no request is specified or request is 0"
    elif limit is None or quantity.sign(limit) == 0:
        yield f"{start} no limit is specified or limit is 0"
    else:
        ratio = quantity.exact(limit) / quantity.exact(request)
        if ratio > quantity.exact(bound):
            yield f"{start} provided ratio is {float(ratio):f}"


def pod_amounts(pod: Object, field: str) -> Amounts:
    """What a pod asks for as a whole, without its overhead: what its containers and sidecars need together,
    or what it needs while it starts, if that is more; what is said of the whole pod counts instead."""
    spec = pod["spec"]
    total: dict[str, Wire] = {}
    for container in spec.get("containers") or []:
        total = added(total, _amounts(container, field))
    sidecars: dict[str, Wire] = {}
    starting: dict[str, Wire] = {}
    for container in spec.get("initContainers") or []:
        own = _amounts(container, field)
        if container.get("restartPolicy") == "Always":
            total, sidecars = added(total, own), added(sidecars, own)
            starting = largest(starting, sidecars)
        else:
            starting = largest(starting, added(sidecars, own))
    whole = (spec.get("resources") or {}).get(field) or {}
    return largest(total, starting) | {
        name: amount for name, amount in whole.items() if name in POD_LEVEL or name.startswith("hugepages-")
    }


def _amounts(container: Object, field: str) -> Amounts:
    found: Amounts = (container.get("resources") or {}).get(field) or {}
    return found

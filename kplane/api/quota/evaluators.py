"""The table of evaluators: what objects of each resource cost.

Resources without a row of their own are only counted, as `count/deployments.apps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from kplane.api import quantity
from kplane.api.errors import qualified
from kplane.api.quantity import Wire
from kplane.api.quota import devices, pods, scopes
from kplane.api.resource import Object

ALIASES = frozenset({"configmaps", "resourcequotas", "replicationcontrollers", "secrets"})
"""Core resources that are counted under their bare name, too."""
CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"

Usage = Callable[[Object, datetime], dict[str, Wire]]


def _nothing_missing(obj: Object, names: Iterable[str]) -> str:
    return ""


@dataclass(frozen=True)
class Evaluator:
    """How one resource is charged."""

    usage: Usage
    """What an object costs now."""
    counts: Callable[[str], bool]
    """Whether a quota's resource of that name is about these objects."""
    in_scope: Callable[[Object, Object], bool] = scopes.nothing_matches
    """Whether an object is in the scope of a selector requirement."""
    missing: Callable[[Object, Iterable[str]], str] = _nothing_missing
    """What an object fails to say that a quota on those resources demands."""
    updates: bool = False
    """Whether a change of an object may change its cost."""

    def names(self, hard: Iterable[str]) -> list[str]:
        return [name for name in hard if self.counts(name)]

    def matches(self, quota: Object, obj: Object, hard: Iterable[str]) -> bool:
        """Whether the quota, with limits on `hard`, is about this object."""
        if not self.names(hard):
            return False
        return all(self.in_scope(selector, obj) for selector in scopes.quota_selectors(quota))


def evaluator_for(group: str, plural: str) -> Evaluator:
    key = (group, plural)
    if key in _OWN:
        return _OWN[key]
    if key not in _COUNTERS:
        _COUNTERS[key] = counter(group, plural)
    return _COUNTERS[key]


def counter(group: str, plural: str) -> Evaluator:
    """Objects of which only the number counts."""
    names = {f"count/{qualified(plural, group)}"}
    if not group and plural in ALIASES:
        names.add(plural)
    usage: dict[str, Wire] = dict.fromkeys(sorted(names), "1")
    return Evaluator(lambda obj, now: dict(usage), names.__contains__)


def service_usage(service: Object, now: datetime) -> dict[str, Wire]:
    spec = service.get("spec") or {}
    ports, node_ports, balancers = spec.get("ports") or [], 0, 0
    if spec.get("type") == "NodePort":
        node_ports = len(ports)
    elif spec.get("type") == "LoadBalancer":
        balancers = 1
        if spec.get("allocateLoadBalancerNodePorts") is False:
            node_ports = sum(1 for port in ports if port.get("nodePort"))
        else:
            node_ports = len(ports)
    return {
        "count/services": "1",
        "services": "1",
        "services.nodeports": str(node_ports),
        "services.loadbalancers": str(balancers),
    }


def claim_usage(claim: Object, now: datetime) -> dict[str, Wire]:
    """A claim counts for its storage class as well. While it shrinks back from a failed growth, what is
    allocated counts."""
    spec = claim["spec"]
    annotations = claim["metadata"].get("annotations") or {}
    name = annotations.get(CLASS_ANNOTATION) or spec.get("storageClassName") or ""
    found: dict[str, Wire] = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1"}
    if name:
        found[f"{name}{CLASS_SUFFIX}persistentvolumeclaims"] = "1"
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if wanted is None:
        return found
    allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    if allocated is not None and quantity.compare(allocated, wanted) > 0:
        wanted = allocated
    # Whole bytes only: fractions of them are no amount of a quota.
    bytes_ = quantity.exact(wanted)
    wanted = wanted if bytes_.denominator == 1 else str(math.ceil(bytes_))
    found["requests.storage"] = wanted
    if name:
        found[f"{name}{CLASS_SUFFIX}requests.storage"] = wanted
    return found


def _is_claim_name(name: str) -> bool:
    if name in ("count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"):
        return True
    return name.endswith((f"{CLASS_SUFFIX}persistentvolumeclaims", f"{CLASS_SUFFIX}requests.storage"))


_SERVICE_NAMES = frozenset({"count/services", "services", "services.nodeports", "services.loadbalancers"})

_OWN = {
    ("", "pods"): Evaluator(pods.usage, pods.counts, scopes.pod_matches, pods.missing),
    ("", "services"): Evaluator(service_usage, _SERVICE_NAMES.__contains__, updates=True),
    ("", "persistentvolumeclaims"): Evaluator(
        claim_usage, _is_claim_name, scopes.claim_matches, updates=True
    ),
    ("resource.k8s.io", "resourceclaims"): Evaluator(devices.usage, devices.counts, updates=True),
}
_COUNTERS: dict[tuple[str, str], Evaluator] = {}

"""How many Pods of each StatefulSet are down during updates, and how many may be, under upstream's names."""

from __future__ import annotations

from prometheus_client import Gauge

from kplane.api.resource import Key
from kplane.api.types.apps import StatefulSet

from .plan import max_unavailable

_LABELS = ("statefulset_namespace", "statefulset_name", "pod_management_policy")
_POLICIES = ("OrderedReady", "Parallel")

_LIMIT = Gauge(
    "statefulset_controller_statefulset_max_unavailable",
    "Maximum number of unavailable pods allowed during StatefulSet rolling updates",
    _LABELS,
)
_DOWN = Gauge(
    "statefulset_controller_statefulset_unavailable_replicas",
    "Current number of unavailable pods in StatefulSet",
    _LABELS,
)


def observe(sts: StatefulSet, down: int) -> None:
    """Note how many Pods are down, in a step that updates or might."""
    labels = (sts.metadata.namespace, sts.metadata.name, sts.spec.pod_management_policy)
    _LIMIT.labels(*labels).set(max_unavailable(sts))
    _DOWN.labels(*labels).set(down)


def forget(key: Key) -> None:
    """The set has gone."""
    for policy in _POLICIES:
        _LIMIT.remove(key.namespace, key.name, policy)
        _DOWN.remove(key.namespace, key.name, policy)

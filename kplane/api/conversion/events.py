"""Events: `events.k8s.io/v1` is the core group's Event under other field names."""

from __future__ import annotations

from kplane.api.resource import Object

_TO_CORE = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_TO_EVENTS = {core: name for name, core in _TO_CORE.items()}


def to_core(event: Object) -> Object:
    return {_TO_CORE.get(name, name): value for name, value in event.items()} | {"apiVersion": "v1"}


def to_events(event: Object) -> Object:
    renamed = {_TO_EVENTS.get(name, name): value for name, value in event.items()}
    return renamed | {"apiVersion": "events.k8s.io/v1"}

"""Events, of the core group and of events.k8s.io: the same objects under two schemas. They expire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import IMMUTABLE
from .labels import validate_key
from .strategy import Strategy

HOUR = 3600
_REGARDING = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_MAX_TEXT, _MAX_NOTE = 128, 1024
_DEPRECATED = {
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "deprecatedSource": "source",
}
_FIXED = {
    "regarding": "involvedObject",
    "reason": "reason",
    "note": "message",
    **_DEPRECATED,
    "type": "type",
    "eventTime": "eventTime",
    "action": "action",
    "related": "related",
    "reportingController": "reportingController",
    "reportingInstance": "reportingInstance",
}
"""Fields that never change, and the names under which they are told."""


class EventStrategy(Strategy):
    """The core group's."""

    immutable_spec_generation = True
    allow_create_on_update = True
    collectable = False
    ttl = HOUR
    selectable = (
        *(f"involvedObject.{name}" for name in _REGARDING),
        "reason",
        "reportingComponent",
        "source",
        "type",
    )

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_event(obj, "reportingComponent", path)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from self.validate(new, path)

    def fields(self, obj: Object) -> Mapping[str, str]:
        # Both groups share one cache, so the values are there under both names.
        about = obj.get("involvedObject") or obj.get("regarding") or {}
        component = _component(obj)
        return {
            **{f"involvedObject.{name}": about.get(name, "") for name in _REGARDING},
            **{f"regarding.{name}": about.get(name, "") for name in _REGARDING},
            "reason": obj.get("reason", ""),
            "reportingComponent": component,
            "reportingController": component,
            "source": _source(obj) or component,
            "type": obj.get("type", ""),
        }


class EventsV1Strategy(EventStrategy):
    """events.k8s.io/v1: stricter. Its fields are told by the names that the core group gives them."""

    selectable = (
        *(f"regarding.{name}" for name in _REGARDING),
        "reason",
        "reportingController",
        "type",
    )

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_event(obj, "reportingController", path)
        if obj.get("series") is not None:
            yield from _validate_series(obj["series"], path)
        if not obj.get("eventTime"):
            yield path.eventTime.required()
        if obj.get("type") not in ("Normal", "Warning"):
            yield path.type.invalid("", f"has invalid value: {obj.get('type', '')}")
        for name, shown in _DEPRECATED.items():
            if obj.get(name):
                yield path.child(shown).invalid("", "needs to be unset")

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        # Only what has happened again since may change.
        if new.get("series") is not None and new["series"] != old.get("series"):
            yield from _validate_series(new["series"], path)
        for name, shown in _FIXED.items():
            now, was = new.get(name), old.get(name)
            if (now or None) != (was or None):
                yield path.child(shown).invalid(now, IMMUTABLE)


def _validate_event(obj: Object, component: str, path: Path) -> Iterator[FieldError]:
    """What holds in both groups: one with an event time has more to say."""
    namespace = obj["metadata"].get("namespace", "")
    about = (obj.get("involvedObject") or obj.get("regarding") or {}).get("namespace", "")
    dated = bool(obj.get("eventTime"))
    apart = about != namespace
    if not about:
        apart = namespace not in (("default", "kube-system") if dated else ("", "default"))
    elif dated:
        apart = False
    if apart:
        yield path.involvedObject.namespace.invalid(about, "does not match event.namespace")
    if not dated:
        return
    controller = _component(obj)
    if not controller:
        yield path.child(component).required()
    yield from validate_key(controller, path.child(component))
    for name in ("reportingInstance", "action", "reason"):
        if not obj.get(name):
            yield path.child(name).required()
        if len(obj.get(name) or "") > _MAX_TEXT:
            yield path.child(name).invalid("", f"can have at most {_MAX_TEXT} characters")
    if len(obj.get("note") or obj.get("message") or "") > _MAX_NOTE:
        yield path.message.invalid("", f"can have at most {_MAX_NOTE} characters")


def _validate_series(series: Object, path: Path) -> Iterator[FieldError]:
    if series.get("count", 0) < 2:
        yield path.child("series.count").invalid("", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield path.child("series.lastObservedTime").required()


def _component(obj: Object) -> str:
    return obj.get("reportingComponent") or obj.get("reportingController") or ""


def _source(obj: Object) -> str:
    component: str = (obj.get("source") or obj.get("deprecatedSource") or {}).get("component", "")
    return component

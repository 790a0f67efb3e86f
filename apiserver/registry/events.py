"""Events, of the core group and of events.k8s.io: the same objects under two schemas. They expire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import unchanged
from .strategy import Strategy

HOUR = 3600
_REGARDING = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIXED = ("eventTime", "reason", "action", "related", "type", "note", "regarding", "reportingController")


class EventStrategy(Strategy):
    """The core group's; `regarding` is the field that names the object an event is about."""

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
    regarding = "involvedObject"

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        namespace = obj["metadata"].get("namespace", "")
        about = (obj.get(self.regarding) or {}).get("namespace", "")
        here = path.child(self.regarding).namespace
        if not about:
            if namespace not in ("", "default", "kube-system"):
                yield here.invalid(about, "does not match event.namespace")
        elif namespace != about:
            yield here.invalid(about, "does not match event.namespace")

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
    """events.k8s.io/v1: stricter."""

    selectable = (
        *(f"regarding.{name}" for name in _REGARDING),
        "reason",
        "reportingController",
        "type",
    )
    regarding = "regarding"

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from super().validate(obj, path)
        if not obj.get("eventTime"):
            yield path.eventTime.required()
        for name, limit in (("reportingController", 0), ("reportingInstance", 128), ("action", 128)):
            value = obj.get(name, "")
            if not value:
                yield path.child(name).required()
            elif limit and len(value) > limit:
                yield path.child(name).invalid(value, f"can have at most {limit} characters")
        if controller := obj.get("reportingController"):
            for text in names.qualified_name(controller):
                yield path.reportingController.invalid(controller, text)
        if not obj.get("reason"):
            yield path.reason.required()
        elif len(obj["reason"]) > 128:
            yield path.reason.invalid(obj["reason"], "can have at most 128 characters")
        if len(obj.get("note", "")) > 1024:
            yield path.message.invalid(obj["note"], "can have at most 1024 characters")
        if obj.get("type") not in ("Normal", "Warning"):
            yield path.type.invalid("", f"has invalid value: {obj.get('type', '')}")

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for name in _FIXED:
            yield from unchanged(new.get(name), old.get(name), path.child(name))


def _component(obj: Object) -> str:
    return obj.get("reportingComponent") or obj.get("reportingController") or ""


def _source(obj: Object) -> str:
    component: str = (obj.get("source") or obj.get("deprecatedSource") or {}).get("component", "")
    return component

"""Small cluster-wide kinds: priority and runtime classes, certificates, policies."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import unchanged
from .kindwarnings import runtime_warnings
from .labels import validate_labels
from .podspec.defaults import round_quantities
from .podspec.resources import validate_requirements
from .podspec.scheduling import validate_tolerations
from .strategy import Strategy

_HIGHEST_PRIORITY = 1_000_000_000
_SYSTEM_PREFIX = "system-"
_SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


class PriorityClassStrategy(Strategy):
    allow_create_on_update = True

    def default(self, obj: Object) -> None:
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
        obj.setdefault("value", 0)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        name, value = obj["metadata"].get("name", ""), obj["value"]
        if name.startswith(_SYSTEM_PREFIX):
            if fault := _system_fault(obj, name):
                yield path.metadata.name.forbidden(
                    f"priority class names with '{_SYSTEM_PREFIX}' prefix are reserved for system use only."
                    f" error: {fault}"
                )
        elif value > _HIGHEST_PRIORITY:
            yield path.value.forbidden(
                f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}"
            )
        if obj["preemptionPolicy"] not in ("PreemptLowerPriority", "Never"):
            yield path.preemptionPolicy.not_supported(
                obj["preemptionPolicy"], ("PreemptLowerPriority", "Never")
            )

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        if new["value"] != old["value"]:
            yield path.value.forbidden("may not be changed in an update.")
        yield from unchanged(new["preemptionPolicy"], old["preemptionPolicy"], path.preemptionPolicy)


def _system_fault(obj: Object, name: str) -> str:
    """Why this is not what a system's own class of that name is; empty: it is."""
    if name not in _SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if obj["value"] != _SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {_SYSTEM_CLASSES[name]}"
    if obj.get("globalDefault"):
        return f"globalDefault of {name} PriorityClass must be false"
    return ""


class RuntimeClassStrategy(Strategy):
    immutable_spec_generation = True
    warns_always = True
    unconditional_update = False

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from runtime_warnings(obj)

    def default(self, obj: Object) -> None:
        round_quantities((obj.get("overhead") or {}).get("podFixed") or {})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        handler = obj.get("handler", "")
        for text in names.dns_label(handler):
            yield path.handler.invalid(handler, text)
        if overhead := (obj.get("overhead") or {}).get("podFixed"):
            yield from validate_requirements({"limits": overhead}, path.overhead, frozenset())
        scheduling = obj.get("scheduling") or {}
        yield from validate_labels(scheduling.get("nodeSelector") or {}, path.scheduling.nodeSelector)
        tolerations = scheduling.get("tolerations") or []
        yield from validate_tolerations(tolerations, path.scheduling.tolerations)
        for index, toleration in enumerate(tolerations):
            if toleration in tolerations[:index]:
                yield path.scheduling.tolerations[index].duplicate(toleration)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("handler"), old.get("handler"), path.handler)

"""Classes of devices, slices of what drivers have, and rules that taint it. Claims: resourceclaims.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..auth.user import User
from .conditions import validate_conditions
from .devices.claims import MAX_CONFIGS, validate_config
from .devices.entries import validate_driver, validate_label, validate_list, validate_pool_name
from .devices.selectors import validate_selectors
from .devices.slices import drop_alpha, validate_slice
from .devices.taints import validate_taint
from .podspec.resources import is_native
from .status import StatusStrategy
from .strategy import Strategy

_MAX_CONDITIONS = 8


class DeviceClassStrategy(Strategy):
    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_class(obj.get("spec") or {}, {}, path.spec)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_class(new.get("spec") or {}, old.get("spec") or {}, path.spec)


def _validate_class(spec: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """Selectors that are as they were have been compiled before."""
    selectors, configs = spec.get("selectors") or [], spec.get("config") or []
    if selectors != (old.get("selectors") or []):
        yield from validate_selectors(selectors, path.selectors)
    stored = configs == (old.get("config") or [])

    def check(config: Object, here: Path) -> Iterator[FieldError]:
        yield from validate_config(config, here, stored=stored)

    yield from validate_list(configs, MAX_CONFIGS, check, path.config)
    name = spec.get("extendedResourceName")
    if name is not None and not _is_extended(name):
        yield path.extendedResourceName.invalid(name, "must be a valid extended resource name")


def _is_extended(name: str) -> bool:
    return not (is_native(name) or name.startswith("requests.") or names.qualified_name(f"requests.{name}"))


class ResourceSliceStrategy(Strategy):
    """A driver's kubelet plug-in watches the slices of its node alone."""

    selectable = ("spec.driver", "spec.nodeName")
    unselectable = "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {field}"

    def default(self, obj: Object) -> None:
        drop_alpha(obj.get("spec") or {})

    def stamp(self, new: Object, old: Object | None, user: User, now: str) -> None:
        for device in (new.get("spec") or {}).get("devices") or ():
            for taint in device.get("taints") or ():
                taint["timeAdded"] = taint.get("timeAdded") or now

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_slice(obj.get("spec") or {}, None, path.spec)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_slice(new.get("spec") or {}, old.get("spec") or {}, path.spec)

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {f"spec.{name}": obj["spec"].get(name, "") for name in ("driver", "nodeName")}


class DeviceTaintRuleStrategy(StatusStrategy):
    def stamp(self, new: Object, old: Object | None, user: User, now: str) -> None:
        taint = (new.get("spec") or {}).get("taint") or {}
        was = ((old or {}).get("spec") or {}).get("taint") or {}
        kept = taint.get("timeAdded") == was.get("timeAdded")
        if not taint.get("timeAdded") or (was and kept and taint.get("effect") != was.get("effect")):
            taint["timeAdded"] = now

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_rule(obj.get("spec") or {}, None, path.spec)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_rule(new.get("spec") or {}, old.get("spec") or {}, path.spec)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        conditions, here = (new.get("status") or {}).get("conditions") or [], path.status.conditions
        yield from validate_conditions(conditions, here)
        if len(conditions) > _MAX_CONDITIONS:
            yield here.too_many(len(conditions), _MAX_CONDITIONS)


def _validate_rule(spec: Object, old: Object | None, path: Path) -> Iterator[FieldError]:
    selector, here = spec.get("deviceSelector") or {}, path.deviceSelector
    checks = {"driver": validate_driver, "pool": validate_pool_name, "device": validate_label}
    for name, check in checks.items():
        if selector.get(name) is not None:
            yield from check(selector[name], here.child(name))
    was = old.get("taint") or {} if old is not None else None
    yield from validate_taint(spec.get("taint") or {}, was, path.taint)

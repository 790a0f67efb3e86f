"""Nodes: a kubelet creates its own, status included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .addressforms import validate_cidr
from .kindwarnings import node_warnings
from .labels import validate_key
from .podspec.defaults import round_quantities
from .podspec.resources import validate_amount
from .podspec.scheduling import TAINT_EFFECTS
from .strategy import STATUS, Strategy

_AMOUNTS = ("capacity", "allocatable")


class NodeStrategy(Strategy):
    subresources = (STATUS,)
    immutable_spec_generation = True
    selectable = ("spec.unschedulable",)
    warns_always = True

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from node_warnings(obj)

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        spec = obj["spec"]
        if spec.get("podCIDR") and not spec.get("podCIDRs"):
            spec["podCIDRs"] = [spec["podCIDR"]]
        status = obj.setdefault("status", {})
        for name in _AMOUNTS:
            round_quantities(status.get(name) or {})
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec = obj.get("spec") or {}
        # Upstream reports taints below metadata.
        yield from _validate_taints(spec.get("taints") or [], path.metadata.taints)
        yield from _validate_amounts(obj.get("status") or {}, path.status)
        for index, cidr in enumerate(spec.get("podCIDRs") or ()):
            yield from validate_cidr(cidr, path.spec.podCIDRs[index])
        cidrs = spec.get("podCIDRs") or []
        if len(cidrs) > 1 and sorted(":" in cidr for cidr in cidrs) != [False, True]:
            text = "may specify no more than one CIDR for each IP family"
            yield path.spec.podCIDRs.invalid(cidrs, text)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new.get("spec") or {}, old.get("spec") or {}
        if was.get("podCIDRs") and now.get("podCIDRs") != was["podCIDRs"]:
            yield path.spec.podCIDRs.forbidden('node updates may not change podCIDR except from "" to valid')
        if was.get("providerID") and now.get("providerID") != was["providerID"]:
            yield path.spec.providerID.forbidden(
                'node updates may not change providerID except from "" to valid'
            )
        if now.get("externalID") != was.get("externalID"):
            yield path.spec.externalID.forbidden("may not be updated")

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status = new.get("status") or {}
        yield from _validate_amounts(status, path.status)
        seen: list[Object] = []
        for index, address in enumerate(status.get("addresses") or ()):
            if address in seen:
                yield path.status.addresses[index].duplicate(address)
            seen.append(address)

    def fields(self, obj: Object) -> Mapping[str, str]:
        unschedulable = (obj.get("spec") or {}).get("unschedulable")
        return {"spec.unschedulable": "true" if unschedulable else "false"}


def _validate_amounts(status: Object, path: Path) -> Iterator[FieldError]:
    for part in _AMOUNTS:
        for name, amount in (status.get(part) or {}).items():
            yield from validate_amount(name, amount, path.child(part).child(name))


def _validate_taints(taints: list[Object], path: Path) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        here = path[index]
        key, value, effect = taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
        yield from validate_key(key, here.key)
        if faults := names.label_value(value):
            yield here.value.invalid(value, ";".join(faults))
        if not effect:
            yield here.effect.required()
        elif effect not in TAINT_EFFECTS:
            yield here.effect.not_supported(effect, TAINT_EFFECTS)
        if (key, effect) in seen:
            fault = here.duplicate(taint)
            yield FieldError(
                fault.field, fault.reason, f"{fault.text}: taints must be unique by key and effect pair"
            )
        seen.add((key, effect))

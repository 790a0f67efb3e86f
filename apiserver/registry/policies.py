"""Limits and policies of a namespace: quotas, limit ranges, disruption budgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .conditions import validate_conditions
from .immutable import IMMUTABLE, NEGATIVE, non_negative
from .labels import validate_selector
from .podspec.defaults import default_template, round_quantities
from .podspec.resources import (
    QUOTA,
    is_huge_page,
    is_native,
    validate_amount,
    validate_container_name,
    validate_name,
)
from .podspec.validation import validate_template
from .quotascopes import validate_scopes
from .status import StatusStrategy
from .strategy import Strategy
from .workloads import validate_at_most_all, validate_share

_PARTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_SHOWN = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default request"}
_ORDER = (
    ("min", "max", "min"),
    ("min", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest"),
    ("min", "default", "default"),
    ("default", "max", "default"),
)
"""What may not be more than what, and the field that is blamed for it."""
_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


class ResourceQuotaStrategy(StatusStrategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        round_quantities(obj.setdefault("spec", {}).get("hard") or {})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        for name, amount in (spec.get("hard") or {}).items():
            yield from _validate_quota_name(name, here.hard[name])
            yield from validate_amount(name, amount, here.hard[name])
        yield from validate_scopes(spec, here)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for field in ("hard", "used"):
            for name, amount in ((new.get("status") or {}).get(field) or {}).items():
                here = path.status.child(field)[name]
                yield from _validate_quota_name(name, here)
                yield from validate_amount(name, amount, here)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new["spec"].get("scopes"), old["spec"].get("scopes")
        if set(now or ()) != set(was or ()):
            yield path.spec.scopes.invalid(now, IMMUTABLE)


class LimitRangeStrategy(Strategy):
    immutable_spec_generation = True
    allow_create_on_update = True

    def default(self, obj: Object) -> None:
        for item in obj.setdefault("spec", {}).get("limits") or ():
            for name in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
                round_quantities(item.get(name) or {})
            if item.get("type") == "Container":
                _default_container_limits(item)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        taken: set[str] = set()
        for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
            here, kind = path.spec.limits[index], item.get("type", "")
            if "/" not in kind and kind not in _LIMIT_TYPES:
                yield here.type.invalid(kind, "must be a standard limit type or fully qualified")
            if kind in taken:
                yield here.type.duplicate(kind)
            taken.add(kind)
            yield from _validate_limits(item, kind, here)


class PodDisruptionBudgetStrategy(StatusStrategy):
    unconditional_update = False
    empty_status = {  # noqa: RUF012
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj.get("spec") or {}, path.spec
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if least is not None and most is not None:
            # Upstream prints it in Go's names.
            shown = {
                "MinAvailable": least,
                "Selector": spec.get("selector"),
                "MaxUnavailable": most,
                "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
            }
            yield here.invalid(shown, "minAvailable and maxUnavailable cannot be both set")
        for name, value in (("minAvailable", least), ("maxUnavailable", most)):
            if value is not None:
                yield from validate_share(value, here.child(name))
                yield from validate_at_most_all(value, here.child(name))
        if selector := spec.get("selector"):
            yield from validate_selector(selector, here.selector)
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy not in (None, "IfHealthyBudget", "AlwaysAllow"):
            yield here.unhealthyPodEvictionPolicy.not_supported(policy, ("AlwaysAllow", "IfHealthyBudget"))

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status, here = new.get("status") or {}, path.status
        yield from validate_conditions(status.get("conditions") or [], here.conditions)
        yield from non_negative(status, here, *self.empty_status)


class PodTemplateStrategy(Strategy):
    pod_template = ("template",)

    def default(self, obj: Object) -> None:
        default_template(obj.setdefault("template", {}))

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_template(obj["template"], path.template)


def _validate_quota_name(name: str, path: Path) -> Iterator[FieldError]:
    if name in QUOTA or name.startswith(("requests.hugepages-", "count/")) or "/" in name:
        for text in names.qualified_name(name):
            yield path.invalid(name, text)
        return
    yield from validate_name(name, path)
    if not name.startswith("hugepages-"):
        yield path.invalid(name, "must be a standard resource for quota")


def _default_container_limits(item: Object) -> None:
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
    if limits:
        item["default"] = limits
    if requests:
        item["defaultRequest"] = requests


def _validate_limits(item: Object, kind: str, path: Path) -> Iterator[FieldError]:
    for part in ("max", "min", "default", "defaultRequest"):
        amounts = item.get(part) or {}
        if amounts and kind == "Pod" and part.startswith("default"):
            yield path.child(part).forbidden("may not be specified when `type` is 'Pod'")
        for name, amount in amounts.items():
            here = path.child(part)[name]
            check = validate_container_name if kind in ("Pod", "Container") else validate_name
            yield from check(name, here)
            if quantity.sign(amount) < 0:
                yield here.invalid(amount, NEGATIVE)
    if kind == "PersistentVolumeClaim" and not any(
        "storage" in (item.get(part) or {}) for part in ("min", "max")
    ):
        text = "either minimum or maximum storage value is required, but neither was provided"
        yield path.limits.required(text)
    resources = dict.fromkeys(name for part in _PARTS for name in item.get(part) or ())
    for name in resources:
        yield from _validate_order({part: (item.get(part) or {}).get(name) for part in _PARTS}, name, path)


def _validate_order(amounts: Mapping[str, str | None], name: str, path: Path) -> Iterator[FieldError]:
    """Of one resource: the least is not more than what is given, nor that more than the most."""
    for low, high, field in _ORDER:
        small, large = amounts[low], amounts[high]
        if small is not None and large is not None and quantity.compare(small, large) > 0:
            what = "default limit" if (low, high) == ("defaultRequest", "default") else _SHOWN[high]
            text = f"{_SHOWN[low]} value {small} is greater than {what} value {large}"
            # For a default upstream shows the bound that it breaks.
            shown = amounts[field] if field != "default" else small if low == "min" else large
            yield path.child(field)[name].invalid(shown, text)
    ratio, least, most = amounts["maxLimitRequestRatio"], amounts["min"], amounts["max"]
    here = path.maxLimitRequestRatio[name]
    if ratio is not None and quantity.compare(ratio, "1") < 0:
        yield here.invalid(ratio, f"ratio {ratio} is less than 1")
    if ratio is not None and least is not None and most is not None and quantity.sign(least) > 0:
        widest = float(quantity.exact(most) / quantity.exact(least))
        if float(quantity.exact(ratio)) > widest:
            yield here.invalid(ratio, f"ratio {ratio} is greater than max/min = {widest:f}")
    given, asked = amounts["default"], amounts["defaultRequest"]
    fixed = is_huge_page(name) or not is_native(name)
    if fixed and given is not None and asked is not None and quantity.compare(given, asked):
        text = f"default value {given} must equal to defaultRequest value {asked} in {name}"
        yield path.defaultRequest[name].invalid(asked, text)

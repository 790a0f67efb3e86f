"""Where a pod may run: tolerations, affinity, topology spread, node selectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..labels import validate_key, validate_selector

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_WEIGHT = "must be in the range 1-100"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_scheduling(spec: Object, path: Path) -> Iterator[FieldError]:
    if "tolerations" in spec:
        yield from validate_tolerations(spec["tolerations"], path.tolerations)
    if affinity := spec.get("affinity"):
        yield from _validate_affinity(affinity, path.affinity)
    if "topologySpreadConstraints" in spec:
        yield from _validate_spread(spec["topologySpreadConstraints"], path.topologySpreadConstraints)
    taken: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        name = gate.get("name", "")
        yield from validate_key(name, path.schedulingGates[index])
        if name in taken:
            yield path.schedulingGates[index].duplicate(name)
        taken.add(name)


def validate_tolerations(tolerations: list[Object], path: Path) -> Iterator[FieldError]:
    for index, toleration in enumerate(tolerations):
        if not _is_usual(toleration):
            yield from _validate_toleration(toleration, path[index])


_USUAL = frozenset(("key", "operator", "effect", "tolerationSeconds"))


def _is_usual(toleration: Object) -> bool:
    """Whether it has the form of the two that admission gives every Pod, and is sound."""
    return (
        toleration.keys() == _USUAL
        and toleration["operator"] == "Exists"
        and toleration["effect"] == "NoExecute"
        and not names.qualified_name(toleration["key"])
    )


def _validate_toleration(toleration: Object, path: Path) -> Iterator[FieldError]:
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    value, effect = toleration.get("value", ""), toleration.get("effect", "")
    if key:
        yield from validate_key(key, path.key)
    elif operator != "Exists":
        yield path.operator.invalid(
            operator,
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        )
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield path.effect.invalid(effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("", "Equal"):
        if faults := names.label_value(value):
            yield path.operator.invalid(value, ";".join(faults))
    elif operator == "Exists":
        if value:
            yield path.operator.invalid(value, "value must be empty when `operator` is 'Exists'")
    else:
        yield path.operator.not_supported(operator, ("Equal", "Exists"))
    if effect and effect not in TAINT_EFFECTS:
        yield path.effect.not_supported(effect, TAINT_EFFECTS)


def _validate_affinity(affinity: Object, path: Path) -> Iterator[FieldError]:
    if node := affinity.get("nodeAffinity"):
        yield from _validate_node_affinity(node, path.nodeAffinity)
    for kind in ("podAffinity", "podAntiAffinity"):
        if pods := affinity.get(kind):
            yield from _validate_pod_affinity(pods, path.child(kind))


def _validate_node_affinity(affinity: Object, path: Path) -> Iterator[FieldError]:
    if (required := affinity.get(_REQUIRED)) is not None:
        yield from validate_node_selector(required, path.child(_REQUIRED))
    for index, term in enumerate(affinity.get(_PREFERRED) or ()):
        here = path.child(_PREFERRED)[index]
        weight = term.get("weight", 0)
        if not 0 < weight <= 100:
            yield here.weight.invalid(weight, _WEIGHT)
        yield from _validate_node_term(term.get("preference") or {}, here.preference, check_values=False)


def validate_node_selector(selector: Object, path: Path) -> Iterator[FieldError]:
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        yield path.nodeSelectorTerms.required("must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from _validate_node_term(term, path.nodeSelectorTerms[index], check_values=True)


def _validate_node_term(term: Object, path: Path, *, check_values: bool) -> Iterator[FieldError]:
    for index, need in enumerate(term.get("matchExpressions") or ()):
        yield from _validate_node_expression(need, path.matchExpressions[index], check_values)
    for index, need in enumerate(term.get("matchFields") or ()):
        yield from _validate_node_field(need, path.matchFields[index])


def _validate_node_expression(need: Object, path: Path, check_values: bool) -> Iterator[FieldError]:
    operator, values = need.get("operator", ""), need.get("values") or []
    here = path.child("values")
    match operator:
        case "In" | "NotIn":
            if not values:
                yield here.required("must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if values:
                yield here.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        case "Gt" | "Lt":
            if len(values) != 1:
                yield here.required("must be specified single value when `operator` is 'Lt' or 'Gt'")
        case _:
            yield path.operator.invalid(operator, "not a valid selector operator")
    yield from validate_key(need.get("key", ""), path.key)
    for index, value in enumerate(values if check_values else ()):
        for text in names.label_value(value):
            yield here[index].invalid(value, text)


def _validate_node_field(need: Object, path: Path) -> Iterator[FieldError]:
    operator, values, key = need.get("operator", ""), need.get("values") or [], need.get("key", "")
    if operator not in ("In", "NotIn"):
        yield path.operator.invalid(operator, "not a valid selector operator")
    elif len(values) != 1:
        yield path.child("values").required(
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
    if key != "metadata.name":
        yield path.key.invalid(key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        for text in names.dns_subdomain(value):
            yield path.child("values")[index].invalid(value, text)


def _validate_pod_affinity(affinity: Object, path: Path) -> Iterator[FieldError]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        yield from _validate_pod_term(term, path.child(_REQUIRED)[index])
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        here = path.child(_PREFERRED)[index]
        weight = weighted.get("weight", 0)
        if not 0 < weight <= 100:
            yield here.weight.invalid(weight, _WEIGHT)
        yield from _validate_pod_term(weighted.get("podAffinityTerm") or {}, here.podAffinityTerm)


def _validate_pod_term(term: Object, path: Path) -> Iterator[FieldError]:
    for name in ("labelSelector", "namespaceSelector"):
        if selector := term.get(name):
            yield from validate_selector(selector, path.child(name))
    for namespace in term.get("namespaces") or ():
        for text in names.dns_label(namespace):
            yield path.namespace.invalid(namespace, text)
    yield from _validate_label_keys(term, ("matchLabelKeys", "mismatchLabelKeys"), path)
    key = term.get("topologyKey", "")
    if not key:
        yield path.topologyKey.required("can not be empty")
    yield from validate_key(key, path.topologyKey)


def _validate_label_keys(term: Object, lists: tuple[str, ...], path: Path) -> Iterator[FieldError]:
    for name in lists:
        keys = term.get(name) or []
        if keys and not term.get("labelSelector"):
            yield path.child(name).forbidden("must not be specified when labelSelector is not set")
        for index, key in enumerate(keys):
            yield from validate_key(key, path.child(name)[index])
            if name == "matchLabelKeys" and key in (term.get("mismatchLabelKeys") or ()):
                text = "exists in both matchLabelKeys and mismatchLabelKeys"
                yield path.child(name)[index].invalid(key, text)


def _validate_spread(constraints: list[Object], path: Path) -> Iterator[FieldError]:
    taken: set[tuple[Any, Any]] = set()
    for index, constraint in enumerate(constraints):
        here = path[index]
        skew, key = constraint.get("maxSkew", 0), constraint.get("topologyKey", "")
        action = constraint.get("whenUnsatisfiable", "")
        if skew <= 0:
            yield here.maxSkew.invalid(skew, "must be greater than zero")
        if not key:
            yield here.topologyKey.required("can not be empty")
        else:
            yield from validate_key(key, here.topologyKey)
        if not action:
            yield here.whenUnsatisfiable.required("can not be empty")
        elif action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield here.whenUnsatisfiable.not_supported(action, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, action) in taken:
            # Upstream prints Go's form of the pair.
            yield here.child("{topologyKey, whenUnsatisfiable}").duplicate(f"{{{key}, {action}}}")
        taken.add((key, action))
        yield from _validate_spread_details(constraint, action, here)


def _validate_spread_details(constraint: Object, action: str, path: Path) -> Iterator[FieldError]:
    minimum = constraint.get("minDomains")
    if minimum is not None and minimum <= 0:
        yield path.minDomains.invalid(minimum, "must be greater than zero")
    if minimum is not None and action != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield path.minDomains.invalid(minimum, text)
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if constraint.get(name) not in (None, "Honor", "Ignore"):
            yield path.child(name).not_supported(constraint[name], ("Honor", "Ignore"))
    yield from _validate_label_keys(constraint, ("matchLabelKeys",), path)
    if selector := constraint.get("labelSelector"):
        yield from validate_selector(selector, path.labelSelector)

"""Flow schemas and priority levels. Rules and wording: upstream's `pkg/apis/flowcontrol/validation`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log2
from typing import Any

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .flowobjects import MANDATORY_LEVELS, MANDATORY_SCHEMAS
from .status import StatusStrategy

_LAST = 10000
_METHODS = ("ByNamespace", "ByUser")
_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch",
)  # fmt: skip
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_MAX_QUEUES = 10_000_000
_MAX_ENTROPY = 60
_QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
_FIXED_SCHEMAS = {obj["metadata"]["name"]: obj["spec"] for obj in MANDATORY_SCHEMAS}
_FIXED_LEVELS = {obj["metadata"]["name"]: obj["spec"] for obj in MANDATORY_LEVELS}


class FlowSchemaStrategy(StatusStrategy):
    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec["matchingPrecedence"] = spec.get("matchingPrecedence") or 1000

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here, name = obj["spec"], path.spec, obj["metadata"].get("name", "")
        yield from _validate_precedence(spec["matchingPrecedence"], name, here.matchingPrecedence)
        method = spec.get("distinguisherMethod")
        if method is not None and method.get("type") not in _METHODS:
            shown = {"Type": method.get("type", "")}
            yield here.distinguisherMethod.type.not_supported(shown, _METHODS)
        level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
        at = here.priorityLevelConfiguration.name
        if not level:
            yield at.required("must reference a priority level")
        for text in names.dns_subdomain(level) if level else ():
            yield at.invalid(level, text)
        for index, rule in enumerate(spec.get("rules") or ()):
            yield from _validate_rule(rule, here.rules[index])
        if name in _FIXED_SCHEMAS and _filled(spec) != _FIXED_SCHEMAS[name]:
            yield here.invalid(spec, f"spec of '{name}' must equal the fixed value")
        yield from _validate_conditions(obj, path)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_conditions(new, path)


class PriorityLevelConfigurationStrategy(StatusStrategy):
    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if (limited := spec.get("limited")) is not None:
            limited.setdefault("nominalConcurrencyShares", 30)
            limited.setdefault("lendablePercent", 0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                queuing |= {name: queuing.get(name) or value for name, value in _QUEUING.items()}
        if (exempt := spec.get("exempt")) is not None:
            exempt.setdefault("nominalConcurrencyShares", 0)
            exempt.setdefault("lendablePercent", 0)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here, name = obj["spec"], path.spec, obj["metadata"].get("name", "")
        kind = spec.get("type", "")
        if (name == "exempt") != (kind == "Exempt"):
            yield here.type.invalid(kind, "type must be 'Exempt' if and only if name is 'exempt'")
        if kind == "Exempt":
            if spec.get("limited") is not None:
                yield here.limited.forbidden("must be nil if the type is not Limited")
            yield from _validate_shares(spec.get("exempt") or {}, here.exempt)
            yield from _validate_lending(spec.get("exempt") or {}, here.exempt)
        elif kind == "Limited":
            if spec.get("exempt") is not None:
                yield here.exempt.forbidden("must be nil if the type is Limited")
            if spec.get("limited") is None:
                yield here.limited.required("must not be empty when type is Limited")
            else:
                yield from _validate_limited(spec["limited"], here.limited)
        else:
            yield here.type.not_supported(kind, ("Exempt", "Limited"))
        if name in _FIXED_LEVELS:
            yield from _validate_fixed(spec, name, here)
        yield from _validate_conditions(obj, path)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_conditions(new, path)


def _validate_fixed(spec: Object, name: str, path: Path) -> Iterator[FieldError]:
    """A mandatory level never changes, but for how much the exempt one lends."""
    fixed, but = _FIXED_LEVELS[name], ""
    if name == "exempt":
        spec_now, but = {**spec, "exempt": fixed["exempt"]}, " except the 'spec.exempt' field"
    else:
        spec_now = spec
    if _filled(spec_now) != fixed:
        yield path.invalid(spec, f"spec of '{name}'{but} must equal the fixed value")


def _filled(value: Any) -> Any:
    """Without empty lists, empty strings and false, which say no more than what is absent."""
    if isinstance(value, list):
        return [_filled(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _filled(entry)
        for name, entry in value.items()
        if entry != [] and entry != "" and entry is not False
    }


def _validate_precedence(value: int, name: str, path: Path) -> Iterator[FieldError]:
    if value <= 0:
        yield path.invalid(value, "must be a positive value")
    if value > _LAST:
        yield path.invalid(value, f"must not be greater than {_LAST}")
    if value == 1 and name != "exempt":
        yield path.invalid(value, "only the schema named 'exempt' may have matchingPrecedence 1")


def _validate_rule(rule: Object, path: Path) -> Iterator[FieldError]:
    if not rule.get("subjects"):
        yield path.subjects.required("subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        yield from _validate_subject(subject, path.subjects[index])
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        yield path.required("at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, entry in enumerate(rule.get("resourceRules") or ()):
        yield from _validate_resource_rule(entry, path.resourceRules[index])
    for index, entry in enumerate(rule.get("nonResourceRules") or ()):
        yield from _validate_path_rule(entry, path.nonResourceRules[index])


def _validate_subject(subject: Object, path: Path) -> Iterator[FieldError]:
    kind = subject.get("kind", "")
    if kind not in _SUBJECTS:
        yield path.kind.not_supported(kind, _SUBJECTS)
        return
    mine = _SUBJECTS[kind]
    about = subject.get(mine)
    if about is None:
        yield path.child(mine).required(f"{mine} is required when subject kind is '{kind}'")
    else:
        yield from _validate_subject_name(about, kind, path.child(mine))
    for other, name in (("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")):
        if other != kind and subject.get(name) is not None:
            yield path.child(name).forbidden(f"{name} is forbidden when subject kind is not '{other}'")


def _validate_subject_name(about: Object, kind: str, path: Path) -> Iterator[FieldError]:
    name, namespace = about.get("name", ""), about.get("namespace", "")
    if not name:
        yield path.name.required()
    elif kind == "ServiceAccount" and name != "*":
        for text in names.dns_subdomain(name):
            yield path.name.invalid(name, text)
    if kind != "ServiceAccount":
        return
    if not namespace:
        yield path.namespace.required("must specify namespace for service account")
    for text in names.dns_label(namespace) if namespace else ():
        yield path.namespace.invalid(namespace, text)


def _validate_verbs(verbs: Sequence[str], path: Path) -> Iterator[FieldError]:
    if not verbs:
        yield path.required("verbs must contain at least one value")
    elif "*" in verbs:
        if len(verbs) > 1:
            yield path.invalid(verbs, "if '*' is present, must not specify other verbs")
    elif not set(verbs) <= set(_VERBS):
        yield path.not_supported(verbs, _VERBS)


def _validate_resource_rule(rule: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_verbs(rule.get("verbs") or [], path.verbs)
    for name, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(name) or []
        if not values:
            yield path.child(name).required(f"resource rules must supply at least one {one}")
        elif len(values) > 1 and "*" in values:
            yield path.child(name).invalid(values, f"if '*' is present, must not specify other {many}")
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        yield path.namespaces.required(text)
    elif "*" in namespaces:
        if len(namespaces) > 1:
            yield path.namespaces.invalid(namespaces, "if '*' is present, must not specify other namespaces")
        return
    for index, namespace in enumerate(namespaces):
        for text in names.dns_label(namespace):
            why = f"each member of this list must be '*' or a DNS-1123 label; {text}"
            yield path.namespaces[index].invalid(namespace, why)


def _validate_path_rule(rule: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_verbs(rule.get("verbs") or [], path.verbs)
    urls, here = rule.get("nonResourceURLs") or [], path.nonResourceURLs
    if not urls:
        yield here.required("nonResourceURLs must contain at least one value")
    elif "*" in urls:
        if len(urls) > 1:
            yield here.invalid(urls, "if '*' is present, must not specify other non-resource URLs")
        return
    for index, url in enumerate(urls):
        if not url:
            yield here[index].invalid(url, "must not be empty")
        elif not url.startswith("/"):
            yield here[index].invalid(url, "must start with slash")
        elif " " in url:
            yield here[index].invalid(url, "must not contain white-space")
        elif "//" in url:
            yield here[index].invalid(url, "must not contain double slash")
        elif "*" in url[:-1] or (url.endswith("*") and not url.endswith("/*")):
            yield here[index].invalid(url, "wildcard can only do suffix matching")


def _validate_shares(limits: Object, path: Path) -> Iterator[FieldError]:
    shares = limits.get("nominalConcurrencyShares", 0)
    if shares < 0:
        yield path.nominalConcurrencyShares.invalid(shares, "must be a non-negative integer")


def _validate_lending(limits: Object, path: Path) -> Iterator[FieldError]:
    lendable = limits.get("lendablePercent", 0)
    if not 0 <= lendable <= 100:
        yield path.lendablePercent.invalid(lendable, "must be between 0 and 100, inclusive")


def _validate_limited(limited: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_shares(limited, path)
    yield from _validate_response(limited.get("limitResponse") or {}, path.limitResponse)
    yield from _validate_lending(limited, path)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        yield path.borrowingLimitPercent.invalid(borrowing, "if specified, must be a non-negative integer")


def _validate_response(response: Object, here: Path) -> Iterator[FieldError]:
    queuing = response.get("queuing")
    if response.get("type") == "Reject":
        if queuing is not None:
            yield here.queuing.forbidden("must be nil if limited.limitResponse.type is not Limited")
    elif response.get("type") != "Queue":
        yield here.type.not_supported(response.get("type", ""), ("Queue", "Reject"))
    elif queuing is None:
        yield here.queuing.required("must not be empty if limited.limitResponse.type is Limited")
    else:
        yield from _validate_queuing(queuing, here.queuing)


def _validate_queuing(queuing: Object, path: Path) -> Iterator[FieldError]:
    queues, hand, limit = queuing["queues"], queuing["handSize"], queuing["queueLengthLimit"]
    if limit <= 0:
        yield path.queueLengthLimit.invalid(limit, "must be positive")
    if queues <= 0:
        yield path.queues.invalid(queues, "must be positive")
    elif queues > _MAX_QUEUES:
        yield path.queues.invalid(queues, f"must not be greater than {_MAX_QUEUES}")
    if hand <= 0:
        yield path.handSize.invalid(hand, "must be positive")
    elif hand > queues:
        yield path.handSize.invalid(hand, f"should not be greater than queues ({queues})")
    elif hand > _MAX_ENTROPY or sum(log2(queues - card) for card in range(hand)) > _MAX_ENTROPY:
        why = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than"
        yield path.handSize.invalid(hand, f"{why} {_MAX_ENTROPY}")


def _validate_conditions(obj: Object, path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        here, kind = path.status.conditions[index].type, condition.get("type", "")
        if kind in taken:
            yield here.duplicate(kind)
        taken.add(kind)
        if not kind:
            yield here.required("must not be empty")

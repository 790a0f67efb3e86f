"""When a single container is restarted: its own policy, and rules by exit code (KEP-5307)."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

_POLICIES = ("Always", "Never", "OnFailure")
_ACTIONS = ("Restart", "RestartAllContainers")
_OPERATORS = ("In", "NotIn")
_MAX_RULES = 20
_MAX_CODES = 255


def validate_restarts(container: Object, path: Path) -> Iterator[FieldError]:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy not in (None, *_POLICIES):
        yield path.restartPolicy.not_supported(policy, _POLICIES)
    if rules and policy is None:
        yield path.restartPolicy.required("must specify restartPolicy when restart rules are used")
    if len(rules) > _MAX_RULES:
        yield path.restartPolicyRules.too_many(len(rules), _MAX_RULES)
    for index, rule in enumerate(rules):
        here = path.restartPolicyRules[index]
        if rule.get("action") not in _ACTIONS:
            yield here.action.not_supported(rule.get("action", ""), _ACTIONS)
        if rule.get("exitCodes") is None:
            yield here.exitCodes.required("must be specified")
        else:
            yield from _validate_codes(rule["exitCodes"], here.exitCodes)


def _validate_codes(codes: Object, path: Path) -> Iterator[FieldError]:
    operator, values, here = codes.get("operator", ""), codes.get("values") or [], path.child("values")
    if operator not in _OPERATORS:
        yield path.operator.not_supported(operator, _OPERATORS)
    if not values:
        yield here.required("must specify at least one exit code")
    elif len(values) > _MAX_CODES:
        yield here.too_many(len(values), _MAX_CODES)

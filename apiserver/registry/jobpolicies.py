"""What is wrong with a Job's policies of failure and success, and with its limits per index.

Rules and wording: upstream's `pkg/apis/batch/validation`. What the policies
do is the Job controller's business.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_MAX_RULES = 20
_MAX_EXIT_CODES = 255
_MAX_PARALLELISM = 100_000


def validate_policies(spec: Object, path: Path) -> Iterator[FieldError]:
    """`spec` is a Job's; its fields may be missing."""
    yield from _validate_limits(spec, path)
    if (policy := spec.get("podFailurePolicy")) is not None:
        yield from _validate_failure_policy(policy, spec, path.podFailurePolicy)
        if spec.get("podReplacementPolicy") == "TerminatingOrFailed":
            yield path.podReplacementPolicy.not_supported("TerminatingOrFailed", ("Failed",))
    if (policy := spec.get("successPolicy")) is not None:
        if spec.get("completionMode") != "Indexed":
            yield path.successPolicy.invalid(policy, "requires indexed completion mode")
        yield from _validate_success_policy(policy, path.successPolicy.rules)


def _validate_limits(spec: Object, path: Path) -> Iterator[FieldError]:
    limit, completions = spec.get("maxFailedIndexes"), spec.get("completions")
    if limit is not None and spec.get("backoffLimitPerIndex") is None:
        yield path.backoffLimitPerIndex.required("when maxFailedIndexes is specified")
    if limit is not None and completions is not None and limit > completions:
        yield path.maxFailedIndexes.invalid(limit, "must be less than or equal to completions")
    parallelism = spec.get("parallelism") or 0
    if spec.get("completionMode") == "Indexed" and parallelism > _MAX_PARALLELISM:
        why = f"must be less than or equal to {_MAX_PARALLELISM} when completion mode is Indexed"
        yield path.parallelism.invalid(parallelism, why)


def _validate_failure_policy(policy: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    rules = policy.get("rules") or []
    if len(rules) > _MAX_RULES:
        yield path.rules.too_many(len(rules), _MAX_RULES)
    names = _container_names(spec)
    for number, rule in enumerate(rules):
        here = path.rules[number]
        yield from _validate_action(rule, spec, here.action)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None and conditions:
            yield here.invalid(rule, "specifying both OnExitCodes and OnPodConditions is not supported")
        elif codes is None and not conditions:
            yield here.invalid(rule, "specifying one of OnExitCodes and OnPodConditions is required")
        if codes is not None:
            yield from _validate_exit_codes(codes, names, here.onExitCodes)


def _container_names(spec: Object) -> set[str]:
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = [*(pod.get("containers") or ()), *(pod.get("initContainers") or ())]
    return {container.get("name", "") for container in containers}


def _validate_action(rule: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    action = rule.get("action")
    if not action:
        yield path.required('valid values: "Count", "FailIndex", "FailJob", "Ignore"')
    elif action not in _ACTIONS:
        yield path.not_supported(action, _ACTIONS)
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield path.invalid(action, "requires the backoffLimitPerIndex to be set")


def _validate_exit_codes(codes: Object, names: set[str], path: Path) -> Iterator[FieldError]:
    operator, values, name = codes.get("operator"), codes.get("values") or [], codes.get("containerName")
    if operator not in _OPERATORS:
        yield path.operator.not_supported(operator or "", _OPERATORS)
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield path.containerName.invalid(name, why)
    if not values:
        yield path.child("values").invalid(values, "at least one value is required")
    elif len(values) > _MAX_EXIT_CODES:
        yield path.child("values").too_many(len(values), _MAX_EXIT_CODES)
    if values != sorted(values):
        yield path.child("values").invalid(values, "must be ordered")
    for number, value in enumerate(values):
        here = path.child("values")[number]
        if operator == "In" and value == 0:
            yield here.invalid(value, "must not be 0 for the In operator")
        if value in values[:number]:
            yield here.duplicate(value)


def _validate_success_policy(policy: Object, path: Path) -> Iterator[FieldError]:
    rules = policy.get("rules") or []
    if not rules:
        yield path.required("at least one rules must be specified when the successPolicy is specified")
    if len(rules) > _MAX_RULES:
        yield path.too_many(len(rules), _MAX_RULES)
    for number, rule in enumerate(rules):
        if rule.get("succeededCount") is None and rule.get("succeededIndexes") is None:
            yield path[number].required(
                "at least one of succeededCount or succeededIndexes must be specified"
            )

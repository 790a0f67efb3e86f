"""What is wrong with a Job's policies of failure and success, and with its limits per index.

Rules and wording: upstream's `pkg/apis/batch/validation`. What the policies
do is the Job controller's business.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from . import jobindexes
from .immutable import non_negative, unsaid
from .labels import validate_key

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_MAX_RULES = 20
_STATUSES = ("False", "True", "Unknown")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_MAX_EXIT_CODES = 255
_MAX_PATTERNS = 20
_MAX_PARALLELISM = _MAX_FAILED = _MANY = 100_000
_MAX_OF_MANY = 10_000
_MAX_INDEXES = 64 * 1024


def default_policies(spec: Object) -> None:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def validate_policies(spec: Object, path: Path) -> Iterator[FieldError]:
    """`spec` is a Job's; its fields may be missing."""
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield path.backoffLimitPerIndex.required("when maxFailedIndexes is specified")
    failure, success = spec.get("podFailurePolicy"), spec.get("successPolicy")
    if failure is not None:
        yield from _validate_failure_policy(failure, spec, path.podFailurePolicy)
    if success is not None and spec.get("completionMode") != "Indexed":
        yield path.successPolicy.invalid(success, "requires indexed completion mode")
    elif success is not None:
        yield from _validate_success_policy(success, spec.get("completions") or 0, path.successPolicy.rules)
    replacement = spec.get("podReplacementPolicy")
    known = _REPLACEMENTS if failure is None else _REPLACEMENTS[:1]
    if replacement is not None and replacement not in known:
        yield path.podReplacementPolicy.not_supported(replacement, known)


def validate_limits(spec: Object, path: Path) -> Iterator[FieldError]:
    """How much of an Indexed Job may run and fail."""
    failed, completions, width = (
        spec.get(name) for name in ("maxFailedIndexes", "completions", "parallelism")
    )
    most = "must be less than or equal to"
    if width is not None and width > _MAX_PARALLELISM:
        text = f"{most} {_MAX_PARALLELISM} when completion mode is Indexed"
        yield path.parallelism.invalid(width, text)
    if completions is not None and failed is not None and failed > completions:
        yield path.maxFailedIndexes.invalid(failed, f"{most} completions")
    if failed is not None and failed > _MAX_FAILED:
        yield path.maxFailedIndexes.invalid(failed, f"{most} {_MAX_FAILED}")
    if (completions or 0) <= _MANY or spec.get("backoffLimitPerIndex") is None:
        return
    if failed is None:
        text = f"must be specified when completions is above {_MANY}"
        yield path.maxFailedIndexes.required(text)
    text = f"{most} {_MAX_OF_MANY} when completions are above {_MANY} and used with backoff limit per index"
    for name, value in (("parallelism", width), ("maxFailedIndexes", failed)):
        if value is not None and value > _MAX_OF_MANY:
            yield path.child(name).invalid(value, text)


def _validate_failure_policy(policy: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    rules = policy.get("rules") or []
    if len(rules) > _MAX_RULES:
        yield path.rules.too_many(len(rules), _MAX_RULES)
    names = _container_names(spec)
    for number, rule in enumerate(rules):
        here = path.rules[number]
        yield from _validate_action(rule, spec, here.action)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None:
            yield from _validate_exit_codes(codes, names, here.onExitCodes)
        yield from _validate_patterns(conditions or [], here.onPodConditions)
        if codes is not None and conditions:
            yield unsaid(here, "specifying both OnExitCodes and OnPodConditions is not supported")
        elif codes is None and not conditions:
            yield unsaid(here, "specifying one of OnExitCodes and OnPodConditions is required")


def _validate_patterns(patterns: list[Object], path: Path) -> Iterator[FieldError]:
    if len(patterns) > _MAX_PATTERNS:
        yield path.too_many(len(patterns), _MAX_PATTERNS)
    for number, pattern in enumerate(patterns):
        here, status = path[number], pattern.get("status", "")
        yield from validate_key(pattern.get("type", ""), here.type)
        if not status:
            yield here.status.required(_valid_values(_STATUSES))
        elif status not in _STATUSES:
            yield here.status.not_supported(status, _STATUSES)


def _valid_values(names: tuple[str, ...]) -> str:
    """As Go prints a list of strings."""
    return "valid values: [" + " ".join(f'"{name}"' for name in names) + "]"


def _container_names(spec: Object) -> set[str]:
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = [*(pod.get("containers") or ()), *(pod.get("initContainers") or ())]
    return {container.get("name", "") for container in containers}


def _validate_action(rule: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    action = rule.get("action")
    if not action:
        yield path.required(_valid_values(_ACTIONS))
    elif action not in _ACTIONS:
        yield path.not_supported(action, _ACTIONS)
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield path.invalid(action, "requires the backoffLimitPerIndex to be set")


def _validate_exit_codes(codes: Object, names: set[str], path: Path) -> Iterator[FieldError]:
    operator, values, name = codes.get("operator"), codes.get("values") or [], codes.get("containerName")
    if not operator:
        yield path.operator.required(_valid_values(_OPERATORS))
    elif operator not in _OPERATORS:
        yield path.operator.not_supported(operator, _OPERATORS)
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield path.containerName.invalid(name, why)
    if not values:
        yield path.child("values").invalid(values, "at least one value is required")
    elif len(values) > _MAX_EXIT_CODES:
        yield path.child("values").too_many(len(values), _MAX_EXIT_CODES)
    for number, value in enumerate(values):
        here = path.child("values")[number]
        if operator == "In" and value == 0:
            yield here.invalid(value, "must not be 0 for the In operator")
        if value in values[:number]:
            yield here.duplicate(value)
    if values != sorted(values):
        yield path.child("values").invalid(values, "must be ordered")


def _validate_success_policy(policy: Object, completions: int, path: Path) -> Iterator[FieldError]:
    rules = policy.get("rules") or []
    if not rules:
        yield path.required("at least one rules must be specified when the successPolicy is specified")
    if len(rules) > _MAX_RULES:
        yield path.too_many(len(rules), _MAX_RULES)
    for number, rule in enumerate(rules):
        yield from _validate_success_rule(rule, completions, path[number])


def _validate_success_rule(rule: Object, completions: int, path: Path) -> Iterator[FieldError]:
    count, indexes, total = rule.get("succeededCount"), rule.get("succeededIndexes"), 0
    if count is None and indexes is None:
        yield path.required("at least one of succeededCount or succeededIndexes must be specified")
    if indexes is not None:
        if len(indexes) > _MAX_INDEXES:
            yield path.succeededIndexes.too_long(_MAX_INDEXES)
        try:
            total = jobindexes.count(indexes, completions)
        except jobindexes.IndexesError as error:
            yield path.succeededIndexes.invalid(indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    yield from non_negative(rule, path, "succeededCount")
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        yield path.succeededCount.invalid(count, text)
    if indexes is not None and count > total:
        text = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes"
            " field)"
        )
        yield path.succeededCount.invalid(count, text)

"""Rules and conditions of admission webhooks and policies: their validation.

Source: `pkg/apis/admissionregistration/validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kplane.api import names
from kplane.api.cel import CelError
from kplane.api.cel.admission import Expression
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..admission.expressions import compiled

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
MATCH_POLICIES = ("Equivalent", "Exact")
FAILURE_POLICIES = ("Fail", "Ignore")
MAX_CONDITIONS = 64


def validate_rule(rule: Object, path: Path) -> Iterator[FieldError]:
    """A RuleWithOperations."""
    operations = rule.get("operations") or []
    if not operations:
        yield path.operations.required()
    if len(operations) > 1 and "*" in operations:
        yield path.operations.invalid(operations, "if '*' is present, must not specify other operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            yield path.operations[index].not_supported(operation, OPERATIONS)
    yield from _validate_names(rule.get("apiGroups") or [], "API groups", path.apiGroups)
    versions = rule.get("apiVersions") or []
    yield from _validate_names(versions, "API versions", path.apiVersions)
    for index, version in enumerate(versions):
        if not version:
            yield path.apiVersions[index].required()
    yield from validate_resources(rule.get("resources") or [], path.resources)
    if rule.get("scope", "*") not in SCOPES:
        yield path.scope.not_supported(rule["scope"], SCOPES)


def _validate_names(values: Sequence[str], what: str, path: Path) -> Iterator[FieldError]:
    if not values:
        yield path.required()
    if len(values) > 1 and "*" in values:
        yield path.invalid(values, f"if '*' is present, must not specify other {what}")


def validate_resources(resources: Sequence[str], path: Path) -> Iterator[FieldError]:
    """`pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`."""
    if not resources:
        yield path.required()
    all_subresources: set[str] = set()
    all_resources: set[str] = set()
    last_is_plain = False
    for index, name in enumerate(resources):
        if not name:
            yield path[index].required()
            continue
        resource, slash, subresource = name.partition("/")
        if not slash:
            last_is_plain = name != "*"
            continue
        if resource in all_subresources:
            yield path[index].invalid(name, f"if '{resource}/*' is present, must not specify {name}")
        if subresource in all_resources:
            yield path[index].invalid(name, f"if '*/{subresource}' is present, must not specify {name}")
        if subresource == "*":
            all_subresources.add(resource)
        if resource == "*":
            all_resources.add(subresource)
    if len(resources) > 1 and "*/*" in resources:
        yield path.invalid(resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and last_is_plain:
        yield path.invalid(
            resources, "if '*' is present, must not specify other resources without subresources"
        )


def validate_conditions(
    conditions: Sequence[Object], path: Path, compile: Callable[[str], Expression] | None = None
) -> Iterator[FieldError]:
    """`matchConditions`; `compile` for those that may name more than a webhook's."""
    if len(conditions) > MAX_CONDITIONS:
        yield path.too_many(len(conditions), MAX_CONDITIONS)
    taken: set[str] = set()
    for index, condition in enumerate(conditions[: 2 * MAX_CONDITIONS]):
        here, name = path[index], condition.get("name", "")
        expression = (condition.get("expression") or "").strip()
        if compile is None or not expression:
            yield from validate_expression(expression, here.expression)
        elif fault := compile(expression).fault:
            yield here.expression.invalid(expression, fault)
        if not name:
            yield here.name.required()
            continue
        for text in names.qualified_name(name):
            yield here.name.invalid(name, text)
        if name in taken:
            yield here.name.duplicate(name)
        taken.add(name)


def validate_expression(expression: str, path: Path) -> Iterator[FieldError]:
    """A condition in CEL."""
    if not expression:
        yield path.required()
        return
    try:
        compiled(expression)
    except CelError as error:
        why = error.wrong_result or f"compilation failed: {error}"
        yield path.invalid(expression, why)

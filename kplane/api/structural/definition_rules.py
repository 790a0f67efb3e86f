"""The rules of a definition: their texts, whether they compile, what they may cost.

Rules and wording: apiextensions `apis/apiextensions/validation/validation.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kplane.api.cel import PER_CRD_ESTIMATE, PER_EXPRESSION_ESTIMATE, Program
from kplane.api.field import FieldError, Path
from kplane.api.structural.expressions import Rule, cardinality, compile_node
from kplane.api.structural.field_paths import FieldPathError, parse_field_path
from kplane.api.structural.spec import Schema, SchemaError, Spec, parse

RULES = "x-kubernetes-validations"
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
LARGEST = 2**64 - 1
_MOST_EXPENSIVE = 4
_line_break = re.compile(r"[\n\r]").search


@dataclass(slots=True)
class CostBook:
    """The estimated costs of all rules of a schema."""

    total: int = 0
    entries: list[tuple[int, Path]] = field(default_factory=list)
    """Of those that matter: a hundredth of what is allowed, or more."""

    def add(self, path: Path, cost: int) -> None:
        self.total = min(self.total + cost, LARGEST)
        if cost >= PER_CRD_ESTIMATE // 100:
            self.entries.append((cost, path))

    def faults(self, path: Path) -> Iterator[FieldError]:
        if self.total <= PER_CRD_ESTIMATE:
            return
        for _, place in sorted(self.entries, key=lambda entry: -entry[0])[:_MOST_EXPENSIVE]:
            yield place.forbidden(
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            )
        name = f"{RULES} estimated rule cost total for entire OpenAPIv3 schema"
        yield path.forbidden(cost_fault(name, self.total, PER_CRD_ESTIMATE))


def cost_fault(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems,"
        " maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )


def check_rule_texts(schema: Schema, path: Path) -> Iterator[FieldError]:
    spec: Spec | None = None
    for index, rule in enumerate(schema.get(RULES) or ()):
        place = path.child(RULES)[index]
        yield from _check_texts(rule, place)
        reason = rule.get("reason")
        if reason is not None and reason not in REASONS:
            yield place.reason.not_supported(reason, REASONS)
        if field_path := rule.get("fieldPath"):
            spec = spec or _parsed(schema)
            yield from _check_field_path(field_path, spec, place.fieldPath)


def _check_texts(rule: Schema, place: Path) -> Iterator[FieldError]:
    text, message = rule.get("rule") or "", rule.get("message") or ""
    if not text.strip():
        yield place.rule.required("rule is not specified")
    elif message and not message.strip():
        yield place.message.invalid(message, "message must be non-empty if specified")
    elif _line_break(message.strip()):
        yield place.message.invalid(message, "message must not contain line breaks")
    elif _line_break(text.strip()) and not message.strip():
        yield place.message.required("message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        yield place.messageExpression.required("messageExpression must be non-empty if specified")


def _parsed(schema: Schema) -> Spec | None:
    try:
        return parse(schema)
    except SchemaError:
        # Reported where it is.
        return None


def _check_field_path(text: str, spec: Spec | None, place: Path) -> Iterator[FieldError]:
    if not text.strip():
        yield place.invalid(text, "fieldPath must be non-empty if specified")
    if _line_break(text):
        yield place.invalid(text, "fieldPath must not contain line breaks")
    try:
        if spec is not None:
            parse_field_path(text, spec)
    except FieldPathError:
        yield place.invalid(text, "fieldPath must be a valid path")


def check_rules(
    spec: Spec, root: bool, uncorrelated: Path | None, limit: int | None, path: Path, costs: CostBook
) -> Iterator[FieldError]:
    """The rules of one node, which is right otherwise.

    `uncorrelated`: where the part without old values begins, if the node is in one. `limit`: how many values
    the schemas above allow; None if they do not say.
    """
    rules, error = compile_node(spec, root)
    if error:
        place = path.child(RULES)
        yield FieldError(str(place), "InternalError", f"Internal error: {error}")
    times = limit if limit is not None else cardinality(spec, root)
    for index, rule in enumerate(rules):
        place = path.child(RULES)[index]
        yield from _check_cost("estimated rule cost", rule.program, times, place.rule, costs)
        if rule.error:
            yield place.rule.invalid(rule.raw, rule.error)
        if rule.message_error:
            yield place.messageExpression.invalid(rule.raw, rule.message_error)
        yield from _check_cost(
            "estimated messageExpression cost", rule.message, 1, place.messageExpression, costs
        )
        yield from _check_old(rule, uncorrelated, place)


def _check_cost(
    name: str, program: Program | None, times: int, place: Path, costs: CostBook
) -> Iterator[FieldError]:
    if program is None:
        return
    cost = min(program.estimate().most * times, LARGEST)
    costs.add(place, cost)
    if cost > PER_EXPRESSION_ESTIMATE:
        yield place.forbidden(cost_fault(name, cost, PER_EXPRESSION_ESTIMATE))


def _check_old(rule: Rule, uncorrelated: Path | None, place: Path) -> Iterator[FieldError]:
    if rule.uses_old and uncorrelated is not None:
        text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        yield place.rule.invalid(rule.raw["rule"], text)
    elif not rule.uses_old and rule.raw.get("optionalOldSelf") is not None:
        text = "may not be set if oldSelf is not used in rule"
        yield place.optionalOldSelf.invalid(rule.raw["optionalOldSelf"], text)


def max_elements(schema: Schema) -> int | None:
    """By what a schema multiplies the number of values beneath it; None: without limit."""
    most: int | None = 1
    if schema.get("type") == "array":
        most = schema.get("maxItems")
    elif schema.get("type") == "object" and schema.get("additionalProperties") is not None:
        most = schema.get("maxProperties")
    return max(most, 0) if most is not None else None

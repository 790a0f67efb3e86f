"""The rules of a definition: their texts, whether they compile, what they may cost.

Rules and wording: apiextensions `apis/apiextensions/validation/validation.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kplane.api.field import FieldError, Path
from kplane.api.structural.field_paths import FieldPathError, parse_field_path
from kplane.api.structural.spec import Schema, SchemaError, Spec, parse

RULES = "x-kubernetes-validations"
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
RULE_COST_LIMIT = 10_000_000
"""What one rule may cost, estimated for the largest object that its schema allows."""

TOTAL_COST_LIMIT = 100_000_000
_MOST_EXPENSIVE = 4
_line_break = re.compile(r"[\n\r]").search


@dataclass(slots=True)
class CostBook:
    """The estimated costs of all rules of a schema."""

    total: int = 0
    entries: list[tuple[int, Path]] = field(default_factory=list)

    def add(self, path: Path, cost: int) -> None:
        if cost:
            self.total += cost
            self.entries.append((cost, path))

    def faults(self, path: Path) -> Iterator[FieldError]:
        if self.total <= TOTAL_COST_LIMIT:
            return
        for _, place in sorted(self.entries, key=lambda entry: -entry[0])[:_MOST_EXPENSIVE]:
            yield place.forbidden(
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            )
        name = f"{RULES} estimated rule cost total for entire OpenAPIv3 schema"
        yield path.forbidden(cost_fault(name, self.total, TOTAL_COST_LIMIT))


def cost_fault(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems,"
        " maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )


def check_rule_texts(schema: Schema, path: Path) -> Iterator[FieldError]:
    for index, rule in enumerate(schema.get(RULES) or ()):
        place = path.child(RULES)[index]
        yield from _check_texts(rule, place)
        reason = rule.get("reason")
        if reason is not None and reason not in REASONS:
            yield place.reason.not_supported(reason, REASONS)
        if field_path := rule.get("fieldPath"):
            yield from _check_field_path(field_path, schema, place.fieldPath)


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


def _check_field_path(text: str, schema: Schema, place: Path) -> Iterator[FieldError]:
    if not text.strip():
        yield place.invalid(text, "fieldPath must be non-empty if specified")
    if _line_break(text):
        yield place.invalid(text, "fieldPath must not contain line breaks")
    try:
        parse_field_path(text, parse(schema))
    except FieldPathError:
        yield place.invalid(text, "fieldPath must be a valid path")
    except SchemaError:
        # Reported where it is.
        return


def check_rules(
    spec: Spec, root: bool, uncorrelated: Path | None, path: Path, costs: CostBook
) -> Iterator[FieldError]:
    yield from ()

"""The rules of one schema node, compiled: the only seam to the expression language.

Wording: apiextensions `schema/cel/compilation.go`. A rule that does not compile keeps its error: definitions
report it when they are written, and stored ones when an object meets it.
"""

from __future__ import annotations

from dataclasses import dataclass

from kplane.api.cel import BOOL, STRING, CelError, Environment, Program, Type, optional_of, type_of
from kplane.api.structural.field_paths import FieldPathError, parse_field_path
from kplane.api.structural.spec import Schema, Spec

MAX_REQUEST = 3 * 1024 * 1024
SELF, OLD_SELF = "self", "oldSelf"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Exactly one of `program` and `error` is set, none for an empty rule."""

    raw: Schema
    program: Program | None = None
    error: str = ""
    message: Program | None = None
    message_error: str = ""
    field_path: str = ""
    """Relative to the rule's place."""

    @property
    def uses_old(self) -> bool:
        return self.program is not None and OLD_SELF in self.program.references

    @property
    def optional_old(self) -> bool:
        """Whether `oldSelf` is an optional, so that the rule also holds where there is no old value."""
        return self.raw.get("optionalOldSelf") is True

    @property
    def source(self) -> str:
        return str(self.raw.get("rule") or "").strip()

    @property
    def shown(self) -> str:
        """The rule in messages: its message, else itself."""
        message: str = self.raw.get("message") or ""
        return message.strip() if message else self.source


def self_type(spec: Spec, root: bool) -> Type | None:
    """The type of `self`; None where rules are not supported."""
    return type_of(spec.raw, root=root or spec.embedded)


def compile_node(spec: Spec, root: bool) -> tuple[list[Rule], str]:
    """The rules of a node, or why it may not have any."""
    kind = self_type(spec, root)
    if kind is None:
        preserve = str(spec.preserve).lower()
        return [], (
            f"rule declared on schema that does not support validation rules type: '{spec.type}'"
            f" x-kubernetes-preserve-unknown-fields: '{preserve}'"
        )
    return [_compile(rule, spec, kind) for rule in spec.rules], ""


def cardinality(spec: Spec, root: bool) -> int:
    """How often a value of this node can occur at most in the largest request."""
    kind = self_type(spec, root)
    return MAX_REQUEST // ((kind.least if kind is not None else 1) + 1)


def _compile(raw: Schema, spec: Spec, kind: Type) -> Rule:
    source = raw.get("rule") or ""
    if not source.strip():
        return Rule(raw)
    old = optional_of(kind) if raw.get("optionalOldSelf") is True else kind
    environment = Environment({SELF: kind, OLD_SELF: old})
    try:
        program = environment.compile(source, expected=BOOL)
    except CelError as error:
        wrong = "cel expression must evaluate to a bool"
        return Rule(raw, error=wrong if error.wrong_result else f"compilation failed: {error}")
    message, message_error = _compile_message(raw, environment)
    return Rule(raw, program, "", message, message_error, _field_path(raw, spec))


def _compile_message(raw: Schema, environment: Environment) -> tuple[Program | None, str]:
    source = raw.get("messageExpression") or ""
    if not source:
        return None, ""
    try:
        return environment.compile(source, expected=STRING), ""
    except CelError as error:
        if error.wrong_result:
            return None, "messageExpression must evaluate to a string"
        return None, f"messageExpression compilation failed: {error}"


def _field_path(raw: Schema, spec: Spec) -> str:
    text = raw.get("fieldPath")
    try:
        return str(parse_field_path(text, spec)) if text else ""
    except FieldPathError:
        # Definitions with such a path are refused.
        return ""

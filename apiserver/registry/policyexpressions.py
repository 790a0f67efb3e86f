"""What admission policies say in CEL: variables, validations, audit annotations, mutations.

Compiled when a policy is written, to refuse what does not compile. Source:
`pkg/apis/admissionregistration/validation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kplane.api import names
from kplane.api.cel import BOOL, STRING, Type
from kplane.api.cel.admission import (
    JSON_PATCHES,
    TEXT_OR_NULL,
    Composer,
    Expression,
    compiled,
    environment,
)
from kplane.api.cel.library.mutation import APPLY_CONFIGURATION
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")
MAX_ANNOTATIONS = 20
LONGEST_VALUE_EXPRESSION = 5 * 1024

_RESERVED = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
        "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip
_identifier = re.compile("[_a-zA-Z][_a-zA-Z0-9]*").fullmatch


class Compiler:
    """Compiles a policy's expressions. Without variables there is no `variables`, unless `composed`."""

    def __init__(self, spec: Object, *, composed: bool = False) -> None:
        self._params = spec.get("paramKind") is not None
        wanted = composed or bool(spec.get("variables"))
        self._composer = Composer(params=self._params) if wanted else None

    def add(self, name: str, source: str) -> Expression:
        assert self._composer is not None
        return self._composer.add(name, source)

    def check(
        self,
        source: str,
        path: Path,
        expected: Type | Sequence[Type] = BOOL,
        *,
        authorizer: bool = True,
        patches: bool = False,
        shown: str | None = None,
    ) -> Iterator[FieldError]:
        """`shown`: the source as it was written, where that is another."""
        if self._composer is not None:
            found = self._composer.compile(source, expected, authorizer=authorizer, patches=patches)
        else:
            names = environment(params=self._params, authorizer=authorizer, patches=patches)
            found = compiled(names, source, expected)
        if found.fault:
            yield path.invalid(source if shown is None else shown, found.fault)


def validate_variables(spec: Object, compiler: Compiler, path: Path) -> Iterator[FieldError]:
    for index, variable in enumerate(spec.get("variables") or ()):
        name, source, here = variable.get("name") or "", variable.get("expression") or "", path[index]
        if not name.strip():
            yield here.name.required("name is not specified")
        elif not _identifier(name) or name in _RESERVED:
            yield here.name.invalid(name, "name is not a valid CEL identifier")
        if not source.strip():
            yield here.expression.required("expression is not specified")
        elif fault := compiler.add(name, source).fault:
            yield here.expression.invalid(source, fault)


def validate_validation(validation: Object, compiler: Compiler, path: Path) -> Iterator[FieldError]:
    source = validation.get("expression") or ""
    if not source.strip():
        yield path.expression.required("expression is not specified")
    else:
        yield from compiler.check(source, path.expression)
    text = validation.get("messageExpression") or ""
    if text.strip():
        yield from compiler.check(text, path.messageExpression, STRING, authorizer=False)
    elif text:
        yield path.messageExpression.invalid(text, "must be non-empty if specified")
    message = validation.get("message") or ""
    if message and not message.strip():
        yield path.message.invalid(message, "message must be non-empty if specified")
    elif "\n" in message.strip() or "\r" in message.strip():
        yield path.message.invalid(message, "message must not contain line breaks")
    reason = validation.get("reason")
    if reason is not None and reason not in REASONS:
        yield path.reason.not_supported(reason, REASONS)


def validate_audit_annotations(
    obj: Object, annotations: Sequence[Object], compiler: Compiler, path: Path
) -> Iterator[FieldError]:
    if len(annotations) > MAX_ANNOTATIONS:
        yield path.invalid(annotations, f"must not have more than {MAX_ANNOTATIONS} auditAnnotations")
    taken: set[str] = set()
    for index, annotation in enumerate(annotations):
        key, here = annotation.get("key") or "", path[index]
        if name := obj["metadata"].get("name"):
            for text in names.qualified_name(f"{name}/{key}"):
                yield here.key.invalid(f"{name}/{key}", text)
        else:
            yield here.key.invalid(key, "requires metadata.name be non-empty")
        source = annotation.get("valueExpression") or ""
        yield from _validate_value_expression(source, compiler, here.valueExpression)
        if key in taken:
            yield here.key.duplicate(key)
        taken.add(key)


def _validate_value_expression(source: str, compiler: Compiler, path: Path) -> Iterator[FieldError]:
    trimmed = source.strip()
    if not trimmed:
        yield path.required("valueExpression is not specified")
    elif len(trimmed.encode()) > LONGEST_VALUE_EXPRESSION:
        yield path.required(f"must not exceed {LONGEST_VALUE_EXPRESSION} bytes in length")
    else:
        yield from compiler.check(trimmed, path, TEXT_OR_NULL, shown=source)


def validate_mutation(mutation: Object, compiler: Compiler, path: Path) -> Iterator[FieldError]:
    match kind := mutation.get("patchType"):
        case None | "":
            yield path.patchType.required()
            return
        case "JSONPatch":
            mine, other, expected = "jsonPatch", "applyConfiguration", JSON_PATCHES
        case "ApplyConfiguration":
            assert APPLY_CONFIGURATION is not None
            mine, other, expected = "applyConfiguration", "jsonPatch", APPLY_CONFIGURATION
        case _:
            yield path.patchType.not_supported(kind, PATCH_TYPES)
            return
    part = mutation.get(mine)
    if part is None:
        yield path.child(mine).required(f"must be specified when patchType is {kind}")
    elif not (source := (part.get("expression") or "").strip()):
        yield path.child(mine).expression.required()
    else:
        yield from compiler.check(source, path.child(mine).expression, expected, patches=True)
    if mutation.get(other) is not None:
        text = f"must not be specified when patchType is {kind}"
        yield path.child(other).invalid(f"{{{other}}}", text)


# Bindings

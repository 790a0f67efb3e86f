"""What makes a schema structural: every field has a type, and is specified outside of quantifiers.

Rules and wording: apiextensions `schema/validation.go` and `schema/complete.go`. Faults are yielded unsorted.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.structural.patterns import PatternError, compiled
from kplane.api.structural.spec import Schema, Spec

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
_FORBIDDEN = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
_EVEN_IF_EMPTY = frozenset(
    {"additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type"}
)
_NAMES = ({"name", "generateName"}, {"name"}, {"generateName"})
_NOT_PART_OF_SCHEMA = frozenset({"type", "default", "properties", "externalDocs", "example"})


def check_invariants(spec: Spec, path: Path) -> Iterator[FieldError]:
    yield from _check(spec, _ROOT, path)
    yield from _complete_branches(spec, spec, path, path)


def _check(spec: Spec, level: str, path: Path) -> Iterator[FieldError]:
    if spec.type == "array" and spec.items is None:
        yield path.child("items").required("must be specified")
    if spec.items is not None:
        yield from _check(spec.items, _ITEM, path.child("items"))
    for name, child in spec.properties.items():
        yield from _check(child, _FIELD, path.properties[name])
    if spec.additional is not None and level == _ROOT:
        yield path.additionalProperties.forbidden("must not be used at the root")
    if isinstance(spec.additional, Spec):
        yield from _check(spec.additional, _FIELD, path.additionalProperties)
    yield from _check_int_or_string(spec, path)
    yield from _check_values(spec, path, nested_int_or_string=True)
    yield from _check_type(spec, level, path)
    yield from _check_meta(spec, level, path)


def _check_int_or_string(spec: Spec, path: Path) -> Iterator[FieldError]:
    text = "must be false if x-kubernetes-int-or-string is true"
    if spec.int_or_string and spec.preserve:
        yield path.child("x-kubernetes-preserve-unknown-fields").invalid(True, text)
    if spec.int_or_string and spec.embedded:
        yield path.child("x-kubernetes-embedded-resource").invalid(True, text)


def _check_type(spec: Spec, level: str, path: Path) -> Iterator[FieldError]:
    kind = path.child("type")
    if spec.embedded and spec.type != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield kind.invalid(spec.type, text) if spec.type else kind.required(text)
    elif not (spec.type or spec.int_or_string or spec.preserve):
        yield kind.required(f"must not be empty {level}")
    if spec.embedded and spec.additional is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        yield path.additionalProperties.forbidden(text)
    if level == _ROOT and spec.type not in ("", "object"):
        yield kind.invalid(spec.type, "must be object at the root")


def _check_meta(spec: Spec, level: str, path: Path) -> Iterator[FieldError]:
    if level == _ROOT or spec.embedded:
        for name, kind in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
            child = spec.properties.get(name)
            if child is not None and child.type != kind:
                yield path.properties[name].child("type").invalid(child.type, f"must be {kind}")
    metadata = spec.properties.get("metadata")
    if level == _ROOT and metadata is not None and not _is_plain_metadata(metadata):
        yield path.properties["metadata"].forbidden(
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
    if spec.embedded and not spec.preserve and not spec.properties:
        yield path.properties.required(
            "must not be empty if x-kubernetes-embedded-resource is true without"
            " x-kubernetes-preserve-unknown-fields"
        )


def _is_plain_metadata(metadata: Spec) -> bool:
    if metadata.properties and set(metadata.properties) not in _NAMES:
        return False
    return not any(
        value for key, value in metadata.raw.items() if key not in _NOT_PART_OF_SCHEMA and value is not False
    )


def _check_values(spec: Spec, path: Path, nested_int_or_string: bool = False) -> Iterator[FieldError]:
    """Quantifiers and pattern. A field may repeat its int-or-string in anyOf, or in the first allOf."""
    raw = spec.raw
    if not (nested_int_or_string and raw.get("anyOf") == _INT_OR_STRING):
        yield from _check_all(spec.any_of, path.anyOf)
    for index, branch in enumerate(spec.all_of):
        first = nested_int_or_string and index == 0
        yield from _check_branch(branch, path.allOf[index], skip_any_of=first)
    yield from _check_all(spec.one_of, path.oneOf)
    if spec.negated is not None:
        yield from _check_branch(spec.negated, path.child("not"))
    if pattern := raw.get("pattern"):
        try:
            compiled(pattern)
        except PatternError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield path.pattern.invalid(pattern, text)


def _check_all(branches: tuple[Spec, ...], path: Path) -> Iterator[FieldError]:
    for index, branch in enumerate(branches):
        yield from _check_branch(branch, path[index])


def _check_branch(spec: Spec, path: Path, skip_any_of: bool = False) -> Iterator[FieldError]:
    raw = spec.raw
    if skip_any_of and raw.get("anyOf") == _INT_OR_STRING:
        yield from _check_branch_keywords(raw, path)
        return
    yield from _check_values(spec, path)
    if spec.items is not None:
        yield from _check_branch(spec.items, path.child("items"))
    for name, child in spec.properties.items():
        yield from _check_branch(child, path.properties[name])
    yield from _check_branch_keywords(raw, path)
    if "metadata" in spec.properties:
        yield path.properties["metadata"].forbidden("must not be specified in a nested context")


def _check_branch_keywords(raw: Schema, path: Path) -> Iterator[FieldError]:
    for key, text in _FORBIDDEN:
        value = raw.get(key)
        if value is not None and (value or key in _EVEN_IF_EMPTY):
            yield path.child(key).forbidden(text)


def _complete_branches(branch: Spec, spec: Spec, at: Path, path: Path) -> Iterator[FieldError]:
    """What the root's quantifiers speak of must be specified. Upstream does not ask it of those further down.

    `at`: where it should be specified; `path`: where it is spoken of.
    """
    groups = (("allOf", branch.all_of), ("anyOf", branch.any_of), ("oneOf", branch.one_of))
    if branch.negated is not None:
        yield from _complete(branch.negated, spec, at, path.child("not"))
    for name, branches in groups:
        for index, inner in enumerate(branches):
            yield from _complete(inner, spec, at, path.child(name)[index])


def _complete(branch: Spec, spec: Spec | None, at: Path, path: Path) -> Iterator[FieldError]:
    if spec is None:
        yield at.required(f"because it is defined in {path}")
        return
    yield from _complete_branches(branch, spec, at, path)
    if branch.items is not None:
        yield from _complete(branch.items, spec.items, at.child("items"), path.child("items"))
    for name, child in branch.properties.items():
        found = spec.properties.get(name)
        yield from _complete(child, found, at.properties[name], path.properties[name])

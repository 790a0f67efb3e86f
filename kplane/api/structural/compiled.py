"""A custom resource's schema, compiled: `compile(schema)` and what can be done with the result.

Order of use for a request: prune, default, (metadata by the registry,) validate. Everything here is pure
apart from the object that it is given; a `Structural` is shared by all requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Any

from kplane.api.field import FieldError, Path
from kplane.api.schema import META, Node, compile_schema
from kplane.api.structural.checking import compile_checker
from kplane.api.structural.comparing import ABSENT
from kplane.api.structural.defaulting import compile_defaulter
from kplane.api.structural.embedded import compile_embedded
from kplane.api.structural.faults import MOST_FAULTS, Faults
from kplane.api.structural.lists import compile_lists
from kplane.api.structural.pruning import compile_pruner
from kplane.api.structural.rules import Rules, compile_rules
from kplane.api.structural.spec import Schema, SchemaError, Spec, parse

_TOO_DEEP = "exceeded max depth"
_BLOCKING = frozenset(
    {"FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to"
    " complete validation"
)


def compile(schema: Schema) -> Structural:
    """Compile an `openAPIV3Schema`. Raises SchemaError for what no structural schema may hold."""
    try:
        return Structural(parse(schema))
    except RecursionError:
        # Quantifiers take more of the stack than fields do.
        raise SchemaError("OpenAPIV3Schema is nested too deep") from None


class Structural:
    """A compiled schema. The objects that it is given are whole resources, metadata included."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._prune = compile_pruner(spec, root=True)
        self._default = compile_defaulter(spec)
        self._check = compile_checker(spec, root=True)
        self._embedded = compile_embedded(spec)
        self._lists = compile_lists(spec)

    def prune(self, obj: Any) -> list[str]:
        """Drop unspecified fields in place. The paths of what was dropped, sorted: `spec.a[0].b`."""
        if not isinstance(obj, (dict, list)):
            return []
        return sorted(path.removeprefix(".") for path in self._prune(obj) or ())

    def default(self, obj: Any) -> None:
        """Fill in defaults in place; nulls that are not allowed are dropped."""
        if isinstance(obj, (dict, list)):
            self._default(obj)

    def validate(self, obj: Any, old: Any = None) -> Iterator[FieldError]:
        """Every fault of an object, its own metadata aside.

        With `old`, the stored object that it replaces, faults in unchanged parts are not reported, and rules
        see `oldSelf`.
        """
        try:
            faults = self._faults(obj, old)
        except RecursionError:
            faults = [Path().invalid("", _TOO_DEEP)]
        yield from faults

    def _faults(self, obj: Any, old: Any) -> list[FieldError]:
        found = Faults()
        self._check(obj, None, found, ABSENT if old is None else old)
        faults = list(dict.fromkeys(found))
        if self._embedded is not None:
            faults += islice(self._embedded(obj, Path()), MOST_FAULTS)
        if self._lists is not None:
            repeated = list(islice(self._lists(obj, Path()), MOST_FAULTS))
            # An object that was wrong already may stay so.
            if repeated and not (old is not None and any(self._lists(old, Path()))):
                faults += repeated
        rules = self._rules
        if rules is None:
            return faults
        if any(fault.reason in _BLOCKING for fault in faults):
            return [*faults, Path().invalid("null", _UNCHECKED)]
        return [*faults, *rules(obj, old)]

    @cached_property
    def _rules(self) -> Rules | None:
        return compile_rules(self._spec, root=True)

    @cached_property
    def node(self) -> Node:
        """What apply, merging and `explain` see; metadata is every resource's."""
        return compile_schema(_with_metadata(self._spec, root=True))


def _with_metadata(spec: Spec, root: bool = False) -> Schema:
    """The schema, with the fields that every resource has at the root and in embedded resources."""
    schema = dict(spec.raw)
    properties = {name: _with_metadata(child) for name, child in spec.properties.items()}
    if root or spec.embedded:
        properties |= {
            "apiVersion": {"type": "string"} | properties.get("apiVersion", {}),
            "kind": {"type": "string"} | properties.get("kind", {}),
            "metadata": {"$ref": f"#/definitions/{META}ObjectMeta"},
        }
    if properties:
        schema["properties"] = properties
    if spec.items is not None:
        schema["items"] = _with_metadata(spec.items)
    if isinstance(spec.additional, Spec):
        schema["additionalProperties"] = _with_metadata(spec.additional)
    return schema

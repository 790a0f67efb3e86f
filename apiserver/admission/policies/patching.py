"""Applies one mutation of a policy to an object: an apply configuration, merged as server-side apply merges,
or a JSON patch.

Source: apiserver `admission/plugin/policy/mutating/patch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kplane.api.apply.compare import DuplicateItem, fields_of
from kplane.api.apply.merge import merge
from kplane.api.apply.shape import MissingKey, Shape, custom_shape, shape_of
from kplane.api.cel import EvaluationError
from kplane.api.cel.library.mutation import apply_configuration
from kplane.api.check import Checked, check
from kplane.api.errors import InternalError, ServiceUnavailable
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object
from kplane.api.schema import Node
from kplane.api.scheme import ResourceInfo

from ...http.applies import shape_faults
from ...http.decoding import check_custom
from .jsonpatches import Inapplicable, NotMeant, applied, operations

REMEMBERED_SHAPES = 1024


class Unpatchable(Exception):
    """A mutation cannot be applied; the text is upstream's."""


class Patcher:
    """Keeps the shapes of custom resources."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, str, str], tuple[ResourceInfo, Shape]] = {}

    def configure(self, kind: ResourceInfo, obj: Object, value: Any) -> Object:
        """What applying an `Object{…}` makes of `obj`, which stays as it is. Raises Unpatchable."""
        try:
            config = apply_configuration(value)
        except EvaluationError as error:
            raise Unpatchable(f"type mismatch: {error}") from error
        config |= {"kind": kind.kind, "apiVersion": kind.api_version}
        try:
            return self._merged(kind, obj, config)
        except (DuplicateItem, MissingKey) as error:
            why = f"failed to convert patch object to typed object: {error}"
            raise Unpatchable(f"error applying patch: {why}") from error

    def _merged(self, kind: ResourceInfo, obj: Object, config: Object) -> Object:
        # Of what was written: checking it drops empty lists.
        found = list(atomics(config, kind.node))
        if faults := list(_faults(kind, config)):
            shown = faults[0] if len(faults) == 1 else "errors:\n  " + "\n  ".join(faults)
            why = f"failed to convert patch object to typed object: {shown}"
            raise Unpatchable(f"error applying patch: {why}")
        if found:
            why = f"may not mutate atomic arrays, maps or structs: {', '.join(found)}"
            raise Unpatchable(f"error applying patch: invalid ApplyConfiguration: {why}")
        shape = self._shape(kind)
        fields_of(shape, config)
        merged: Object = duplicate(merge(shape, obj, config))
        return merged

    def _shape(self, kind: ResourceInfo) -> Shape:
        if not kind.custom:
            return shape_of(kind.definition)
        key = kind.group, kind.version, kind.plural
        known = self._shapes.get(key)
        # It may have been redefined: the row is another one then.
        if known is None or known[0] is not kind:
            if len(self._shapes) >= REMEMBERED_SHAPES:
                self._shapes.clear()
            known = self._shapes[key] = kind, custom_shape(kind.node)
        return known[1]

    def patch(self, kind: ResourceInfo, obj: Object, value: Any) -> Object:
        """What a list of `JSONPatch{…}` makes of `obj`, which stays as it is. Raises Unpatchable, and
        InternalError for an object that is not sound any more."""
        try:
            patched = applied(obj, operations(value))
        except NotMeant:
            return obj
        except Inapplicable as error:
            raise Unpatchable(f"JSONPath: {error}") from error
        except EvaluationError as error:
            raise Unpatchable(str(error)) from error
        patched |= {"kind": kind.kind, "apiVersion": kind.api_version}
        found = _checked(kind, patched)
        strict = [f'unknown field "{path}"' for path in found.unknown]
        if fault := found.errors[0] if found.errors else ", ".join(strict):
            raise _internal(fault if found.errors else f"strict decoding error: {fault}")
        if not isinstance(patched.setdefault("metadata", {}), dict):
            raise _internal("metadata is no object")
        return patched


def known_kind(kind: ResourceInfo) -> ResourceInfo:
    """Raises ServiceUnavailable for a kind without a schema, such as the options of a connection."""
    if kind.custom or kind.definition:
        return kind
    raise ServiceUnavailable(
        f"Resource kind {kind.group}/{kind.version}, Kind={kind.kind} not found. There can be a delay "
        "between when CustomResourceDefinitions are created and when they are available."
    )


def atomics(value: Any, node: Node, path: str = "") -> Iterator[str]:
    """The paths of lists and maps that would be replaced as a whole: what is not written would be lost."""
    if isinstance(value, dict):
        if node.map_type == "atomic":
            yield path
        for name, entry in value.items():
            child = (node.fields or {}).get(name) if node.kind == "object" else node.item
            if child is not None:
                yield from atomics(entry, child, f"{path}.{name}")
    elif isinstance(value, list):
        if node.kind == "list" and node.list_type not in ("map", "set"):
            yield path
        for index, entry in enumerate(value):
            if node.item is not None:
                yield from atomics(entry, node.item, f"{path}[{index}]")


def _faults(kind: ResourceInfo, config: Object) -> Iterator[str]:
    found = _checked(kind, config)
    yield from found.errors
    yield from (f".{path}: field not declared in schema" for path in found.unknown)
    if kind.custom:
        yield from shape_faults(config, kind.node)


def _checked(kind: ResourceInfo, obj: Object) -> Checked:
    return check_custom(obj, kind.custom) if kind.custom else check(obj, kind.node)


def _internal(why: str) -> InternalError:
    return InternalError(f"Internal error occurred: {why}", {"causes": [{"message": why}]})

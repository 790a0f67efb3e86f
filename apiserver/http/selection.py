"""Which objects of a resource a request is about: path, label selector and field selector as a Selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kplane.api.errors import BadRequest
from kplane.api.selectors import FieldSelector, Selector, SelectorError, parse_fields, parse_labels

from ..registry.generic import Registry
from ..storage.events import Item, Selection
from .call import Call

_METADATA = ("metadata.name", "metadata.namespace")


def selection_of(call: Call, registry: Registry) -> Selection:
    """Raises BadRequest for selectors that cannot be parsed, or fields that cannot be selected."""
    info = call.info
    labels, fields = _labels(call.query("labelSelector")), _fields(call.query("fieldSelector"))
    _check_supported(fields, registry)
    name = info.name or fields.exact("metadata.name") or ""
    namespace = info.namespace if registry.info.namespaced else ""
    equals = {
        need.field: need.value for need in fields.requirements if need.equal and need.field not in _METADATA
    }
    return Selection(namespace, name, equals, _predicate(labels, fields))


def is_selective(selection: Selection) -> bool:
    """Whether anything but the namespace restricts it."""
    return bool(selection.name or selection.equals or selection.predicate)


def _labels(text: str) -> Selector:
    try:
        return parse_labels(text)
    except SelectorError as error:
        raise BadRequest(str(error)) from error


def _fields(text: str) -> FieldSelector:
    try:
        return parse_fields(text)
    except SelectorError as error:
        raise BadRequest(str(error)) from error


def _check_supported(fields: FieldSelector, registry: Registry) -> None:
    selectable = registry.strategy.selectable
    for need in fields.requirements:
        if need.field in _METADATA or need.field in selectable:
            continue
        if selectable:
            raise BadRequest(f"field label not supported: {need.field}")
        raise BadRequest(
            f'"{need.field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
        )


def _predicate(labels: Selector, fields: FieldSelector) -> Callable[[Item], bool] | None:
    """What `Selection`'s own parts do not express; None if they express it all."""
    simple = all(need.equal and need.field != "metadata.namespace" for need in fields.requirements)
    if simple:
        if labels.empty:
            return None
        return lambda item: labels.matches(item.labels)
    return lambda item: labels.matches(item.labels) and fields.matches(_all_fields(item))


def _all_fields(item: Item) -> Mapping[str, str]:
    return {**item.fields, "metadata.name": item.name, "metadata.namespace": item.namespace}

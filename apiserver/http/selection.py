"""Which objects of a resource a request is about: path, label selector and field selector as a Selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from kplane.api.errors import BadRequest
from kplane.api.selectors import FieldSelector, Selector, SelectorError, parse_fields, parse_labels

from ..registry.generic import Registry
from ..storage.events import Item, Selection
from .call import Call
from .converted import ConvertedFields

_METADATA = ("metadata.name", "metadata.namespace")


def selection_of(call: Call, registry: Registry) -> Selection:
    """Raises BadRequest for selectors that cannot be parsed, or fields that cannot be selected. What
    `converted_fields` finds is no part of it."""
    info, strategy = call.info, registry.strategy
    labels, fields = _labels(call.query("labelSelector")), _fields(call.query("fieldSelector"))
    fields = FieldSelector(
        tuple(
            replace(need, field=strategy.aliases.get(need.field, need.field)) for need in fields.requirements
        )
    )
    _check_supported(fields, registry)
    if _must_convert(registry):
        fields = FieldSelector(tuple(need for need in fields.requirements if need.field in _METADATA))
    asked = fields.exact("metadata.name")
    if info.name and not fields.empty and asked != info.name:
        raise BadRequest("fieldSelector metadata.name doesn't match requested name")
    namespace = info.namespace if registry.info.namespaced else ""
    equals = {
        need.field: need.value for need in fields.requirements if need.equal and need.field not in _METADATA
    }
    return Selection(namespace, info.name or asked or "", equals, _predicate(labels, fields))


def converted_fields(call: Call, registry: Registry) -> ConvertedFields | None:
    """What can be said of objects only in the version that is asked for. Raises BadRequest."""
    if not _must_convert(registry):
        return None
    asked = _fields(call.query("fieldSelector")).requirements
    late = tuple(need for need in asked if need.field not in _METADATA)
    return ConvertedFields(registry, FieldSelector(late)) if late else None


def _must_convert(registry: Registry) -> bool:
    """Whether a webhook gives objects other fields than those that are stored."""
    custom = registry.info.custom
    return custom is not None and not custom.single and custom.conversion.get("strategy") == "Webhook"


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
    strategy, row = registry.strategy, registry.info
    # Kinds that name their fields name those of metadata, too.
    own = bool(strategy.selectable) or row.custom is not None
    metadata = _METADATA if row.namespaced or not own else _METADATA[:1]
    for need in fields.requirements:
        if need.field in metadata or need.field in strategy.selectable:
            continue
        if own:
            raise BadRequest(strategy.unselectable.format(field=need.field))
        raise BadRequest(
            f'"{need.field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
        )


def _predicate(labels: Selector, fields: FieldSelector) -> Callable[[Item], bool] | None:
    """What `Selection`'s own parts do not express; None if they express it all."""
    if _is_simple(fields):
        if labels.empty:
            return None
        return lambda item: labels.matches(item.labels)
    return lambda item: labels.matches(item.labels) and fields.matches(_all_fields(item))


def _is_simple(fields: FieldSelector) -> bool:
    """Whether it only says which value each of some fields has; an empty name would select every one."""
    once = {need.field for need in fields.requirements}
    return len(once) == len(fields.requirements) and all(
        need.equal and need.field != "metadata.namespace" and (need.value or need.field != "metadata.name")
        for need in fields.requirements
    )


def _all_fields(item: Item) -> Mapping[str, str]:
    return {**item.fields, "metadata.name": item.name, "metadata.namespace": item.namespace}

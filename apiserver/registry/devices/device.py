"""One device of a ResourceSlice: attributes, capacities, counters, taints, and which nodes it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..podspec.scheduling import validate_node_selector
from .capacities import validate_shared, validate_unshared
from .entries import (
    unchecked,
    validate_label,
    validate_list,
    validate_map,
    validate_qualified_name,
    validate_set,
)
from .taints import MAX_TAINTS, validate_binding, validate_taint

MAX_COUNTERS = 32
_MAX_ENTRIES = 32
_MAX_CONSUMED = 2
_MAX_TEXT = 64
_LABEL_LENGTH = 63
_VALUES = ("bool", "int", "string", "version")
_ONE_NODE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is"
    " set to true in the ResourceSlice spec"
)
_NUMBER, _WORD = r"(0|[1-9][0-9]*)", "[0-9A-Za-z-]+"
_PRERELEASE = r"(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_is_version = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_WORD}(\.{_WORD})*)?"
).fullmatch


def validate_device(device: Object, old: Object | None, per_device: bool, path: Path) -> Iterator[FieldError]:
    """`old`: the device of that name before, whose unchanged parts are not looked at again. `per_device`:
    whether devices, not slices, say for which nodes they are."""
    yield from validate_label(device.get("name", ""), path.name)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    total = len(attributes) + len(capacity)
    if total > _MAX_ENTRIES:
        text = f"the total number of attributes and capacities must not exceed {_MAX_ENTRIES}"
        yield path.invalid(total, text)
    yield from validate_map(attributes, -1, validate_qualified_name, _validate_attribute, path.attributes)
    if old is None or (old.get("capacity") or {}) != capacity:
        check = validate_shared if device.get("allowMultipleAllocations") else validate_unshared
        yield from validate_map(capacity, -1, validate_qualified_name, check, path.capacity)
    taints = device.get("taints") or []
    if old is None or _settled(old.get("taints") or []) != _settled(taints):
        yield from validate_list(taints, MAX_TAINTS, _validate_new_taint, path.taints)
    consumed = device.get("consumesCounters") or []
    yield from validate_set(consumed, _MAX_CONSUMED, _validate_consumed, _counter_set, path.consumesCounters)
    if per_device:
        yield from _validate_nodes(device, path)
    elif any(device.get(name) is not None for name in ("nodeName", "nodeSelector", "allNodes")):
        text = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to"
            " true in the ResourceSlice spec"
        )
        yield path.invalid(None, text)
    yield from validate_binding(device, path)


def _settled(taints: list[Object]) -> list[Object]:
    """Without the times, which the server fills in."""
    return [{name: value for name, value in taint.items() if name != "timeAdded"} for taint in taints]


def _validate_new_taint(taint: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_taint(taint, None, path)


def _counter_set(consumption: Object) -> str:
    name: str = consumption.get("counterSet", "")
    return name


def _validate_consumed(consumption: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_named(consumption.get("counterSet", ""), path.counterSet)
    yield from _validate_counters(consumption.get("counters") or {}, path.counters)


def validate_counter_set(counters: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_named(counters.get("name", ""), path.name)
    yield from _validate_counters(counters.get("counters") or {}, path.counters)


def _validate_named(name: str, path: Path) -> Iterator[FieldError]:
    if name:
        yield from validate_label(name, path)
    else:
        yield path.required()


def _validate_counters(counters: Object, path: Path) -> Iterator[FieldError]:
    if counters:
        yield from validate_map(counters, MAX_COUNTERS, validate_label, unchecked, path, _LABEL_LENGTH)
    else:
        yield path.required()


def _validate_attribute(attribute: Object, path: Path) -> Iterator[FieldError]:
    if (text := attribute.get("string")) is not None and len(text.encode()) > _MAX_TEXT:
        yield path.string.too_long(_MAX_TEXT)
    if (version := attribute.get("version")) is not None:
        if not _is_version(version):
            yield path.version.invalid(version, "must be a string compatible with semver.org spec 2.0.0")
        if len(version) > _MAX_TEXT:
            yield path.version.too_long(_MAX_TEXT)
    given = [name for name in _VALUES if attribute.get(name) is not None]
    if len(given) != 1:
        yield path.invalid(attribute if given else "", "exactly one value must be specified")


def _validate_nodes(device: Object, path: Path) -> Iterator[FieldError]:
    """For which nodes the device is: exactly one of three ways to say so."""
    given = []
    if (name := device.get("nodeName")) is not None:
        if name:
            given.append("`nodeName`")
        else:
            yield path.nodeName.invalid(name, "must not be empty")
        for text in names.dns_subdomain(name) if name else ():
            yield path.nodeName.invalid(name, text)
    if device.get("nodeSelector") is not None:
        given.append("`nodeSelector`")
        yield from validate_node_selector(device["nodeSelector"], path.nodeSelector)
    if device.get("allNodes"):
        given.append("`allNodes`")
    elif device.get("allNodes") is not None:
        yield path.allNodes.invalid(False, "must be either unset or set to true")
    if not given:
        yield path.required(_ONE_NODE)
    elif len(given) > 1:
        yield path.invalid(f"{{{', '.join(given)}}}", _ONE_NODE)

"""What a ResourceSlice says: a driver, a pool, for which nodes, and the devices or the shared counters."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..immutable import unchanged
from ..podspec.scheduling import validate_node_selector
from .device import validate_counter_set, validate_device
from .entries import by_name, validate_driver, validate_full_name, validate_pool_name, validate_set

_MAX_DEVICES = 128
_MAX_ADVANCED = 64
_MAX_COUNTER_SETS = 8
_ONE_OF = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_LISTS = ("bools", "ints", "strings", "versions")


def drop_alpha(spec: Object) -> None:
    """Forget what only servers with alpha features keep."""
    spec.pop("skipNodeOperations", None)
    for device in spec.get("devices") or ():
        device.pop("nodeAllocatableResources", None)
        for consumption in device.get("consumesCounters") or ():
            consumption.pop("compatibilityGroups", None)
        for attribute in (device.get("attributes") or {}).values():
            for name in _LISTS:
                attribute.pop(name, None)


def validate_slice(spec: Object, old: Object | None, path: Path) -> Iterator[FieldError]:
    """`old`: as it was before an update."""
    yield from validate_driver(spec.get("driver", ""), path.driver)
    pool = spec.get("pool") or {}
    yield from _validate_pool(pool, path.pool)
    if old is not None:
        yield from unchanged(pool.get("name"), (old.get("pool") or {}).get("name"), path.pool.name)
        for name in ("driver", "nodeName"):
            yield from unchanged(spec.get(name), old.get(name), path.child(name))
    yield from _validate_nodes(spec, path)
    devices = spec.get("devices")
    if spec.get("sharedCounters") is not None and devices is not None:
        yield path.invalid("", "only one of `sharedCounters` or `devices` is allowed")
    known = {device.get("name", ""): device for device in (old or {}).get("devices") or ()}
    per_device = bool(spec.get("perDeviceNodeSelection"))

    def check(device: Object, here: Path) -> Iterator[FieldError]:
        yield from validate_device(device, known.get(device.get("name", "")), per_device, here)

    advanced = any(device.get("taints") or device.get("consumesCounters") for device in devices or ())
    limit = _MAX_ADVANCED if advanced else _MAX_DEVICES
    yield from validate_set(devices or [], limit, check, by_name, path.devices)
    counters = spec.get("sharedCounters") or []
    yield from validate_set(counters, _MAX_COUNTER_SETS, validate_counter_set, by_name, path.sharedCounters)
    if (attribute := spec.get("partitionTypeAttribute")) is not None:
        yield from _validate_partition(attribute, spec, path)


def _validate_pool(pool: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_pool_name(pool.get("name", ""), path.name)
    count, generation = pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    if count <= 0:
        yield path.resourceSliceCount.invalid(count, "must be greater than zero")
    if generation < 0:
        yield path.generation.invalid(generation, "must be greater than or equal to zero")


def _validate_nodes(spec: Object, path: Path) -> Iterator[FieldError]:
    given = []
    if (node := spec.get("nodeName")) is not None:
        if node:
            given.append("`nodeName`")
        else:
            yield path.nodeName.invalid(node, "must be either unset or set to a non-empty string")
        for text in names.dns_subdomain(node) if node else ():
            yield path.nodeName.invalid(node, text)
    if (selector := spec.get("nodeSelector")) is not None:
        given.append("`nodeSelector`")
        yield from validate_node_selector(selector, path.nodeSelector)
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            text = "must have exactly one node selector term"
            yield path.nodeSelector.nodeSelectorTerms.invalid(terms, text)
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name):
            given.append(f"`{name}`")
        elif spec.get(name) is not None:
            yield path.child(name).invalid(False, "must be either unset or set to true")
    if not given:
        yield path.required(_ONE_OF)
    elif len(given) > 1:
        text = f"{_ONE_OF}, but multiple fields are set"
        yield path.invalid(f"{{{', '.join(given)}}}", text)


def _validate_partition(name: str, spec: Object, path: Path) -> Iterator[FieldError]:
    """The attribute that says of which type each part of a device is."""
    consuming = [
        (index, device)
        for index, device in enumerate(spec.get("devices") or ())
        if device.get("consumesCounters")
    ]
    here = path.partitionTypeAttribute
    if not consuming:
        text = "may only be set on a slice which declares devices that consume counters"
        yield here.invalid(name, text)
        return
    faults = list(validate_full_name(name, here))
    yield from faults
    bare = name.removeprefix(f"{spec.get('driver', '')}/")
    for index, device in consuming if not faults else ():
        attributes = device.get("attributes") or {}
        attribute = attributes.get(name, attributes.get(bare))
        place = path.devices[index].attributes[name]
        if attribute is None:
            yield place.required(
                "device consumes counters and `partitionTypeAttribute` names this attribute, so it must be"
                " set"
            )
        elif attribute.get("string") is None:
            text = "must be a string value because `partitionTypeAttribute` names this attribute"
            yield place.invalid(attribute, text)

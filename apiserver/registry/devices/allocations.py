"""The status of a claim: which devices it has, who uses them, and what their drivers say of them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface
from typing import TypeAlias

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..conditions import validate_conditions
from ..immutable import unchanged
from ..podspec.scheduling import validate_node_selector
from .claims import (
    MAX_CONFIGS,
    Requests,
    request_names,
    validate_config,
    validate_raw,
    validate_reference,
    validate_references,
)
from .entries import (
    itself,
    validate_driver,
    validate_label,
    validate_list,
    validate_pool_name,
    validate_set,
    validate_uid,
)
from .taints import validate_binding, validate_tolerations

_MAX_USERS = 256
_MAX_RESULTS = 32
_MAX_CONDITIONS = 8
_MAX_ADDRESSES = 16
_SOURCES = ("FromClaim", "FromClass")
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

DeviceId: TypeAlias = tuple[str, str, str, str]
"""Driver, pool, device and share."""


def drop_deallocated(now: Object, was: Object) -> None:
    """Forget what drivers said of devices that the claim had and no longer has."""
    lost = {device_id(result)[:3] for result in _results(was)} - {
        device_id(result)[:3] for result in _results(now)
    }
    kept = [device for device in now.get("devices") or () if device_id(device)[:3] not in lost]
    now.pop("devices", None)
    if kept:
        now["devices"] = kept
    for result in _results(now):
        result.pop("skipNodeOperations", None)


def device_id(device: Object) -> DeviceId:
    driver, pool, name, share = (
        str(device.get(key) or "") for key in ("driver", "pool", "device", "shareID")
    )
    return driver, pool, name, share


def _results(status: Object) -> list[Object]:
    found: list[Object] = ((status.get("allocation") or {}).get("devices") or {}).get("results") or []
    return found


def validate_status(
    now: Object, was: Object, devices: Object, path: Path, *, deleted: bool
) -> Iterator[FieldError]:
    """`devices`: what the claim asks for."""
    users = now.get("reservedFor") or []
    yield from validate_set(
        users, _MAX_USERS, _validate_user, lambda user: user.get("uid", ""), path.reservedFor
    )
    allocated = {device_id(result) for result in _results(now)}

    def check(device: Object, here: Path) -> Iterator[FieldError]:
        yield from _validate_device(device, allocated, here)

    yield from validate_set(now.get("devices") or [], -1, check, device_id, path.devices)
    if users and now.get("allocation") is None:
        yield path.reservedFor.forbidden("may not be specified when `allocated` is not set")
    elif deleted and any(user not in (was.get("reservedFor") or ()) for user in users):
        yield path.reservedFor.forbidden(
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        )
    allocation = now.get("allocation")
    if allocation is not None and was.get("allocation") is not None:
        yield from unchanged(allocation, was["allocation"], path.allocation)
    elif allocation is not None:
        yield from _validate_allocation(allocation, request_names(devices), path.allocation)


def _validate_user(user: Object, path: Path) -> Iterator[FieldError]:
    for name in ("resource", "name", "uid"):
        if not user.get(name):
            yield path.child(name).required()


def _validate_allocation(allocation: Object, known: Requests, path: Path) -> Iterator[FieldError]:
    devices, here = allocation.get("devices") or {}, path.devices

    def check_result(result: Object, place: Path) -> Iterator[FieldError]:
        yield from _validate_result(result, known, place)

    def check_config(config: Object, place: Path) -> Iterator[FieldError]:
        source = config.get("source", "")
        if not source:
            yield place.source.required()
        elif source not in _SOURCES:
            yield place.source.not_supported(source, _SOURCES)
        yield from validate_references(config.get("requests") or [], known, place.requests)
        yield from validate_config(config, place)

    yield from validate_list(devices.get("results") or [], _MAX_RESULTS, check_result, here.results)
    # Those of the classes and those of the claim.
    yield from validate_list(devices.get("config") or [], 2 * MAX_CONFIGS, check_config, here.config)
    if allocation.get("nodeSelector") is not None:
        yield from validate_node_selector(allocation["nodeSelector"], path.nodeSelector)


def _validate_result(result: Object, known: Requests, path: Path) -> Iterator[FieldError]:
    yield from validate_reference(result.get("request", ""), known, path.request)
    yield from _validate_identity(result, path)
    yield from validate_binding(result, path)
    yield from validate_tolerations(result.get("tolerations") or [], path.tolerations)
    if result.get("shareID") is not None:
        yield from validate_uid(result["shareID"], path.shareID)


def _validate_identity(device: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_driver(device.get("driver", ""), path.driver)
    yield from validate_pool_name(device.get("pool", ""), path.pool)
    yield from validate_label(device.get("device", ""), path.device)


def _validate_device(device: Object, allocated: set[DeviceId], path: Path) -> Iterator[FieldError]:
    yield from _validate_identity(device, path)
    if device.get("shareID") is not None:
        yield from validate_uid(device["shareID"], path.shareID)
    identity = device_id(device)
    if identity not in allocated:
        shown = dict(zip(("Driver", "Pool", "Device", "ShareID"), identity, strict=True))
        yield path.invalid(shown, "must be an allocated device in the claim")
    conditions = device.get("conditions") or []
    if len(conditions) > _MAX_CONDITIONS:
        yield path.conditions.too_many(len(conditions), _MAX_CONDITIONS)
    yield from validate_conditions(conditions, path.conditions)
    if device.get("data") is not None:
        yield from validate_raw(device["data"], path.data)
    if device.get("networkData") is not None:
        yield from _validate_network(device["networkData"], path.networkData)


def _validate_network(data: Object, path: Path) -> Iterator[FieldError]:
    for name, limit in (("interfaceName", 256), ("hardwareAddress", 128)):
        if len(data.get(name, "").encode()) > limit:
            yield path.child(name).too_long(limit)
    yield from validate_set(data.get("ips") or [], _MAX_ADDRESSES, _validate_interface, itself, path.ips)


def _validate_interface(address: str, path: Path) -> Iterator[FieldError]:
    """An address with the size of its network, in canonical form."""
    try:
        canonical = str(ip_interface(address)) if "/" in address else ""
    except ValueError:
        canonical = ""
    if not canonical:
        yield path.invalid(address, _CIDR)
    elif canonical != address:
        yield path.invalid(address, f'must be in canonical form ("{canonical}")')

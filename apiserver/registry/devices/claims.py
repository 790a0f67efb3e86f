"""What a claim, or a template of one, asks for; and the configuration that it, or a class, hands on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from typing import Any, TypeAlias

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .entries import (
    by_name,
    itself,
    validate_driver,
    validate_full_name,
    validate_label,
    validate_list,
    validate_set,
)
from .selectors import validate_selectors
from .taints import validate_tolerations

MAX_REQUESTS = 32
MAX_CONFIGS = 32
_MAX_CONSTRAINTS = 32
_MAX_CHOICES = 8
MAX_RAW = 10 * 1024
_MODES = ("All", "ExactCount")
_ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
_UNKNOWN_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)

Requests: TypeAlias = Mapping[str, Set[str]]
"""The names of subrequests, by the name of their request."""


def default_devices(devices: Object) -> None:
    for request in devices.get("requests") or ():
        exact = [request["exactly"]] if request.get("exactly") is not None else []
        for part in (*exact, *(request.get("firstAvailable") or ())):
            part["allocationMode"] = part.get("allocationMode") or "ExactCount"
            if part["allocationMode"] == "ExactCount":
                part["count"] = part.get("count") or 1
            for toleration in part.get("tolerations") or ():
                toleration["operator"] = toleration.get("operator") or "Equal"
            # An alpha field, which a server without it forgets.
            part.pop("derivedAttributes", None)


def request_names(devices: Object) -> Requests:
    return {
        request.get("name", ""): {choice.get("name", "") for choice in request.get("firstAvailable") or ()}
        for request in devices.get("requests") or ()
    }


def validate_devices(devices: Object, path: Path) -> Iterator[FieldError]:
    known = request_names(devices)

    def check_constraint(constraint: Object, here: Path) -> Iterator[FieldError]:
        yield from _validate_constraint(constraint, known, here)

    def check_config(config: Object, here: Path) -> Iterator[FieldError]:
        yield from validate_references(config.get("requests") or [], known, here.requests)
        yield from validate_config(config, here)

    requests = devices.get("requests") or []
    yield from validate_set(requests, MAX_REQUESTS, _validate_request, by_name, path.requests)
    constraints = devices.get("constraints") or []
    yield from validate_list(constraints, _MAX_CONSTRAINTS, check_constraint, path.constraints)
    yield from validate_list(devices.get("config") or [], MAX_CONFIGS, check_config, path.config)


def _validate_request(request: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_label(request.get("name", ""), path.name)
    exactly, choices = request.get("exactly"), request.get("firstAvailable") or []
    if exactly is None and not choices:
        yield path.required(_ONE_OF)
    elif exactly is not None and choices:
        yield path.invalid(None, f"{_ONE_OF}, but multiple fields are set")
    elif exactly is not None:
        yield from _validate_exact(exactly, path.exactly)
    else:
        yield from validate_set(choices, _MAX_CHOICES, _validate_choice, by_name, path.firstAvailable)


def _validate_choice(choice: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_label(choice.get("name", ""), path.name)
    yield from _validate_exact(choice, path)


def _validate_exact(request: Object, path: Path) -> Iterator[FieldError]:
    kind = request.get("deviceClassName", "")
    if not kind:
        yield path.deviceClassName.required()
    for text in names.dns_subdomain(kind) if kind else ():
        yield path.deviceClassName.invalid(kind, text)
    yield from validate_selectors(request.get("selectors") or [], path.selectors)
    mode, count = request["allocationMode"], request.get("count", 0)
    if mode == "All":
        if count:
            yield path.count.invalid(count, f"must not be specified when allocationMode is '{mode}'")
    elif mode not in _MODES:
        yield path.allocationMode.not_supported(mode, _MODES)
    elif count <= 0:
        yield path.count.invalid(count, "must be greater than zero")
    yield from validate_tolerations(request.get("tolerations") or [], path.tolerations)


def _validate_constraint(constraint: Object, known: Requests, path: Path) -> Iterator[FieldError]:
    yield from validate_references(constraint.get("requests") or [], known, path.requests)
    if constraint.get("matchAttribute") is not None:
        yield from validate_full_name(constraint["matchAttribute"], path.matchAttribute)
    elif constraint.get("distinctAttribute") is not None:
        yield from validate_full_name(constraint["distinctAttribute"], path.distinctAttribute)
    else:
        yield path.required(
            'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
        )


def validate_references(requests: list[str], known: Requests, path: Path) -> Iterator[FieldError]:
    """Names of requests of the claim."""

    def check(name: str, here: Path) -> Iterator[FieldError]:
        yield from validate_reference(name, known, here)

    yield from validate_set(requests, MAX_REQUESTS, check, itself, path)


def validate_reference(name: str, known: Requests, path: Path) -> Iterator[FieldError]:
    """`request` or `request/subrequest`."""
    parts = name.split("/")
    if len(parts) > 2:
        yield path.invalid(name, _UNKNOWN_REQUEST)
        return
    for part in parts:
        yield from validate_label(part, path)
    if parts[0] not in known or (len(parts) > 1 and parts[1] not in known[parts[0]]):
        yield path.invalid(name, _UNKNOWN_REQUEST)


def validate_config(config: Object, path: Path, *, stored: bool = False) -> Iterator[FieldError]:
    """Configuration for a driver. `stored`: it is there already, so its size is nobody's fault."""
    opaque = config.get("opaque")
    if opaque is None:
        yield path.opaque.required()
        return
    yield from validate_driver(opaque.get("driver", ""), path.opaque.driver)
    yield from validate_raw(opaque.get("parameters"), path.opaque.parameters, stored=stored)


def validate_raw(value: Any, path: Path, *, stored: bool = False) -> Iterator[FieldError]:
    """An object whose fields are only a driver's business."""
    if value is None:
        yield path.required()
    elif not stored and _size(value) > MAX_RAW:
        yield path.too_long(MAX_RAW)
    elif not isinstance(value, dict):
        yield path.invalid("<value omitted>", "must be a valid JSON object")


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())

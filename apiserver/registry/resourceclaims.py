"""Claims of devices and their templates: what is asked for, who has it, and who uses it.

Rules and wording: upstream's `pkg/apis/resource/validation`. Selectors in CEL are not compiled here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import IMMUTABLE, unchanged
from .status import StatusStrategy
from .strategy import Strategy

_MODES = ("All", "ExactCount")
_OPERATORS = ("Equal", "Exists")
_MAX_REQUESTS = 32
_MAX_CHOICES = 8
_MAX_USERS = 256


class ResourceClaimStrategy(StatusStrategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        _default_devices((obj.get("spec") or {}).get("devices") or {})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        devices = (obj.get("spec") or {}).get("devices") or {}
        yield from _validate_devices(devices, path.spec.devices)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        if new.get("spec") != old.get("spec"):
            yield path.spec.invalid(new.get("spec"), IMMUTABLE)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was, here = new.get("status") or {}, old.get("status") or {}, path.status
        users = now.get("reservedFor") or []
        if len(users) > _MAX_USERS:
            yield here.reservedFor.too_many(len(users), _MAX_USERS)
        taken: set[str] = set()
        for index, user in enumerate(users):
            yield from _validate_user(user, taken, here.reservedFor[index])
        if users and now.get("allocation") is None:
            yield here.reservedFor.forbidden("may not be specified when `allocated` is not set")
        known = {user.get("uid") for user in was.get("reservedFor") or ()}
        added = any(user.get("uid") not in known for user in users)
        if added and new["metadata"].get("deletionTimestamp"):
            text = "new entries may not be added while `deletionTimestamp` is set"
            yield here.reservedFor.forbidden(text)
        if now.get("allocation") is not None and was.get("allocation") is not None:
            yield from unchanged(now["allocation"], was["allocation"], here.allocation)


class ResourceClaimTemplateStrategy(Strategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        _default_devices(((obj.get("spec") or {}).get("spec") or {}).get("devices") or {})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        devices = ((obj.get("spec") or {}).get("spec") or {}).get("devices") or {}
        yield from _validate_devices(devices, path.spec.spec.devices)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        if new.get("spec") != old.get("spec"):
            yield path.spec.invalid(new.get("spec"), IMMUTABLE)


def _default_devices(devices: Object) -> None:
    for request in devices.get("requests") or ():
        # The first version had the fields of `exactly` in the request itself.
        whole = [request] if "deviceClassName" in request else []
        exact = [request["exactly"]] if request.get("exactly") is not None else []
        for part in (*whole, *exact, *(request.get("firstAvailable") or ())):
            part["allocationMode"] = part.get("allocationMode") or "ExactCount"
            if part["allocationMode"] == "ExactCount":
                part["count"] = part.get("count") or 1
            for toleration in part.get("tolerations") or ():
                toleration["operator"] = toleration.get("operator") or "Equal"


def _validate_devices(devices: Object, path: Path) -> Iterator[FieldError]:
    requests = devices.get("requests") or []
    yield from _validate_named(requests, _MAX_REQUESTS, _validate_request, path.requests)
    known = {request.get("name") for request in requests}
    for name in ("constraints", "config"):
        for index, entry in enumerate(devices.get(name) or ()):
            here = path.child(name)[index].requests
            for position, asked in enumerate(entry.get("requests") or ()):
                if asked.partition("/")[0] not in known:
                    yield here[position].invalid(asked, "must be the name of a request in the claim")


def _validate_named(
    entries: list[Any], limit: int, check: Callable[[Object, Path], Iterable[FieldError]], path: Path
) -> Iterator[FieldError]:
    """Entries with names that are there, sound and each used once."""
    if len(entries) > limit:
        yield path.too_many(len(entries), limit)
    taken: set[str] = set()
    for index, entry in enumerate(entries):
        here, name = path[index], entry.get("name", "")
        if not name:
            yield here.name.required()
        else:
            for text in names.dns_label(name):
                yield here.name.invalid(name, text)
        yield from check(entry, here)
        if name and name in taken:
            yield here.duplicate(name)
        taken.add(name)


def _validate_request(request: Object, path: Path) -> Iterator[FieldError]:
    exactly, choices = request.get("exactly"), request.get("firstAvailable") or []
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if "deviceClassName" in request:
        yield from _validate_exact(request, path)
    elif exactly is None and not choices:
        yield path.required(text)
    elif exactly is not None and choices:
        yield path.invalid(None, f"{text}, but multiple fields are set")
    elif exactly is not None:
        yield from _validate_exact(exactly, path.exactly)
    else:
        yield from _validate_named(choices, _MAX_CHOICES, _validate_exact, path.firstAvailable)


def _validate_exact(request: Object, path: Path) -> Iterator[FieldError]:
    kind = request.get("deviceClassName", "")
    if not kind:
        yield path.deviceClassName.required()
    for text in names.dns_subdomain(kind) if kind else ():
        yield path.deviceClassName.invalid(kind, text)
    mode, count = request["allocationMode"], request.get("count", 0)
    if mode == "All":
        if count:
            yield path.count.invalid(count, f"must not be specified when allocationMode is '{mode}'")
    elif mode not in _MODES:
        yield path.allocationMode.not_supported(mode, _MODES)
    elif count <= 0:
        yield path.count.invalid(count, "must be greater than zero")
    for index, toleration in enumerate(request.get("tolerations") or ()):
        if toleration["operator"] not in _OPERATORS:
            yield path.tolerations[index].operator.not_supported(toleration["operator"], _OPERATORS)


def _validate_user(user: Object, taken: set[str], path: Path) -> Iterator[FieldError]:
    for name in ("resource", "name", "uid"):
        if not user.get(name):
            yield path.child(name).required()
    uid = user.get("uid", "")
    if uid and uid in taken:
        yield path.uid.duplicate(uid)
    taken.add(uid)

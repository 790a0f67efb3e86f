"""Resource names and amounts: what containers may ask for."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

NEGATIVE = "must be greater than or equal to 0"

_CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
_OBJECTS = frozenset(
    ("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers")
)  # fmt: skip
QUOTA = (
    _CONTAINER
    | _OBJECTS
    | {f"{part}.{name}" for part in ("requests", "limits") for name in _CONTAINER}
    | {"requests.storage", "requests.ephemeral-storage"}
)
_STANDARD = QUOTA | {"storage"}
_NATIVE_PREFIX = "kubernetes.io/"


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    return "/" not in name or _NATIVE_PREFIX in name


def is_integer(name: str) -> bool:
    """Whether only whole numbers of it exist."""
    return name in _OBJECTS or not is_native(name)


def validate_name(name: str, path: Path) -> Iterator[FieldError]:
    """A name of any resource: a standard one, or qualified."""
    faults = names.qualified_name(name)
    for text in faults:
        yield path.invalid(name, text)
    if not faults and "/" not in name and name not in _STANDARD and not is_huge_page(name):
        yield path.invalid(name, "must be a standard resource type or fully qualified")


def validate_container_name(name: str, path: Path) -> Iterator[FieldError]:
    if name in _CONTAINER:
        return
    yield from validate_name(name, path)
    if "/" not in name:
        if not is_huge_page(name):
            yield path.invalid(name, "must be a standard resource for containers")
    elif not is_native(name) and (name.startswith("requests.") or names.qualified_name(f"requests.{name}")):
        yield path.invalid(name, "doesn't follow extended resource name standard")


def validate_amount(name: str, amount: str, path: Path) -> Iterator[FieldError]:
    if quantity.sign(amount) < 0:
        yield path.invalid(amount, NEGATIVE)
    if is_integer(name) and quantity.milli(amount) % 1000:
        yield path.invalid(amount, "must be an integer")


def validate_requirements(resources: Object, path: Path, claims: frozenset[str]) -> Iterator[FieldError]:
    """`resources` of a container."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    if limits:
        yield from _validate_list(limits, path.limits)
    if requests:
        yield from _validate_list(requests, path.requests)
    for name, asked in requests.items():
        limit = limits.get(name)
        if name not in _CONTAINER and (is_huge_page(name) or not is_native(name)):
            if limit is None:
                yield path.limits.required("Limit must be set for non overcommitable resources")
            elif quantity.compare(asked, limit):
                yield path.requests.invalid(asked, f"must be equal to {name} limit of {limit}")
        elif limit is not None and quantity.compare(asked, limit) > 0:
            yield path.requests.invalid(asked, f"must be less than or equal to {name} limit of {limit}")
    asked_for = (*limits, *requests)
    if "cpu" not in asked_for and "memory" not in asked_for and any(map(is_huge_page, asked_for)):
        yield path.forbidden("HugePages require cpu or memory")
    for index, claim in enumerate(resources.get("claims") or ()):
        if claim.get("name") not in claims:
            yield path.claims[index].not_found(claim.get("name", ""))


def _validate_list(amounts: Object, path: Path) -> Iterator[FieldError]:
    for name, amount in amounts.items():
        # Most are cpu and memory, and sound: no path is made for them.
        if name in _CONTAINER and quantity.sign(amount) >= 0:
            continue
        yield from validate_container_name(name, path[name])
        yield from validate_amount(name, amount, path[name])

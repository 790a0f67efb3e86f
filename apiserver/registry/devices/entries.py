"""Lists, sets and maps of bounded size, and the names in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from kplane.api import names
from kplane.api.field import FieldError, Path

from ..podspec.volumes import validate_csi_driver

Check: TypeAlias = Callable[[Any, Path], Iterable[FieldError]]

_MAX_POOL_NAME = 253
_MAX_ID = 32
_MAX_DOMAIN = 63
_LONGEST_KEY = _MAX_DOMAIN + 1 + _MAX_ID
_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_is_identifier = re.compile(_IDENTIFIER).fullmatch
_is_uid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_NOT_IDENTIFIER = names.pattern_fault(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric"
    " characters or '_'",
    _IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)
_NOT_UID = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase"
    " hexadecimal characters"
)

validate_driver = validate_csi_driver


def validate_list(items: Sequence[Any], limit: int, check: Check, path: Path) -> Iterator[FieldError]:
    """A longer list is not looked into. A negative limit: none."""
    if 0 <= limit < len(items):
        yield path.too_many(len(items), limit)
        return
    for index, item in enumerate(items):
        yield from check(item, path[index])


def validate_set(
    items: Sequence[Any], limit: int, check: Check, key: Callable[[Any], Hashable], path: Path
) -> Iterator[FieldError]:
    """A list in which each key stands once."""
    yield from validate_list(items, limit, check, path)
    if 0 <= limit < len(items):
        return
    taken: set[Hashable] = set()
    for index, item in enumerate(items):
        if (found := key(item)) in taken:
            yield path[index].duplicate(found)
        taken.add(found)


def validate_map(
    items: Mapping[str, Any],
    limit: int,
    check_key: Check,
    check: Check,
    path: Path,
    longest: int = _LONGEST_KEY,
) -> Iterator[FieldError]:
    """Keys longer than `longest` are shown shortened."""
    if 0 <= limit < len(items):
        yield path.too_many(len(items), limit)
        return
    for key, item in items.items():
        yield from check_key(key, path)
        yield from check(item, path[_shortened(key, longest)])


def itself(item: Any) -> Any:
    """The key of items that are their own."""
    return item


def by_name(item: Any) -> Any:
    return item.get("name", "")


def unchecked(item: Any, path: Path) -> Iterator[FieldError]:
    yield from ()


def validate_label(name: str, path: Path) -> Iterator[FieldError]:
    """The name of a request, a device or a set of counters."""
    for text in names.dns_label(name):
        yield path.invalid(name, text)


def validate_pool_name(name: str, path: Path) -> Iterator[FieldError]:
    if not name:
        yield path.required()
        return
    if len(name) > _MAX_POOL_NAME:
        yield path.too_long(_MAX_POOL_NAME)
    for part in name.split("/"):
        for text in names.dns_subdomain(part):
            yield path.invalid(part, text)


def validate_uid(uid: str, path: Path) -> Iterator[FieldError]:
    if not _is_uid(uid):
        yield path.invalid(uid, _NOT_UID)


def validate_qualified_name(name: str, path: Path) -> Iterator[FieldError]:
    """`[domain/]identifier`: an attribute or a capacity."""
    domain, slash, identifier = name.rpartition("/")
    if "/" in domain:
        yield path.invalid(name, "must not contain more than one slash")
        return
    if slash and not domain:
        yield path.invalid("", "the domain must not be empty")
    elif slash:
        yield from validate_driver(domain, path)
    if slash and not identifier:
        yield path.invalid("", "the name must not be empty")
    else:
        yield from _validate_identifier(identifier, path)


def validate_full_name(name: str, path: Path) -> Iterator[FieldError]:
    """`domain/identifier`."""
    yield from validate_qualified_name(name, path)
    if "/" not in name:
        text = "a fully qualified name must be a domain and a name separated by a slash"
        yield path.invalid(name, text)


def _validate_identifier(identifier: str, path: Path) -> Iterator[FieldError]:
    if len(identifier.encode()) > _MAX_ID:
        yield path.too_long(_MAX_ID)
    if not _is_identifier(identifier):
        yield path.invalid(identifier, _NOT_IDENTIFIER)


def _shortened(key: str, longest: int) -> str:
    if len(key) <= longest:
        return key
    left = longest - len("...")
    return f"{key[: (left + 1) // 2]}...{key[len(key) - left // 2 :]}"

"""Identity of pod templates: which ReplicaSet carries a template, and the hash that names a new one.

Invariant: a ReplicaSet is recognised by comparing templates, never by its hash, so that sets made by another
implementation (or with another hash) go on being used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from kplane.api.clock import SUFFIX_ALPHABET
from kplane.api.quantity import QuantityError, exact
from kplane.api.resource import Object
from kplane.api.types import Deployment, ReplicaSet

HASH_LABEL = "pod-template-hash"
FNV_OFFSET, FNV_PRIME = 2166136261, 16777619
_UNSET: tuple[Any, ...] = (None, [])


def template_hash(template: Object, collision_count: int | None) -> str:
    """Letters that stand for this template; another collision count gives others."""
    digest = FNV_OFFSET
    for byte in msgspec.json.encode([_canonical(template), collision_count], order="deterministic"):
        digest = ((digest ^ byte) * FNV_PRIME) & 0xFFFFFFFF
    return letters(digest)


def letters(digest: int) -> str:
    """A hash as names have it: no vowels, so that it spells no words."""
    return "".join(SUFFIX_ALPHABET[ord(digit) % len(SUFFIX_ALPHABET)] for digit in str(digest))


def same_template(a: Object, b: Object) -> bool:
    """Whether both mean the same, their hash labels aside."""
    return a == b or _canonical(a) == _canonical(b)


def new_set(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """The oldest set that carries the Deployment's template: the one being rolled out."""
    for rs in sorted(sets, key=by_creation):
        if same_template(rs.spec.template, deployment.spec.template):
            return rs
    return None


def by_creation(rs: ReplicaSet) -> tuple[float, str]:
    created = rs.metadata.creation_timestamp
    return created.timestamp() if created else 0.0, rs.metadata.name


def with_hash(template: Object, digest: str) -> Object:
    """The template with the hash among its labels."""
    return with_labels(template, {HASH_LABEL: digest})


def with_labels(template: Object, more: Mapping[str, str]) -> Object:
    """The template with `more` labels."""
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), **more}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _canonical(template: Object) -> Object:
    """Without the hash label, and with what counts as equal spelt the same."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != HASH_LABEL}
    for name in ("annotations", "creationTimestamp"):
        if not metadata.get(name):
            metadata.pop(name, None)
    canonical: Object = _plain({**template, "metadata": {**metadata, "labels": labels}})
    return canonical


def _plain(value: Any) -> Any:
    """Null, an empty list and an absent field are equal; so are two spellings of a quantity."""
    if isinstance(value, dict):
        return dict(_fields(value))
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value


def _fields(value: Object) -> Iterator[tuple[str, Any]]:
    for key, entry in value.items():
        if entry in _UNSET:
            continue
        if key in ("requests", "limits", "overhead") and isinstance(entry, dict):
            yield key, {name: _quantity(amount) for name, amount in entry.items()}
        elif key == "sizeLimit":
            yield key, _quantity(entry)
        else:
            yield key, _plain(entry)


def _quantity(amount: Any) -> Any:
    try:
        return str(exact(amount))
    except QuantityError:
        return amount

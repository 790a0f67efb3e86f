"""The patch that brings an object from what is live to what a manifest says, without touching what others
have set: fields of the manifest are added and changed, fields that the manifest before it had are deleted.

Strategic patches (apimachinery `util/strategicpatch`) for what the built-in schema knows, merge patches
(`util/jsonmergepatch`) for the rest. Arguments stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import msgspec

from kplane.api.resource import Object
from kplane.api.schema import Node

PATCH = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE = "$deleteFromPrimitiveList/"


def merge_patch(original: Object, modified: Object, current: Object) -> Object:
    """JSON merge patch, RFC 7386."""
    return _merged(_deletions(original, modified), _additions(current, modified))


def strategic_patch(original: Object, modified: Object, current: Object, node: Node) -> Object:
    """Strategic merge patch for an object with this schema."""
    deletions = _Difference(deletions=True).of_objects(original, modified, node)
    additions = _Difference(deletions=False).of_objects(current, modified, node)
    return _combined(deletions, additions, node)


def _additions(current: Object, modified: Object) -> Object:
    patch: Object = {}
    for key, value in modified.items():
        now = current.get(key)
        if isinstance(value, dict) and isinstance(now, dict):
            if inner := _additions(now, value):
                patch[key] = inner
        elif key not in current or not _same(now, value):
            patch[key] = value
    return patch


def _deletions(original: Object, modified: Object) -> Object:
    patch: Object = dict.fromkeys(key for key in original if key not in modified)
    for key, value in modified.items():
        before = original.get(key)
        if isinstance(value, dict) and isinstance(before, dict) and (inner := _deletions(before, value)):
            patch[key] = inner
    return patch


def _merged(first: Object, second: Object) -> Object:
    result = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


@dataclass(frozen=True)
class _Difference:
    """One half of the patch: only deletions, or only additions and changes."""

    deletions: bool

    def of_objects(self, before: Object, after: Object, node: Node | None, *, retain: bool = False) -> Object:
        patch: Object = {}
        for key in sorted({*before, *after}):
            if key not in after:
                if self.deletions:
                    patch[key] = None
            elif key not in before:
                if not self.deletions:
                    patch[key] = after[key]
            else:
                patch |= self._of_values(key, before[key], after[key], _child(node, key))
        if patch and retain:
            patch[RETAIN] = sorted(after)
        return patch

    def _of_values(self, key: str, before: Any, after: Any, node: Node | None) -> Object:
        strategies = node.patch_strategy if node else ()
        if isinstance(before, dict) and isinstance(after, dict) and "replace" not in strategies:
            inner = self.of_objects(before, after, node, retain="retainKeys" in strategies)
            return {key: inner} if inner else {}
        if isinstance(before, list) and isinstance(after, list) and node and "merge" in strategies:
            difference = self._of_keyed_lists if node.merge_key else self._of_sets
            return difference(key, before, after, node)
        return {} if self.deletions or _same(before, after) else {key: after}

    def _of_keyed_lists(self, key: str, before: list[Any], after: list[Any], node: Node) -> Object:
        """Lists of objects that a merge key tells apart."""
        name = node.merge_key
        was = _by_key(before, name)
        items: list[Any] = []
        for item in after:
            old = was.get(_identity(item, name))
            if old is None:
                items += [] if self.deletions else [item]
            elif change := self.of_objects(old, item, node.item, retain="retainKeys" in node.patch_strategy):
                items.append({**change, name: item.get(name)})
        if self.deletions:
            left = _by_key(after, name)
            items += [
                {PATCH: "delete", name: item[name]} for identity, item in was.items() if identity not in left
            ]
        patch: Object = {key: items} if items else {}
        if items or (self.deletions and _identities(before, name) != _identities(after, name)):
            patch[ORDER + key] = [{name: item.get(name)} for item in after]
        return patch

    def _of_sets(self, key: str, before: list[Any], after: list[Any], node: Node) -> Object:
        """Lists of plain values."""
        gone = [value for value in before if value not in after] if self.deletions else []
        new = [] if self.deletions else [value for value in after if value not in before]
        patch: Object = {DELETE + key: gone} if gone else {}
        patch |= {key: new} if new else {}
        if patch or (self.deletions and before != after):
            patch[ORDER + key] = after
        return patch


def _combined(deletions: Object, additions: Object, node: Node | None) -> Object:
    """Both halves as one patch. Items of keyed lists come in the order that the patch gives."""
    result = dict(deletions)
    for key, value in additions.items():
        here, child = result.get(key), _child(node, key)
        if isinstance(here, dict) and isinstance(value, dict):
            result[key] = _combined(here, value, child)
        elif isinstance(here, list) and isinstance(value, list) and child and child.merge_key:
            order = additions.get(ORDER + key) or deletions.get(ORDER + key) or []
            result[key] = _combined_items(here, value, child, _rank(order, child.merge_key))
        else:
            result[key] = value
    return result


def _combined_items(
    deletions: list[Any], additions: list[Any], node: Node, rank: Callable[[Any], int]
) -> list[Any]:
    items = _by_key(deletions, node.merge_key)
    for item in additions:
        identity = _identity(item, node.merge_key)
        items[identity] = _combined(items[identity], item, node.item) if identity in items else item
    return sorted(items.values(), key=rank)


def _rank(order: list[Any], name: str) -> Callable[[Any], int]:
    """Where an item of the patch stands; what is deleted comes last, as the order does not name it."""
    places = {_identity(item, name): index for index, item in enumerate(order)}
    return lambda item: places.get(_identity(item, name), len(places))


def _child(node: Node | None, name: str) -> Node | None:
    if node is None:
        return None
    return node.fields.get(name) if node.fields else node.item


def _by_key(items: list[Any], name: str) -> dict[Hashable, Any]:
    """The items by merge key; of several with the same key, the first."""
    found: dict[Hashable, Any] = {}
    for item in items:
        found.setdefault(_identity(item, name), item)
    return found


def _identities(items: list[Any], name: str) -> list[Hashable]:
    return [_identity(item, name) for item in items]


def _identity(item: Any, name: str) -> Hashable:
    return msgspec.json.encode(item.get(name) if isinstance(item, dict) else item)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is not true."""
    return one is other or msgspec.json.encode(one, order="sorted") == msgspec.json.encode(
        other, order="sorted"
    )

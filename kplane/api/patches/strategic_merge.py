"""Strategic merge patch: a merge patch in which the schema says how lists merge, and directives say more.

In objects: `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/FIELD` and
`$setElementOrder/FIELD`; in items of lists `$patch: delete` and `$patch: replace`. Order of lists, down to
where new items go, is upstream's (apimachinery `util/strategicpatch`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import msgspec

from kplane.api.errors import ApiError, BadRequest
from kplane.api.field import quoted
from kplane.api.patches.copying import duplicate, without_nulls
from kplane.api.resource import Object
from kplane.api.schema import Node

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic(obj: Object, patch: Object, node: Node) -> Object:
    """The patched object. Raises BadRequest for a malformed patch, ApiError for an item of a keyed list
    without its key."""
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: the patch must be an object")
    return _merge_map(obj, patch, node)


def _merge_map(original: Object, patch: Object, node: Node | None) -> Object:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: _without_directives(value) for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"Unknown patch type found: {directive}")
    result = _retain(original, patch)
    remaining = {key: value for key, value in patch.items() if key not in (_DIRECTIVE, _RETAIN)}
    for key in [key for key in remaining if key.startswith(_ORDER)]:
        name = key.removeprefix(_ORDER)
        order = _as_list(remaining.pop(key), "$setElementOrder")
        _merge_ordered(result, name, remaining.pop(name, None), order, _child(node, name))
    for key, value in remaining.items():
        if key.startswith(_DELETE):
            _delete_items(result, key.removeprefix(_DELETE), _as_list(value, "$deleteFromPrimitiveList"))
        elif value is None:
            result.pop(key, None)
        elif key not in result:
            result[key] = _without_directives(without_nulls(value))
        else:
            result[key] = _merge_value(result[key], value, _child(node, key))
    return result


def _merge_value(original: Any, patch: Any, node: Node | None) -> Any:
    strategies = node.patch_strategy if node else ()
    if isinstance(original, dict) and isinstance(patch, dict) and "replace" not in strategies:
        return _merge_map(original, patch, node)
    if isinstance(original, list) and isinstance(patch, list) and "merge" in strategies:
        assert node is not None
        return _merge_list(original, patch, node)
    return _without_directives(duplicate(patch))


def _child(node: Node | None, name: str) -> Node | None:
    if node is None:
        return None
    return node.fields.get(name) if node.fields else node.item


def _as_list(value: Any, directive: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"Invalid patch format of primitive list: {directive} must be a list")
    return value


def _retain(original: Object, patch: Object) -> Object:
    """A shallow copy of the original, cleared of what `$retainKeys` does not name."""
    if _RETAIN not in patch:
        return dict(original)
    kept = patch[_RETAIN]
    if not isinstance(kept, list):
        raise BadRequest("invalid patch format of retainKeys")
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in kept:
            raise BadRequest("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in kept}


def _delete_items(result: Object, name: str, values: Sequence[Any]) -> None:
    if isinstance(result.get(name), list):
        result[name] = [item for item in result[name] if item not in values]


def _merge_ordered(result: Object, name: str, patch: Any, order: list[Any], node: Node | None) -> None:
    """A list whose whole order the patch gives; items that the order does not name keep their places."""
    original = result.get(name)
    if patch is None and original is None:
        return
    merge_key = node.merge_key if node else ""
    _check_order(patch or [], order, merge_key)
    if patch is None:
        merged: list[Any] = original or []
    elif original is None:
        merged = _plain_items(patch)
    else:
        merged = _merge_value(original, patch, node)
    result[name] = _arrange(merged, order, original or [], merge_key)


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """What the patch holds must come in the order that it gives."""
    places = _places(order, key)
    found = [places.get(_identity(item, key), -1) for item in patch if not _is_directive(item)]
    if -1 in found or found != sorted(found):
        raise BadRequest(
            f"The order in patch list:\n{quoted(patch)}\n"
            f" doesn't match $setElementOrder list:\n{quoted(order)}\n"
        )


def _merge_list(original: list[Any], patch: list[Any], node: Node) -> list[Any]:
    key = node.merge_key
    if not key:
        return _merge_values(original, patch)
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return _plain_items(patch)
    merged: dict[Hashable, Any] = {}
    for index, item in enumerate(original):
        # Keys need not be unique (53/TCP and 53/UDP); the patch speaks of the first.
        identity: Hashable = _identity(item, key)
        merged[(identity, index) if identity in merged else identity] = item
    removed = {_merge_item(merged, item, node) for item in patch}
    kept = [item for item in patch if item.get(_DIRECTIVE) != "delete"]
    left = (item for item in merged.values() if _identity(item, key) not in removed)
    return _arrange(left, kept, original, key)


def _merge_values(original: list[Any], patch: list[Any]) -> list[Any]:
    """A list without keys is a set."""
    merged = {_identity(item, ""): item for item in original}
    for item in patch:
        merged.setdefault(_identity(item, ""), duplicate(item))
    return _arrange(merged.values(), patch, original, "")


def _merge_item(merged: dict[Hashable, Any], item: Any, node: Node) -> Hashable:
    """Merge one item of the patch into the list, which is held by its keys; the key if it is to go."""
    key = node.merge_key
    if not isinstance(item, dict) or key not in item:
        raise ApiError(f"map: {quoted(item)} does not contain declared merge key: {key}")
    identity = _identity(item, key)
    if item.get(_DIRECTIVE) == "delete":
        return identity
    if identity not in merged:
        merged[identity] = _without_directives(without_nulls(item))
    else:
        merged[identity] = _merge_map(merged[identity], item, node.item)
    return None


def _is_directive(item: Any) -> bool:
    """Whether an item of a patch is there only for what it says of others."""
    return isinstance(item, dict) and item.get(_DIRECTIVE) in ("delete", "replace")


def _plain_items(patch: list[Any]) -> list[Any]:
    return [_without_directives(without_nulls(item)) for item in patch if not _is_directive(item)]


def _arrange(merged: Iterable[Any], wanted: list[Any], original: list[Any], key: str) -> list[Any]:
    """Items of `wanted` in its order, woven into the others, which keep the original's order.

    Where both are known to the original the original decides which comes first; a new item goes first.
    """
    asked, known = _places(wanted, key), _places(original, key)
    items = [(_identity(item, key), item) for item in merged]
    ours = deque(sorted((pair for pair in items if pair[0] in asked), key=lambda pair: asked[pair[0]]))
    others = deque(
        sorted((pair for pair in items if pair[0] not in asked), key=lambda pair: known.get(pair[0], -1))
    )
    result: list[Any] = []
    while ours and others:
        left, right = known.get(others[0][0], -1), known.get(ours[0][0], -1)
        result.append((others if 0 <= left < right else ours).popleft()[1])
    return result + [item for _, item in (*ours, *others)]


def _places(items: Sequence[Any], key: str) -> dict[Hashable, int]:
    """Where each item stands; of several with the same identity, the first."""
    places: dict[Hashable, int] = {}
    for index, item in enumerate(items):
        places.setdefault(_identity(item, key), index)
    return places


def _identity(item: Any, key: str) -> Hashable:
    """What makes two items the same one: the merge key's value, or without a key their own."""
    value = item.get(key) if key and isinstance(item, dict) else item
    return msgspec.json.encode(value)


def _without_directives(value: Any) -> Any:
    """A value of the patch that nothing was merged into: what is left when its directives are obeyed."""
    if isinstance(value, list):
        return _plain_items(value)
    if not isinstance(value, dict):
        return value
    return {key: _without_directives(item) for key, item in value.items() if not key.startswith("$")}

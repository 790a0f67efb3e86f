"""How many watches a write will have to tell. Source: apiserver `flowcontrol/watch_tracker.go`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from kplane.api.selectors import SelectorError, parse_fields

from ..http.requestinfo import RequestInfo

Place: TypeAlias = tuple[str, str, str, str]
"""Group, resource, namespace, name; empty where a watch is about all of them."""

_INDEXED: Mapping[tuple[str, str], str] = {("", "pods"): "spec.nodeName"}
"""Fields by which watches see but a part of the objects: each node watches its own Pods."""
_UNSET = ""


class WatchCounts:
    """Watches register, and are forgotten."""

    def __init__(self) -> None:
        self._counts: dict[Place, dict[str, int]] = {}

    def register(self, info: RequestInfo) -> tuple[Place, str]:
        """What `forget` takes."""
        place, value = _seen(info)
        values = self._counts.setdefault(place, {})
        values[value] = values.get(value, 0) + 1
        return place, value

    def forget(self, registered: tuple[Place, str]) -> None:
        place, value = registered
        values = self._counts[place]
        values[value] -= 1
        if not values[value]:
            del values[value]
            if not values:
                del self._counts[place]

    def interested(self, info: RequestInfo) -> int:
        """In the objects that a request writes: those of all, of the namespace, and of the one object."""
        group, resource, counts = info.group, info.resource, self._counts
        if not counts:
            return 0
        places = {(group, resource, "", ""), (group, resource, info.namespace, "")}
        if info.name:
            places.add((group, resource, info.namespace, info.name))
        return sum(_most(values) for place in places if (values := counts.get(place)))


def _most(values: Mapping[str, int]) -> int:
    """Which value of the field the object has is not known: those with the most watches, to be safe."""
    indexed = max((count for value, count in values.items() if value != _UNSET), default=0)
    return values.get(_UNSET, 0) + indexed


def _seen(info: RequestInfo) -> tuple[Place, str]:
    name, value = info.name, _UNSET
    field = _INDEXED.get((info.group, info.resource))
    if selector := info.query.get("fieldSelector"):
        try:
            fields = parse_fields(selector)
        except SelectorError:
            # The request will be refused for it.
            return (info.group, info.resource, info.namespace, name), value
        name = name or fields.exact("metadata.name") or ""
        value = (field and fields.exact(field)) or _UNSET
    return (info.group, info.resource, info.namespace, name), value

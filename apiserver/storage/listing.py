"""Pages of a resource's state: selection, limit, continuation; and the state as it was a little earlier.

Pure: `cache.py` owns the state.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .events import Item, Selection, Transition


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects in key order at `revision`. `next` is the key from which the following page starts, empty at
    the end; `remaining` counts what follows, None where a selector makes that unknown."""

    items: Sequence[Item]
    revision: int
    next: str = ""
    remaining: int | None = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A resource's objects at one revision, and their keys in order."""

    prefix: str
    items: Mapping[str, Item]
    keys: Sequence[str]
    revision: int

    def page(self, selection: Selection, limit: int, start: str) -> Listing:
        """At most `limit` (0: all) objects of the selection from key `start` on."""
        low, high = self._span(selection.namespace, start)
        if selection.name or selection.equals or selection.predicate:
            return self._filtered(selection, limit, self.keys[low:high])
        end = min(low + limit, high) if limit else high
        items = self.items
        chosen = [items[key] for key in self.keys[low:end]]
        return Listing(chosen, self.revision, after(chosen[-1].key) if end < high else "", high - end)

    def rewound(self, revision: int, newest_first: Iterable[Transition]) -> Snapshot:
        """The state before these changes, which are all since `revision`."""
        past: dict[str, Item | None] = {}
        for change in newest_first:
            item = change.after or change.before
            assert item is not None
            past[item.key] = change.before
        if not past:
            return Snapshot(self.prefix, self.items, self.keys, revision)
        items = {key: item for key, item in (dict(self.items) | past).items() if item is not None}
        return Snapshot(self.prefix, items, sorted(items), revision)

    def _span(self, namespace: str, start: str) -> tuple[int, int]:
        """Where in `keys` a namespace lies, from key `start` on."""
        keys = self.keys
        low, high = 0, len(keys)
        if namespace:
            prefix = f"{self.prefix}{namespace}/"
            # "0" follows "/": the end of the keys that begin with the prefix.
            low, high = bisect_left(keys, prefix), bisect_left(keys, f"{self.prefix}{namespace}0")
        if start:
            low = min(max(low, bisect_left(keys, start)), high)
        return low, high

    def _filtered(self, selection: Selection, limit: int, keys: Sequence[str]) -> Listing:
        found: list[Item] = []
        items, matches = self.items, selection.matches
        for key in keys:
            item = items[key]
            if matches(item):
                if limit and len(found) == limit:
                    return Listing(found, self.revision, after(found[-1].key), None)
                found.append(item)
        return Listing(found, self.revision, "", None)


def after(key: str) -> str:
    """The first key that sorts behind this one, as upstream's continue tokens have it."""
    return f"{key}\0"

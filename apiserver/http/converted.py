"""Selections by fields that an object has in the version of the request alone, which only its conversion
webhook can tell.

The cache holds what is stored, so lists and watches of such versions take everything that the rest of the
selection lets through, and look at each object once it is converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from kplane.api.selectors import FieldSelector

from ..registry.generic import Registry
from ..storage.codec import restamp
from ..storage.events import Event, Item
from ..storage.listing import Listing, after

CHUNK = 256
"""Objects that are converted together."""


class ConvertedFields:
    """Some requirements on the fields of one custom resource, in one of its versions."""

    def __init__(self, registry: Registry, fields: FieldSelector) -> None:
        self._registry = registry
        self._fields = fields

    async def page(self, listing: Listing, limit: int) -> Listing:
        """At most `limit` (0: all) of these objects that fit. Raises ApiError where conversion fails."""
        found: list[Item] = []
        for start in range(0, len(listing.items), CHUNK):
            for item in await self._fitting(listing.items[start : start + CHUNK]):
                if limit and len(found) == limit:
                    return Listing(found, listing.revision, after(found[-1].key), None)
                found.append(item)
        return Listing(found, listing.revision, "", None)

    async def watch(self, shown: Sequence[Item]) -> ConvertedWatch:
        """What a watch sends from here on; of these objects some fit already."""
        return ConvertedWatch(self, (await self.page(Listing(shown, 0), 0)).items)

    async def _fitting(self, items: Sequence[Item]) -> Sequence[Item]:
        objects = await self._registry.objects([item.wire for item in items])
        fields_of, matches = self._registry.strategy.fields, self._fields.matches
        return [item for item, obj in zip(items, objects, strict=True) if matches(fields_of(obj))]

    async def fitting(self, events: Iterable[Event]) -> set[Event]:
        """The events after which their object fits."""
        standing = [event for event in events if event.type != "DELETED"]
        fits = {id(item) for item in await self._fitting([event.item for event in standing])}
        return {event for event in standing if id(event.item) in fits}


class ConvertedWatch:
    """The events of one watch. Remembers what it showed, to tell when an object ceases to fit."""

    def __init__(self, fields: ConvertedFields, shown: Sequence[Item]) -> None:
        self._fields = fields
        self.initial = shown
        self._shown = {item.key: item for item in shown}

    async def seen(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What these events mean to the watch."""
        fitting = await self._fields.fitting(batch)
        return [told for event in batch if (told := self._told(event, event in fitting))]

    def _told(self, event: Event, fits: bool) -> Event | None:
        item = event.item
        was = self._shown.pop(item.key, None)
        if fits:
            self._shown[item.key] = item
            return Event("MODIFIED" if was else "ADDED", item, event.revision)
        if was is None or event.type == "DELETED":
            return event if was else None
        last = msgspec.structs.replace(was, revision=event.revision, wire=restamp(was.wire, event.revision))
        return Event("DELETED", last, event.revision)

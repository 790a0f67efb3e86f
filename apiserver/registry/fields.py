"""Who manages which field of a resource's objects: between the generic registry and `kplane.api.apply`.

Knows for each endpoint which fields it resets, so that writing them there claims nothing. What the server
itself writes (an Author without a manager) is not tracked, as upstream does not track it.
"""

from __future__ import annotations

from collections.abc import Set
from functools import cached_property
from typing import Any

from kplane.api.apply import Writer, apply, track
from kplane.api.apply.shape import Shape
from kplane.api.apply.versions import Versions
from kplane.api.clock import Clock, rfc3339
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from .fieldversions import versions_of
from .strategy import Subresource
from .writing import Author


class Fields:
    """Of one resource at one version. Objects are in that version."""

    def __init__(self, info: ResourceInfo, subresources: tuple[Subresource, ...], clock: Clock) -> None:
        self._info = info
        self._clock = clock
        self._subresources = {sub.name: sub for sub in subresources}
        self._status = frozenset(f"f:{name}" for sub in subresources for name in sub.owns)
        self._resets: dict[str, Set[str]] = {}
        """By subresource."""

    @cached_property
    def _versions(self) -> Versions:
        return versions_of(self._info)

    @cached_property
    def _shape(self) -> Shape:
        shape = self._versions.shape(self._info.api_version)
        assert shape is not None
        return shape

    def track(self, old: Object | None, new: Object, given: Any, author: Author) -> None:
        """Set `new`'s managedFields; `old` is None on creation, `given` is what the client sent as such."""
        if author.applies:
            entries = given
        elif author.manager is None:
            entries = old["metadata"].get("managedFields") if old else None
        else:
            entries = track(old, new, given, self._writer(author), self._versions)
        if entries:
            new["metadata"]["managedFields"] = entries
        else:
            new["metadata"].pop("managedFields", None)

    def apply(self, live: Object | None, config: Object, author: Author, *, force: bool) -> Object:
        """What an apply makes of `live`, its managedFields included. Raises ApiError."""
        return apply(live, config, self._writer(author), self._versions, force=force)

    def _writer(self, author: Author) -> Writer:
        return Writer(
            manager=author.manager or "",
            api_version=self._info.api_version,
            # As upstream's, entries that come to be through a Scale have none.
            time="" if author.subresource == "scale" else rfc3339(self._clock.now()),
            subresource=author.subresource,
            reset=self._reset(author.subresource),
        )

    def _reset(self, subresource: str) -> Set[str]:
        found = self._subresources.get(subresource)
        if found is None:
            return self._status
        reset = self._resets.get(subresource)
        if reset is None:
            mine = {"metadata", *found.owns, *found.shares}
            reset = {element for name, (element, _) in self._shape.steps.items() if name not in mine}
            self._resets[subresource] = reset
        return reset

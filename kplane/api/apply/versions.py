"""What a write changes, in every version through which somebody manages fields of the object.

An entry's fields are those of the version that its manager wrote in. So old and new object are compared once
in each of these versions, each converted to it. Source: structured-merge-diff `merge/update.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kplane.api.apply.compare import Comparison, compare
from kplane.api.apply.entries import Entries, Entry, Identity, Writer, claimed
from kplane.api.apply.fieldset import FieldSet, difference, union
from kplane.api.apply.merge import prune
from kplane.api.apply.shape import Shape
from kplane.api.resource import Object


class Versions(Protocol):
    """The versions of one resource."""

    def shape(self, api_version: str) -> Shape | None:
        """None for a version that is not served."""

    def convert(self, obj: Object, api_version: str) -> Object:
        """An object of any version, in that one; what it is given stays as it is."""


class SameVersion:
    """Of a resource with one version."""

    def __init__(self, api_version: str, shape: Shape) -> None:
        self._api_version = api_version
        self._shape = shape

    def shape(self, api_version: str) -> Shape | None:
        return self._shape if api_version == self._api_version else None

    def convert(self, obj: Object, api_version: str) -> Object:
        return obj


class Changes:
    """Between two objects of the writer's version. Fields that the endpoint resets are no change."""

    def __init__(self, shape: Shape, old: Object, new: Object, writer: Writer, versions: Versions) -> None:
        self._old = old
        self._new = new
        self._writer = writer
        self._versions = versions
        self._found: dict[str, Comparison | None] = {writer.api_version: self._compared(shape, old, new)}

    @property
    def own(self) -> Comparison:
        """In the writer's version."""
        found = self._found[self._writer.api_version]
        assert found is not None
        return found

    def of(self, api_version: str) -> Comparison | None:
        """In another version; None where that is not served."""
        if api_version not in self._found:
            self._found[api_version] = self._converted(api_version)
        return self._found[api_version]

    def _converted(self, api_version: str) -> Comparison | None:
        shape = self._versions.shape(api_version)
        if shape is None:
            return None
        old, new = (self._versions.convert(obj, api_version) for obj in (self._old, self._new))
        return self._compared(shape, old, new)

    def _compared(self, shape: Shape, old: Object, new: Object) -> Comparison:
        found = compare(shape, old, new)
        reset = self._writer.reset
        return Comparison(claimed(found.changed, reset), claimed(found.removed, reset))

    def rest(self, entries: Entries) -> Entries:
        """What is left to the managers: nobody manages what is gone, or what has got another value from
        somebody else. Entries of versions that are no longer served go."""
        result: Entries = {}
        for identity, entry in entries.items():
            found = self.of(entry.get("apiVersion", ""))
            if found is None:
                continue
            fields = difference(difference(entry["fieldsV1"], found.changed), found.removed)
            if fields is entry["fieldsV1"] or fields == entry["fieldsV1"]:
                result[identity] = entry
            elif fields:
                result[identity] = entry | {"fieldsV1": fields}
        return result


def withdrawn(
    merged: Object,
    last: Entry,
    wanted: FieldSet,
    others: Mapping[Identity, Entry],
    shape: Shape,
    writer: Writer,
    versions: Versions,
) -> Object:
    """`merged`, of the writer's version, without the fields of the writer's last configuration that neither
    the one of now (`wanted`) nor anybody else lists."""
    kept = {writer.api_version: wanted}
    for entry in others.values():
        version = entry.get("apiVersion", "")
        kept[version] = union(kept.get(version, {}), entry["fieldsV1"])
    was = last.get("apiVersion", "")
    if was == writer.api_version and len(kept) == 1:
        return prune(shape, merged, last["fieldsV1"], kept.get(was, {}))  # type: ignore[no-any-return]
    first = versions.shape(was)
    if first is None:
        return merged
    before = versions.convert(merged, was)
    pruned: Object = prune(first, before, last["fieldsV1"], kept.get(was, {}))
    version = was
    for other, fields in kept.items():
        there = versions.shape(other)
        if other == was or there is None:
            continue
        whole, pruned = versions.convert(before, other), versions.convert(pruned, other)
        # What that version's managers list comes back.
        pruned = prune(there, whole, compare(there, whole, pruned).removed, fields)
        version = other
    return pruned if version == writer.api_version else versions.convert(pruned, writer.api_version)

"""The versions in which fields of a resource may be managed: their shapes, and conversion between them.

Custom resources are converted by renaming the version, also where their definition names a webhook: what the
webhook would rename is then compared under the names of the version that is written to.
"""

from __future__ import annotations

from functools import cache

from kplane.api.apply.shape import Shape, custom_shape, shape_of
from kplane.api.apply.versions import SameVersion, Versions
from kplane.api.conversion import from_stored, to_stored
from kplane.api.resource import Object
from kplane.api.scheme import CustomVersion, ResourceInfo, builtin


def versions_of(info: ResourceInfo) -> Versions:
    """Those of the resource of this row."""
    if info.custom:
        return _CustomVersions(info, info.custom)
    served = _served().get(info.storage_prefix, {})
    if len(served) > 1:
        return _BuiltinVersions(served)
    return SameVersion(info.api_version, shape_of(info.definition))


@cache
def _served() -> dict[str, dict[str, ResourceInfo]]:
    """Where objects are stored -> API version -> the row that serves them so."""
    found: dict[str, dict[str, ResourceInfo]] = {}
    for row in builtin().rows.values():
        if row.storage_prefix:
            found.setdefault(row.storage_prefix, {})[row.api_version] = row
    return found


class _BuiltinVersions:
    def __init__(self, rows: dict[str, ResourceInfo]) -> None:
        self._rows = rows

    def shape(self, api_version: str) -> Shape | None:
        row = self._rows.get(api_version)
        return shape_of(row.definition) if row else None

    def convert(self, obj: Object, api_version: str) -> Object:
        source = self._rows.get(str(obj.get("apiVersion")), self._rows[api_version])
        if source.api_version == api_version:
            return obj
        return from_stored(self._rows[api_version], to_stored(source, obj))


class _CustomVersions:
    def __init__(self, info: ResourceInfo, custom: CustomVersion) -> None:
        self._group = info.group
        self._schemas = custom.schemas
        self._shapes: dict[str, Shape] = {}

    def shape(self, api_version: str) -> Shape | None:
        group, _, version = api_version.rpartition("/")
        if group != self._group or version not in self._schemas:
            return None
        if version not in self._shapes:
            self._shapes[version] = custom_shape(self._schemas[version].node)
        return self._shapes[version]

    def convert(self, obj: Object, api_version: str) -> Object:
        return obj | {"apiVersion": api_version}

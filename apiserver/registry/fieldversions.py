"""The versions in which fields of a resource may be managed: their shapes, and conversion between them.

Who manages what is decided in plain functions, while a webhook that converts custom resources has to be
awaited. So what they cannot know yet they raise as ForeignVersion; the registry has it converted and starts
over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cache, partial

import msgspec

from kplane.api.apply.shape import Shape, custom_shape, shape_of
from kplane.api.apply.versions import SameVersion, Versions
from kplane.api.conversion import from_stored, to_stored
from kplane.api.resource import Object
from kplane.api.scheme import CustomVersion, ResourceInfo, builtin

from ..storage import codec

_KNOWN = 256
"""Conversions that one version of a resource remembers; a write needs but a few."""


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


class ForeignVersion(Exception):
    """An object is needed in another version. Give it to `settle`, and try again."""

    def __init__(self, obj: Object, api_version: str, settle: Callable[[Object], None]) -> None:
        super().__init__(f"needed in {api_version}")
        self.object = obj
        self.api_version = api_version
        self.settle = settle


class _CustomVersions:
    def __init__(self, info: ResourceInfo, custom: CustomVersion) -> None:
        self._group = info.group
        self._schemas = custom.schemas
        self._shapes: dict[str, Shape] = {}
        self._by_webhook = custom.conversion.get("strategy") == "Webhook"
        self._known: OrderedDict[tuple[bytes, str], bytes] = OrderedDict()
        """What the webhook made of objects lately."""

    def shape(self, api_version: str) -> Shape | None:
        group, _, version = api_version.rpartition("/")
        if group != self._group or version not in self._schemas:
            return None
        if version not in self._shapes:
            self._shapes[version] = custom_shape(self._schemas[version].node)
        return self._shapes[version]

    def convert(self, obj: Object, api_version: str) -> Object:
        """Raises ForeignVersion."""
        # Without a kind it is what stands for no object, which is empty in every version.
        if obj.get("apiVersion") == api_version or not self._by_webhook or not obj.get("kind"):
            return obj | {"apiVersion": api_version}
        # Managers are no part of what is compared, and would make every object another one.
        metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
        plain = obj | {"metadata": metadata}
        key = (msgspec.json.encode(plain), api_version)
        if (found := self._known.get(key)) is None:
            raise ForeignVersion(codec.decode(key[0]), api_version, partial(self._remember, key))
        return codec.decode(found)

    def _remember(self, key: tuple[bytes, str], obj: Object) -> None:
        self._known[key] = msgspec.json.encode(obj)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)

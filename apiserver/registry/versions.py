"""Between the version of an object that is stored and the one that is served.

`StoredVersions` is what a registry asks: whether stored bytes can go out as they are, and if not, what they
become. Built-in resources are converted by functions (`kplane.api.conversion`), custom ones by renaming the
version or by their webhook; what their schema defaults or does not know is filled in and dropped on the way
out of the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from kplane.api.conversion import from_stored, to_stored
from kplane.api.resource import Object
from kplane.api.scheme import CustomVersion, ResourceInfo

from ..storage import codec

Converter: TypeAlias = Callable[[Sequence[Object], str], Awaitable[list[Object]]]
"""`await convert(objects, api_version)`: the objects, each in that version, in their order. What it is given
is its own. Raises ApiError."""


class StoredVersions(Protocol):
    def is_served(self, wire: bytes) -> bool:
        """Whether these bytes are an object as this version shows it."""

    def is_current(self, wire: bytes) -> bool:
        """Whether these bytes are in the version in which objects are stored now."""

    async def read(self, stored: Sequence[Object]) -> list[Object]:
        """Stored objects, in the version that is served. May change what it is given."""

    async def write(self, obj: Object) -> Object:
        """An object in the version that is stored."""

    async def convert(self, obj: Object, api_version: str) -> Object:
        """An object in that version, which `ForeignVersion` asked for. May change what it is given."""


class BuiltinVersions:
    def __init__(self, info: ResourceInfo) -> None:
        self._info = info
        self._same = info.stored_as is None
        self._head = head(info)

    def is_served(self, wire: bytes) -> bool:
        return self._same or wire.startswith(self._head)

    def is_current(self, wire: bytes) -> bool:
        return True

    async def read(self, stored: Sequence[Object]) -> list[Object]:
        return [from_stored(self._info, obj) for obj in stored]

    async def write(self, obj: Object) -> Object:
        return to_stored(self._info, obj)

    async def convert(self, obj: Object, api_version: str) -> Object:
        raise AssertionError("built-in versions are converted on the spot")


class CustomVersions:
    """Those of a custom resource. With a single version the cache already holds what is served."""

    def __init__(self, info: ResourceInfo, custom: CustomVersion, convert: Converter) -> None:
        self._info = info
        self._custom = custom
        self._convert = convert
        self._storage = f"{info.group}/{custom.storage}"
        self._head = head(info)
        self._storage_head = _head(info.kind, self._storage)

    def is_served(self, wire: bytes) -> bool:
        return self._custom.single and wire.startswith(self._head)

    def is_current(self, wire: bytes) -> bool:
        return wire.startswith(self._storage_head)

    async def read(self, stored: Sequence[Object]) -> list[Object]:
        for obj in stored:
            default(self._custom, obj)
        found = await self._converted(stored, self._info.api_version)
        for obj in found:
            self._custom.schema.prune(obj)
        return found

    async def write(self, obj: Object) -> Object:
        if self._info.api_version == self._storage:
            return obj
        return (await self._converted([codec.decode(codec.encode(obj))], self._storage))[0]

    async def convert(self, obj: Object, api_version: str) -> Object:
        return (await self._converted([obj], api_version))[0]

    async def _converted(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        result = list(objects)
        foreign = [index for index, obj in enumerate(result) if obj.get("apiVersion") != api_version]
        if foreign:
            converted = await self._convert([result[index] for index in foreign], api_version)
            for index, obj in zip(foreign, converted, strict=True):
                result[index] = obj
        return result


def head(info: ResourceInfo) -> bytes:
    """How the bytes of every object of this version begin."""
    return _head(info.kind, info.api_version)


def _head(kind: str, api_version: str) -> bytes:
    return f'{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{{'.encode()


def default(custom: CustomVersion, obj: Object) -> None:
    """Fill in the defaults of the version that a stored object is in."""
    schema = custom.schemas.get(str(obj.get("apiVersion", "")).rpartition("/")[2])
    if schema is not None:
        schema.default(obj)


def normaliser(info: ResourceInfo, custom: CustomVersion) -> Callable[[bytes], bytes] | None:
    """What turns stored bytes into those that the only version shows; None where there are several: then
    each read decides."""
    if not custom.single:
        return None

    def normalise(value: bytes) -> bytes:
        # Raises for what is no object with metadata: others may have written it.
        codec.metadata(value)
        obj = codec.decode(value)
        obj["kind"], obj["apiVersion"] = info.kind, info.api_version
        custom.schema.default(obj)
        custom.schema.prune(obj)
        return codec.encode(obj)

    return normalise

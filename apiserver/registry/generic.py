"""The generic registry: every write to every resource, in one fixed order.

    default -> record managers -> mutating admission -> prepare -> validate -> validating admission
    -> encode -> compare-and-swap

Decoding and the schema check come before it (`http/`), the response after it. What differs per resource is
in its Strategy, which is pure; what must be claimed elsewhere before a write may happen (a Service's
addresses) is a `Claim`, entered around validating admission and the swap.

Invariant: every write compares against the revision of the object that it was computed from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from kplane.api.apply import settle
from kplane.api.clock import rfc3339
from kplane.api.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    already_exists,
    invalid,
    not_found,
)
from kplane.api.field import FieldError
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo

from ..admission.chain import Attributes, Operation, unchanged
from ..storage import codec
from ..storage.cache import WatchCache
from ..storage.store import CompareFailed, Entry
from . import deletion, faults, metadata
from .deletion import DeleteOptions, Outcome
from .fields import Fields
from .fieldversions import ForeignVersion
from .strategy import Strategy, Subresource
from .telling import told
from .updates import check_delete_preconditions, check_preconditions, count_generation, restrict
from .versions import BuiltinVersions, StoredVersions
from .writing import Author, Backing, Change, Claim, Removed, View, Written, no_claim

GENERATE_ATTEMPTS = 8


class _Current(NamedTuple):
    """An object as it was read, in the version that is served. `fresh`: straight from the store, so that its
    absence or refusal is final. `stale`: stored in a version of former days; any write brings it up to date,
    also one that changes nothing."""

    wire: bytes
    revision: int
    fresh: bool
    stale: bool


class Registry:
    """One resource at one version. All methods raise ApiError.

    Objects come and go in this version; wire bytes may be in the version that is stored: see `served`.
    """

    def __init__(
        self,
        info: ResourceInfo,
        strategy: Strategy,
        cache: WatchCache,
        backing: Backing,
        *,
        claim: Claim = no_claim,
        ttl: int = 0,
        versions: StoredVersions | None = None,
    ) -> None:
        self.info = info
        self.strategy = strategy
        self.cache = cache
        self._backing = backing
        self._claim = claim
        self._ttl = ttl or strategy.ttl
        self._owned = frozenset(field for sub in strategy.subresources for field in sub.owns)
        self._fields = Fields(info, strategy.subresources, backing.clock)
        self._versions = versions or BuiltinVersions(info)

    def is_served(self, wire: bytes) -> bool:
        """Whether these bytes are what this version shows."""
        return self._versions.is_served(wire)

    async def objects(self, wires: Sequence[bytes]) -> list[Object]:
        """Stored objects, in the version that this registry serves."""
        return await self._versions.read([codec.decode(wire) for wire in wires])

    async def converted(self, obj: Object) -> Object:
        """An object of another version of this resource, in this one. May change what it is given."""
        return (await self._versions.read([obj]))[0]

    async def served(self, wire: bytes) -> bytes:
        """An object in the version that this registry serves; `wire` may be in that one already."""
        if self._versions.is_served(wire):
            return wire
        obj = (await self.objects((wire,)))[0]
        revision = obj["metadata"].get("resourceVersion")
        stored = codec.encode(obj)
        # A dry run has made nothing, so nothing has a revision.
        return codec.wire(stored, int(revision)) if revision else stored

    def _decode(self, wire: bytes) -> Object:
        """The object of a `_Current`."""
        return codec.decode(wire)

    async def _encode(self, obj: Object) -> bytes:
        return codec.encode(await self._versions.write(obj))

    def subresource(self, name: str) -> Subresource | None:
        """The object-shaped subresource of that name."""
        return next((sub for sub in self.strategy.subresources if sub.name == name), None)

    def missing(self, name: str) -> ApiError:
        return not_found(self.info.plural, self.info.group, name)

    async def create(self, obj: Object, namespace: str, author: Author) -> Written:
        """Store a new object, under a generated name where it has only metadata.generateName."""
        while True:
            try:
                attributes = await self._admit_new(obj, namespace, author)
                break
            except ForeignVersion as need:
                await self._settle(need)
        meta = obj["metadata"]
        generate = meta.get("generateName") if not meta.get("name") else None
        for attempt in range(1, GENERATE_ATTEMPTS + 1):
            if generate:
                meta["name"] = metadata.generated_name(
                    generate, self._backing.entropy.suffix(metadata.SUFFIX_LENGTH)
                )
            try:
                return await self._create(obj, namespace, author, attributes)
            except AlreadyExists:
                if not generate or attempt == GENERATE_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _settle(self, need: ForeignVersion) -> None:
        need.settle(await self._versions.convert(need.object, need.api_version))

    async def _admit_new(self, obj: Object, namespace: str, author: Author) -> Attributes:
        """Up to mutating admission, which sees no generated name yet."""
        meta = obj["metadata"]
        metadata.bind_namespace(obj, namespace)
        if meta.pop("resourceVersion", None):
            raise BadRequest("resourceVersion should not be set on objects to be created")
        self.strategy.default(obj)
        self._fields.track(None, obj, meta.get("managedFields"), author)
        attributes = self._attributes(
            Operation.CREATE, Key(namespace, meta.get("name", "")), obj, None, author
        )
        await self._backing.admission.admit(attributes)
        # Whoever changed the object cannot have moved it.
        metadata.bind_namespace(obj, namespace)
        return attributes

    async def _create(self, obj: Object, namespace: str, author: Author, attributes: Attributes) -> Written:
        meta = obj["metadata"]
        now = rfc3339(self._backing.clock.now())
        metadata.initialise(obj, self._backing.entropy.uid(), now)
        if not self.strategy.immutable_spec_generation:
            meta["generation"] = 1
        self.strategy.stamp(obj, None, author.user, now)
        self._warn(self.strategy.early_warnings(obj), author)
        self.strategy.prepare_create(obj)
        self._refuse(meta.get("name", ""), faults.of_new(obj, self.info, self.strategy))
        async with self._claim(obj, None, author.dry_run):
            await self._backing.admission.validate(attributes)
            self._warn(self.strategy.warnings(obj), author)
            return await self._insert(obj, self.cache.key(namespace, meta["name"]), author)

    async def _insert(self, obj: Object, key: str, author: Author) -> Written:
        name = obj["metadata"]["name"]
        stored = await self._encode(obj)
        if author.dry_run:
            if await self._backing.store.get(key) is not None:
                raise already_exists(self.info.plural, self.info.group, name)
            return Written(stored, created=True)
        try:
            revision = await self._backing.store.put(key, stored, expect=0, ttl=self._ttl)
        except CompareFailed as failed:
            raise self._exists(name, failed.current) from failed
        return Written(codec.wire(stored, revision), created=True)

    def _exists(self, name: str, current: Entry | None) -> AlreadyExists:
        error = already_exists(self.info.plural, self.info.group, name)
        if current and codec.decode(current.value)["metadata"].get("deletionTimestamp"):
            return AlreadyExists(f"object is being deleted: {error.message}", error.details)
        return error

    async def modify(
        self,
        key: Key,
        change: Change,
        author: Author,
        *,
        subresource: Subresource | None = None,
        view: View | None = None,
        create: Callable[[], Object] | None = None,
    ) -> Written:
        """Change an object, or with `view` (to which `change` applies then) through that view; `create` gives
        what to store where there is none and the kind allows that.

        A lost race computes the change again from the new state; only a resourceVersion in the changed
        object makes it final.
        """
        current = await self._read(key)
        while True:
            if current is None:
                current = await self._read_store(key)
                if current is None:
                    break
            try:
                return await self._modify(key, current, change, author, subresource, view)
            except CompareFailed as failed:
                current = await self._current(failed.current)
                if current is None:
                    raise self.missing(key.name) from failed
            except ForeignVersion as need:
                await self._settle(need)
            except ApiError as refusal:
                current = await self._later(key, current, refusal)
        if create is None or not (self.strategy.allow_create_on_update or author.applies):
            raise self.missing(key.name)
        return await self.create(create(), key.namespace, author)

    async def apply(
        self,
        key: Key,
        config: bytes,
        author: Author,
        *,
        force: bool,
        subresource: Subresource | None = None,
    ) -> Written:
        """Apply a configuration (JSON, checked against the schema) for the author's manager; what is not
        there yet is created."""

        def applied(live: Object | None) -> Object:
            return self._fields.apply(live, codec.decode(config), author, force=force)

        create = None if subresource else lambda: applied(None)
        try:
            return await self.modify(key, applied, author, subresource=subresource, create=create)
        except AlreadyExists:
            # Somebody else was first: now it is an apply to what they made.
            return await self.modify(key, applied, author, subresource=subresource)

    async def amend(self, key: Key, change: Change, author: Author) -> Written:
        """Change what no client may write directly: the server itself computes the change (binding a pod,
        finalising a namespace), so neither strategy nor admission has a say. `change` may raise ApiError."""
        current = await self._read(key) or await self._read_store(key)
        while current is not None:
            old = self._decode(current.wire)
            try:
                new = change(self._decode(current.wire))
                self._check_preconditions(key, new, old)
                return await self._swap(key, current, new, old, author)
            except CompareFailed as failed:
                current = await self._current(failed.current)
            except ApiError as refusal:
                current = await self._later(key, current, refusal)
        raise self.missing(key.name)

    async def _later(self, key: Key, current: _Current, refusal: ApiError) -> _Current:
        """The cache may lag: what was refused for `current` may be right for the object as it is now. Raises
        the refusal if there is nothing newer."""
        latest = None if current.fresh else await self._read_store(key)
        if latest is None or latest.revision == current.revision:
            raise refusal
        return latest

    async def _modify(
        self,
        key: Key,
        current: _Current,
        change: Change,
        author: Author,
        subresource: Subresource | None,
        view: View | None,
    ) -> Written:
        old = self._decode(current.wire)
        attributes: Attributes | None = None
        if view is None:
            new = change(self._decode(current.wire))
        else:
            attributes = self._view_attributes(key, view, change, current, author)
            await self._backing.admission.admit(attributes)
            assert attributes.object is not None
            new = view.apply(self._decode(current.wire), attributes.object)
        self._check_preconditions(key, new, old)
        metadata.bind_namespace(new, key.namespace)
        managed = new["metadata"].get("managedFields")
        metadata.carry_over(new, old)
        # From a copy of their own: what follows may change the new object in place, never the old one.
        restrict(new, self._decode(current.wire), subresource, self._owned)
        self.strategy.default(new)
        self._fields.track(old, new, managed, author)
        if attributes is None:
            name = subresource.name if subresource else ""
            attributes = self._attributes(Operation.UPDATE, key, new, old, author, name)
            await self._backing.admission.admit(attributes)
            metadata.bind_namespace(new, key.namespace)
        prepare = self.strategy.prepare_status if subresource else self.strategy.prepare_update
        prepare(new, old)
        if subresource and subresource.restrict:
            subresource.restrict(new, old)
        self.strategy.stamp(new, old, author.user, rfc3339(self._backing.clock.now()))
        count_generation(new, old, self.strategy, self._owned)
        self._refuse(key.name, faults.of_change(new, old, subresource, self.info, self.strategy))
        gone = deletion.finished(new, old, self.strategy)
        async with self._claim(None if gone else new, old, author.dry_run):
            if view is not None:
                attributes.object = view.show(new)
            await self._backing.admission.validate(attributes)
            if subresource is None:
                self._warn(self.strategy.update_warnings(new, old), author)
            elif subresource.warnings:
                self._warn(subresource.warnings(new), author)
            settle(new, old)
            return await self._swap(key, current, new, old, author)

    def _check_preconditions(self, key: Key, new: Object, old: Object) -> None:
        check_preconditions(
            new["metadata"],
            old["metadata"],
            self.cache.key(*key),
            self.info,
            unconditional=self.strategy.unconditional_update,
        )

    async def _swap(self, key: Key, current: _Current, new: Object, old: Object, author: Author) -> Written:
        if new == old and not current.stale:
            return Written(current.wire)
        path = self.cache.key(*key)
        stored = await self._encode(new)
        if author.dry_run:
            return Written(codec.wire(stored, current.revision))
        if deletion.finished(new, old, self.strategy):
            await self._backing.store.delete(path, expect=current.revision)
            return Written(codec.wire(stored, current.revision))
        revision = await self._backing.store.put(path, stored, expect=current.revision, ttl=self._ttl)
        return Written(codec.wire(stored, revision))

    async def delete(
        self, key: Key, options: DeleteOptions, author: Author, *, admitted: bool = False
    ) -> Removed:
        """Remove the object, or mark it as being deleted, as its finalizers and grace period demand.
        `admitted`: admission has had its say on what leads to this (an eviction)."""
        current = await self._read(key) or await self._read_store(key)
        while current is not None:
            try:
                return await self._delete(key, current, options, author, admitted)
            except CompareFailed as failed:
                current = await self._current(failed.current)
            except ApiError as refusal:
                current = await self._later(key, current, refusal)
        raise self.missing(key.name)

    async def _delete(
        self, key: Key, current: _Current, options: DeleteOptions, author: Author, admitted: bool
    ) -> Removed:
        old = self._decode(current.wire)
        check_delete_preconditions(options, old["metadata"], self.cache.key(*key), self.info)
        if not admitted:
            attributes = self._attributes(Operation.DELETE, key, None, old, author)
            await self._backing.admission.admit(attributes)
            await self._backing.admission.validate(attributes)
        new = self._decode(current.wire)
        outcome = deletion.plan(new, self.strategy, options, self._backing.clock.now())
        if outcome is Outcome.WAIT:
            return Removed(current.wire, gone=False)
        if outcome is Outcome.MARK:
            return Removed((await self._swap(key, current, new, old, author)).wire, gone=False)
        async with self._claim(None, old, author.dry_run):
            if not author.dry_run:
                await self._backing.store.delete(self.cache.key(*key), expect=current.revision)
        return Removed(current.wire, gone=True)

    async def _read(self, key: Key) -> _Current | None:
        """The object as the cache has it now: cheap, perhaps a little old."""
        item = await self.cache.get(*key, at_least=0)
        if item is None:
            return None
        stale = not self._versions.is_current(item.wire)
        return _Current(await self.served(item.wire), item.revision, fresh=False, stale=stale)

    async def _read_store(self, key: Key) -> _Current | None:
        return await self._current(await self._backing.store.get(self.cache.key(*key)))

    async def admit(
        self,
        subresource: str,
        kind: ResourceInfo,
        obj: Object,
        key: Key,
        author: Author,
        *,
        info: ResourceInfo | None = None,
        complete: Callable[[Object], None] = lambda obj: None,
    ) -> None:
        """Admission of an order that is given to a subresource and not kept (Binding, Eviction,
        TokenRequest): plug-ins may change `obj` or refuse it. `info`: the resource it was sent to, where that
        is another. `complete` sees it when it changes no more, before those who only refuse. Raises
        ApiError."""
        attributes = self._attributes(Operation.CREATE, key, obj, None, author, subresource)
        attributes.info, attributes.kind = info or self.info, kind
        attributes.default = unchanged
        await self._backing.admission.admit(attributes)
        complete(obj)
        await self._backing.admission.validate(attributes)

    def _view_attributes(
        self, key: Key, view: View, change: Change, current: _Current, author: Author
    ) -> Attributes:
        old = view.show(self._decode(current.wire))
        new = change(view.show(self._decode(current.wire)))
        attributes = self._attributes(Operation.UPDATE, key, new, old, author, view.subresource)
        attributes.kind = view.kind
        attributes.default = unchanged
        return attributes

    def _attributes(
        self,
        operation: Operation,
        key: Key,
        new: Object | None,
        old: Object | None,
        author: Author,
        subresource: str = "",
    ) -> Attributes:
        return told(self.info, self.strategy, operation, key, (new, old), author, subresource)

    def _refuse(self, name: str, found: Iterator[FieldError]) -> None:
        if (first := next(found, None)) is not None:
            raise invalid(self.info.kind, self.info.group, name, chain([first], found))

    def _warn(self, texts: Iterator[str], author: Author) -> None:
        for text in texts:
            author.warn(text)

    async def _current(self, entry: Entry | None) -> _Current | None:
        if entry is None:
            return None
        wire = codec.wire(entry.value, entry.revision)
        stale = not self._versions.is_current(wire)
        return _Current(await self.served(wire), entry.revision, fresh=True, stale=stale)

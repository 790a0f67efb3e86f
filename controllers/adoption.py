"""Adoption: which objects belong to a controller's object, by controller ownerReference.

Orphans that match the selector are adopted, owned objects that no longer match are released, and objects of
other owners are left alone.

Reads: the owner, live, before it adopts anything.
Writes: metadata.ownerReferences of children.

Invariant: an owner that is being deleted, or has been replaced under its name, adopts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from kplane.api.errors import ApiError, Invalid, NotFound
from kplane.api.resource import Key, Object, Resource, resource_of
from kplane.api.selectors import Selector, SelectorError, from_label_selector
from kplane.api.types import LabelSelector, PartialObjectMetadata, View
from kplane.client.rest import Client, PatchType
from kplane.client.workqueue import Terminal

from .batches import attempt_all

V = TypeVar("V", bound=View)


class CannotAdopt(ApiError):
    """The owner has gone or changed since it was cached; the next change or retry settles it."""


@dataclass
class Claim(Generic[V]):
    """What is the owner's, and what has to be written to make it so."""

    mine: list[V] = field(default_factory=list)
    adopt: list[V] = field(default_factory=list)
    release: list[V] = field(default_factory=list)


def plan(owner: View, objects: Iterable[V], matches: Callable[[V], bool]) -> Claim[V]:
    """Sort the objects of the owner's namespace into those to keep, adopt and release."""
    claim: Claim[V] = Claim()
    deleting = owner.metadata.deletion_timestamp is not None
    for candidate in objects:
        controller = candidate.metadata.controller
        if controller is not None and controller.uid != owner.metadata.uid:
            continue
        fits = matches(candidate)
        if controller is not None and fits:
            claim.mine.append(candidate)
        elif controller is not None and not deleting:
            claim.release.append(candidate)
        elif controller is None and fits and not deleting and not candidate.metadata.deletion_timestamp:
            claim.adopt.append(candidate)
    return claim


class Selecting(Protocol):
    """The spec of an object that owns what it selects."""

    @property
    def selector(self) -> LabelSelector: ...


class Adopter(Protocol):
    """An object that owns what it selects: a ReplicaSet, a Deployment, …"""

    @property
    def key(self) -> Key: ...
    @property
    def spec(self) -> Selecting: ...


def selector_of(owner: Adopter) -> Selector:
    """The owner's selector. Raises Terminal where it makes no sense: only a new spec can help."""
    try:
        return from_label_selector(owner.spec.selector)
    except SelectorError as error:
        raise Terminal(f"invalid selector of {owner.key}: {error}") from error


def adopters(owners: Iterable[Adopter], labels: Mapping[str, str]) -> Iterator[Key]:
    """The owners whose selector matches, for an orphan that has turned up."""
    for owner in owners:
        try:
            selector = from_label_selector(owner.spec.selector)
        except SelectorError:
            continue  # Its own reconcile reports it.
        if selector.matches(labels):
            yield owner.key


def controller_reference(owner: View) -> Object:
    """The ownerReference that makes `owner` the managing controller."""
    resource: Resource[View] = resource_of(type(owner))
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


class Adoption(Generic[V]):
    """Carries claims out for children of one kind. Those that are adopted get the `finalizer`, where one is
    given, and lose it when they are released."""

    def __init__(self, client: Client, children: type[V], finalizer: str = "") -> None:
        self._client = client
        self._children = children
        self._finalizer = finalizer

    async def claim(self, owner: View, objects: Iterable[V], matches: Callable[[V], bool]) -> list[V]:
        """The objects that are the owner's after adopting and releasing. Raises the first ApiError."""
        claim = plan(owner, objects, matches)
        if claim.adopt:
            await self._check_owner(owner)
        adopted: list[V] = []
        errors = await attempt_all(
            [self._adopt(owner, child, adopted) for child in claim.adopt]
            + [self._release(owner, child) for child in claim.release]
        )
        if errors:
            raise errors[0]
        return claim.mine + adopted

    async def _check_owner(self, owner: View) -> None:
        """The cached owner may have been deleted, and even been replaced, a moment ago."""
        resource: Resource[View] = resource_of(type(owner))
        live = await self._client.get(
            resource.as_type(PartialObjectMetadata), owner.metadata.name, owner.metadata.namespace
        )
        if live.metadata.uid != owner.metadata.uid:
            raise CannotAdopt(
                f"original {resource.kind} {owner.key} is gone: "
                f"got uid {live.metadata.uid}, wanted {owner.metadata.uid}"
            )
        if live.metadata.deletion_timestamp:
            raise CannotAdopt(f"{owner.key} has just been deleted at {live.metadata.deletion_timestamp}")

    async def _adopt(self, owner: View, child: V, adopted: list[V]) -> None:
        try:
            adopted.append(await self._patch(child, controller_reference(owner), "finalizers"))
        except NotFound:
            return  # Deleted meanwhile: nothing to adopt.

    async def _release(self, owner: View, child: V) -> None:
        try:
            released = {"$patch": "delete", "uid": owner.metadata.uid}
            await self._patch(child, released, "$deleteFromPrimitiveList/finalizers")
        except (NotFound, Invalid):
            return  # Deleted, or replaced by another object of its name: no longer ours either way.

    async def _patch(self, child: V, reference: Object, finalizers: str) -> V:
        """The uid in the body makes the server refuse if the child was replaced under its name. `finalizers`
        is what the patch calls the list that the finalizer is added to or removed from."""
        meta = child.metadata
        body: Object = {"metadata": {"uid": meta.uid, "ownerReferences": [reference]}}
        if self._finalizer:
            body["metadata"][finalizers] = [self._finalizer]
        return await self._client.patch(
            self._children, meta.name, meta.namespace, body, kind=PatchType.STRATEGIC
        )

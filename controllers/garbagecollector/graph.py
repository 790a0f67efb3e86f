"""The graph of owners and dependents, over the metadata of all objects. No I/O.

Invariant: a node is in `dependents` of exactly the owners that its ownerReferences name, whether these exist
or not. An owner that was only heard of is a virtual node until it is seen, or found absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kplane.api.resource import Resource
from kplane.api.types import OwnerReference, PartialObjectMetadata
from kplane.api.types.meta import View

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Identity:
    """Where an object is, or is said to be."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


NOBODY: frozenset[Node] = frozenset()


@dataclass(eq=False, slots=True)
class Node:
    """One object. `deleting` and what follows from its finalizers never turn back. There is one for every
    object of the cluster, and nearly all of them own nothing: only owners have a set of their own."""

    identity: Identity
    owners: tuple[OwnerReference, ...] = ()
    dependents: set[Node] | frozenset[Node] = NOBODY
    virtual: bool = False
    deleting: bool = False
    waits_for_dependents: bool = False
    orphans_dependents: bool = False

    def add(self, dependent: Node) -> None:
        if not isinstance(self.dependents, set):
            self.dependents = set()
        self.dependents.add(dependent)

    def discard(self, dependent: Node) -> None:
        if isinstance(self.dependents, set):
            self.dependents.discard(dependent)

    @property
    def blocking(self) -> list[Node]:
        """The dependents that hold up this node's foreground deletion."""
        uid = self.identity.uid
        return [
            dependent
            for dependent in self.dependents
            if any(owner.uid == uid and owner.block_owner_deletion for owner in dependent.owners)
        ]


class Graph:
    """`wake` is called with each node that has to be decided about again; `invalid` with each node whose
    owner's uid is known under other coordinates, and that reference."""

    def __init__(self, wake: Callable[[Node], None], invalid: Callable[[Node, OwnerReference], None]) -> None:
        self._nodes: dict[str, Node] = {}
        self._wake = wake
        self._invalid = invalid

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def observe(self, resource: Resource[PartialObjectMetadata], obj: View) -> None:
        """The object exists, like this."""
        meta = obj.metadata
        identity = Identity(resource.api_version, resource.kind, meta.namespace, meta.name, meta.uid)
        node = self._nodes.get(meta.uid)
        if node is None:
            node = self._nodes[meta.uid] = Node(identity)
        elif node.virtual:
            self._confirm(node, identity)
        self._set_owners(node, meta.owner_references)
        self._set_deletion(node, obj)

    def forget(self, uid: str) -> None:
        """The object is gone: dependents may have to go, owners may have waited for it."""
        node = self._nodes.pop(uid, None)
        if node is None:
            return
        # One that owns itself is not survived by its dependent.
        node.discard(node)
        for owner in self._owners_of(node.owners):
            owner.discard(node)
            if owner.waits_for_dependents:
                self._wake(owner)
            elif owner.virtual and not owner.dependents:
                self._nodes.pop(owner.identity.uid, None)
        for dependent in node.dependents:
            self._wake(dependent)
        if node.dependents:
            # Their references still name it; the node stands for that until they change.
            self._nodes[uid] = Node(node.identity, dependents=node.dependents, virtual=True)

    def has_solid_owners(self, node: Node) -> bool:
        """Whether all owners are known to exist and none waits for its dependents: nothing to look up."""
        return all(self._is_solid(owner, node) for owner in node.owners)

    def _is_solid(self, reference: OwnerReference, node: Node) -> bool:
        owner = self._nodes.get(reference.uid)
        if owner is None or owner.virtual or owner.waits_for_dependents:
            return False
        return names(reference, node.identity.namespace, owner.identity)

    def _confirm(self, node: Node, identity: Identity) -> None:
        """A virtual node turned out to exist; perhaps elsewhere than some dependents say."""
        node.virtual = False
        node.identity = identity
        for dependent in node.dependents:
            for owner in dependent.owners:
                if owner.uid == identity.uid and not names(owner, dependent.identity.namespace, identity):
                    self._invalid(dependent, owner)
                    self._wake(dependent)

    def _set_owners(self, node: Node, owners: tuple[OwnerReference, ...]) -> None:
        before = {owner.uid for owner in node.owners}
        after = {owner.uid for owner in owners}
        unblocked = [old for old in node.owners if old.block_owner_deletion and old not in owners]
        gone = [owner for owner in node.owners if owner.uid not in after]
        if not after and not before:
            return
        node.owners = owners
        for owner in self._owners_of(gone):
            owner.discard(node)
            if owner.virtual and not owner.dependents:
                self._nodes.pop(owner.identity.uid, None)
        for owner in self._owners_of(unblocked):
            if owner.waits_for_dependents:
                self._wake(owner)
        for reference in owners:
            if reference.uid not in before:
                self._add_dependent(node, reference)

    def _add_dependent(self, node: Node, reference: OwnerReference) -> None:
        namespace = node.identity.namespace
        owner = self._nodes.get(reference.uid)
        if owner is None:
            identity = Identity(
                reference.api_version, reference.kind, namespace, reference.name, reference.uid
            )
            owner = self._nodes[reference.uid] = Node(identity, virtual=True)
        elif not owner.virtual and not names(reference, namespace, owner.identity):
            self._invalid(node, reference)
            self._wake(node)
        owner.add(node)
        if owner.virtual:
            # The owner may never come: whether the dependent is garbage is looked up live.
            self._wake(node)
        elif owner.waits_for_dependents:
            self._wake(owner)
            self._wake(node)

    def _set_deletion(self, node: Node, obj: View) -> None:
        if not obj.metadata.deletion_timestamp:
            return
        finalizers = obj.metadata.finalizers
        began = not node.deleting
        node.deleting = True
        orphans, waits = ORPHAN in finalizers, FOREGROUND in finalizers
        if orphans and not node.orphans_dependents:
            self._wake(node)
        if waits and (began or not node.waits_for_dependents):
            self._wake(node)
            for dependent in node.dependents:
                self._wake(dependent)
        node.orphans_dependents, node.waits_for_dependents = orphans, waits

    def _owners_of(self, references: Iterable[OwnerReference]) -> Iterator[Node]:
        for reference in references:
            if (owner := self._nodes.get(reference.uid)) is not None:
                yield owner


def names(reference: OwnerReference, namespace: str, identity: Identity) -> bool:
    """Whether a reference made in `namespace` points to this place; a cluster-scoped owner may be named from
    anywhere, and the API version may differ within the group."""
    group = reference.api_version.rpartition("/")[0]
    same_kind = (group, reference.kind) == (identity.api_version.rpartition("/")[0], identity.kind)
    return same_kind and reference.name == identity.name and identity.namespace in ("", namespace)

"""Garbage collector: carries out what the graph and the decisions say, one object at a time.

Keys are uids: `Key("", uid)`.
Reads: the graph; before any write, the object and its owners, live.
Writes: deletions, ownerReferences, and the finalizers `foregroundDeletion` and `orphan`.
Elsewhere: putting these finalizers on (the API server, by propagationPolicy).

Invariant: nothing is deleted because of a cache: owners are looked up live, and each write names the uid.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from kplane.api.errors import ApiError, Invalid, NotFound, UnsupportedMediaType
from kplane.api.resource import Key, Object
from kplane.api.types import OwnerReference, PartialObjectMetadata
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue

from ..batches import attempt_all
from ..status import guarded
from .decision import Delete, DropOwners, Fate, decide
from .graph import FOREGROUND, ORPHAN, Graph, Identity, Node
from .monitors import Metadata, Monitors

log = logging.getLogger(__name__)

ABSENT_REMEMBERED = 500
"""Owners known to be gone, so that their dependents do not all ask for them."""
UNSEEN = 30.0
"""Seconds after which an owner is looked for again that exists and is not in the graph."""


class UnknownKind(ApiError):
    """An owner's kind is not served; its resource may come (back) later."""


class GarbageCollector:
    name = "garbage-collector-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._events = ctx.events
        self._queue = ctx.queue
        self._graph = Graph(self._wake, self._tell_invalid_owner)
        self._absent: dict[str, None] = {}
        self._unserved: set[Key] = set()
        """Keys whose reconciliation waits for a kind to be served."""
        self._monitors = Monitors(ctx, self._graph, self._retry_unserved)

    async def run(self) -> None:
        """Keep the graph current until cancelled."""
        await self._monitors.run()

    async def wait_synced(self) -> None:
        await self._monitors.wait_synced()

    def _wake(self, node: Node) -> None:
        self._queue.add(Key("", node.identity.uid))

    def _retry_unserved(self) -> None:
        """Some kind is served now that was not."""
        for key in self._unserved:
            self._queue.add(key)
        self._unserved.clear()

    def _tell_invalid_owner(self, node: Node, owner: OwnerReference) -> None:
        identity = node.identity
        about = {
            "apiVersion": identity.api_version,
            "kind": identity.kind,
            "namespace": identity.namespace,
            "name": identity.name,
            "uid": identity.uid,
        }
        reference = (
            f"[{owner.api_version}/{owner.kind}, namespace: {identity.namespace}, "
            f"name: {owner.name}, uid: {owner.uid}]"
        )
        message = f'ownerRef {reference} does not exist in namespace "{identity.namespace}"'
        self._events.event(about, "Warning", "OwnerRefInvalidNamespace", message)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Decide about one object. Safe to repeat at any time."""
        node = self._graph.get(key.name)
        if node is None:
            self._unserved.discard(key)
            return None
        try:
            return await self._attend_to(node)
        except UnknownKind:
            self._unserved.add(key)
            raise

    async def _attend_to(self, node: Node) -> Requeue | None:
        if node.virtual:
            return await self._look_for(node)
        if node.orphans_dependents:
            await self._orphan(node)
        elif node.waits_for_dependents:
            await self._finish_foreground(node)
        elif not node.deleting:
            await self._collect(node)
        return None

    async def _look_for(self, node: Node) -> Requeue | None:
        """An owner that exists and has not been seen may come and go while nobody watches."""
        if await self._live(node.identity) is not None:
            return Requeue(UNSEEN)
        for dependent in node.dependents:
            self._wake(dependent)
        return None

    async def _collect(self, node: Node) -> None:
        """Delete the object if it has lost its owners."""
        if self._graph.has_solid_owners(node):
            return
        latest = await self._live(node.identity)
        if latest is None:
            self._graph.forget(node.identity.uid)
            return
        if not node.identity.namespace and self._has_namespaced_owner(latest):
            # Nothing tells in which namespace the owner would be: such references are invalid for ever.
            return
        fates = {owner.uid: await self._fate(latest, owner) for owner in latest.metadata.owner_references}
        decision = decide(node, latest, fates)
        if isinstance(decision, DropOwners):
            await self._drop_owners(node.identity, decision.uids)
        elif isinstance(decision, Delete):
            await self._delete(node, latest, decision)

    def _has_namespaced_owner(self, latest: PartialObjectMetadata) -> bool:
        return any(self._resource(owner).namespaced for owner in latest.metadata.owner_references)

    async def _fate(self, latest: PartialObjectMetadata, owner: OwnerReference) -> Fate:
        """What became of an owner. Uids never come back, so absence need be seen only once."""
        if owner.uid in self._absent:
            return Fate.DANGLING
        namespace = latest.metadata.namespace if self._resource(owner).namespaced else ""
        found = await self._live(Identity(owner.api_version, owner.kind, namespace, owner.name, owner.uid))
        if found is None:
            self._remember_absent(owner.uid)
            return Fate.DANGLING
        if (known := self._graph.get(owner.uid)) is not None and known.virtual:
            self._queue.add_after(Key("", owner.uid), UNSEEN)
        waits = found.metadata.deletion_timestamp and FOREGROUND in found.metadata.finalizers
        return Fate.WAITING if waits else Fate.SOLID

    def _remember_absent(self, uid: str) -> None:
        self._absent[uid] = None
        while len(self._absent) > ABSENT_REMEMBERED:
            self._absent.pop(next(iter(self._absent)))

    async def _delete(self, node: Node, latest: PartialObjectMetadata, decision: Delete) -> None:
        identity, meta = node.identity, latest.metadata
        if decision.unblock:
            await self._unblock(identity, meta.owner_references)
            # The patch has made another resourceVersion.
            meta = (await self._live(identity) or latest).metadata
        log.info("deleting kind=%s key=%s policy=%s", identity.kind, latest.key, decision.policy)
        try:
            await self._client.delete(
                self._resource(identity), identity.name, identity.namespace,
                uid=identity.uid, resource_version=meta.resource_version, propagation=decision.policy,
            )  # fmt: skip
        except NotFound:
            return  # Gone already; its own event follows.

    async def _finish_foreground(self, node: Node) -> None:
        """Let the object go once no dependent blocks it; until then, see that its dependents go."""
        blocking = node.blocking
        if not blocking:
            await self._remove_finalizer(node.identity, FOREGROUND)
        for dependent in blocking:
            if not dependent.waits_for_dependents:
                self._wake(dependent)

    async def _orphan(self, node: Node) -> None:
        """Take the object out of its dependents' ownerReferences, then let it go."""
        uid = node.identity.uid
        errors = await attempt_all(
            self._drop_owners(dependent.identity, [uid]) for dependent in list(node.dependents)
        )
        if errors:
            raise errors[0]
        await self._remove_finalizer(node.identity, ORPHAN)

    async def _drop_owners(self, identity: Identity, uids: Sequence[str]) -> None:
        log.info("dropping owners kind=%s name=%s count=%d", identity.kind, identity.name, len(uids))
        dropped = [{"$patch": "delete", "uid": uid} for uid in uids]
        try:
            await self._patch_owners(identity, dropped)
        except UnsupportedMediaType:
            await self._rewrite_owners(identity, lambda owner: None if owner.uid in uids else owner)
        except (NotFound, Invalid):
            return  # Gone, or replaced under its name by an object with other owners.

    async def _rewrite_owners(
        self, identity: Identity, change: Callable[[OwnerReference], OwnerReference | None]
    ) -> None:
        """The same for custom resources, which know no strategic merge. `change` says what becomes of each
        reference; None: it goes."""
        latest = await self._live(identity)
        if latest is None:
            return
        rest = [kept for owner in latest.metadata.owner_references if (kept := change(owner)) is not None]
        body = {"metadata": {"ownerReferences": msgspec.to_builtins(rest) or None}}
        await self._patch(identity, guarded(latest.metadata, body))

    async def _unblock(self, identity: Identity, owners: Sequence[OwnerReference]) -> None:
        """Part of a circle: whoever it blocks waits for itself in the end."""
        blocking = [
            {"uid": owner.uid, "blockOwnerDeletion": False} for owner in owners if owner.block_owner_deletion
        ]
        try:
            await self._patch_owners(identity, blocking)
        except UnsupportedMediaType:
            await self._rewrite_owners(
                identity, lambda owner: msgspec.structs.replace(owner, block_owner_deletion=False)
            )

    async def _remove_finalizer(self, identity: Identity, name: str) -> None:
        latest = await self._live(identity)
        if latest is None or name not in latest.metadata.finalizers:
            return
        rest = [entry for entry in latest.metadata.finalizers if entry != name]
        try:
            await self._patch(identity, guarded(latest.metadata, {"metadata": {"finalizers": rest or None}}))
        except NotFound:
            return  # Gone already.

    async def _live(self, identity: Identity) -> PartialObjectMetadata | None:
        """The object as it is now; None if it, or this incarnation of it, is gone."""
        try:
            found = await self._client.get(self._resource(identity), identity.name, identity.namespace)
        except NotFound:
            return None
        return found if found.metadata.uid == identity.uid else None

    async def _patch_owners(self, identity: Identity, references: Sequence[Object]) -> None:
        body = {"metadata": {"uid": identity.uid, "ownerReferences": references}}
        await self._patch(identity, body, PatchType.STRATEGIC)

    async def _patch(self, identity: Identity, body: Object, kind: PatchType = PatchType.MERGE) -> None:
        await self._client.patch(self._resource(identity), identity.name, identity.namespace, body, kind=kind)

    def _resource(self, named: Identity | OwnerReference) -> Metadata:
        group = named.api_version.rpartition("/")[0]
        found = self._monitors.kinds.get((group, named.kind))
        if found is None:
            raise UnknownKind(f"kind {named.kind} of {named.api_version} is not served")
        return found

"""Resource claim controller: claims of devices come with the Pods that need them, and go with them.

Reads: Pods, ResourceClaims and templates, from informer caches; before a reservation goes whose Pod the
cache lacks, that Pod, live.
Writes: ResourceClaims, and the Pods' `status.resourceClaimStatuses`, by server-side apply.
Elsewhere: which devices a claim gets (the scheduler), claims whose Pod is gone (the garbage collector).

Invariant: a reservation goes only when it is certain that its Pod does not run; an allocation goes only with
the last reservation, or with its claim.

Source: pkg/controller/resourceclaim
"""

from __future__ import annotations

import logging
from collections import deque

from kplane.api.errors import ApiError, NotFound, ServerTimeout, Timeout, Unreachable, not_found
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.core import PodResourceClaim
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue, Terminal
from kplane.client.writes import TrackedWrites

from ..batches import namespace_is_terminating
from ..status import guarded
from . import metrics
from .plan import (
    FINALIZER,
    POD_CLAIM,
    claim_body,
    claim_name,
    claims_of,
    consumers_body,
    is_done,
    is_for,
    may_reserve,
    owning_pod,
    release_body,
    statuses_body,
)
from .views import TEMPLATES, Consumer, ResourceClaim

log = logging.getLogger(__name__)

MANAGER = "ResourceClaimController"
CLAIM = "claim:"
"""Prefix of the keys of claims; those of Pods are their own."""

USERS = "resourceclaim"
TEMPLATE_USERS = "resourceclaimtemplate"
MOST_REMEMBERED = 500


class ResourceClaimController:
    name = "resourceclaim-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._events, self._queue = ctx.client, ctx.events, ctx.queue
        self._gone: deque[str] = deque(maxlen=MOST_REMEMBERED)
        """Uids of Pods that were seen to go, so that most need not be asked for."""
        self._doubtful: set[Key] = set()
        """Pods for which a claim may have been made without an answer."""
        metrics.CLAIMS.clear()
        self._pods = ctx.informer(Pod)
        self._claims = ctx.informer(ResourceClaim)
        self._templates = ctx.informer(TEMPLATES)
        self._writes = TrackedWrites(ctx.client, self._claims, ctx.clock)
        self._pods.add_index(USERS, lambda pod: [str(key) for key in claims_of(pod)])
        self._pods.add_index(TEMPLATE_USERS, _templates_of)
        self._pods.on_change(self._pod_changed)
        self._claims.on_change(self._claim_changed)
        self._templates.on_change(self._template_changed)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None
        if not pod.spec.resource_claims and pod.status.extended_resource_claim_status is None:
            return
        if new is None:
            self._gone.append(pod.metadata.uid)
        if new is None or is_done(new):
            for key in claims_of(pod):
                self._queue.add(Key(key.namespace, CLAIM + key.name))
        self._queue.add(pod.key)

    def _claim_changed(self, old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        metrics.count_change(old, new)
        claim = new or old
        assert claim is not None
        if new is not None:
            self._queue.add(Key(new.key.namespace, CLAIM + new.key.name))
        for pod in self._pods.by_index(USERS, str(claim.key)):
            self._queue.add(pod.key)
        if owner := owning_pod(claim):
            self._queue.add(Key(claim.key.namespace, owner.name))

    def _template_changed(self, old: Object | None, new: Object | None) -> None:
        """A template that Pods wait for may have come."""
        if old is None and new is not None:
            meta = new["metadata"]
            for pod in self._pods.by_index(TEMPLATE_USERS, f"{meta['namespace']}/{meta['name']}"):
                self._queue.add(pod.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards what a Pod needs, or a claim. Safe to repeat at any time."""
        if key.name.startswith(CLAIM):
            await self._sync_claim(Key(key.namespace, key.name.removeprefix(CLAIM)))
            return None
        pod = self._pods.get(key)
        if pod is None or pod.metadata.deletion_timestamp or pod.terminal or not pod.spec.resource_claims:
            self._writes.forget(key)
            self._doubtful.discard(key)
            return None
        # The cache lags behind our own writes; acting now would make a second claim.
        if wait := self._writes.unsettled(key):
            return Requeue(after=wait)
        await self._ensure_all(pod)
        if pod.spec.node_name:
            await self._reserve(pod)
        return None

    async def _ensure_all(self, pod: Pod) -> None:
        """Every claim that the Pod needs, and then its status that names them."""
        made: dict[str, str] = {}
        for entry in pod.spec.resource_claims:
            try:
                name = await self._ensure(pod, entry)
            except ApiError as error:
                if namespace_is_terminating(error):
                    return
                text = f"PodResourceClaim {entry.name}: {error}"
                self._events.event(pod, "Warning", "FailedResourceClaimCreation", text)
                raise
            if name:
                made[entry.name] = name
        if made:
            await self._tell(pod, made)

    async def _ensure(self, pod: Pod, entry: PodResourceClaim) -> str:
        """The name of a claim that the Pod's status lacks; empty if there is nothing to add."""
        if entry.resource_claim_template_name is None:
            return ""
        named = claim_name(pod, entry)
        if named == "":
            return ""
        if named and await self._has(pod, named):
            return ""
        found = await self._orphan(pod, entry.name)
        return found.metadata.name if found is not None else await self._create(pod, entry)

    async def _has(self, pod: Pod, name: str) -> bool:
        """Whether the claim that the status names is there, and the Pod's own."""
        claim = self._claims.get(Key(pod.metadata.namespace, name))
        if claim is None:
            # The cache of Pods may be ahead of that of claims; a second claim would be made for nothing.
            try:
                claim = await self._client.get(ResourceClaim, name, pod.metadata.namespace)
            except NotFound:
                return False
        if not is_for(pod, claim):
            log.warning("claim of pod is not its own any more key=%s claim=%s", pod.key, name)
        return is_for(pod, claim)

    async def _orphan(self, pod: Pod, entry: str) -> ResourceClaim | None:
        """A claim that was made for the entry, and never got into the Pod's status."""
        owned = self._claims.owned_by(pod.metadata.uid)
        if pod.key in self._doubtful:
            owned = (await self._client.list(ResourceClaim, pod.metadata.namespace)).items
            self._doubtful.discard(pod.key)
        for claim in owned:
            if is_for(pod, claim) and claim.metadata.annotations.get(POD_CLAIM) == entry:
                return claim
        return None

    async def _create(self, pod: Pod, entry: PodResourceClaim) -> str:
        assert entry.resource_claim_template_name is not None
        name, namespace = entry.resource_claim_template_name, pod.metadata.namespace
        template = self._templates.get(Key(namespace, name))
        if template is None:
            missing = not_found("resourceclaimtemplate", TEMPLATES.group, name)
            raise NotFound(f'resource claim template "{name}": {missing}')
        admin = _admin_access(template)
        try:
            claim = await self._writes.create(pod.key, claim_body(pod, entry.name, template))
        except ApiError as error:
            metrics.count_created(admin=admin, failed=True)
            if isinstance(error, Unreachable | Timeout | ServerTimeout):
                self._doubtful.add(pod.key)
            raise type(error)(f"create ResourceClaim : {error}", error.details) from error
        metrics.count_created(admin=admin, failed=False)
        log.info("created claim key=%s entry=%s claim=%s", pod.key, entry.name, claim.metadata.name)
        return claim.metadata.name

    async def _tell(self, pod: Pod, made: dict[str, str]) -> None:
        body: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod.metadata.name, "uid": pod.metadata.uid},
            "status": {"resourceClaimStatuses": statuses_body(pod, made)},
        }
        await self._client.patch(
            Pod, pod.metadata.name, pod.metadata.namespace, body,
            kind=PatchType.APPLY, subresource="status", field_manager=MANAGER, force=True,
        )  # fmt: skip

    async def _reserve(self, pod: Pod) -> None:
        """A Pod that did not get its node from the scheduler has no reservations yet."""
        for entry in pod.spec.resource_claims:
            name = claim_name(pod, entry)
            claim = self._claims.get(Key(pod.metadata.namespace, name)) if name else None
            if claim is None:
                continue  # Its coming, or the Pod's new status, wakes the Pod.
            # A stranger's claim under the name in the status: a new one is on its way.
            ours = entry.resource_claim_name is not None or is_for(pod, claim)
            if ours and may_reserve(pod, claim):
                us = Consumer(resource="pods", name=pod.metadata.name, uid=pod.metadata.uid)
                consumers = consumers_body([*claim.status.reserved_for, us])
                await self._write(claim, {"status": {"reservedFor": consumers}}, "status")
                log.info("reserved claim for pod key=%s claim=%s", pod.key, name)

    async def _sync_claim(self, key: Key) -> None:
        claim = self._claims.get(key)
        if claim is None:
            return
        held = claim.status.reserved_for
        kept = [consumer for consumer in held if await self._stays(key.namespace, consumer)]
        try:
            if len(kept) < len(held):
                claim = await self._write(claim, release_body(claim, kept), "status")
                log.info("released claim key=%s consumers=%d", key, len(kept))
                if claim.status.allocation is None:
                    await self._let_go(claim)
            elif not kept and claim.metadata.deletion_timestamp:
                await self._let_go(await self._deallocate(claim))
            if not kept:
                await self._delete_unused(claim)
        except NotFound:
            return  # Gone in the meantime.

    async def _stays(self, namespace: str, consumer: Consumer) -> bool:
        """Whether the consumer may still use the claim."""
        if consumer.api_group or consumer.resource != "pods":
            raise Terminal(f"unsupported ReservedFor entry: {consumer}")
        if consumer.uid in self._gone:
            return False
        pod = self._pods.get(Key(namespace, consumer.name))
        if pod is not None:
            return pod.metadata.uid == consumer.uid and not is_done(pod)
        # The scheduler may have reserved for a Pod that the cache lacks.
        try:
            live = await self._client.get(Pod, consumer.name, namespace)
        except NotFound:
            return False
        return live.metadata.uid == consumer.uid

    async def _deallocate(self, claim: ResourceClaim) -> ResourceClaim:
        if claim.status.allocation is None or FINALIZER not in claim.metadata.finalizers:
            return claim
        return await self._write(claim, {"status": {"allocation": None}}, "status")

    async def _let_go(self, claim: ResourceClaim) -> None:
        finalizers = claim.metadata.finalizers
        if FINALIZER in finalizers:
            rest = [name for name in finalizers if name != FINALIZER]
            await self._write(claim, {"metadata": {"finalizers": rest}})

    async def _delete_unused(self, claim: ResourceClaim) -> None:
        """A claim that was made for a Pod goes when the Pod is done: the Pod itself may stay for long."""
        owner = owning_pod(claim)
        pod = self._pods.get(Key(claim.key.namespace, owner.name)) if owner else None
        # A Pod that the cache lacks may be about to come; where it is gone, the garbage collector knows.
        if owner is None or pod is None or (pod.metadata.uid == owner.uid and not is_done(pod)):
            return
        name, namespace = claim.metadata.name, claim.metadata.namespace
        await self._client.delete(ResourceClaim, name, namespace, uid=claim.metadata.uid)
        log.info("deleted unused claim key=%s pod=%s", claim.key, owner.name)

    async def _write(self, claim: ResourceClaim, body: Object, subresource: str = "") -> ResourceClaim:
        return await self._client.patch(
            ResourceClaim, claim.metadata.name, claim.metadata.namespace, guarded(claim.metadata, body),
            subresource=subresource,
        )  # fmt: skip


def _templates_of(pod: Pod) -> list[str]:
    namespace = pod.metadata.namespace
    names = [entry.resource_claim_template_name for entry in pod.spec.resource_claims]
    return [f"{namespace}/{name}" for name in names if name]


def _admin_access(template: Object) -> bool:
    devices = ((template.get("spec") or {}).get("spec") or {}).get("devices") or {}
    requests = devices.get("requests") or ()
    return any((request.get("exactly") or {}).get("adminAccess") for request in requests)

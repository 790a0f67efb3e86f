"""Storage of a StatefulSet's Pods: their PersistentVolumeClaims, and who takes them along when going.

Reads: PersistentVolumeClaims (their metadata), from an informer cache.
Writes: PersistentVolumeClaims and their ownerReferences. The garbage collector deletes what the owners leave.
Elsewhere: volumes and binding.

Invariant: a claim that another controller owns, or that belonged to a namesake, is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kplane.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kplane.api.resource import Key, Object, Resource
from kplane.api.types import OwnerReference, PartialObjectMetadata, Pod, View
from kplane.api.types.apps import ClaimRetentionPolicy, StatefulSet
from kplane.client.controller import Context

from ..adoption import controller_reference
from ..status import guarded
from .identity import claim_bodies, claim_name, in_range, ordinal_of, parse, pod_name

CLAIMS: Resource[PartialObjectMetadata] = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, PartialObjectMetadata
)


def owners(
    sts: StatefulSet, pod: Pod, references: Sequence[OwnerReference]
) -> Sequence[OwnerReference | Object]:
    """The ownerReferences that a claim of `pod` should have, given those it has."""
    if any(_is_namesake(reference, owner) for reference in references for owner in (sts, pod)):
        return references
    ours = (sts.metadata.uid, pod.metadata.uid)
    others = [reference for reference in references if reference.uid not in ours]
    wanted = _keeper(sts, pod)
    policy = sts.spec.persistent_volume_claim_retention_policy or ClaimRetentionPolicy()
    retains = policy.when_deleted == policy.when_scaled == "Retain"
    if wanted is None or (not retains and any(reference.controller for reference in others)):
        return others if len(others) < len(references) else references
    right = [ref for ref in references if ref.uid == wanted.metadata.uid and ref.controller]
    if len(right) == 1 and len(references) == len(others) + 1:
        return references
    return [*others, controller_reference(wanted)]


def _keeper(sts: StatefulSet, pod: Pod) -> View | None:
    """Whose end should be the claim's: the Pod's once it is scaled away, the set's before."""
    policy = sts.spec.persistent_volume_claim_retention_policy or ClaimRetentionPolicy()
    if policy.when_scaled == "Delete" and not in_range(sts, pod):
        return pod
    return sts if policy.when_deleted == "Delete" else None


def _is_namesake(reference: OwnerReference, owner: View) -> bool:
    """Whether the reference means an object that had this owner's name before."""
    api = owner.API
    same = (reference.api_version, reference.kind, reference.name) == (
        api.api_version, api.kind, owner.metadata.name
    )  # fmt: skip
    return same and reference.uid != owner.metadata.uid


class Claims:
    """Carries it out."""

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._events = ctx.events
        self._queue = ctx.queue
        self._claims = ctx.informer(CLAIMS)
        self._claims.on_change(self._wake_waiting)

    def _wake_waiting(self, old: PartialObjectMetadata | None, new: PartialObjectMetadata | None) -> None:
        """A Pod waits for the claim of its predecessor to go."""
        if new is not None or old is None:
            return
        for reference in old.metadata.owner_references:
            if reference.kind == "Pod":
                self._queue.add(Key(old.metadata.namespace, parse(reference.name)[0]))

    def stale(self, sts: StatefulSet, ordinal: int) -> bool:
        """Whether a claim of this ordinal still belongs to a Pod that is gone, and will go with it."""
        name = pod_name(sts, ordinal)
        return any(
            reference.kind == "Pod" and reference.name == name
            for claim in self._existing(sts, ordinal)
            for reference in claim.metadata.owner_references
        )

    async def ensure(self, sts: StatefulSet, ordinal: int) -> None:
        """Create the claims that are missing. Raises ApiError."""
        existing = {claim.metadata.name: claim for claim in self._existing(sts, ordinal)}
        for body in claim_bodies(sts, ordinal):
            name = body["metadata"]["name"]
            found = existing.get(name)
            if found is None:
                await self._create(sts, ordinal, body)
            elif found.metadata.deletion_timestamp:
                raise Conflict(f"pvc {name} is being deleted")

    async def _create(self, sts: StatefulSet, ordinal: int, body: Object) -> None:
        name, pod, owner = body["metadata"]["name"], pod_name(sts, ordinal), sts.metadata.name
        try:
            await self._client.create(CLAIMS, body)
        except AlreadyExists:
            return  # The cache lags behind.
        except ApiError as error:
            why = f"create Claim {name} for Pod {pod} in StatefulSet {owner} failed error: {error}"
            self._events.event(sts, "Warning", "FailedCreate", why)
            raise
        told = f"create Claim {name} Pod {pod} in StatefulSet {owner} success"
        self._events.event(sts, "Normal", "SuccessfulCreate", told)

    async def settle_owners(self, sts: StatefulSet, pod: Pod) -> None:
        """Make the claims of `pod` go with the set, with the Pod, or with neither, as the policy says."""
        for claim in self._existing(sts, ordinal_of(pod)):
            wanted = owners(sts, pod, claim.metadata.owner_references)
            if wanted is claim.metadata.owner_references:
                continue
            body = {"metadata": {"ownerReferences": msgspec.to_builtins(wanted)}}
            meta = claim.metadata
            try:
                await self._client.patch(CLAIMS, meta.name, meta.namespace, guarded(meta, body))
            except NotFound:
                continue  # Deleted meanwhile.

    def _existing(self, sts: StatefulSet, ordinal: int) -> list[PartialObjectMetadata]:
        names = [claim_name(sts, template, ordinal) for template in sts.spec.volume_claim_templates]
        found = [self._claims.get(Key(sts.metadata.namespace, name)) for name in names]
        return [claim for claim in found if claim is not None]

"""Which claims a Pod uses. No I/O.

Owns: the index of Pods by claim, and the name and ownership of the claims of generic ephemeral volumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplane.api.resource import Key
from kplane.api.types import Pod
from kplane.api.types.core import Volume
from kplane.api.types.storage import PersistentVolumeClaim
from kplane.client.informer import Informer

CLAIM_INDEX = "claim"


class NotForPod(Exception):
    """A claim has the name that an ephemeral volume needs, and belongs to somebody else."""


def claim_name(pod: Pod, volume: Volume) -> str:
    """The claim behind a volume; empty for volumes without one."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


def claims_of(pod: Pod) -> Iterator[Key]:
    for volume in pod.spec.volumes:
        if name := claim_name(pod, volume):
            yield Key(pod.metadata.namespace, name)


def check_owner(pod: Pod, claim: PersistentVolumeClaim) -> None:
    """Raises NotForPod where the claim of an ephemeral volume was not made for this Pod."""
    owner = claim.metadata.controller
    if owner is None or owner.uid != pod.metadata.uid:
        namespace, name = claim.key
        raise NotForPod(
            f"PVC {namespace}/{name} was not created for pod {namespace}/{pod.metadata.name} "
            "(pod is not owner)"
        )


def index_by_claim(pods: Informer[Pod]) -> None:
    """Make `users` work. Safe to repeat."""
    pods.add_index(CLAIM_INDEX, lambda pod: [str(key) for key in claims_of(pod)])


def users(pods: Informer[Pod], claim: Key) -> Sequence[Pod]:
    """The Pods that name the claim, whether they may have it or not."""
    return pods.by_index(CLAIM_INDEX, str(claim))


def uses(pod: Pod, claim: PersistentVolumeClaim) -> bool:
    """Whether the claim has to stay for this Pod. One that no node has yet does not count: no kubelet starts
    a Pod whose claim is being deleted."""
    if not pod.spec.node_name:
        return False
    return any(_holds(pod, volume, claim) for volume in pod.spec.volumes)


def _holds(pod: Pod, volume: Volume, claim: PersistentVolumeClaim) -> bool:
    if claim_name(pod, volume) != claim.metadata.name:
        return False
    if volume.ephemeral is None:
        return True
    owner = claim.metadata.controller
    return not shut_down(pod) and owner is not None and owner.uid == pod.metadata.uid


def shut_down(pod: Pod) -> bool:
    """Whether the kubelet is done with the Pod: what it waits for now may be its own claim."""
    meta = pod.metadata
    return meta.deletion_timestamp is not None and meta.deletion_grace_period_seconds == 0

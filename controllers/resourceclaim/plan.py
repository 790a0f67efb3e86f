"""Which claims a Pod needs, what is made of a template, and which claims are free. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplane.api.resource import Key, Object
from kplane.api.types import OwnerReference, Pod
from kplane.api.types.core import PodResourceClaim

from ..adoption import controller_reference
from .views import Consumer, ResourceClaim

FINALIZER = "resource.kubernetes.io/delete-protection"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
"""Annotation of a claim made from a template: the name of the Pod's entry that it was made for."""

MOST_CONSUMERS = 256
LONGEST_STEM = 57
"""Leaves room for a hyphen and five random characters in 63."""


def claim_name(pod: Pod, entry: PodResourceClaim) -> str | None:
    """The claim of one of the Pod's entries; empty: none is needed; None: it has not been made."""
    if entry.resource_claim_name is not None:
        return entry.resource_claim_name
    for status in pod.status.resource_claim_statuses:
        if status.name == entry.name:
            return status.resource_claim_name or ""
    return None


def claims_of(pod: Pod) -> Iterator[Key]:
    """All claims that the Pod is known to have, that of its extended resources among them."""
    names = [claim_name(pod, entry) for entry in pod.spec.resource_claims]
    if extended := pod.status.extended_resource_claim_status:
        names.append(extended.resource_claim_name)
    return (Key(pod.metadata.namespace, name) for name in names if name)


def is_done(pod: Pod) -> bool:
    """Whether it is certain that nothing of the Pod runs, or will ever run."""
    return pod.terminal or (pod.metadata.deletion_timestamp is not None and not pod.spec.node_name)


def is_for(pod: Pod, claim: ResourceClaim) -> bool:
    owner = claim.metadata.controller
    return owner is not None and owner.uid == pod.metadata.uid


def owning_pod(claim: ResourceClaim) -> OwnerReference | None:
    owner = claim.metadata.controller
    return owner if owner is not None and (owner.api_version, owner.kind) == ("v1", "Pod") else None


def generate_name(pod: str, entry: str) -> str:
    """The stem of a claim's name. Both parts lose of their ends where it would be too long, so that
    something of each is left."""
    stem = f"{pod}-{entry}-"
    if (length := len(stem)) <= LONGEST_STEM:
        return stem
    first = pod[: len(pod) * LONGEST_STEM // length]
    # Upstream measures the second part by the stem's old length too.
    return f"{first}-{entry[: len(entry) * LONGEST_STEM // length]}"


def claim_body(pod: Pod, entry: str, template: Object) -> Object:
    """The claim for one entry of a Pod."""
    wanted = template.get("spec") or {}
    metadata = wanted.get("metadata") or {}
    labels = {"labels": metadata["labels"]} if metadata.get("labels") else {}
    return {
        "apiVersion": ResourceClaim.API.api_version,
        "kind": ResourceClaim.API.kind,
        "metadata": {
            **labels,
            "generateName": generate_name(pod.metadata.name, entry),
            "namespace": pod.metadata.namespace,
            "annotations": {**(metadata.get("annotations") or {}), POD_CLAIM: entry},
            "ownerReferences": [controller_reference(pod)],
        },
        "spec": wanted.get("spec") or {},
    }


def statuses_body(pod: Pod, made: dict[str, str]) -> list[Object]:
    """The Pod's `resourceClaimStatuses` with what was made. Those that it has already are told again:
    server-side apply takes away what its manager stops telling."""
    known = {entry.name: entry.resource_claim_name for entry in pod.status.resource_claim_statuses}
    return [
        {"name": name} | ({"resourceClaimName": claim} if claim else {})
        for name, claim in sorted((known | made).items())
    ]


def may_reserve(pod: Pod, claim: ResourceClaim) -> bool:
    """Whether a Pod that has its node lacks a reservation that it can have."""
    held = claim.status.reserved_for
    return (
        claim.status.allocation is not None
        and all(consumer.uid != pod.metadata.uid for consumer in held)
        and len(held) < MOST_CONSUMERS
    )


def consumers_body(consumers: Sequence[Consumer]) -> list[Object] | None:
    """Merge-patch form of `reservedFor`; None at all removes it."""
    return [
        {"resource": one.resource, "name": one.name, "uid": one.uid}
        | ({"apiGroup": one.api_group} if one.api_group else {})
        for one in consumers
    ] or None


def release_body(claim: ResourceClaim, kept: Sequence[Consumer]) -> Object:
    """What is written when consumers have gone. With the last of them goes the allocation: the next one may
    run on another node."""
    status: Object = {"reservedFor": consumers_body(kept)}
    if not kept and FINALIZER in claim.metadata.finalizers:
        status["allocation"] = None
    return {"status": status}

"""Which volume suits a claim: size, class, access modes, mode, selector. No I/O.

Rules and texts: upstream's `component-helpers/storage/volume`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from kplane.api.quantity import QuantityError, exact
from kplane.api.selectors import Selector, SelectorError, from_label_selector
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim, Quantities

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


class Unreadable(Exception):
    """A claim whose selector makes no sense."""


def size(quantities: Quantities) -> Fraction:
    """Bytes of storage; 0 where nothing is said that makes sense."""
    try:
        return exact(quantities.get("storage", 0))
    except QuantityError:
        return Fraction(0)


def is_reserved_for(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume names this claim: by name alone where whoever made it knew no uid."""
    ref = volume.spec.claim_ref
    if ref is None or (ref.namespace, ref.name) != claim.key:
        return False
    return ref.uid in ("", claim.metadata.uid)


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why a claim cannot have the volume that it asks for by name; empty if it can. Raises
    Unreadable."""
    _check_size(claim)
    if volume.metadata.deletion_timestamp is not None:
        return f'the volume is marked for deletion "{volume.metadata.name}"'
    if size(claim.spec.resources.requests) > size(volume.spec.capacity):
        return "requested PV is too small"
    if claim.storage_class != volume.storage_class:
        return "storageClassName does not match"
    if not _same_attributes(volume, claim):
        return "volumeAttributesClassName does not match"
    if claim.spec.volume_mode != volume.spec.volume_mode:
        return "incompatible volumeMode"
    if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
        return "incompatible accessMode"
    return ""


def best_match(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], *, delayed: bool
) -> PersistentVolume | None:
    """The volume for a claim: of those with the fewest access modes, one that is reserved for it, else the
    smallest. With `delayed` only a reserved one: the scheduler chooses. Raises Unreadable."""
    _check_size(claim)
    selector = _selector(claim)
    suitable = [volume for volume in volumes if _suits(volume, claim)]
    groups = sorted({volume.spec.access_modes for volume in suitable}, key=lambda modes: (len(modes), modes))
    for modes in groups:
        group = [volume for volume in suitable if volume.spec.access_modes == modes]
        reserved = [volume for volume in group if is_reserved_for(volume, claim)]
        free = [] if delayed else [volume for volume in group if _is_free(volume, claim, selector)]
        if reserved or free:
            return min(reserved or free, key=lambda volume: (size(volume.spec.capacity), volume.key))
    return None


def _check_size(claim: PersistentVolumeClaim) -> None:
    """Raises Unreadable: any volume would be large enough for a size that is none."""
    try:
        exact(claim.spec.resources.requests.get("storage", 0))
    except QuantityError as error:
        raise Unreadable(f"error reading the size of claim: {claim.key}: {error}") from error


def _selector(claim: PersistentVolumeClaim) -> Selector | None:
    if claim.spec.selector is None:
        return None
    try:
        return from_label_selector(claim.spec.selector)
    except SelectorError as error:
        raise Unreadable(f"error creating internal label selector for claim: {claim.key}: {error}") from error


def _suits(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """What also a reserved volume has to fulfil."""
    return (
        set(claim.spec.access_modes) <= set(volume.spec.access_modes)
        and claim.spec.volume_mode == volume.spec.volume_mode
        and _same_attributes(volume, claim)
        and volume.metadata.deletion_timestamp is None
        and size(volume.spec.capacity) >= size(claim.spec.resources.requests)
    )


def _is_free(volume: PersistentVolume, claim: PersistentVolumeClaim, selector: Selector | None) -> bool:
    return (
        volume.status.phase == "Available"
        and volume.spec.claim_ref is None
        and volume.storage_class == claim.storage_class
        and (selector is None or selector.matches(volume.metadata.labels))
    )


def _same_attributes(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    wanted = claim.spec.volume_attributes_class_name
    return (wanted or "") == (volume.spec.volume_attributes_class_name or "")

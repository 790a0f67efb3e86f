"""What a write may touch: the revision and uid that its client believes in, the fields of its endpoint, and
the generation that it counts.

Pure, but for changing the new object in place. Rules and wording: apiserver `registry/rest/update.go`,
`registry/generic/registry/store.go`.
"""

from __future__ import annotations

from collections.abc import Set

from kplane.api.errors import MODIFIED, ApiError, conflict, invalid
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from .deletion import DeleteOptions
from .strategy import Strategy, Subresource


def check_preconditions(
    new: Object, old: Object, key: str, info: ResourceInfo, *, unconditional: bool
) -> None:
    """The revision and the uid in the new metadata; `key` is the object's in the store. Raises ApiError."""
    name = old["name"]
    version = new.get("resourceVersion")
    if version and version != old["resourceVersion"]:
        raise conflict(info.plural, info.group, name, MODIFIED)
    if new.get("uid") and new["uid"] != old["uid"]:
        raise _uid_conflict(new["uid"], old, key, info)
    if not version and not unconditional:
        fault = Path("metadata").resourceVersion.invalid(0, "must be specified for an update")
        raise invalid(info.kind, info.group, name, [fault])
    new["resourceVersion"] = old["resourceVersion"]


def check_delete_preconditions(options: DeleteOptions, meta: Object, key: str, info: ResourceInfo) -> None:
    """Those of a DELETE. Raises ApiError."""
    if options.uid and options.uid != meta["uid"]:
        raise _uid_conflict(options.uid, meta, key, info)
    if options.resource_version and options.resource_version != meta["resourceVersion"]:
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {meta['resourceVersion']}"
        )
        raise conflict(info.plural, info.group, meta["name"], why)


def _uid_conflict(wanted: str, meta: Object, key: str, info: ResourceInfo) -> ApiError:
    why = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {meta['uid']}"
    )
    return conflict(info.plural, info.group, meta["name"], why)


def restrict(new: Object, old: Object, subresource: Subresource | None, owned: Set[str]) -> None:
    """Put back what this endpoint does not own: each field belongs to one of them.

    `owned`: the fields that are written through subresources.
    """
    foreign = owned
    if subresource is not None:
        mine = {"metadata", "kind", "apiVersion", *subresource.owns, *subresource.shares}
        foreign = (new.keys() | old.keys()) - mine
        new["metadata"].pop("ownerReferences", None)
        if owners := old["metadata"].get("ownerReferences"):
            new["metadata"]["ownerReferences"] = owners
    for name in foreign:
        new.pop(name, None)
        if name in old:
            new[name] = old[name]
    if subresource and subresource.restrict:
        subresource.restrict(new, old)


def count_generation(new: Object, old: Object, strategy: Strategy, owned: Set[str]) -> None:
    if strategy.immutable_spec_generation:
        return
    meta, was = new["metadata"], old["metadata"]
    meta["generation"] = was.get("generation", 1)
    counted = (new.keys() | old.keys()) - owned - {"metadata"}
    relabelled = strategy.labels_count and meta.get("labels") != was.get("labels")
    if relabelled or any(new.get(name) != old.get(name) for name in counted):
        meta["generation"] += 1

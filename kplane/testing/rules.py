"""What a write does to an object in the fake API server. Pure: arguments stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

from kplane.api.clock import rfc3339
from kplane.api.errors import NotFound
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
POD_GRACE = 30

FIRST_STATUS: Mapping[str, Object] = {"Pod": {"phase": "Pending"}, "Namespace": {"phase": "Active"}}
"""The status that the API server gives to new objects of these kinds."""

KEPT_METADATA = (
    "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "generation", "resourceVersion",
)  # fmt: skip
"""Metadata that no update changes."""

SUBRESOURCE_FIELD = {
    "status": "status",
    "approval": "status",
    "finalize": "spec",
    "ephemeralcontainers": "spec",
    "resize": "spec",
}


def created(row: ResourceInfo, body: Object, metadata: Object) -> Object:
    """The object that a POST of `body` makes."""
    obj = deepcopy(body) | {"metadata": metadata | {"generation": 1}}
    if row.subresource("status"):
        obj.pop("status", None)
    if status := FIRST_STATUS.get(row.kind):
        obj["status"] = dict(status)
    if row.kind == "Namespace":
        obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    return obj


def updated(row: ResourceInfo, old: Object, body: Object, subresource: str) -> Object:
    """The object after a write of `body`: what this (sub)resource may change from it, the rest from `old`.
    Raises NotFound for subresources that the fake does not have."""
    if subresource:
        field = SUBRESOURCE_FIELD.get(subresource)
        if field is None:
            raise NotFound("the server could not find the requested resource")
        metadata = _metadata(old, body, (*KEPT_METADATA, "ownerReferences"))
        return deepcopy(old) | {"metadata": metadata, field: deepcopy(body.get(field, {}))}
    new = deepcopy(body)
    new["metadata"] = _metadata(old, body, KEPT_METADATA)
    if row.subresource("status"):
        new.pop("status", None)
        new |= {"status": old["status"]} if "status" in old else {}
    if any(new.get(part) != old.get(part) for part in {*new, *old} - {"metadata", "status"}):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    return new


def _metadata(old: Object, body: Object, kept: Sequence[str]) -> Object:
    """The metadata of `body`, but for what this write keeps from `old`."""
    sent = deepcopy(body.get("metadata", {}))
    merged = sent | {name: old["metadata"].get(name) for name in kept}
    return {name: value for name, value in merged.items() if value is not None}


def deleted(row: ResourceInfo, old: Object, options: Object, now: datetime) -> Object | None:
    """The object after a DELETE: gone (None), or waiting for its finalizers or its grace period."""
    metadata = old["metadata"]
    finalizers = list(metadata.get("finalizers") or ())
    extra = FINALIZERS.get(options.get("propagationPolicy", ""))
    if extra and extra not in finalizers:
        finalizers.append(extra)
    grace = _grace(row, old, options.get("gracePeriodSeconds"))
    if not finalizers and not grace and not _namespace_content(old):
        return None
    if metadata.get("deletionTimestamp") and metadata.get("deletionGracePeriodSeconds", 0) <= grace:
        return old
    changed: Object = {
        "deletionTimestamp": rfc3339(now + timedelta(seconds=grace)),
        "deletionGracePeriodSeconds": grace,
        "generation": metadata.get("generation", 0) + 1,
    }
    if finalizers:
        changed["finalizers"] = finalizers
    new = old | {"metadata": metadata | changed}
    if row.kind == "Namespace":
        new["status"] = (old.get("status") or {}) | {"phase": "Terminating"}
    return new


def may_go(obj: Object) -> bool:
    """Whether nothing holds a deleted object any more."""
    metadata = obj["metadata"]
    waits = (
        metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds") or _namespace_content(obj)
    )
    return bool(metadata.get("deletionTimestamp")) and not waits


def precondition_failure(obj: Object, preconditions: Object) -> str:
    """Why `obj` does not meet the preconditions; empty if it does."""
    metadata = obj["metadata"]
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    if uid and uid != metadata["uid"]:
        return f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
    if version and version != metadata["resourceVersion"]:
        return (
            f"Precondition failed: ResourceVersion in precondition: {version}, "
            f"ResourceVersion in object meta: {metadata['resourceVersion']}"
        )
    return ""


def bound(pod: Object, node: str, now: datetime) -> Object:
    """The pod after a binding to `node`."""
    status = pod.get("status") or {}
    others = [entry for entry in status.get("conditions", ()) if entry["type"] != "PodScheduled"]
    scheduled: Any = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(now)}
    return pod | {
        "spec": pod["spec"] | {"nodeName": node},
        "status": status | {"conditions": [*others, scheduled]},
    }


def _namespace_content(obj: Object) -> bool:
    return obj.get("kind") == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


def _grace(row: ResourceInfo, obj: Object, asked: int | None) -> int:
    if row.kind != "Pod":
        return 0
    finished = (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if finished or not obj["spec"].get("nodeName"):
        return 0
    default: int = obj["spec"].get("terminationGracePeriodSeconds", POD_GRACE)
    return default if asked is None else asked

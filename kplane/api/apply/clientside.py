"""Moving from client-side apply to server-side apply and back: kubectl's annotation."""

from __future__ import annotations

from typing import Any

import msgspec

from kplane.api.apply.compare import compare, fields_of
from kplane.api.apply.fieldset import FieldSet, difference, union
from kplane.api.apply.merge import merge
from kplane.api.apply.shape import Shape
from kplane.api.resource import Object

KUBECTL = "kubectl"
"""The one manager that may take over what client-side apply has written."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ANNOTATIONS = 256 * 1024


def applied_by_client(shape: Shape, live: Object) -> FieldSet:
    """Fields that client-side apply has written and that still have its value: kubectl may take them."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return {}
    try:
        config = msgspec.json.decode(text, type=dict[str, Any])
        wanted = fields_of(shape, config)
        found = compare(shape, live, merge(shape, live, config))
    except (msgspec.DecodeError, ValueError, AttributeError, TypeError, RecursionError):
        # Anybody may write anything into an annotation; one that cannot be read permits nothing.
        return {}
    return difference(wanted, union(found.changed, found.removed))


def note_applied(metadata: Object, config: Object) -> None:
    """Keep client-side apply's annotation current where there is one, so that going back to it works."""
    annotations = metadata.get("annotations") or {}
    if LAST_APPLIED not in annotations:
        return
    meta = {name: value for name, value in config["metadata"].items() if name != "managedFields"}
    if LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != LAST_APPLIED}
    text = msgspec.json.encode(config | {"metadata": meta}, order="deterministic").decode() + "\n"
    kept = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    size = sum(len(name) + len(value) for name, value in kept.items()) + len(LAST_APPLIED) + len(text)
    metadata["annotations"] = kept if size > MAX_ANNOTATIONS else kept | {LAST_APPLIED: text}

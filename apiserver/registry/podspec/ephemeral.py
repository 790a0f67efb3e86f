"""The ephemeralcontainers subresource of Pods: containers may be added to a Pod that runs, never changed or
taken away. Nothing else of the Pod is written."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from kplane.api.field import FieldError, Path, quoted
from kplane.api.resource import Object

from .validation import validate_spec

_MIRROR = "kubernetes.io/config.mirror"
_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


def keep_all_but_ephemeral(new: Object, old: Object) -> None:
    """Take the ephemeral containers from the request and nothing else."""
    added = (new.get("spec") or {}).get("ephemeralContainers")
    keep_metadata(new, old)
    new["spec"] = copy.deepcopy(old["spec"])
    new["spec"].pop("ephemeralContainers", None)
    if added:
        new["spec"]["ephemeralContainers"] = added


def keep_metadata(new: Object, old: Object) -> None:
    """Labels and the like stay as they were."""
    for name in _METADATA:
        new["metadata"].pop(name, None)
        if name in old["metadata"]:
            new["metadata"][name] = copy.deepcopy(old["metadata"][name])


def is_static(pod: Object) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})


def validate_ephemeral_update(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_spec(new["spec"], path.spec, is_pod=True)
    if is_static(old):
        yield Path().forbidden("static pods do not support ephemeral containers")
    here = path.spec.ephemeralContainers
    present = {entry.get("name"): entry for entry in new["spec"].get("ephemeralContainers") or ()}
    for before in old["spec"].get("ephemeralContainers") or ():
        name = before["name"]
        now = present.get(name)
        if now is None:
            yield here.forbidden(f'existing ephemeral containers "{name}" may not be removed\n')
        elif now != before:
            changes = "\n".join(_changes(now, before))
            yield here.forbidden(f'existing ephemeral containers "{name}" may not be changed\n{changes}')


def _changes(now: Object, before: Object) -> Iterator[str]:
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) != before.get(name):
            yield f"- {name}: {quoted(before.get(name))}\n+ {name}: {quoted(now.get(name))}"

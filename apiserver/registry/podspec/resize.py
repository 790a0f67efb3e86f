"""The resize subresource of Pods: cpu and memory of containers and of the Pod as a whole, and how containers
are resized. Nothing else of the Pod is written, and its quality of service class stays.

Source: core/validation `ValidatePodResize`, pod strategy `dropNonResizeUpdates` (KEP-1287).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .ephemeral import is_static, keep_metadata
from .qos import qos_class
from .validation import validate_spec

_LISTS = ("containers", "initContainers")
_RESIZABLE = ("cpu", "memory")


def keep_all_but_resources(new: Object, old: Object) -> None:
    """Take resources and resize policies from the request and nothing else. Where containers do not match,
    their names and number stay as they are asked for, so that validation can refuse them."""
    asked = new.get("spec") or {}
    keep_metadata(new, old)
    new["spec"] = copy.deepcopy(old["spec"])
    for field in _LISTS:
        before, wanted = new["spec"].get(field) or [], asked.get(field) or []
        if len(before) != len(wanted):
            new["spec"][field] = wanted
            continue
        for container, other in zip(before, wanted, strict=True):
            container["name"] = other.get("name", "")
            for name in ("resources", "resizePolicy"):
                container.pop(name, None)
                if name in other:
                    container[name] = other[name]
    if "resources" in asked:
        new["spec"]["resources"] = asked["resources"]


def validate_resize(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    if is_static(old):
        yield Path().forbidden("static pods cannot be resized")
        return
    if (old["spec"].get("os") or {}).get("name") == "windows":
        yield Path().forbidden("windows pods cannot be resized")
        return
    if not _node_can(old):
        yield path.spec.forbidden("Pod running on node without support for resize")
        return
    yield from validate_spec(new["spec"], path.spec, is_pod=True)
    was = (old.get("status") or {}).get("qosClass") or qos_class(old["spec"])
    if (now := qos_class(new["spec"])) != was:
        yield path.spec.invalid(now, "Pod QOS Class may not change as a result of resizing")
    for field in _LISTS:
        yield from _validate_list(field, new["spec"], old["spec"], path.spec.child(field))
    yield from _validate_pod_level(new["spec"].get("resources"), old["spec"].get("resources"), path.spec)
    if _without_resizable(new["spec"]) != _without_resizable(old["spec"]):
        yield path.spec.forbidden("only cpu and memory resources are mutable")


def _node_can(pod: Object) -> bool:
    """A node that can resize tells the resources of what runs; without anything running nobody knows."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if (status.get("state") or {}).get("running") is not None:
            return "resources" in status
    return True


def _validate_list(field: str, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    before, after = old.get(field) or [], new.get(field) or []
    for index, (now, was) in enumerate(zip(after, before, strict=False)):
        here = path[index]
        if now.get("name") != was.get("name"):
            yield here.name.forbidden(f"{field} may not be renamed or reordered on resize")
        elif field == "initContainers" and was.get("restartPolicy") != "Always":
            if (now.get("resources") or {}) != (was.get("resources") or {}):
                yield here.resources.forbidden("resources for non-sidecar init containers are immutable")
        else:
            yield from _validate_removals(now, was, here.resources)


def _validate_removals(now: Object, was: Object, path: Path) -> Iterator[FieldError]:
    for part in ("requests", "limits"):
        before, after = ((entry.get("resources") or {}).get(part) or {} for entry in (was, now))
        if before.keys() - after.keys():
            yield path.child(part).forbidden(f"resource {part} cannot be removed")


def _validate_pod_level(new: Object | None, old: Object | None, path: Path) -> Iterator[FieldError]:
    before, after = old or {}, new or {}
    for part in ("requests", "limits"):
        if (before.get(part) or {}).keys() - (after.get(part) or {}).keys():
            yield path.resources.child(part).forbidden(f"pod-level resource {part} cannot be removed")
    if _fixed(before) != _fixed(after):
        yield path.forbidden("only cpu and memory resources are mutable at pod-level")


def _fixed(resources: Object) -> Object:
    """Without cpu and memory."""
    return {
        part: {name: amount for name, amount in (resources.get(part) or {}).items() if name not in _RESIZABLE}
        for part in ("requests", "limits")
    } | {"claims": resources.get("claims") or []}


def _without_resizable(spec: Object) -> Object:
    """What must stay: the spec without cpu, memory, resize policies, names, and the resources of the Pod as a
    whole, which are judged apart."""
    found = copy.deepcopy(spec)
    found.pop("resources", None)
    for field in _LISTS:
        for container in found.get(field) or ():
            container.pop("resizePolicy", None)
            container.pop("name", None)
            resources = container.get("resources") or {}
            for part in ("requests", "limits"):
                kept = {k: v for k, v in (resources.pop(part, None) or {}).items() if k not in _RESIZABLE}
                if kept:
                    resources[part] = kept
            container["resources"] = resources
    return found

"""What may change in the spec of a Pod that exists."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path, quoted
from kplane.api.resource import Object

MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to"
    " existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was"
    " previously negative)"
)
_FREE = ("activeDeadlineSeconds", "tolerations", "schedulingGates", "containers", "initContainers")


def validate_spec_update(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    counted = False
    for name in ("containers", "initContainers"):
        if len(new.get(name) or ()) != len(old.get(name) or ()):
            counted = True
            yield path.child(name).forbidden("pod updates may not add or remove containers")
    if counted:
        # Pairs of containers can no longer be told; upstream stops here as well.
        return
    yield from _validate_deadline(new, old, path.activeDeadlineSeconds)
    yield from _validate_tolerations(new, old, path.tolerations)
    yield from _validate_gates(new, old, path.schedulingGates)
    yield from _validate_gated_selector(new, old, path.nodeSelector)
    if changes := list(_changes(new, old)):
        yield path.forbidden(MUTABLE + "\n" + "\n".join(changes))


def _validate_deadline(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    now, was = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if now is not None and was is not None and now > was:
        yield path.invalid(now, "must be less than or equal to previous value")
    elif now is None and was is not None:
        yield path.invalid(now, "must not update from a positive integer to nil value")


def _validate_tolerations(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    present = [_without_seconds(entry) for entry in new.get("tolerations") or ()]
    for toleration in old.get("tolerations") or ():
        if _without_seconds(toleration) not in present:
            yield path.forbidden("existing toleration can not be modified except its tolerationSeconds")
            return


def _without_seconds(toleration: Object) -> Object:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _validate_gates(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            name = gate.get("name", "")
            yield path[index].name.forbidden(
                f"only deletion is allowed, but found new scheduling gate '{name}'"
            )


def _validate_gated_selector(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """While a pod is gated its node selector may be narrowed, never widened."""
    if not old.get("schedulingGates"):
        return
    now, was = new.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(now.get(key) != value for key, value in was.items()):
        yield path.invalid(now, "only additions to spec.nodeSelector are allowed (no mutations or deletions)")


def _changes(new: Object, old: Object) -> Iterator[str]:
    """One line per field that may not change and did."""
    grace = "terminationGracePeriodSeconds"
    allowed_grace = new.get(grace) == 1 and (old.get(grace) or 0) < 0
    for name in sorted(new.keys() | old.keys()):
        if name in _FREE or (name == grace and allowed_grace):
            continue
        yield from _change(name, new.get(name), old.get(name), _gated(name, old))
    for name in ("containers", "initContainers"):
        pairs = zip(new.get(name) or (), old.get(name) or (), strict=True)
        for index, (now, was) in enumerate(pairs):
            for key in sorted((now.keys() | was.keys()) - {"image"}):
                yield from _change(f"{name}[{index}].{key}", now.get(key), was.get(key), False)


def _gated(name: str, old: Object) -> bool:
    """While a pod is gated its directives may still be narrowed."""
    return bool(old.get("schedulingGates")) and name in ("nodeSelector", "affinity")


def _change(name: str, now: object, was: object, free: bool) -> Iterator[str]:
    if now != was and not free:
        yield f"- {name}: {quoted(was)}\n+ {name}: {quoted(now)}"

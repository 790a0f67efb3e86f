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
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
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
    if old.get("schedulingGates"):
        yield from _validate_gated_selector(new, old, path.nodeSelector)
        yield from _validate_gated_affinity(
            _node_affinity(new), _node_affinity(old), path.affinity.nodeAffinity
        )
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
    now, was = new.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(now.get(key) != value for key, value in was.items()):
        yield path.invalid(now, "only additions to spec.nodeSelector are allowed (no mutations or deletions)")


def _node_affinity(spec: Object) -> Object:
    found: Object = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return found


def _validate_gated_affinity(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """What is required may be set if it was not, and each term of it may get more to match."""
    terms = (old.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    now = (new.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    here = path.child(_REQUIRED).nodeSelectorTerms
    if terms and len(now) != len(terms):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield here.invalid(now, text)
        return
    for index, (term, was) in enumerate(zip(now, terms, strict=False)):
        if not _extends(term, was):
            yield here[index].invalid(term, "only additions are allowed (no mutations or deletions)")


def _extends(term: Object, old: Object) -> bool:
    """Whether a term matches at most what the old one matches; an empty one matches nothing."""
    parts = [(term.get(name) or [], old.get(name) or []) for name in ("matchExpressions", "matchFields")]
    if not any(was for _, was in parts):
        return not any(now for now, _ in parts)
    return all(now[: len(was)] == was for now, was in parts)


def _changes(new: Object, old: Object) -> Iterator[str]:
    """One line per field that may not change and did."""
    grace = "terminationGracePeriodSeconds"
    allowed_grace = new.get(grace) == 1 and (old.get(grace) or 0) < 0
    gated = bool(old.get("schedulingGates"))
    for name in sorted(new.keys() | old.keys()):
        if name in _FREE or (name == grace and allowed_grace) or (name == "nodeSelector" and gated):
            continue
        now, was = new.get(name), old.get(name)
        if name == "affinity" and gated:
            now, was = _without_nodes(now), _without_nodes(was)
        yield from _change(name, now, was)
    for name in ("containers", "initContainers"):
        pairs = zip(new.get(name) or (), old.get(name) or (), strict=True)
        for index, (now, was) in enumerate(pairs):
            for key in sorted((now.keys() | was.keys()) - {"image"}):
                yield from _change(f"{name}[{index}].{key}", now.get(key), was.get(key))


def _without_nodes(affinity: Object | None) -> Object | None:
    """What of an affinity does not change even while the pod is gated."""
    rest = {name: value for name, value in (affinity or {}).items() if name != "nodeAffinity"}
    return rest or None


def _change(name: str, now: object, was: object) -> Iterator[str]:
    if now != was:
        yield f"- {name}: {quoted(was)}\n+ {name}: {quoted(now)}"

"""AppArmor in annotations, as before 1.30: what they say becomes fields of the containers (KEP-24).

Rules and wording: upstream's `pkg/registry/core/pod/strategy.go` and `pkg/apis/core/validation`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .security import validate_app_armor

PREFIX = "container.apparmor.security.beta.kubernetes.io/"
"""Of an annotation; a container's name follows."""
_TYPES = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}
_LOCAL = "localhost/"
_LISTS = ("initContainers", "containers", "ephemeralContainers")


def adopt(pod: Object) -> None:
    """Copy into fields what annotations say of containers whose fields say nothing."""
    for container, _, profile in _unsaid(pod):
        if profile is not None:
            container.setdefault("securityContext", {})["appArmorProfile"] = profile


def adoption_warnings(pod: Object) -> Iterator[str]:
    """Of a pod, before `adopt`."""
    for _, key, _ in _unsaid(pod):
        place = Path("metadata").annotations[key]
        yield f'{place}: deprecated since v1.30; use the "appArmorProfile" field instead'


def _unsaid(pod: Object) -> Iterator[tuple[Object, str, Object | None]]:
    """Containers with an annotation and without a field that says as much, and the field that it makes."""
    annotations, spec = pod["metadata"].get("annotations") or {}, pod["spec"]
    if not _has(annotations) or (spec.get("os") or {}).get("name") == "windows":
        return
    own = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container, _ in _containers(spec, Path()):
        key = PREFIX + container.get("name", "")
        if key not in annotations or (container.get("securityContext") or {}).get("appArmorProfile"):
            continue
        profile = _field(annotations[key])
        if profile is None or profile != own:
            yield container, key, profile


def _field(annotation: str) -> Object | None:
    """None: there is no sound field that says this."""
    if annotation in _TYPES:
        return {"type": _TYPES[annotation]}
    if not annotation.startswith(_LOCAL):
        return None
    profile = {"type": "Localhost", "localhostProfile": annotation.removeprefix(_LOCAL)}
    return None if any(validate_app_armor(profile, Path())) else profile


def validate_annotations(annotations: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    """`path` is the annotations'."""
    if not _has(annotations):
        return
    known = {container.get("name", "") for container, _ in _containers(spec, Path())}
    for key, profile in annotations.items():
        if not key.startswith(PREFIX):
            continue
        if (name := key.removeprefix(PREFIX)) not in known:
            yield path[key].invalid(name, "container not found")
        if profile and profile not in _TYPES and not profile.startswith(_LOCAL):
            yield path[key].invalid(profile, f'invalid AppArmor profile name: "{profile}"')


def validate_same(annotations: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    """Of a new pod: annotations and fields must not contradict each other. `path` is the spec's."""
    if not _has(annotations) or (spec.get("os") or {}).get("name") == "windows":
        return
    own = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container, here in _containers(spec, path):
        profile = (container.get("securityContext") or {}).get("appArmorProfile") or own
        said = annotations.get(PREFIX + container.get("name", ""))
        if not profile or said is None:
            continue
        at, kind = here.securityContext.appArmorProfile, profile.get("type")
        if kind == "Localhost" and said.startswith(_LOCAL):
            if said.removeprefix(_LOCAL) != profile.get("localhostProfile"):
                yield at.localhostProfile.forbidden("apparmor profile in annotation and field must match")
        elif kind in ("Localhost", *_TYPES.values()) and _TYPES.get(said) != kind:
            yield at.type.forbidden("apparmor type in annotation and field must match")


def validate_unchanged(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """Annotations of a pod, and what they were; `path` is theirs."""
    for key in old:
        if key.startswith(PREFIX) and new.get(key) != old[key]:
            yield path[key].forbidden("may not remove or update AppArmor annotations")
    for key in new:
        if key.startswith(PREFIX) and key not in old:
            yield path[key].forbidden("may not add AppArmor annotations")


def _has(annotations: Object) -> bool:
    return any(key.startswith(PREFIX) for key in annotations)


def _containers(spec: Object, path: Path) -> Iterator[tuple[Object, Path]]:
    for name in _LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield container, path.child(name)[index]

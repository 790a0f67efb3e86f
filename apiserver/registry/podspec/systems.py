"""What a pod of one operating system may not set because only the other one has it."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

_POD = ("hostPID", "hostIPC", "hostUsers", "shareProcessNamespace")
_POD_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls",
    "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem",
    "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip
_LISTS = ("containers", "initContainers", "ephemeralContainers")


def validate_system(spec: Object, path: Path) -> Iterator[FieldError]:
    """`path` is the pod spec's; `spec.os` is there."""
    system = (spec.get("os") or {}).get("name")
    if system == "linux":
        yield from _forbidden(spec.get("securityContext"), ("windowsOptions",), path.securityContext, "linux")
        for context, here in _contexts(spec, path):
            if context.get("windowsOptions") is not None:
                yield here.windowsOptions.forbidden("windows options cannot be set for a linux pod")
    elif system == "windows":
        yield from _forbidden(spec, _POD, path, "windows")
        yield from _forbidden(spec.get("securityContext"), _POD_CONTEXT, path.securityContext, "windows")
        for context, here in _contexts(spec, path):
            yield from _forbidden(context, _CONTEXT, here, "windows")


def _contexts(spec: Object, path: Path) -> Iterator[tuple[Object, Path]]:
    for name in _LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            if context := container.get("securityContext"):
                yield context, path.child(name)[index].securityContext


def _forbidden(obj: Object | None, names: tuple[str, ...], path: Path, system: str) -> Iterator[FieldError]:
    for name in names:
        if (obj or {}).get(name) not in (None, False, [], {}):
            what = "windows options cannot be set" if name == "windowsOptions" else "cannot be set"
            yield path.child(name).forbidden(f"{what} for a {system} pod")

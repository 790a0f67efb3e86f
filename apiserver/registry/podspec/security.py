"""Security contexts of pods and containers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .files import descending_path

_MAX_ID = 2**32 - 1
_LONGEST_PROFILE = 4095
_SECCOMP_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_sysctl = re.compile(_SYSCTL).fullmatch


def validate_container_security(context: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_ids(context, path)
    yield from _validate_profiles(context, path)
    privileged, escalation = context.get("privileged"), context.get("allowPrivilegeEscalation")
    if escalation is False:
        if privileged:
            yield path.invalid(
                context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            )
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield path.invalid(
                context,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            )
    mount = context.get("procMount")
    if mount not in (None, "Default", "Unmasked"):
        yield path.procMount.not_supported(mount, ("Default", "Unmasked"))


def validate_pod_security(spec: Object, path: Path) -> Iterator[FieldError]:
    """The pod's own context; `path` is the spec's."""
    context = spec.get("securityContext") or {}
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        yield path.shareProcessNamespace.invalid(
            True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )
    if spec.get("hostUsers") is False:
        for name, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(name):
                yield path.child(shown).forbidden("when `pod.Spec.HostUsers` is false")
    if not context:
        return
    here = path.securityContext
    yield from _validate_ids(context, here)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _MAX_ID:
            yield here.supplementalGroups[index].invalid(group, names.in_range(0, _MAX_ID))
    yield from _validate_profiles(context, here)
    policy = context.get("fsGroupChangePolicy")
    if policy not in (None, "Always", "OnRootMismatch"):
        yield here.fsGroupChangePolicy.not_supported(policy, ("Always", "OnRootMismatch"))
    yield from _validate_sysctls(context.get("sysctls") or [], here.sysctls)


def _validate_ids(context: Object, path: Path) -> Iterator[FieldError]:
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        value = context.get(name)
        if value is not None and not 0 <= value <= _MAX_ID:
            yield path.child(name).invalid(value, names.in_range(0, _MAX_ID))


def _validate_profiles(context: Object, path: Path) -> Iterator[FieldError]:
    if "seccompProfile" in context:
        here = path.seccompProfile
        yield from _validate_profile(context["seccompProfile"], "seccompProfile", "seccomp", here)
    if "appArmorProfile" in context:
        yield from validate_app_armor(context["appArmorProfile"], path.appArmorProfile)


def validate_app_armor(profile: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_profile(profile, "appArmorProfile", "AppArmor", path)
    local = profile.get("localhostProfile")
    if profile.get("type") != "Localhost" or not local:
        return
    if local != local.strip():
        yield path.localhostProfile.invalid(local, "must not be padded with whitespace")
    if len(local.encode()) > _LONGEST_PROFILE:
        yield path.localhostProfile.too_long(_LONGEST_PROFILE)


def _validate_profile(profile: Object, name: str, label: str, path: Path) -> Iterator[FieldError]:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        yield path.type.required(f"type is required when {name} is set")
    elif kind not in _SECCOMP_TYPES:
        yield path.type.not_supported(kind, _SECCOMP_TYPES)
    elif kind == "Localhost":
        if not local:
            yield path.localhostProfile.required(f"must be set when {label} type is Localhost")
        elif label == "seccomp":
            yield from descending_path(local, path.localhostProfile)
    elif local is not None:
        yield path.localhostProfile.invalid(local, f"can only be set when {label} type is Localhost")


def _validate_sysctls(sysctls: list[Object], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, entry in enumerate(sysctls):
        name = entry.get("name", "")
        here = path[index].name
        if not name:
            yield here.required()
        elif len(name) > 253 or not _sysctl(name):
            yield here.invalid(name, f"must have at most 253 characters and match regex ^{_SYSCTL}$")
        elif name in taken:
            yield here.duplicate(name)
        taken.add(name)

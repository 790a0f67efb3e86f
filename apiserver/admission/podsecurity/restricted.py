"""The checks that level restricted adds: what hardened pods have to say of themselves."""

from __future__ import annotations

from kplane.api.resource import Object

from .baseline import masked_proc
from .subject import Check, Finding, Subject, containers, plural, quoted, setters

VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
    "secret",
)  # fmt: skip
PROFILES = ("RuntimeDefault", "Localhost")


def allow_privilege_escalation(subject: Subject) -> Finding | None:
    """Since v1.8; nothing that Windows knows."""
    if subject.version < 8 or subject.on_windows:
        return None
    bad = subject.names(lambda own: own.get("allowPrivilegeEscalation") is not False)
    detail = f"{containers(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail) if bad else None


def capabilities(subject: Subject) -> Finding | None:
    """Since v1.22."""
    if subject.version < 22 or subject.on_windows:
        return None
    keeping, adding, added = [], [], set()
    for container in subject.containers:
        own = (container.get("securityContext") or {}).get("capabilities") or {}
        if "ALL" not in (own.get("drop") or []):
            keeping.append(container["name"])
        if forbidden := set(own.get("add") or []) - {"NET_BIND_SERVICE"}:
            adding.append(container["name"])
            added |= forbidden
    parts = []
    if keeping:
        parts.append(f'{containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        names = quoted(sorted(added))
        parts.append(f"{containers(adding)} must not include {names} in securityContext.capabilities.add")
    return Finding("unrestricted capabilities", "; ".join(parts)) if parts else None


def volumes(subject: Subject) -> Finding | None:
    names, types = [], set()
    for volume in subject.spec.get("volumes") or []:
        if not any(volume.get(kind) is not None for kind in VOLUMES):
            names.append(volume["name"])
            types.add(next((kind for kind in volume if kind != "name"), "unknown"))
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    kinds = f"{plural('restricted volume type', list(types))} {quoted(sorted(types))}"
    return Finding("restricted volume types", f"{plural('volume', names)} {quoted(names)} {uses} {kinds}")


def proc_mount(subject: Subject) -> Finding | None:
    """Since v1.35 the baseline is laxer."""
    return masked_proc(subject) if subject.version >= 35 else None


def run_as_non_root(subject: Subject) -> Finding | None:
    """Since v1.35 a pod in a user namespace of its own may be root there."""
    if subject.version >= 35 and subject.in_user_namespace:
        return None
    pod = subject.security.get("runAsNonRoot")
    at_fault = setters(pod is False, subject.names(lambda own: own.get("runAsNonRoot") is False))
    if at_fault:
        return Finding("runAsNonRoot != true", f"{at_fault} must not set securityContext.runAsNonRoot=false")
    silent = subject.names(lambda own: own.get("runAsNonRoot") is None)
    if pod is None and silent:
        detail = f"pod or {containers(silent)} must set securityContext.runAsNonRoot=true"
        return Finding("runAsNonRoot != true", detail)
    return None


def run_as_user(subject: Subject) -> Finding | None:
    """Since v1.23, and since v1.35 only outside of user namespaces."""
    if subject.version < 23 or (subject.version >= 35 and subject.in_user_namespace):
        return None
    bad = subject.names(lambda own: own.get("runAsUser") == 0)
    who = setters(subject.security.get("runAsUser") == 0, bad)
    return Finding("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp(subject: Subject) -> Finding | None:
    """Since v1.19."""
    if subject.version < 19 or subject.on_windows:
        return None
    forbidden: set[str] = set()

    def bad(own: Object) -> bool:
        kind = (own.get("seccompProfile") or {}).get("type")
        if kind is not None and kind not in PROFILES:
            forbidden.add(kind)
        return kind is not None and kind not in PROFILES

    who = setters(bad(subject.security), subject.names(bad))
    if who:
        kinds = quoted(sorted(forbidden))
        return Finding("seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {kinds}")
    silent = subject.names(lambda own: (own.get("seccompProfile") or {}).get("type") is None)
    if silent and (subject.security.get("seccompProfile") or {}).get("type") is None:
        detail = (
            f"pod or {containers(silent)} must set securityContext.seccompProfile.type to "
            '"RuntimeDefault" or "Localhost"'
        )
        return Finding("seccompProfile", detail)
    return None


CHECKS: dict[str, Check] = {
    "allowPrivilegeEscalation": allow_privilege_escalation,
    "capabilities_restricted": capabilities,
    "procMount_restricted": proc_mount,
    "restrictedVolumes": volumes,
    "runAsNonRoot": run_as_non_root,
    "runAsUser": run_as_user,
    "seccompProfile_restricted": seccomp,
}
"""By upstream's names, in the order in which findings are told."""

OVERRIDES = {
    "capabilities_baseline": 22,
    "hostPathVolumes": 0,
    "procMount": 35,
    "seccompProfile_baseline": 19,
}
"""Checks of the baseline that a stricter one stands for, since that version."""

"""Upstream's priorities of the groups and versions that an API server has of its own.

Source: kube-apiserver's `apiVersionPriorities` and `DefaultGenericAPIServicePriorities`.
"""

from __future__ import annotations

from typing import NamedTuple


class Priority(NamedTuple):
    group: int
    version: int


CUSTOM = Priority(1000, 100)
"""Custom resources."""

_GROUPS = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600, "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200, "policy": 17100, "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700, "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500, "node.k8s.io": 16300, "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100, "internal.apiserver.k8s.io": 16000, "resource.k8s.io": 15900,
    "storagemigration.k8s.io": 15800,
}  # fmt: skip

_VERSIONS = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("events.k8s.io", "v1beta1"): 5,
}
_USUAL = {"v1": 15, "v1beta2": 11, "v1beta1": 9, "v1alpha1": 1}


def of_builtin(group: str, version: str) -> Priority | None:
    """None for a group that is no built-in one."""
    if group not in _GROUPS:
        return None
    return Priority(_GROUPS[group], _VERSIONS.get((group, version)) or _USUAL.get(version, 9))

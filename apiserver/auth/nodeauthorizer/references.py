"""What a pod needs of others to run: the objects that it names, directly or by its volumes.

Source: `pkg/api/v1/pod/util.go`, `pkg/api/v1/persistentvolume/util.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Vertex = tuple[str, str, str]
"""Resource, namespace and name."""

MIRROR = "kubernetes.io/config.mirror"

SECRET_REFERENCES: Mapping[str, str] = {
    "cephfs": "secretRef",
    "flexVolume": "secretRef",
    "rbd": "secretRef",
    "scaleIO": "secretRef",
    "iscsi": "secretRef",
    "storageos": "secretRef",
    "csi": "nodePublishSecretRef",
}
_PV_SECRETS = (
    "controllerPublishSecretRef",
    "nodeStageSecretRef",
    "nodePublishSecretRef",
    "controllerExpandSecretRef",
    "nodeExpandSecretRef",
)


def needed_by_pod(pod: Mapping[str, Any]) -> Iterator[Vertex]:
    """Every object that the pod's node must read for it; mirror pods need none."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    namespace = meta.get("namespace", "")
    if MIRROR in (meta.get("annotations") or {}):
        return
    if account := spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, account
    for kind, name in named_by_spec(spec, meta["name"]):
        yield kind, namespace, name
    for name in _claims(pod):
        yield "resourceclaims", namespace, name


def named_by_spec(spec: Mapping[str, Any], pod: str) -> Iterator[tuple[str, str]]:
    """Resource and name of the Secrets, ConfigMaps and claims to which containers and volumes refer."""
    yield from _names(spec)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, pod)


def _names(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for secret in spec.get("imagePullSecrets") or ():
        yield from _named("secrets", secret)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for source in container.get("envFrom") or ():
                yield from _named("secrets", source.get("secretRef"))
                yield from _named("configmaps", source.get("configMapRef"))
            for variable in container.get("env") or ():
                value = variable.get("valueFrom") or {}
                yield from _named("secrets", value.get("secretKeyRef"))
                yield from _named("configmaps", value.get("configMapKeyRef"))


def _named(kind: str, reference: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if reference and reference.get("name"):
        yield kind, reference["name"]


def _of_volume(volume: Mapping[str, Any], pod: str) -> Iterator[tuple[str, str]]:
    if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
        yield "persistentvolumeclaims", claim
    if volume.get("ephemeral") is not None:
        yield "persistentvolumeclaims", f"{pod}-{volume.get('name', '')}"
    if secret := (volume.get("secret") or {}).get("secretName"):
        yield "secrets", secret
    if secret := (volume.get("azureFile") or {}).get("secretName"):
        yield "secrets", secret
    yield from _named("configmaps", volume.get("configMap"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _named("secrets", source.get("secret"))
        yield from _named("configmaps", source.get("configMap"))
    for kind, field in SECRET_REFERENCES.items():
        yield from _named("secrets", (volume.get(kind) or {}).get(field))


def _claims(pod: Mapping[str, Any]) -> Iterator[str]:
    status = pod.get("status") or {}
    for claim in (pod.get("spec") or {}).get("resourceClaims") or ():
        if name := claim.get("resourceClaimName"):
            yield name
    for claim in status.get("resourceClaimStatuses") or ():
        if name := claim.get("resourceClaimName"):
            yield name
    if name := (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName"):
        yield name


def secrets_of_volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Namespace and name of the secrets that a PersistentVolume needs."""
    spec = volume.get("spec") or {}
    home = (spec.get("claimRef") or {}).get("namespace", "")
    if secret := (spec.get("azureFile") or {}).get("secretName"):
        yield spec["azureFile"].get("secretNamespace") or home, secret
    for kind in ("cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"):
        reference = (spec.get(kind) or {}).get("secretRef") or {}
        if reference.get("name"):
            yield reference.get("namespace") or home, reference["name"]
    for field in _PV_SECRETS:
        reference = (spec.get("csi") or {}).get(field) or {}
        if reference.get("name"):
            yield reference.get("namespace", ""), reference["name"]

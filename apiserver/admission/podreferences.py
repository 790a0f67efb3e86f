"""Whether a Pod needs anything of the API to run: what a mirror of a static Pod must not.

Source: pkg/api/pod `util.go` (HasAPIObjectReference).
"""

from __future__ import annotations

from kplane.api.resource import Object

from ..auth.nodeauthorizer.references import named_by_spec

_VOLUMES = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
_SOURCES = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


def needed_resource(pod: Object) -> str:
    """The kind of the first thing found, as messages name it; empty if there is none."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    named = {kind for kind, _ in named_by_spec(spec, pod["metadata"].get("name", ""))}
    for kind in ("secrets", "configmaps"):
        if kind in named:
            return kind
    if spec.get("resourceClaims"):
        return "resourceclaims"
    return next(filter(None, map(_of_volume, spec.get("volumes") or [])), "")


def _of_volume(volume: Object) -> str:
    for field, told in _VOLUMES.items():
        if volume.get(field) is not None:
            return told
    sources = (volume.get("projected") or {}).get("sources") or []
    found = (told for source in sources for field, told in _SOURCES.items() if source.get(field) is not None)
    return next(found, "")

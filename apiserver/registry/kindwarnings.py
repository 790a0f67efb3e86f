"""Warnings about what clients write in kinds that make no Pods: Services, volumes and their classes.

Texts and rules: `pkg/api/{service,persistentvolume,storage,node}`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import Path
from kplane.api.resource import Object

from .podspec.warnings import NODE_LABELS, term_warnings

_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_BETA_OPTIONS = "volume.beta.kubernetes.io/mount-options"


def name_warnings(obj: Object) -> Iterator[str]:
    """Of a kind whose name its Pods inherit."""
    if faults := names.dns_label(obj["metadata"].get("name", "")):
        yield (
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior;"
            f" a DNS label is recommended: [{' '.join(faults)}]"
        )


def service_warnings(service: Object) -> Iterator[str]:
    spec = service["spec"]
    if _HINTS in (service["metadata"].get("annotations") or {}):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    external = spec["type"] == "ExternalName"
    headless = spec["type"] == "ClusterIP" and spec.get("clusterIP") == "None"
    if headless:
        yield from _headless_warnings(spec)
    elif spec.get("externalIPs") and not external:
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if external and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if not external and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _headless_warnings(spec: Object) -> Iterator[str]:
    if spec.get("loadBalancerIP"):
        yield "spec.loadBalancerIP is ignored for headless services"
    if spec.get("externalIPs"):
        yield "spec.externalIPs is ignored for headless services"
    if spec.get("sessionAffinity", "None") != "None":
        yield "spec.SessionAffinity is ignored for headless services"


def volume_warnings(volume: Object) -> Iterator[str]:
    spec, annotations = volume["spec"], volume["metadata"].get("annotations") or {}
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    terms = Path("spec").nodeAffinity.child("required").nodeSelectorTerms
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        yield from term_warnings(term, terms[index])
    if _BETA_CLASS in annotations:
        yield (
            f"metadata.annotations[{_BETA_CLASS}]: deprecated since v1.8; "
            'use "storageClassName" attribute instead'
        )
    if _BETA_OPTIONS in annotations:
        yield (
            f"metadata.annotations[{_BETA_OPTIONS}]: deprecated since v1.31; "
            'use "mountOptions" attribute instead'
        )
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
            "recommended approach is to use dynamic provisioning."
        )
    for source in ("cephfs", "rbd"):
        if spec.get(source):
            yield f"spec.{source}: deprecated in v1.28, non-functional in v1.31+"


def class_warnings(storage_class: Object) -> Iterator[str]:
    for number, topology in enumerate(storage_class.get("allowedTopologies") or ()):
        here = Path("allowedTopologies")[number].matchLabelExpressions
        for index, expression in enumerate(topology.get("matchLabelExpressions") or ()):
            if text := NODE_LABELS.get(expression.get("key", "")):
                yield f"{here[index]}: {text}"


def capacity_warnings(capacity: Object) -> Iterator[str]:
    topology, path = capacity.get("nodeTopology") or {}, Path("nodeTopology")
    for index, expression in enumerate(topology.get("matchExpressions") or ()):
        if text := NODE_LABELS.get(expression.get("key", "")):
            yield f"{path.matchExpressions[index].key}: {expression['key']} is {text}"
    for label in topology.get("matchLabels") or ():
        if text := NODE_LABELS.get(label):
            yield f"{path.matchLabels.child(label)}: {text}"


def runtime_warnings(runtime_class: Object) -> Iterator[str]:
    for label in (runtime_class.get("scheduling") or {}).get("nodeSelector") or ():
        if text := NODE_LABELS.get(label):
            yield f"scheduling.nodeSelector: {text}"

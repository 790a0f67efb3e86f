"""Warnings about what clients write in kinds that make no Pods: Services, volumes, nodes and others.

Texts and rules: `pkg/api/{service,persistentvolume,persistentvolumeclaim,storage,node}` and the strategies in
`pkg/registry`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import ROOT, Path
from kplane.api.resource import Object

from .addressforms import cidr_warnings, ip_warning, ip_warnings
from .podspec.warnings import NODE_LABELS, claim_spec_warnings, term_warnings

_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_NO_CLASS = 'deprecated since v1.8; use "storageClassName" attribute instead'
_OLD_CLASS = "kubernetes.io/ingress.class"
_SLICE_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
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
    path = ROOT.spec
    if headless:
        yield from _headless_warnings(spec)
    else:
        yield from ip_warnings(spec.get("clusterIPs") or (), path.clusterIPs)
    if addresses := spec.get("externalIPs"):
        yield from ip_warnings(addresses, path.externalIPs)
        if not headless and not external:
            yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if address := spec.get("loadBalancerIP"):
        yield from ip_warning(address, path.loadBalancerIP)
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from cidr_warnings(network.strip(), path.loadBalancerSourceRanges[index])
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


def service_status_warnings(service: Object) -> Iterator[str]:
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    # Upstream names the entry, not its field.
    yield from ip_warnings((entry.get("ip", "") for entry in entries), Path("status.loadBalancer.ingress"))


def pod_status_warnings(pod: Object) -> Iterator[str]:
    status = pod.get("status") or {}
    for name in ("podIPs", "hostIPs"):
        for index, entry in enumerate(status.get(name) or ()):
            if ":" in entry.get("ip", ""):
                yield from ip_warning(entry["ip"], ROOT.status.child(name)[index].ip)


def endpoints_warnings(endpoints: Object) -> Iterator[str]:
    labels = endpoints["metadata"].get("labels") or {}
    # Controllers write addresses as they should be; the look at thousands of them is spared.
    if labels.get("endpoints.kubernetes.io/managed-by") == "endpoint-controller":
        return
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        for name in ("addresses", "notReadyAddresses"):
            for position, address in enumerate(subset.get(name) or ()):
                here = ROOT.subsets[index].child(name)[position].ip
                yield from ip_warning(address.get("ip", ""), here)


def slice_warnings(endpoints: Object) -> Iterator[str]:
    """Of the addresses of an EndpointSlice."""
    labels = endpoints["metadata"].get("labels") or {}
    if labels.get("endpointslice.kubernetes.io/managed-by") in _SLICE_CONTROLLERS:
        return
    for index, endpoint in enumerate(endpoints.get("endpoints") or ()):
        yield from ip_warnings(endpoint.get("addresses") or (), ROOT.endpoints[index].addresses)


def policy_warnings(policy: Object) -> Iterator[str]:
    """Of the networks of a NetworkPolicy."""
    spec = policy.get("spec") or {}
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            for position, peer in enumerate(rule.get(peers) or ()):
                block = peer.get("ipBlock")
                if block is None:
                    continue
                here = ROOT.spec.child(direction)[index].child(peers)[position].ipBlock
                yield from cidr_warnings(block.get("cidr", ""), here.cidr)
                for number, part in enumerate(block.get("except") or ()):
                    yield from cidr_warnings(part, here.child("except")[number])


def node_warnings(node: Object) -> Iterator[str]:
    spec = node.get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, network in enumerate(spec.get("podCIDRs") or ()):
        yield from cidr_warnings(network, ROOT.spec.podCIDRs[index])


def ingress_warnings(ingress: Object) -> Iterator[str]:
    given = _OLD_CLASS in (ingress["metadata"].get("annotations") or {})
    if given and (ingress.get("spec") or {}).get("ingressClassName") is None:
        yield f"annotation \"{_OLD_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def claim_warnings(claim: Object) -> Iterator[str]:
    """Of a PersistentVolumeClaim."""
    if _BETA_CLASS in (claim["metadata"].get("annotations") or {}):
        yield f"metadata.annotations[{_BETA_CLASS}]: {_NO_CLASS}"
    yield from claim_spec_warnings(claim.get("spec") or {}, ROOT.spec)


def volume_warnings(volume: Object) -> Iterator[str]:
    spec, annotations = volume["spec"], volume["metadata"].get("annotations") or {}
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    terms = ROOT.spec.nodeAffinity.child("required").nodeSelectorTerms
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        yield from term_warnings(term, terms[index])
    if _BETA_CLASS in annotations:
        yield f"metadata.annotations[{_BETA_CLASS}]: {_NO_CLASS}"
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
        here = ROOT.allowedTopologies[number].matchLabelExpressions
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

"""What kubeadm leaves in a cluster for those who join it: its own configuration, and that of kubelets.

Writes: the ConfigMaps `kubeadm-config` and `kubelet-config` in kube-system, and the roles by which nodes, and
those who are about to be nodes, read them; what exists is left as it is. Reads: `kubelet-config`.

Source: cmd/kubeadm/app/phases/{uploadconfig,kubelet}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from kplane.api.errors import AlreadyExists, Forbidden, NotFound
from kplane.api.resource import Object, Resource
from kplane.api.types import ConfigMap
from kplane.client.rest import Client

from .clusterinfo import BOOTSTRAPPERS, NODES, RBAC, ROLE_BINDINGS, ROLES

NAMESPACE = "kube-system"
KUBEADM, CLUSTER_KEY = "kubeadm-config", "ClusterConfiguration"
KUBELET, KUBELET_KEY = "kubelet-config", "kubelet"
READERS = ((KUBEADM, "kubeadm:nodes-kubeadm-config"), (KUBELET, "kubeadm:kubelet-config"))
"""ConfigMap, and the role to read it."""

RANGES: Resource[dict[str, Any]] = Resource(
    "networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False, dict
)
VERSION = "v1.37.0"
AUTHORITY = "/etc/kubernetes/pki/ca.crt"


async def publish(client: Client, server: str) -> None:
    """Make what is missing. `server` is the API's URL as other machines reach it. Raises ApiError."""
    described = cluster(server, await _service_subnet(client))
    documents = ((KUBEADM, CLUSTER_KEY, described), (KUBELET, KUBELET_KEY, kubelet()))
    for name, key, document in documents:
        data = {key: yaml.safe_dump(document)}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name), "data": data}
        try:
            await client.create(ConfigMap, body)
        except AlreadyExists:
            continue
    for resource, body in permissions():
        try:
            await client.create(resource, body)
        except AlreadyExists:
            continue


async def _service_subnet(client: Client) -> str:
    """The ranges that the API server was started with; empty before it has written them down."""
    try:
        found = await client.get(RANGES, "kubernetes")
    except NotFound:
        return ""
    return ",".join(found["spec"]["cidrs"])


async def fetch_kubelet(client: Client) -> str | None:
    """The configuration for kubelets; None in a cluster that has none. Raises ApiError."""
    try:
        found = await client.get(ConfigMap, KUBELET, NAMESPACE)
    except (NotFound, Forbidden):
        return None
    return found.data.get(KUBELET_KEY)


def cluster(server: str, service_subnet: str) -> Object:
    """As kubeadm describes a cluster."""
    return {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "apiServer": {},
        "caCertificateValidityPeriod": "87600h0m0s",
        "certificateValidityPeriod": "8760h0m0s",
        "certificatesDir": "/etc/kubernetes/pki",
        "clusterName": "kubernetes",
        "controlPlaneEndpoint": server.partition("://")[2],
        "controllerManager": {},
        "dns": {},
        "encryptionAlgorithm": "ECDSA-P256",
        "etcd": {"local": {"dataDir": "/var/lib/etcd"}},
        "imageRepository": "registry.k8s.io",
        "kubernetesVersion": VERSION,
        "networking": {"dnsDomain": "cluster.local", "serviceSubnet": service_subnet},
        "proxy": {},
        "scheduler": {},
    }


def kubelet() -> Object:
    """What every kubelet of the cluster starts from; durations of 0s are upstream's defaults. A node's own
    paths and addresses are given by flags."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"cacheTTL": "0s", "enabled": True},
            "x509": {"clientCAFile": AUTHORITY},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"},
        },
        "clusterDomain": "cluster.local",
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "nodeStatusReportFrequency": "0s",
        "nodeStatusUpdateFrequency": "0s",
        "rotateCertificates": True,
        # The API server verifies kubelets; kubeadm's does not.
        "serverTLSBootstrap": True,
    }


def permissions() -> Iterator[tuple[Resource[dict[str, Any]], Object]]:
    """Nodes, and those who are about to be nodes, read both."""
    for name, role in READERS:
        rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["get"]}
        kind = {"apiVersion": ROLES.api_version, "kind": ROLES.kind}
        yield ROLES, kind | {"metadata": _metadata(role), "rules": [rule]}
        subjects = [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in (BOOTSTRAPPERS, NODES)]
        yield (
            ROLE_BINDINGS,
            {
                "apiVersion": ROLE_BINDINGS.api_version,
                "kind": ROLE_BINDINGS.kind,
                "metadata": _metadata(role),
                "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": role},
                "subjects": subjects,
            },
        )


def _metadata(name: str) -> Object:
    return {"name": name, "namespace": NAMESPACE}

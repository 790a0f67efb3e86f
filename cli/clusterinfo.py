"""What a joining node finds in a cluster: `cluster-info`, and the permissions of those who bootstrap.

Writes: objects, under the names that kubeadm gives them; what exists is left as it is, but for the address.
Elsewhere: the signatures of `cluster-info` (the controller manager), who reads it (discovery.py).

Source: cmd/kubeadm/app/phases/bootstraptoken.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from kplane.api import bootstraptokens as tokens
from kplane.api.errors import AlreadyExists
from kplane.api.resource import Object, Resource
from kplane.api.types import ConfigMap
from kplane.client.rest import Client

BOOTSTRAPPERS = "system:bootstrappers:kubeadm:default-node-token"
NODES = "system:nodes"
RBAC = "rbac.authorization.k8s.io"
GET_NODES = "kubeadm:get-nodes"
SIGNER_ROLE = "kubeadm:bootstrap-signer-clusterinfo"

BINDINGS = (
    ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", BOOTSTRAPPERS),
    (
        "kubeadm:node-autoapprove-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        BOOTSTRAPPERS,
    ),
    (
        "kubeadm:node-autoapprove-certificate-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        NODES,
    ),
    (GET_NODES, GET_NODES, BOOTSTRAPPERS),
    # A joined node's proxy has no identity but the node's.
    ("kplane:node-proxier", "system:node-proxier", NODES),
)
"""ClusterRoleBindings: name, ClusterRole, group."""


def _resource(plural: str, kind: str, *, namespaced: bool) -> Resource[dict[str, Any]]:
    return Resource(RBAC, "v1", plural, kind, namespaced, dict)


ROLES = _resource("roles", "Role", namespaced=True)
ROLE_BINDINGS = _resource("rolebindings", "RoleBinding", namespaced=True)
CLUSTER_ROLES = _resource("clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = _resource("clusterrolebindings", "ClusterRoleBinding", namespaced=False)


async def publish(client: Client, server: str, authority: bytes) -> None:
    """Make what is missing. `server` is the API's address as other machines reach it."""
    for resource, body in permissions():
        try:
            await client.create(resource, body)
        except AlreadyExists:
            continue
    await _publish_info(client, kubeconfig_of(server, authority))


async def _publish_info(client: Client, kubeconfig: str) -> None:
    name, namespace = tokens.CLUSTER_INFO, tokens.CLUSTER_INFO_NAMESPACE
    data = {tokens.KUBECONFIG_KEY: kubeconfig}
    metadata = {"name": name, "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    try:
        await client.create(ConfigMap, body)
    except AlreadyExists:
        await client.patch(ConfigMap, name, namespace, {"data": data})


def kubeconfig_of(server: str, authority: bytes) -> str:
    """A kubeconfig that says where the cluster is and how to know it, and nothing of any user."""
    cluster = {"certificate-authority-data": base64.b64encode(authority).decode(), "server": server}
    config: Object = {
        "apiVersion": "v1",
        "clusters": [{"cluster": cluster, "name": ""}],
        "contexts": None,
        "current-context": "",
        "kind": "Config",
        "preferences": {},
        "users": None,
    }
    return yaml.safe_dump(config)


def permissions() -> Iterator[tuple[Resource[dict[str, Any]], Object]]:
    """Who may read `cluster-info`, ask for certificates, and have them without being asked."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    namespace = tokens.CLUSTER_INFO_NAMESPACE
    read = [rule | {"resourceNames": [tokens.CLUSTER_INFO]}]
    yield ROLES, _body(ROLES, SIGNER_ROLE, namespace) | {"rules": read}
    subject = {"apiGroup": RBAC, "kind": "User", "name": "system:anonymous"}
    yield ROLE_BINDINGS, _binding(ROLE_BINDINGS, SIGNER_ROLE, ROLES, SIGNER_ROLE, [subject], namespace)
    nodes = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]
    yield CLUSTER_ROLES, _body(CLUSTER_ROLES, GET_NODES) | {"rules": nodes}
    for name, role, group in BINDINGS:
        subject = {"apiGroup": RBAC, "kind": "Group", "name": group}
        yield CLUSTER_ROLE_BINDINGS, _binding(CLUSTER_ROLE_BINDINGS, name, CLUSTER_ROLES, role, [subject])


def _body(resource: Resource[dict[str, Any]], name: str, namespace: str = "") -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _binding(
    resource: Resource[dict[str, Any]],
    name: str,
    roles: Resource[dict[str, Any]],
    role: str,
    subjects: Sequence[Object],
    namespace: str = "",
) -> Object:
    reference = {"apiGroup": RBAC, "kind": roles.kind, "name": role}
    return _body(resource, name, namespace) | {"roleRef": reference, "subjects": list(subjects)}

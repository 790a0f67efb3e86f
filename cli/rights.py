"""Who may do what in a cluster of `kplane up`, beside the roles that every cluster has.

- People with `admin.kubeconfig` are in the group `kubeadm:cluster-admins`, which is cluster-admin.
- The process of the hollow nodes is no node itself: it holds the role `system:node`.
- The API server's client certificate for kubelets holds `system:kubelet-api-admin`, as kubeadm has it.
- The controller that approves kubelets' serving certificates may do that, and no more.

Elsewhere: the rights of nodes that join (clusterinfo.py).
Invariant: written as a member of `system:masters`, whom no policy can lock out, and safe to repeat.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from kplane.api.errors import NotFound
from kplane.api.resource import Object, Resource
from kplane.client import kubeconfig
from kplane.client.rest import Client, PatchType, connect

GROUP = "rbac.authorization.k8s.io"
CERTIFICATES = "certificates.k8s.io"
ROLES = Resource(GROUP, "v1", "clusterroles", "ClusterRole", False, dict)
BINDINGS = Resource(GROUP, "v1", "clusterrolebindings", "ClusterRoleBinding", False, dict)

ADMINS = "kubeadm:cluster-admins"
HOLLOW_USER = "kplane:hollow-nodes"
FORMER = "kplane:controllers"
"""The controller manager held all controllers' rights by it, before each had an account of its own."""
_MANAGER = "kplane-up"


async def grant(super_admin: Path) -> None:
    """Write the bindings. Raises ApiError."""
    client = connect(kubeconfig.load(super_admin))
    try:
        for role in HELD:
            await _apply(client, ROLES, role)
        for binding in BOUND:
            await _apply(client, BINDINGS, binding)
        for what in (BINDINGS, ROLES):
            with suppress(NotFound):
                await client.delete(what, FORMER)
    finally:
        await client.close()


async def _apply(client: Client, what: Resource[Any], body: Object) -> None:
    name = body["metadata"]["name"]
    await client.patch(what, name, "", body, kind=PatchType.APPLY, field_manager=_MANAGER, force=True)


def _binding(name: str, role: str, kind: str, subject: str) -> Object:
    return _object("ClusterRoleBinding", name) | {
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": kind, "name": subject}],
    }


def _object(kind: str, name: str) -> Object:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}}


KUBELET_CLIENT = "kube-apiserver-kubelet-client"

SERVING_APPROVER = "kplane:kubelet-serving-approver"
_APPROVER = "system:serviceaccount:kube-system:kubelet-serving-approving-controller"
_APPROVES = (
    {"apiGroups": [CERTIFICATES], "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]},
    {
        "apiGroups": [CERTIFICATES],
        "resources": ["signers"],
        "resourceNames": ["kubernetes.io/kubelet-serving"],
        "verbs": ["approve"],
    },
)

HELD = (_object("ClusterRole", SERVING_APPROVER) | {"rules": _APPROVES},)
"""Roles that upstream does not have."""

BOUND = (
    _binding("kubeadm:apiserver-kubelet-client", "system:kubelet-api-admin", "User", KUBELET_CLIENT),
    _binding(ADMINS, "cluster-admin", "Group", ADMINS),
    _binding(HOLLOW_USER, "system:node", "User", HOLLOW_USER),
    _binding(SERVING_APPROVER, SERVING_APPROVER, "User", _APPROVER),
)

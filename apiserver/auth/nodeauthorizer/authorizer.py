"""The Node authoriser: a kubelet reads what the pods on its node need, and writes what is its own.

It has an opinion on users `system:node:<name>` in the group `system:nodes` alone, and it never denies.

Source: plugin `auth/authorizer/node/node_authorizer.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kplane.api.errors import ApiError

from ...storage.store import StoreError
from ..authorizer import ALLOW, NO_OPINION, Attributes, Decision, Rules, Verdict
from ..rbac.bootstrap.nodes import NODE_RULES
from ..rbac.rules import Rule
from ..user import User
from .graph import Graph

NODES_GROUP = "system:nodes"
USER_PREFIX = "system:node:"
LEASES = "kube-node-lease"
_OWN_VERBS = ("get", "create", "update", "patch", "delete")
_RULES = tuple(Rule.of(rule) for rule in NODE_RULES)


def node_of(user: User) -> str | None:
    """The name of the node that the user is; empty if it cannot be told, None if the user is no node."""
    if not user.name.startswith(USER_PREFIX) or NODES_GROUP not in user.groups:
        return None
    return user.name.removeprefix(USER_PREFIX)


def no(reason: str) -> Verdict:
    return Verdict(Decision.NO_OPINION, reason)


class NodeAuthorizer:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._by_resource: Mapping[tuple[str, str], Callable[[str, Attributes], Verdict]] = {
            ("", "secrets"): self._read,
            ("", "configmaps"): self._read,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("certificates.k8s.io", "podcertificaterequests"): self._certificate,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }

    async def authorize(self, attributes: Attributes) -> Verdict:
        node = node_of(attributes.user)
        if node is None:
            return NO_OPINION
        if not node:
            return no(f'unknown node for user "{attributes.user.name}"')
        if attributes.is_resource:
            decide = self._by_resource.get((attributes.group, attributes.resource))
            if decide is not None:
                await self._graph.refresh()
                return decide(node, attributes)
        return ALLOW if any(rule.allows(attributes) for rule in _RULES) else NO_OPINION

    async def rules(self, user: User, namespace: str) -> Rules:
        if node_of(user) is None:
            return Rules()
        return Rules([], [], True, ["node authorizer does not support user rule resolution"])

    async def catch_up(self) -> bool:
        try:
            return await self._graph.catch_up()
        except (ApiError, StoreError):
            return False  # Whoever is refused stays refused: what we know says so.

    def _related(self, node: str, asked: Attributes) -> Verdict:
        if not asked.name:
            return no("No Object name found")
        if self._graph.related(node, asked.resource, asked.namespace, asked.name):
            return ALLOW
        return no(f"no relationship found between node '{node}' and this object")

    def _read(self, node: str, asked: Attributes) -> Verdict:
        if asked.verb not in ("get", "list", "watch"):
            return no("can only read resources of this type")
        if asked.subresource:
            return no("cannot read subresource")
        if not asked.namespace:
            return no("can only read namespaced object of this type")
        return self._related(node, asked)

    def _get(self, node: str, asked: Attributes) -> Verdict:
        if asked.verb != "get":
            return no("can only get individual resources of this type")
        if asked.subresource:
            return no("cannot get subresource")
        return self._related(node, asked)

    def _claim(self, node: str, asked: Attributes) -> Verdict:
        if asked.subresource != "status":
            return self._get(node, asked)
        if asked.verb not in ("update", "patch"):
            return no("can only get/update/patch this type")
        return self._related(node, asked)

    def _account(self, node: str, asked: Attributes) -> Verdict:
        if asked.verb == "get" and not asked.subresource:
            return self._related(node, asked)
        if asked.verb != "create" or not asked.name:
            return no("can only create tokens for individual service accounts")
        if asked.subresource != "token":
            return no("can only create token subresource of serviceaccount")
        return self._related(node, asked)

    def _slice(self, node: str, asked: Attributes) -> Verdict:
        if asked.subresource:
            return no("cannot authorize ResourceSlice subresources")
        match asked.verb:
            case "create":
                return ALLOW  # Admission (NodeRestriction) sees whose it is.
            case "get" | "update" | "patch" | "delete":
                return self._related(node, asked)
            case "watch" | "list" | "deletecollection":
                if any(term.requires("spec.nodeName", node) for term in asked.fields):
                    return ALLOW
                return no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update,"
            " patch, delete, deletecollection"
        )

    def _certificate(self, node: str, asked: Attributes) -> Verdict:
        if asked.subresource:
            return no("cannot authorize PodCertificateRequest subresources")
        match asked.verb:
            case "create":
                return ALLOW  # Admission (NodeRestriction) sees whose it is.
            case "get":
                return self._related(node, asked)
            case "list" | "watch":
                if any(term.requires("spec.nodeName", node) for term in asked.fields):
                    return ALLOW
                return no("can only list/watch podcertificaterequests with nodeName field selector")
        return no("can only create, get, list, or watch a PodCertificateRequest")

    def _pod(self, node: str, asked: Attributes) -> Verdict:
        match asked.subresource, asked.verb:
            case "", "get":
                return self._related(node, asked)
            case "", "list" | "watch":
                if any(term.requires("spec.nodeName", node) for term in asked.fields):
                    return ALLOW
                if asked.name:
                    return self._related(node, asked)
                return no("can only list/watch pods with spec.nodeName field selector")
            # Admission (NodeRestriction) sees that they are the node's own.
            case ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create"):
                return ALLOW
        return NO_OPINION


def _node(node: str, asked: Attributes) -> Verdict:
    match asked.subresource, asked.verb:
        case ("", "create" | "update" | "patch") | ("status", "update" | "patch"):
            return ALLOW
        case "", "get" | "list" | "watch":
            if asked.name == node:
                return ALLOW
            if not asked.name:
                return no(f"node '{node}' cannot read all nodes, only its own Node object")
            return no(f"node '{node}' cannot read '{asked.name}', only its own Node object")
    return NO_OPINION


def _lease(node: str, asked: Attributes) -> Verdict:
    if asked.verb not in _OWN_VERBS:
        return no("can only get, create, update, patch, or delete a node lease")
    if asked.namespace != LEASES:
        return no(f'can only access leases in the "{LEASES}" system namespace')
    # The name of what is created is in its body, which admission (NodeRestriction) sees.
    if asked.verb != "create" and asked.name != node:
        return no("can only access node lease with the same name as the requesting node")
    return ALLOW


def _csi_node(node: str, asked: Attributes) -> Verdict:
    if asked.verb not in _OWN_VERBS:
        return no("can only get, create, update, patch, or delete a CSINode")
    if asked.subresource:
        return no("cannot authorize CSINode subresources")
    if asked.verb != "create" and asked.name != node:
        return no("can only access CSINode with the same name as the requesting node")
    return ALLOW

"""What a cluster needs for its metrics server: its place in the API, and its rights.

The server is no Pod: a Service of type ExternalName says where the API server finds it, which is `localhost`
where both run on one machine. Its role and bindings are those of upstream's manifest; it is that manifest's
service account, by certificate. Safe to repeat.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from kplane.api.resource import Object, Resource
from kplane.client import kubeconfig
from kplane.client.rest import Client, PatchType, connect

NAME, NAMESPACE = "metrics-server", "kube-system"
USER = f"system:serviceaccount:{NAMESPACE}:{NAME}"
GROUPS = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
DNS_NAMES = (f"{NAME}.{NAMESPACE}.svc", "localhost")
GROUP, VERSIONS = "metrics.k8s.io", ("v1", "v1beta1")
READER = "system:aggregated-metrics-reader"
ROLE = "system:metrics-server"
RBAC = "rbac.authorization.k8s.io/v1"
_MANAGER = "kplane-up"


HOST, PORT = "localhost", 4443
"""Where the API server finds it, unless it is told otherwise."""


async def register(super_admin: Path, port: int, authority: Path) -> None:
    """For a server on the API server's machine; `authority` has signed its certificate. Raises ApiError."""
    await write(connect(kubeconfig.load(super_admin)), HOST, port, authority.read_bytes())


async def write(client: Client, host: str, port: int, authority: bytes) -> None:
    """Write the objects, and close the client. `host` is a DNS name or an IPv4 address. Raises ApiError."""
    try:
        for body in objects(host, port, authority):
            name, namespace = body["metadata"]["name"], body["metadata"].get("namespace", "")
            await client.patch(
                _resource(body), name, namespace, body,
                kind=PatchType.APPLY, field_manager=_MANAGER, force=True,
            )  # fmt: skip
    finally:
        await client.close()


def objects(host: str, port: int, authority: bytes) -> list[Object]:
    """In the order in which they are written: the API comes last."""
    aggregated = {
        f"rbac.authorization.k8s.io/aggregate-to-{role}": "true" for role in ("view", "edit", "admin")
    }
    metrics = {"apiGroups": [GROUP], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}
    kubelets = {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}
    seen = {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    bound = {"kind": "ClusterRole", "name": ROLE, "apiGroup": "rbac.authorization.k8s.io"}
    service = {"name": NAME, "namespace": NAMESPACE, "port": port}
    bundle = base64.b64encode(authority).decode()
    return [
        _object("v1", "ServiceAccount", NAME, NAMESPACE),
        _object(RBAC, "ClusterRole", READER, labels=aggregated, rules=[metrics]),
        _object(RBAC, "ClusterRole", ROLE, rules=[kubelets, seen]),
        _object(RBAC, "ClusterRoleBinding", ROLE, roleRef=bound, subjects=[account]),
        _object("v1", "Service", NAME, NAMESPACE, spec={"type": "ExternalName", "externalName": host}),
        *(_api_service(version, service, bundle) for version in VERSIONS),
    ]


def _api_service(version: str, service: Object, bundle: str) -> Object:
    return _object(
        "apiregistration.k8s.io/v1",
        "APIService",
        f"{version}.{GROUP}",
        spec={
            "group": GROUP,
            "version": version,
            "service": service,
            "caBundle": bundle,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    )


def _object(
    api_version: str, kind: str, name: str, namespace: str = "", labels: Object | None = None, **rest: Any
) -> Object:
    metadata: Object = {"name": name, "labels": {"k8s-app": NAME} | (labels or {})}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def _resource(body: Object) -> Resource[Any]:
    group, _, version = body["apiVersion"].rpartition("/")
    kind = body["kind"]
    return Resource(group, version, f"{kind.lower()}s", kind, "namespace" in body["metadata"], dict)

"""What people do about permissions with kubectl."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

from ...conftest import Api
from ...kubectl import Kubectl
from .conftest import binding, group, path_of

pytestmark = pytest.mark.slow

ANN = ("--as=ann", "--as-group=system:authenticated")


@pytest.fixture
async def admin(rbac_config: ApiServerConfig, tmp_path: Path) -> AsyncIterator[Kubectl]:
    """kubectl with the certificate of `kplane up`'s administrator, who is bound to cluster-admin."""
    keys = tmp_path / "pki"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    listen = ServingConfig(
        address="127.0.0.1",
        port=0,
        cert_file=keys / "apiserver.crt",
        key_file=keys / "apiserver.key",
        client_ca_file=keys / "ca.crt",
    )
    config = replace(rbac_config, client_ca_file=keys / "ca.crt")
    async with ApiServer(config) as server, Serving(server.app, listen) as serving:
        admins = binding("cluster-admin", group("kubeadm:cluster-admins")) | {"metadata": {"name": "admins"}}
        await Api(server.app).make(path_of("rolebindings", ""), admins)
        yield Kubectl(serving.port, keys, tmp_path)


async def test_can_i(admin: Kubectl) -> None:
    assert await admin("auth", "can-i", "*", "*") == "yes\n"
    assert (await admin("auth", "can-i", "get", "/healthz", *ANN)) == "yes\n"
    refused = await admin("auth", "can-i", "list", "pods", *ANN, fails=True)
    assert refused == ""


async def test_roles_and_bindings_are_made_and_used(admin: Kubectl) -> None:
    await admin("create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps")
    await admin(
        "create", "rolebinding", "reader", "--role=reader", "--user=ann", "--serviceaccount=default:robot"
    )
    await admin("create", "clusterrole", "urls", "--verb=get", "--non-resource-url=/metrics")
    await admin("create", "clusterrolebinding", "urls", "--clusterrole=urls", "--group=system:authenticated")

    assert await admin("auth", "can-i", "list", "deployments.apps", *ANN) == "yes\n"
    assert await admin("auth", "can-i", "get", "/metrics", *ANN) == "yes\n"
    assert await admin("auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:robot") == "yes\n"
    await admin("auth", "can-i", "list", "pods", "-n", "kube-system", *ANN, fails=True)
    listed = await admin("auth", "can-i", "--list", *ANN)
    assert "pods" in listed
    assert "deployments.apps" in listed
    assert "/metrics" in listed
    assert await admin("get", "pods", *ANN) == ""
    refused = await admin("get", "secrets", *ANN, fails=True)
    assert refused == (
        'Error from server (Forbidden): secrets is forbidden: User "ann" cannot list resource "secrets"'
        ' in API group "" in the namespace "default"\n'
    )


MANIFEST = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:kube-dns}
rules:
- {apiGroups: [apps], resources: [deployments], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kites}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:kube-dns}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: ann}
"""


async def test_reconcile_adds_to_what_is_there(admin: Kubectl) -> None:
    await admin("auth", "reconcile", "-f", "-", stdin=MANIFEST)

    assert await admin("auth", "can-i", "get", "deployments.apps", *ANN) == "yes\n"
    rules = await admin("get", "clusterrole", "system:kube-dns", "-o", "jsonpath={.rules[*].resources}")
    assert "deployments" in rules
    assert "services" in rules


async def test_describe_and_whoami(admin: Kubectl) -> None:
    described = await admin("describe", "clusterrole", "system:kube-dns")

    assert "rbac.authorization.kubernetes.io/autoupdate: true" in described
    assert "kubeadm:cluster-admins" in await admin("auth", "whoami")

"""The rights that `kplane up` hands out, in a server that asks RBAC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kplane.api.resource import Resource
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.cli.rights import ADMINS, FORMER, HOLLOW_USER, KUBELET_CLIENT, ROLES, grant
from kplane.client import kubeconfig
from kplane.client.rest import Client, connect
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

REVIEWS: Resource[dict[str, Any]] = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, dict
)
MANAGER = "system:kube-controller-manager"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """As a member of system:masters, after `grant`, twice: a cluster starts more than once."""
    keys = tmp_path / "pki"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    listen = ServingConfig(
        address="127.0.0.1",
        port=0,
        cert_file=keys / "apiserver.crt",
        key_file=keys / "apiserver.key",
        client_ca_file=keys / "ca.crt",
    )
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        bind_address="127.0.0.1",
        client_ca_file=keys / "ca.crt",
        authorization=AuthorizationSettings(modes=("Node", "RBAC")),
    )
    async with ApiServer(config) as server, Serving(server.app, listen) as serving:
        credentials = kubeconfig.Credentials(
            server=f"https://127.0.0.1:{serving.port}",
            ca=(keys / "ca.crt").read_bytes(),
            certificate=(keys / "super-admin.crt").read_bytes(),
            key=(keys / "super-admin.key").read_bytes(),
        )
        path = tmp_path / "super-admin.kubeconfig"
        kubeconfig.write(path, credentials, user="super-admin")
        client = connect(kubeconfig.load(path))
        await client.create(ROLES, {"metadata": {"name": FORMER}, "rules": []})
        await grant(path)
        await grant(path)
        try:
            yield client
        finally:
            await client.close()


async def may(
    client: Client, subject: dict[str, Any], verb: str, group: str, what: str, name: str = ""
) -> bool:
    resource, _, subresource = what.partition("/")
    attributes = {
        "verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name
    }  # fmt: skip
    body = {
        "apiVersion": REVIEWS.api_version,
        "kind": REVIEWS.kind,
        "spec": subject | {"resourceAttributes": attributes},
    }
    review = await client.create(REVIEWS, body)
    allowed: bool = review["status"]["allowed"]
    return allowed


async def test_each_name_holds_what_it_needs_and_no_more(client: Client) -> None:
    admin, manager, hollow = {"groups": [ADMINS]}, {"user": MANAGER}, {"user": HOLLOW_USER}
    kubelets = {"user": KUBELET_CLIENT}

    assert await may(client, admin, "delete", "rbac.authorization.k8s.io", "clusterroles")
    assert await may(client, manager, "watch", "apps", "deployments")
    assert await may(client, manager, "create", "", "serviceaccounts/token")
    for verb, group, what in (
        ("patch", "apps", "deployments/status"),
        ("create", "", "pods"),
        ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
        ("impersonate", "", "users"),
    ):
        assert not await may(client, manager, verb, group, what)
    assert await may(client, kubelets, "create", "", "nodes/proxy")
    assert not await may(client, kubelets, "get", "", "secrets")
    assert await may(client, hollow, "create", "", "nodes")
    assert not await may(client, hollow, "delete", "", "nodes")
    assert not await may(client, {"user": "ann"}, "get", "", "pods")


async def test_the_approver_of_serving_certificates_may_do_that_alone(client: Client) -> None:
    account = {"user": "system:serviceaccount:kube-system:kubelet-serving-approving-controller"}
    group = "certificates.k8s.io"

    assert await may(client, account, "update", group, "certificatesigningrequests/approval")
    assert await may(client, account, "approve", group, "signers", "kubernetes.io/kubelet-serving")
    for verb, what, name in (
        ("approve", "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
        ("sign", "signers", "kubernetes.io/kubelet-serving"),
        ("update", "certificatesigningrequests/status", ""),
    ):
        assert not await may(client, account, verb, group, what, name)


async def test_what_the_manager_held_for_all_its_controllers_goes(client: Client) -> None:
    names = [role["metadata"]["name"] for role in (await client.list(ROLES)).items]

    assert "system:controller:deployment-controller" in names
    assert FORMER not in names

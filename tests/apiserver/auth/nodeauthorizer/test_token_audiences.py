"""For whom a node gets tokens of its Pods' accounts: those whom the Pod means, and those whom it is let."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ...conftest import Answer, Api, pod
from .conftest import IN, TOKENS

ROBOT = f"{IN}/serviceaccounts/robot"
STORAGE = "/apis/storage.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass
class Kubelet:
    """The kubelet of n1, beside an administrator."""

    admin: Api
    node: Api

    async def token(self, of: Any, *audiences: str) -> Answer:
        """A token that is bound to a Pod."""
        meta = of["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec = {"boundObjectRef": bound} | ({"audiences": list(audiences)} if audiences else {})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return await self.node("POST", f"{ROBOT}/token", body)

    async def pod(self, name: str, *volumes: dict[str, Any]) -> Any:
        named = [{"name": f"v{number}"} | volume for number, volume in enumerate(volumes)]
        made = pod(name, nodeName="n1", serviceAccountName="robot", volumes=named)
        return await self.admin.make(f"{IN}/pods", made)


@pytest.fixture
async def kubelet(config: ApiServerConfig, tmp_path: Path) -> AsyncIterator[Kubelet]:
    assert config.token_auth_file is not None
    config.token_auth_file.write_text(TOKENS)
    key = tmp_path / "sa.key"
    key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=key)
    config = replace(
        config,
        authentication=AuthenticationSettings(service_accounts=accounts),
        authorization=AuthorizationSettings(modes=("Node", "RBAC")),
        enable_admission_plugins=("NodeRestriction",),
    )
    async with ApiServer(config) as server:
        made = Kubelet(Api(server.app), Api(server.app, "n1"))
        await made.admin.make(f"{IN}/serviceaccounts", {"metadata": {"name": "robot"}})
        yield made


def projected(*audiences: str) -> dict[str, Any]:
    tokens = [{"serviceAccountToken": {"path": f"t-{name}", "audience": name}} for name in audiences]
    return {"projected": {"sources": tokens}}


def said(audience: str) -> str:
    return (
        f'serviceaccounts "robot" is forbidden: audience "{audience}" not found in pod spec volume,'
        " system:node:n1 is not authorized to request tokens for this audience"
    )


async def test_audiences_of_the_pods_own_tokens(kubelet: Kubelet) -> None:
    made = await kubelet.pod("web", projected("vault", ""))

    assert (await kubelet.token(made, "vault")).code == 201
    # The API server's own.
    answer = await kubelet.token(made)
    assert (answer.code, answer.body["spec"]["audiences"]) == (201, ["https://issuer"])
    answer = await kubelet.token(made, "elsewhere")
    assert (answer.code, answer.body["message"]) == (403, said("elsewhere"))
    answer = await kubelet.token(made, "vault", "elsewhere")
    assert (answer.code, answer.body["message"]) == (
        403, 'serviceaccounts "robot" is forbidden: node may only request 0 or 1 audiences',
    )  # fmt: skip


async def test_a_pod_without_a_token_gives_none(kubelet: Kubelet) -> None:
    answer = await kubelet.token(await kubelet.pod("bare"))

    assert (answer.code, answer.body["message"]) == (403, said(""))


async def test_audiences_of_the_drivers_of_its_volumes(kubelet: Kubelet) -> None:
    driver = {"metadata": {"name": "d.example.com"}, "spec": {"tokenRequests": [{"audience": "driver"}]}}
    await kubelet.admin.make(f"{STORAGE}/csidrivers", driver)
    volume = {"driver": "d.example.com", "volumeHandle": "h"}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "s"}
    volumes = f"{IN.partition('/namespaces')[0]}/persistentvolumes"
    await kubelet.admin.make(volumes, {"metadata": {"name": "pv"}, "spec": spec | {"csi": volume}})
    wish = {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s", "volumeName": "pv"}
    claim = {"metadata": {"name": "data"}, "spec": wish | {"accessModes": ["ReadWriteOnce"]}}
    await kubelet.admin.make(f"{IN}/persistentvolumeclaims", claim)

    inline = await kubelet.pod("inline", {"csi": {"driver": "d.example.com"}})
    bound = await kubelet.pod("bound", {"persistentVolumeClaim": {"claimName": "data"}})
    neither = await kubelet.pod("neither", {"csi": {"driver": "other.example.com"}})

    assert (await kubelet.token(inline, "driver")).code == 201
    assert (await kubelet.token(bound, "driver")).code == 201
    assert (await kubelet.token(neither, "driver")).code == 403


async def test_audiences_that_a_node_is_let(kubelet: Kubelet) -> None:
    rule = {"verbs": ["request-serviceaccounts-token-audience"], "apiGroups": [""], "resources": ["registry"]}
    name = {"metadata": {"name": "pulling"}}
    await kubelet.admin.make(f"{RBAC}/clusterroles", name | {"rules": [rule | {"resourceNames": ["robot"]}]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pulling"}
    nodes = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}
    await kubelet.admin.make(f"{RBAC}/clusterrolebindings", name | {"roleRef": role, "subjects": [nodes]})
    made = await kubelet.pod("web", projected("vault"))

    assert (await kubelet.token(made, "registry")).code == 201
    assert (await kubelet.token(made, "elsewhere")).code == 403

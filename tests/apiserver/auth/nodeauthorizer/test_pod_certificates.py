"""Certificates of Pods: a node asks for those of its Pods, reads its own requests, and decides nothing."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import csr

from ...conftest import Answer, Api, pod
from .conftest import IN, TOKENS

REQUESTS = f"{IN}/podcertificaterequests".replace("/api/v1", "/apis/certificates.k8s.io/v1")
ALL = "/apis/certificates.k8s.io/v1/podcertificaterequests"
BUNDLES = "/apis/certificates.k8s.io/v1/clustertrustbundles"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = "application/merge-patch+json"
DENIED = {
    "type": "Denied", "status": "True", "reason": "Test", "message": "no",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}  # fmt: skip


@dataclass
class Surroundings:
    admin: Api
    node: Api
    signer: Api
    robot: Api
    spec: dict[str, Any]
    """What the kubelet of n1 asks for its Pod `web`."""

    async def ask(self, name: str = "r", api: Api | None = None, **changes: Any) -> Answer:
        body = {"metadata": {"name": name}, "spec": self.spec | changes}
        return await (api or self.node)("POST", REQUESTS, body)


def stub() -> str:
    """A request of which nothing counts but whose key it is."""
    pem = csr.request_pem(csr.new_key(), csr.subject("nobody"))
    lines = pem.decode().splitlines()[1:-1]
    assert base64.b64decode("".join(lines))
    return "".join(lines)


@pytest.fixture
async def there(config: ApiServerConfig) -> AsyncIterator[Surroundings]:
    assert config.token_auth_file is not None
    robot = 'robot,system:serviceaccount:default:robot,5,"system:serviceaccounts"\n'
    config.token_auth_file.write_text(TOKENS + "signer,signer,6\n" + robot)
    config = replace(
        config,
        authorization=AuthorizationSettings(modes=("Node", "RBAC")),
        enable_admission_plugins=("NodeRestriction",),
    )
    async with ApiServer(config) as server:
        admin = Api(server.app)
        node = await admin.make("/api/v1/nodes", {"metadata": {"name": "n1"}})
        account = await admin.make(f"{IN}/serviceaccounts", {"metadata": {"name": "robot"}})
        made = await admin.make(f"{IN}/pods", pod("web", nodeName="n1", serviceAccountName="robot"))
        spec = {
            "signerName": "example.com/signer",
            "podName": "web", "podUID": made["metadata"]["uid"],
            "serviceAccountName": "robot", "serviceAccountUID": account["metadata"]["uid"],
            "nodeName": "n1", "nodeUID": node["metadata"]["uid"],
            "stubPKCS10Request": stub(),
        }  # fmt: skip
        apis = (Api(server.app, token) for token in ("n1", "signer", "robot"))
        yield Surroundings(admin, *apis, spec)


async def test_a_node_asks_for_its_own_pods_and_reads_its_own_requests(there: Surroundings) -> None:
    answer = await there.ask()
    assert answer.code == 201, answer.body
    await there.ask("other", there.admin, nodeName="n2")

    assert (await there.node("GET", f"{REQUESTS}/r")).code == 200
    assert (await there.node("GET", f"{REQUESTS}/other")).code == 403
    assert (await there.node("GET", ALL)).code == 403
    listed = await there.node("GET", ALL, fieldSelector="spec.nodeName=n1")
    assert [item["metadata"]["name"] for item in listed.body["items"]] == ["r"]
    assert (await there.node("GET", ALL, fieldSelector="spec.nodeName=n2")).code == 403
    assert (await there.node("DELETE", f"{REQUESTS}/r")).code == 403
    status = {"status": {"conditions": [DENIED]}}
    assert (await there.node("PATCH", f"{REQUESTS}/r/status", status, content_type=MERGE)).code == 403


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"nodeName": "n2"}, 403, 'NodeName="n2", which is not the requesting node "n1"'),
        ({"nodeUID": "x"}, 500, 'names node UID "x", inconsistent with the running node'),
        ({"podName": "nothing"}, 404, 'pods "nothing" not found'),
        ({"podUID": "x"}, 500, 'contains pod UID ("x") which differs from running pod'),
        ({"serviceAccountName": "default"}, 403, '("default") that differs from running pod ("robot")'),
        ({"serviceAccountUID": "x"}, 500, 'names service account UID "x", which differs from the running'),
    ],
)
async def test_what_a_node_says_must_be_so(
    there: Surroundings, changes: dict[str, Any], code: int, said: str
) -> None:
    answer = await there.ask(**changes)

    assert answer.code == code
    assert said in answer.body["message"]


async def test_pods_of_other_nodes_are_not_asked_for(there: Surroundings) -> None:
    far = await there.admin.make(f"{IN}/pods", pod("far", nodeName="n2", serviceAccountName="robot"))

    answer = await there.ask(podName="far", podUID=far["metadata"]["uid"])

    assert answer.code == 403
    assert 'pod "default/far" is not running on node "n1"' in answer.body["message"]


async def test_who_may_write_the_status_may_not_sign_for_every_signer(there: Surroundings) -> None:
    async def let(name: str, *rules: dict[str, Any]) -> None:
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "signer"}
        meta = {"metadata": {"name": name}}
        await there.admin.make(f"{RBAC}/clusterroles", meta | {"rules": rules})
        await there.admin.make(f"{RBAC}/clusterrolebindings", meta | {"roleRef": role, "subjects": [subject]})

    groups = {"apiGroups": ["certificates.k8s.io"]}
    await let(
        "write", groups | {"resources": ["podcertificaterequests/status"], "verbs": ["patch", "update"]}
    )
    await there.ask()
    path, status = f"{REQUESTS}/r/status", {"status": {"conditions": [DENIED]}}

    refused = await there.signer("PATCH", path, status, content_type=MERGE)
    assert refused.code == 403
    assert refused.body["message"].endswith(
        'user not permitted to sign requests with signerName "example.com/signer"'
    )
    signers = {"resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["sign"]}
    await let("sign", groups | signers)
    assert (await there.signer("PATCH", path, status, content_type=MERGE)).code == 200


async def test_bundles_are_read_by_nodes_and_accounts(there: Surroundings) -> None:
    assert (await there.node("GET", BUNDLES)).code == 200
    assert (await there.robot("GET", BUNDLES)).code == 200
    assert (await there.signer("GET", BUNDLES)).code == 403

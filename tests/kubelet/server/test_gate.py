"""Who may use the node server: over HTTPS, with an API server that asks RBAC."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.clock import Entropy
from kplane.api.errors import Unreachable
from kplane.apiserver.auth.authorization import AuthorizationSettings as ServerAuthorization
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings as ServerAuthentication
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client
from kplane.client.streams.upgrade import open_upgrade
from kplane.client.transport import Response
from kplane.client.transport_asgi import AsgiTransport
from kplane.kubelet.server.app import NodeServer
from kplane.kubelet.server.authentication import AuthenticationSettings
from kplane.kubelet.server.authorization import AuthorizationSettings, Mode, subresources
from kplane.kubelet.server.containers import NodePods
from kplane.kubelet.server.gate import build
from kplane.kubelet.usage import Usage
from kplane.runtime import pki
from kplane.runtime.health import component_app
from kplane.runtime.serving import Serving, ServingConfig
from kplane.testing.clock import VirtualClock

RBAC = "/apis/rbac.authorization.k8s.io/v1"
TOKENS = "secret,admin,1,system:masters\nnode,system:node:n1,2,system:nodes\n"


class Counting(AsgiTransport):
    """The way to an API server that can be away."""

    down = False
    requests = 0
    hold: asyncio.Event | None = None

    async def request(self, method: str, path: str, **more: Any) -> Response:
        self.requests += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.down:
            raise Unreachable("no answer")
        return await super().request(method, path, **more)


@dataclass
class Node:
    port: int
    keys: Path
    clock: VirtualClock
    way: Counting
    admin: Client

    async def get(
        self,
        path: str,
        *,
        token: str = "",
        certificate: str = "",
        method: str = "GET",
        offered: Sequence[str] = (),
    ) -> tuple[int, str]:
        """`offered`: subprotocols of a WebSocket."""
        tls = ssl.create_default_context(cafile=str(self.keys / "ca.crt"))
        if certificate:
            tls.load_cert_chain(self.keys / f"{certificate}.crt", self.keys / f"{certificate}.key")
        headers = [("Content-Length", "0"), ("Connection", "Upgrade" if offered else "close")]
        if offered:
            headers += [("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", ", ".join(offered))]
        if token:
            headers.append(("Authorization", f"Bearer {token}"))
        answer = await open_upgrade(method, f"https://localhost:{self.port}{path}", headers, tls=tls)
        body = b""
        while data := await answer.duplex.read():
            body += data
        await answer.duplex.close()
        return answer.status, body.decode()

    async def account(self, name: str) -> str:
        """A new service account's token."""
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        await self.admin.raw("POST", accounts, body={"metadata": {"name": name}})
        answer = await self.admin.raw("POST", f"{accounts}/{name}/token", body={"spec": {}})
        token: str = json.loads(answer)["status"]["token"]
        return token

    async def allow(self, account: str, *resources: str) -> None:
        rule = {"apiGroups": [""], "resources": resources, "verbs": ["get"]}
        await self.admin.raw(
            "POST", f"{RBAC}/clusterroles", body={"metadata": {"name": account}, "rules": [rule]}
        )
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": "default"}
        binding = {"metadata": {"name": account}, "roleRef": reference, "subjects": [subject]}
        await self.admin.raw("POST", f"{RBAC}/clusterrolebindings", body=binding)


class Past(VirtualClock):
    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(days=500)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, stranger = tmp_path_factory.mktemp("pki"), tmp_path_factory.mktemp("stranger")
    for each in (folder, stranger):
        pki.ensure(each, server_names=["localhost"], server_ips=["127.0.0.1"])
    for suffix in ("crt", "key"):
        (folder / f"stranger.{suffix}").write_bytes((stranger / f"admin.{suffix}").read_bytes())
    pki.issue(folder, pki.Request("expired", "kubernetes-admin", ("system:masters",)), clock=Past())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tokens.key").write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    return folder


def server_config(keys: Path, folder: Path) -> ApiServerConfig:
    listed = folder / "tokens.csv"
    listed.write_text(TOKENS)
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=keys / "tokens.key")
    return ApiServerConfig(
        storage_dir=folder / "data",
        token_auth_file=listed,
        authentication=ServerAuthentication(service_accounts=accounts),
        authorization=ServerAuthorization(modes=("Node", "RBAC")),
    )


@pytest.fixture
async def node(keys: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    anonymous: bool = getattr(request, "param", False)
    clock = VirtualClock(datetime.now(UTC))
    async with ApiServer(server_config(keys, tmp_path)) as server:
        way = Counting(server.app, token="node")
        gate = build(
            "n1",
            AuthenticationSettings(client_ca_file=keys / "ca.crt", anonymous=anonymous, webhook=True),
            AuthorizationSettings(mode=Mode.WEBHOOK),
            Client(way, clock=clock),
            clock,
            Entropy(1),
        )
        pods = NodePods(lambda namespace, name: None, _no_runtime, tmp_path)
        app = NodeServer(pods, Usage(lambda: (), clock, hollow=True), gate, clock, component_app({}))
        serving = ServingConfig(
            "127.0.0.1", 0, keys / "apiserver.crt", keys / "apiserver.key", keys / "ca.crt"
        )
        async with Serving(app, serving) as listening:
            admin = Client(AsgiTransport(server.app, token="secret"))
            yield Node(listening.port, keys, clock, way, admin)


def _no_runtime(pod: Any) -> Any:
    raise AssertionError("there are no Pods")


@pytest.mark.slow
async def test_nobody_gets_in_without_an_identity(node: Node) -> None:
    assert await node.get("/healthz") == (401, "Unauthorized\n")
    assert await node.get("/healthz", token="made-up") == (401, "Unauthorized\n")


@pytest.mark.slow
@pytest.mark.parametrize("certificate", ["expired", "stranger"])
async def test_certificates_that_are_no_good_do_not_pass_the_handshake(node: Node, certificate: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 the alert arrives with the first bytes, or the reset does
        await node.get("/healthz", certificate=certificate)
    assert node.way.requests == 0


@pytest.mark.slow
async def test_a_certificate_that_ends_during_a_connection_is_an_identity_no_more(node: Node) -> None:
    assert (await node.get("/healthz", certificate="super-admin"))[0] == 200

    await node.clock.advance(400 * 86_400)

    assert await node.get("/healthz", certificate="super-admin") == (401, "Unauthorized\n")


@pytest.mark.slow
async def test_certificates_have_the_rights_of_their_user(node: Node) -> None:
    assert (await node.get("/healthz", certificate="super-admin"))[0] == 200
    assert await node.get("/healthz", certificate="kube-scheduler") == (
        403,
        "Forbidden (user=system:kube-scheduler, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n",
    )
    assert await node.get("/exec/default/web/c", certificate="kube-scheduler", method="POST") == (
        403,
        "Forbidden (user=system:kube-scheduler, verb=create, resource=nodes, subresource(s)=[proxy])\n",
    )


@pytest.mark.slow
async def test_an_account_with_one_subresource_gets_that_and_nothing_else(node: Node) -> None:
    token = await node.account("scraper")
    await node.allow("scraper", "nodes/metrics")

    assert (await node.get("/metrics", token=token))[0] == 200
    for path in ("/containerLogs/default/web/c", "//exec/default/web/c", "/metrics%2F..%2Fexec", "/pods"):
        status, text = await node.get(path, token=token)
        assert (status, "user=system:serviceaccount:default:scraper" in text) == (403, True), path


@pytest.mark.slow
async def test_a_fine_subresource_is_enough_and_so_is_proxy(node: Node) -> None:
    fine, coarse = await node.account("fine"), await node.account("coarse")
    await node.allow("fine", "nodes/healthz")
    await node.allow("coarse", "nodes/proxy")

    assert (await node.get("/healthz", token=fine))[0] == 200
    assert (await node.get("/containerLogs/default/web/c", token=fine))[0] == 403
    assert (await node.get("/healthz", token=coarse))[0] == 200
    assert (await node.get("/containerLogs/default/web/c", token=coarse))[0] == 404  # no such Pod
    assert (await node.get("/metrics", token=coarse))[0] == 403


@pytest.mark.slow
async def test_changes_of_rights_count_when_the_kept_answers_have_ended(node: Node) -> None:
    token = await node.account("scraper")
    assert (await node.get("/metrics", token=token))[0] == 403
    await node.allow("scraper", "nodes/metrics")
    await node.clock.advance(29)
    assert (await node.get("/metrics", token=token))[0] == 403
    await node.clock.advance(2)
    assert (await node.get("/metrics", token=token))[0] == 200

    await node.admin.raw("DELETE", f"{RBAC}/clusterrolebindings/scraper")
    await node.clock.advance(299)
    assert (await node.get("/metrics", token=token))[0] == 200
    await node.clock.advance(2)
    assert (await node.get("/metrics", token=token))[0] == 403


@pytest.mark.slow
async def test_a_token_that_is_revoked_ends_with_its_kept_verdict(node: Node) -> None:
    token = await node.account("scraper")
    await node.allow("scraper", "nodes/metrics")
    assert (await node.get("/metrics", token=token))[0] == 200
    await node.admin.raw("DELETE", "/api/v1/namespaces/default/serviceaccounts/scraper")

    await node.clock.advance(119)
    assert (await node.get("/metrics", token=token))[0] == 200
    await node.clock.advance(2)
    assert (await node.get("/metrics", token=token))[0] == 401


@pytest.mark.slow
async def test_without_the_api_server_only_kept_answers_let_anybody_in(node: Node) -> None:
    token = await node.account("scraper")
    await node.allow("scraper", "nodes/metrics")
    assert (await node.get("/metrics", token=token))[0] == 200
    node.way.down = True

    assert (await node.get("/metrics", token=token))[0] == 200
    assert (await node.get("/metrics", token="another"))[0] == 401
    assert await node.get("/metrics", certificate="super-admin") == (
        500,
        "Authorization error (user=kubernetes-super-admin, verb=get, resource=nodes, subresource=metrics)\n",
    )
    await node.clock.advance(301)
    assert (await node.get("/metrics", token=token))[0] == 401


@pytest.mark.slow
async def test_requests_at_the_same_time_share_one_review(node: Node) -> None:
    token = await node.account("scraper")
    await node.allow("scraper", "nodes/metrics")
    node.way.hold = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(node.get("/metrics", token=token)) for _ in range(8)]
        while node.way.requests < 1:
            await asyncio.sleep(0)
        node.way.hold.set()

    assert {task.result()[0] for task in asking} == {200}
    assert node.way.requests == 2  # one TokenReview, one SubjectAccessReview


@pytest.mark.slow
@pytest.mark.parametrize("node", [True], indirect=True)
async def test_strangers_are_somebody_where_they_are_let_in_but_bad_credentials_are_not(node: Node) -> None:
    status, text = await node.get("/healthz")

    assert (status, "user=system:anonymous" in text) == (403, True)
    assert (await node.get("/healthz", token="made-up"))[0] == 401
    await node.clock.advance(400 * 86_400)
    assert (await node.get("/healthz", certificate="super-admin"))[0] == 401


def protocol(token: str) -> str:
    return f"base64url.bearer.authorization.k8s.io.{urlsafe_b64encode(token.encode()).decode().rstrip('=')}"


@pytest.mark.slow
async def test_a_browsers_token_is_a_subprotocol(node: Node) -> None:
    token = await node.account("browser")
    await node.allow("browser", "nodes/proxy")
    path = "/exec/default/web/c?command=x&stdout=1"

    async def status(*offered: str) -> int:
        return (await node.get(path, offered=offered))[0]

    assert await status("v5.channel.k8s.io", protocol(token)) == 404  # let in, but there is no such Pod
    assert await status("v5.channel.k8s.io", protocol("made-up")) == 401
    assert await status(protocol(token)) == 401
    assert await status("v5.channel.k8s.io", protocol(token), protocol(token)) == 401
    assert await status("v5.channel.k8s.io", protocol(token) + "!") == 401
    assert await status("v5.channel.k8s.io") == 401


WANTED: Mapping[str, list[str]] = {
    "stats": ["stats"],
    "metrics": ["metrics"],
    "logs": ["log"],
    "checkpoint": ["checkpoint"],
    "pods": ["pods", "proxy"],
    "runningpods": ["pods", "proxy"],
    "healthz": ["healthz", "proxy"],
    "configz": ["configz", "proxy"],
    "spec": ["proxy"],
    "exec": ["proxy"],
    "containerLogs": ["proxy"],
    "stats/..": ["proxy"],
    "": ["proxy"],
}


@pytest.mark.parametrize(("root", "wanted"), WANTED.items())
def test_paths_are_subresources_of_the_node(root: str, wanted: list[str]) -> None:
    assert list(subresources(root)) == wanted

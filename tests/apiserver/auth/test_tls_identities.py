"""Who somebody is over real TLS: clients, front proxies, intermediate authorities, strangers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kplane.api.errors import Unreachable
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.kubeconfig import Credentials
from kplane.client.transport_https import HttpsTransport
from kplane.runtime import pki
from kplane.runtime.authorities import USER_ID
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    pki.ensure(folder, server_names=["localhost"], server_ips=["127.0.0.1"])
    return folder


class Server:
    """An API server behind TLS."""

    def __init__(self, port: int, keys: Path) -> None:
        self._port = port
        self._keys = keys

    async def code_and_user(
        self, certificate: bytes = b"", key: bytes = b"", **headers: str
    ) -> tuple[int, Any]:
        """Raises Unreachable where the handshake fails."""
        credentials = Credentials(
            f"https://127.0.0.1:{self._port}",
            ca=(self._keys / "ca.crt").read_bytes(),
            certificate=certificate or None,
            key=key or None,
        )
        transport = HttpsTransport(credentials)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["content-type"] = "application/json"
        try:
            answer = await transport.request("POST", WHOAMI, headers=sent, body=json.dumps(REVIEW).encode())
        finally:
            await transport.close()
        return answer.status, json.loads(answer.body).get("status", {})

    async def by(self, name: str, **headers: str) -> tuple[int, Any]:
        pair = ((self._keys / f"{name}.{kind}").read_bytes() for kind in ("crt", "key"))
        return await self.code_and_user(*pair, **headers)


Serve: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Server]]


@pytest.fixture
def serve(config: ApiServerConfig, keys: Path) -> Serve:
    @asynccontextmanager
    async def serving(clients: Path) -> AsyncIterator[Server]:
        listen = ServingConfig(
            address="127.0.0.1",
            port=0,
            cert_file=keys / "apiserver.crt",
            key_file=keys / "apiserver.key",
            client_ca_file=clients,
            further_client_ca_file=keys / "front-proxy-ca.crt",
        )
        settings = replace(
            config,
            client_ca_file=clients,
            requestheader_client_ca_file=keys / "front-proxy-ca.crt",
            requestheader_allowed_names=("front-proxy-client",),
            requestheader_username_headers=("X-Remote-User",),
            requestheader_group_headers=("X-Remote-Group",),
        )
        async with ApiServer(settings) as server, Serving(server.app, listen) as front:
            yield Server(front.port, keys)

    return serving


@pytest.mark.slow
async def test_a_certificate_is_a_user(serve: Serve, keys: Path) -> None:
    async with serve(keys / "ca.crt") as server:
        code, status = await server.by("admin")

    assert code == 201
    assert status["userInfo"]["username"] == "kubernetes-admin"
    assert status["userInfo"]["groups"][-1] == "system:authenticated"


async def test_a_front_proxys_headers_are_the_user(serve: Serve, keys: Path) -> None:
    async with serve(keys / "ca.crt") as server:
        code, status = await server.by("front-proxy-client", X_Remote_User="ann", X_Remote_Group="dev")

    assert (code, status["userInfo"]["username"]) == (201, "ann")
    assert status["userInfo"]["groups"] == ["dev", "system:authenticated"]


async def test_others_headers_are_not_looked_at(serve: Serve, keys: Path) -> None:
    async with serve(keys / "ca.crt") as server:
        _, status = await server.by("admin", X_Remote_User="root", X_Remote_Group="system:masters")
        assert status["userInfo"]["username"] == "kubernetes-admin"

        code, _ = await server.code_and_user(X_Remote_User="root", X_Remote_Group="system:masters")
        assert code == 401
        # The proxy's certificate alone, without headers, is nobody's.
        assert (await server.by("front-proxy-client"))[0] == 401


async def test_a_strangers_certificate_ends_the_handshake(serve: Serve, keys: Path, tmp_path: Path) -> None:
    pki.ensure(tmp_path / "strange", server_names=["localhost"], server_ips=["127.0.0.1"])
    pair = ((tmp_path / "strange" / f"admin.{kind}").read_bytes() for kind in ("crt", "key"))

    async with serve(keys / "ca.crt") as server:
        with pytest.raises(Unreachable):
            await server.code_and_user(*pair)


def issued(
    name: str,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    *,
    ca: bool,
    uids: Sequence[str] = (),
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    said = [x509.NameAttribute(USER_ID, uid) for uid in uids]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), *said])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    return certificate, key


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


async def test_a_certificate_may_tell_the_uid_of_its_user(serve: Serve, tmp_path: Path) -> None:
    root = issued("root", None, ca=True)
    clients = tmp_path / "clients.crt"
    clients.write_bytes(pem(root[0]))
    one, key = issued("ann", root, ca=False, uids=["7-8"])
    two, other = issued("ann", root, ca=False, uids=["7", "8"])

    async with serve(clients) as server:
        code, status = await server.code_and_user(pem(one), secret(key))
        assert (code, status["userInfo"]["username"], status["userInfo"]["uid"]) == (201, "ann", "7-8")
        # Whoever is two is nobody.
        assert (await server.code_and_user(pem(two), secret(other)))[0] == 401


@pytest.mark.parametrize("names", [pytest.param((), id="any"), pytest.param(("proxy",), id="one")])
async def test_clients_cannot_pass_for_a_front_proxy(
    config: ApiServerConfig, keys: Path, names: tuple[str, ...]
) -> None:
    config = replace(
        config,
        client_ca_file=keys / "ca.crt",
        requestheader_client_ca_file=keys / "ca.crt",
        requestheader_allowed_names=names,
        requestheader_username_headers=("X-Remote-User",),
    )

    if names:
        async with ApiServer(config):
            return
    with pytest.raises(
        Fatal, match="contain overlapping certificates; --requestheader-allowed-names must be"
    ):
        async with ApiServer(config):
            pass


async def test_an_intermediate_authority_that_is_trusted_issues_users(serve: Serve, tmp_path: Path) -> None:
    root = issued("root", None, ca=True)
    middle = issued("middle", root, ca=True)
    user, key = issued("ann", middle, ca=False)
    clients = tmp_path / "clients.crt"
    clients.write_bytes(pem(middle[0], root[0]))

    async with serve(clients) as server:
        code, status = await server.code_and_user(pem(user), secret(key))
        assert (code, status["userInfo"]["username"]) == (201, "ann")
        # Whoever is issued by a user is nobody.
        forged, forged_key = issued("root", (user, key), ca=False)
        with pytest.raises(Unreachable):
            await server.code_and_user(pem(forged, user), secret(forged_key))

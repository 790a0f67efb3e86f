"""Who is let in: certificates, tokens, and what strangers may see."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kplane.api.errors import Unauthorized
from kplane.apiserver.auth.authenticator import Authenticator, load_tokens, user_of_certificate
from kplane.apiserver.auth.user import ANONYMOUS
from kplane.apiserver.server import ApiServer
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime import pki
from kplane.runtime.process import Fatal

from ..conftest import Api

NAMESPACES = "/api/v1/namespaces"


@pytest.fixture
def certificate(tmp_path: Path) -> bytes:
    pki.ensure(tmp_path, server_names=["localhost"], server_ips=["127.0.0.1"])
    pem = (tmp_path / "admin.crt").read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_a_certificate_names_its_user_and_groups(certificate: bytes) -> None:
    user = user_of_certificate(certificate)

    assert user.name == "kubernetes-admin"
    assert user.groups == ("system:masters", "system:authenticated")


def test_a_token_file_has_users_with_groups(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text('t1,ann,1,"dev,ops"\n\nt2,bob,2\n')

    users = load_tokens(path)

    assert users["t1"].groups == ("dev", "ops", "system:authenticated")
    assert (users["t2"].name, users["t2"].uid) == ("bob", "2")


def test_a_broken_token_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text("t1,ann,1\nt2\n")

    with pytest.raises(Fatal, match="line 2"):
        load_tokens(path)


@pytest.mark.parametrize("header", [None, b"Basic dXNlcjpwYXNz"])
def test_without_credentials_one_is_anonymous(header: bytes | None) -> None:
    assert Authenticator({}).authenticate(None, header) is ANONYMOUS


def test_an_unknown_token_is_refused() -> None:
    with pytest.raises(Unauthorized):
        Authenticator({}).authenticate(None, b"Bearer nonsense")


async def test_a_client_certificate_opens_the_api(server: ApiServer, certificate: bytes) -> None:
    response = await AsgiTransport(server.app, certificate=certificate).request("GET", NAMESPACES)

    assert response.status == 200


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_strangers_get_a_status_of_401(server: ApiServer, token: str) -> None:
    answer = await Api(server.app, token)("GET", NAMESPACES)

    assert answer.code == 401
    assert (answer.body["kind"], answer.body["reason"]) == ("Status", "Unauthorized")


@pytest.mark.parametrize(
    ("path", "code"),
    [("/readyz", 200), ("/version", 200), ("/livez/ping", 200), ("/metrics", 401), ("/", 401)],
)
async def test_strangers_see_health_and_version_alone(server: ApiServer, path: str, code: int) -> None:
    assert (await Api(server.app, "")("GET", path)).code == code


async def test_impersonation_is_refused_and_never_ignored(api: Api) -> None:
    headers = {"Impersonate-User": "somebody"}

    response = await api.transport.request("GET", NAMESPACES, headers=headers)

    assert response.status == 403

"""Who is let in: certificates, static tokens, and what strangers may see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kplane.api.errors import Unauthorized
from kplane.apiserver.auth.anonymous import NOBODY
from kplane.apiserver.auth.authenticator import Authenticator
from kplane.apiserver.auth.certificates import ClientCertificates, user_of
from kplane.apiserver.auth.identity import Credentials, Refused
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.auth.statictokens import StaticTokens, load_tokens
from kplane.apiserver.auth.user import ANONYMOUS, User
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime import pki
from kplane.runtime.authorities import Authorities, Untrusted
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock

from ..conftest import Api

NAMESPACES = "/api/v1/namespaces"


def der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    pki.ensure(tmp_path / "keys", server_names=["localhost"], server_ips=["127.0.0.1"])
    return tmp_path / "keys"


def bearer(text: bytes) -> Credentials:
    return Credentials(None, [(b"authorization", text)])


def test_a_certificate_names_its_user_and_groups(keys: Path) -> None:
    certificate = der(keys / "admin.crt")

    user = user_of(x509.load_der_x509_certificate(certificate), certificate)

    assert user is not None
    assert user.name == "kubernetes-admin"
    assert user.groups == ("kubeadm:cluster-admins", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


async def verdict(
    keys: Path, name: str, *, ca: str = "ca.crt", later: timedelta = timedelta()
) -> User | None:
    clock = VirtualClock(datetime.now(UTC) + later)
    authenticator = ClientCertificates(Authorities.load(keys / ca, clock))
    return await authenticator.authenticate(Credentials(der(keys / name)))


async def test_a_certificate_of_our_authority_for_clients_is_good(keys: Path) -> None:
    user = await verdict(keys, "admin.crt")

    assert user is not None
    assert user.name == "kubernetes-admin"


@pytest.mark.parametrize(
    ("name", "ca", "later", "why"),
    [
        pytest.param("admin.crt", "front-proxy-ca.crt", timedelta(), "unknown authority", id="foreign"),
        pytest.param("admin.crt", "ca.crt", timedelta(days=366), "expired", id="expired"),
        pytest.param("admin.crt", "ca.crt", -timedelta(days=1), "not yet valid", id="too early"),
        pytest.param("apiserver.crt", "ca.crt", timedelta(), "incompatible key usage", id="for servers"),
    ],
)
async def test_bad_certificates_are_refused(
    keys: Path, name: str, ca: str, later: timedelta, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        await verdict(keys, name, ca=ca, later=later)


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


@pytest.mark.parametrize("header", [b"", b"Basic dXNlcjpwYXNz"])
async def test_without_credentials_one_is_anonymous(header: bytes) -> None:
    assert await Authenticator([], []).authenticate(bearer(header)) is ANONYMOUS


async def test_without_anonymous_auth_credentials_are_needed() -> None:
    with pytest.raises(Unauthorized):
        await Authenticator([], [], anonymous=NOBODY).authenticate(Credentials())


async def test_an_unknown_token_is_refused() -> None:
    with pytest.raises(Unauthorized):
        await Authenticator([], [StaticTokens({})]).authenticate(bearer(b"Bearer nonsense"))


async def test_a_refused_certificate_leaves_it_to_the_token(keys: Path) -> None:
    clock = VirtualClock(datetime.now(UTC))
    certificates = ClientCertificates(Authorities.load(keys / "front-proxy-ca.crt", clock))
    chain = Authenticator([certificates], [StaticTokens({"good": User("ann")})])
    certificate = der(keys / "admin.crt")

    user = await chain.authenticate(Credentials(certificate, [(b"authorization", b"Bearer good")]))

    assert user.name == "ann"
    with pytest.raises(Unauthorized):
        await chain.authenticate(Credentials(certificate))


def test_credentials_are_in_no_repr() -> None:
    assert "hush" not in repr(Credentials(b"hush", [(b"authorization", b"Bearer hush")]))


async def test_a_client_certificate_opens_the_api(config: ApiServerConfig, keys: Path) -> None:
    async with ApiServer(replace(config, client_ca_file=keys / "ca.crt")) as server:
        transport = AsgiTransport(server.app, certificate=der(keys / "admin.crt"))

        assert (await transport.request("GET", NAMESPACES)).status == 200


async def test_without_a_client_ca_certificates_say_nothing(server: ApiServer, keys: Path) -> None:
    transport = AsgiTransport(server.app, certificate=der(keys / "admin.crt"))

    assert (await transport.request("GET", NAMESPACES)).status == 401


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


async def test_with_anonymous_auth_off_strangers_see_nothing(config: ApiServerConfig) -> None:
    settings = AuthenticationSettings(anonymous=False)
    async with ApiServer(replace(config, authentication=settings)) as server:
        assert (await Api(server.app, "")("GET", "/readyz")).code == 401


async def test_a_replaced_client_authority_counts_without_a_restart(keys: Path, tmp_path: Path) -> None:
    clock = VirtualClock(datetime.now(UTC))
    file = tmp_path / "clients.crt"
    file.write_bytes((keys / "ca.crt").read_bytes())
    authorities = Authorities.load(file, clock)
    certificate = der(keys / "admin.crt")
    assert authorities.verified(certificate)

    pki.write_private(file, b"half of a")
    await clock.advance(2)
    assert authorities.verified(certificate)
    pki.write_private(file, (keys / "front-proxy-ca.crt").read_bytes())
    await clock.advance(2)

    with pytest.raises(Untrusted, match="certificate signed by unknown authority"):
        authorities.verified(certificate)

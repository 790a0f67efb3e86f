"""Users that a front proxy names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kplane.apiserver.auth.identity import Credentials, Refused
from kplane.apiserver.auth.requestheader import RequestHeaders
from kplane.apiserver.auth.settings import RequestHeaderSettings
from kplane.apiserver.auth.user import User
from kplane.runtime import pki
from kplane.runtime.authorities import Authorities
from kplane.testing.clock import VirtualClock

SETTINGS = RequestHeaderSettings(
    allowed_names=("front-proxy-client",),
    username_headers=("X-Remote-User", "X-Second-User"),
    uid_headers=("X-Remote-Uid",),
    group_headers=("X-Remote-Group",),
    extra_headers_prefix=("X-Remote-Extra-",),
)
ANN = (b"x-remote-user", b"ann")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    pki.ensure(tmp_path, server_names=["localhost"], server_ips=["127.0.0.1"])
    return tmp_path


async def ask(
    keys: Path,
    *headers: tuple[bytes, bytes],
    certificate: str = "front-proxy-client.crt",
    settings: RequestHeaderSettings = SETTINGS,
) -> User | None:
    authorities = Authorities.load(keys / "front-proxy-ca.crt", VirtualClock(datetime.now(UTC)))
    pem = (keys / certificate).read_bytes() if certificate else b""
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER) if pem else None
    return await RequestHeaders(settings, authorities).authenticate(Credentials(der, headers))


async def test_the_proxys_headers_are_the_user(keys: Path) -> None:
    user = await ask(
        keys,
        ANN,
        (b"x-remote-uid", b"7"),
        (b"x-remote-group", b"dev"),
        (b"x-remote-group", b"ops"),
        (b"x-remote-extra-acme%2fscope", b"view"),
        (b"x-remote-extra-acme%2fscope", b"edit"),
    )

    assert user == User("ann", "7", ("dev", "ops", "system:authenticated"), {"acme/scope": ("view", "edit")})


async def test_a_later_header_counts_where_the_first_is_missing(keys: Path) -> None:
    user = await ask(keys, (b"x-second-user", b"bob"))

    assert user is not None
    assert user.name == "bob"


async def test_without_a_user_header_the_proxy_is_nobody(keys: Path) -> None:
    assert await ask(keys, (b"x-remote-group", b"system:masters")) is None


async def test_headers_without_a_certificate_are_not_looked_at(keys: Path) -> None:
    assert await ask(keys, ANN, certificate="") is None


async def test_headers_of_another_authoritys_client_are_refused(keys: Path) -> None:
    with pytest.raises(Refused, match="unknown authority"):
        await ask(keys, ANN, certificate="admin.crt")


async def test_headers_of_another_name_are_refused(keys: Path) -> None:
    with pytest.raises(Refused, match="cn=front-proxy-client is not in the allowed list"):
        await ask(keys, ANN, settings=replace(SETTINGS, allowed_names=("other",)))


async def test_without_allowed_names_any_of_the_authority_will_do(keys: Path) -> None:
    assert await ask(keys, ANN, settings=replace(SETTINGS, allowed_names=())) is not None

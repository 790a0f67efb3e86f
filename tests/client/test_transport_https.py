"""HTTPS: certificates from bytes, tokens from files, and what happens when no answer comes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kplane.api.errors import Unreachable
from kplane.client.kubeconfig import ConfigError, Credentials
from kplane.client.transport_https import MOST_REQUESTS, HttpsTransport
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig, peer_certificate
from kplane.testing import VirtualClock


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.ensure(directory, server_names=["localhost"], server_ips=["127.0.0.1"])
    return directory


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says who asks, on `/port` from where; `/stream` never ends by itself, `/break` breaks off."""
    certificate = peer_certificate(scope)
    name = x509.load_der_x509_certificate(certificate).subject.rfc4514_string() if certificate else ""
    if scope["path"] == "/port":
        name = str(scope["client"][1])
    token = dict(scope["headers"]).get(b"authorization", b"").decode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{name}|{token}\n".encode(), "more_body": True})
    if scope["path"] == "/stream":
        while (await receive())["type"] != "http.disconnect":
            pass
    elif scope["path"] != "/break":
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
async def credentials(certificates: Path) -> AsyncIterator[Credentials]:
    """For a server that runs during the test; without an identity."""
    serving = ServingConfig(
        "127.0.0.1",
        0,
        certificates / "apiserver.crt",
        certificates / "apiserver.key",
        certificates / "ca.crt",
    )
    async with Serving(app, serving) as server:
        yield Credentials(f"https://127.0.0.1:{server.port}", ca=(certificates / "ca.crt").read_bytes())


async def ask(credentials: Credentials, path: str = "/") -> str:
    transport = HttpsTransport(credentials)
    try:
        return (await transport.request("GET", path)).body.decode().strip()
    finally:
        await transport.close()


async def test_client_certificate_identifies_and_leaves_no_key_behind(
    credentials: Credentials, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    certificate, key = (certificates / "admin.crt").read_bytes(), (certificates / "admin.key").read_bytes()

    answer = await ask(replace(credentials, certificate=certificate, key=key))

    assert answer == "CN=kubernetes-admin,O=kubeadm:cluster-admins|"
    assert list(tmp_path.iterdir()) == []


async def test_many_requests_at_once_share_a_bounded_number_of_connections(credentials: Credentials) -> None:
    transport = HttpsTransport(credentials)
    try:
        answers = await asyncio.gather(*(transport.request("GET", "/port") for _ in range(3 * MOST_REQUESTS)))
    finally:
        await transport.close()

    assert 1 < len({answer.body for answer in answers}) <= MOST_REQUESTS


async def test_token_file_is_read_again(credentials: Credentials, tmp_path: Path) -> None:
    clock, path = VirtualClock(), tmp_path / "token"
    path.write_text("first\n")
    transport = HttpsTransport(replace(credentials, token_file=path), clock)
    try:
        assert (await transport.request("GET", "/")).body == b"|Bearer first\n"
        path.write_text("second")
        assert (await transport.request("GET", "/")).body == b"|Bearer first\n"
        await clock.advance(60)
        assert (await transport.request("GET", "/")).body == b"|Bearer second\n"
        path.unlink()
        await clock.advance(60)
        assert (await transport.request("GET", "/")).body == b"|Bearer second\n"
    finally:
        await transport.close()


async def test_proxy_variables_are_ignored(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    assert await ask(credentials) == "|"


async def test_server_name_can_differ_from_the_address(credentials: Credentials, certificates: Path) -> None:
    address = credentials.server.replace("127.0.0.1", "localhost")

    assert await ask(replace(credentials, server=address, tls_server_name="localhost")) == "|"
    with pytest.raises(Unreachable, match="certificate"):
        await ask(replace(credentials, tls_server_name="elsewhere"))


async def test_unknown_authority_is_unreachable_unless_insecure(
    credentials: Credentials, tmp_path: Path
) -> None:
    pki.ensure(tmp_path, server_names=[], server_ips=[])
    stranger = replace(credentials, ca=(tmp_path / "ca.crt").read_bytes())

    with pytest.raises(Unreachable, match="certificate verify failed"):
        await ask(stranger)
    assert await ask(replace(stranger, insecure=True)) == "|"


async def test_refused_connection_is_unreachable(credentials: Credentials) -> None:
    with pytest.raises(Unreachable):
        await ask(replace(credentials, server="https://127.0.0.1:1"))


async def test_answer_that_breaks_off_is_unreachable(credentials: Credentials) -> None:
    with pytest.raises(Unreachable):
        await ask(credentials, "/break")


async def test_request_that_takes_too_long_is_unreachable(credentials: Credentials) -> None:
    transport = HttpsTransport(credentials)
    try:
        with pytest.raises(Unreachable, match="timed out"):
            await transport.request("GET", "/stream", timeout=0.05)
    finally:
        await transport.close()


async def test_stream_arrives_in_pieces_and_can_be_left(credentials: Credentials) -> None:
    transport = HttpsTransport(credentials)
    try:
        async with transport.stream("GET", "/stream") as stream, asyncio.timeout(30):
            assert await anext(stream.lines()) == b"|"
        assert (await transport.request("GET", "/")).status == 200
    finally:
        await transport.close()


@pytest.mark.parametrize("field", ["ca", "certificate"])
def test_broken_certificates_are_a_configuration_error(field: str) -> None:
    broken: Any = {field: b"not a certificate", "key": b"not a key"}

    with pytest.raises(ConfigError, match="certificates for https://x are not valid"):
        HttpsTransport(Credentials("https://x", **broken))


def test_credentials_do_not_print_secrets() -> None:
    text = repr(Credentials("https://x", token="hush", key=b"hush", certificate=b"hush"))

    assert "hush" not in text


async def test_a_client_certificate_follows_its_files(
    credentials: Credentials, certificates: Path, tmp_path: Path
) -> None:
    clock = VirtualClock()
    files = {end: tmp_path / f"client.{end}" for end in ("crt", "key")}

    def become(name: str) -> None:
        for end, path in files.items():
            pki.write_private(path, (certificates / f"{name}.{end}").read_bytes())

    become("admin")
    identity = replace(
        credentials,
        certificate=files["crt"].read_bytes(),
        key=files["key"].read_bytes(),
        certificate_file=files["crt"],
        key_file=files["key"],
    )
    transport = HttpsTransport(identity, clock)
    try:
        async with transport.stream("GET", "/stream") as watch:
            lines = watch.lines()
            assert b"kubernetes-admin" in await anext(lines)
            become("kube-scheduler")
            await clock.advance(10)
            assert b"system:kube-scheduler" in (await transport.request("GET", "/")).body
            # What cannot be loaded changes nothing.
            pki.write_private(files["key"], (certificates / "admin.key").read_bytes())
            await clock.advance(10)
            assert b"system:kube-scheduler" in (await transport.request("GET", "/")).body
    finally:
        await transport.close()

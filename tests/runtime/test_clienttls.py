"""Client certificates that follow their files, over real TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from kplane.runtime import pki
from kplane.runtime.clienttls import FollowingTls
from kplane.runtime.process import Fatal


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    pki.ensure(tmp_path, server_names=["localhost"], server_ips=["127.0.0.1"])
    return tmp_path


def follow(keys: Path, name: str = "mine") -> FollowingTls:
    files = [keys / f"{name}.crt", keys / f"{name}.key"]

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        try:
            context.load_cert_chain(*files)
        except (OSError, ssl.SSLError) as error:
            raise Fatal(f"cannot load {files[0]}: {error}") from error
        return context

    return FollowingTls(make, files)


def put(keys: Path, source: str) -> None:
    for suffix in ("crt", "key"):
        pki.write_private(keys / f"mine.{suffix}", (keys / f"{source}.{suffix}").read_bytes())


async def shown(keys: Path, following: FollowingTls) -> str:
    """The common name that a server sees."""
    seen = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(keys / "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=following.context)
        der = await seen
        writer.close()
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


async def test_the_next_handshake_shows_the_renewed_certificate(keys: Path) -> None:
    put(keys, "kube-scheduler")
    following = follow(keys)
    assert await shown(keys, following) == "CN=system:kube-scheduler"
    assert following.context is following.context

    put(keys, "kube-controller-manager")

    assert await shown(keys, following) == "CN=system:kube-controller-manager"
    assert following.context is following.context


async def test_files_in_the_middle_of_a_renewal_change_nothing(
    keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(keys, "kube-scheduler")
    following = follow(keys)
    (keys / "mine.crt").write_bytes(b"half of a")
    assert await shown(keys, following) == "CN=system:kube-scheduler"
    assert await shown(keys, following) == "CN=system:kube-scheduler"
    assert caplog.text.count("the former one stays in use") == 1
    (keys / "mine.crt").unlink()
    assert await shown(keys, following) == "CN=system:kube-scheduler"

    put(keys, "kube-controller-manager")

    assert await shown(keys, following) == "CN=system:kube-controller-manager"


def test_files_that_are_not_there_at_the_start_are_fatal(keys: Path) -> None:
    with pytest.raises(Fatal, match="cannot load"):
        follow(keys, "missing")

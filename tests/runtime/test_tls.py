"""A server follows its certificate files: renewal under load, and authorities that are replaced."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from cryptography import x509

from kplane.runtime import pki, renewal
from kplane.runtime.health import respond
from kplane.runtime.serving import Scope, Serving, ServingConfig, peer_certificate

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]


async def app(scope: Scope, receive: object, send: object) -> None:
    await respond(send, 200, b"known" if peer_certificate(scope) else b"anonymous")


def config(folder: Path) -> ServingConfig:
    return ServingConfig(
        "127.0.0.1", 0, folder / "apiserver.crt", folder / "apiserver.key", folder / "ca.crt"
    )


def make(folder: Path) -> Path:
    pki.ensure(folder, server_names=["localhost"], server_ips=["127.0.0.1"])
    return folder


def client(folder: Path, *, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if certificate is not None:
        context.load_cert_chain(certificate / "admin.crt", certificate / "admin.key")
    return context


async def ask(port: int, context: ssl.SSLContext) -> tuple[bytes, int]:
    """The body of the answer, and the serial number of the server's certificate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.write(GET)
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2], x509.load_der_x509_certificate(der).serial_number


def serial(path: Path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def run(loop: Callable[[], asyncio.AbstractEventLoop], scenario: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_renewal_under_load_fails_no_request(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    folder = make(tmp_path)

    async def scenario() -> None:
        seen: set[int] = set()
        done = asyncio.Event()

        async def load(port: int) -> None:
            while not done.is_set():
                body, number = await ask(port, client(folder, certificate=folder))
                assert body == b"known"
                seen.add(number)

        async with (
            asyncio.timeout(30),
            Serving(app, config(folder)) as server,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(4):
                tasks.create_task(load(server.port))
            wanted = {serial(folder / "apiserver.crt")}
            for _ in range(3):
                while not wanted <= seen:
                    await asyncio.sleep(0)
                renewal.renew(folder, "apiserver")
                wanted.add(serial(folder / "apiserver.crt"))
            while not wanted <= seen:
                await asyncio.sleep(0)
            done.set()
        assert len(wanted) == 4

    run(loop, scenario)


@pytest.mark.parametrize("loop", LOOPS)
def test_clients_of_a_replaced_authority_are_not_let_in_any_more(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    served, other = make(tmp_path / "served"), make(tmp_path / "other")

    async def known(port: int, certificate: Path) -> bool:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            body, _ = await ask(port, client(served, certificate=certificate))
            return body == b"known"
        return False

    async def scenario() -> None:
        authorities = served / "clients.crt"
        authorities.write_bytes((served / "ca.crt").read_bytes())
        listen = ServingConfig(
            "127.0.0.1", 0, served / "apiserver.crt", served / "apiserver.key", authorities
        )
        async with Serving(app, listen) as server:
            assert [await known(server.port, folder) for folder in (served, other)] == [True, False]
            pki.write_private(authorities, (other / "ca.crt").read_bytes())
            assert [await known(server.port, folder) for folder in (served, other)] == [False, True]

    run(loop, scenario)


async def test_files_that_do_not_belong_together_change_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path)
    before = serial(folder / "apiserver.crt")

    async with Serving(app, config(folder)) as server:
        pki.write_private(folder / "apiserver.key", (folder / "admin.key").read_bytes())
        assert (await ask(server.port, client(folder)))[1] == before
        (folder / "apiserver.key").unlink()
        assert (await ask(server.port, client(folder)))[1] == before

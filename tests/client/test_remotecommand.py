"""The client's side of exec, against a WebSocket server that speaks the protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from kplane.api.errors import ApiError, Forbidden, InternalError, Unreachable
from kplane.client.kubeconfig import Credentials
from kplane.client.streams.remotecommand import PROTOCOL, STDERR, STDOUT, RemoteCommand, connect

SUCCESS = {"metadata": {}, "status": "Success"}


def ended(code: int) -> dict[str, object]:
    """The outcome of a command with this exit status."""
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}


def outcome(status: object) -> bytes:
    return b"\x03" + json.dumps(status).encode()


@asynccontextmanager
async def served(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[Credentials]:
    async with serve(handler, "127.0.0.1", 0, subprotocols=[PROTOCOL]) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        yield Credentials(f"http://127.0.0.1:{port}", token="hush")


async def collected(remote: RemoteCommand) -> list[tuple[int, bytes]]:
    return [piece async for piece in remote.output()]


@pytest.mark.parametrize(("status", "code"), [(SUCCESS, 0), (ended(1), 1), (ended(137), 137)])
async def test_output_comes_apart_and_the_exit_status_last(status: object, code: int) -> None:
    async def command(socket: ServerConnection) -> None:
        for message in (b"\x01", b"\x01out", b"\x02err", b"\x01put", outcome(status)):
            await socket.send(message)

    async with served(command) as credentials, connect(credentials, "/exec?command=x") as remote:
        assert await collected(remote) == [(STDOUT, b"out"), (STDERR, b"err"), (STDOUT, b"put")]
        assert remote.exit_status == code


async def test_input_its_end_and_window_sizes_are_channels() -> None:
    got: list[bytes | str] = []

    async def command(socket: ServerConnection) -> None:
        got.extend([await socket.recv() for _ in range(3)])
        await socket.send(outcome(SUCCESS))

    async with served(command) as credentials, connect(credentials, "/exec") as remote:
        await remote.resize(80, 20)
        await remote.write(b"typed")
        await remote.close_input()
        await collected(remote)

    assert got == [b'\x04{"Width":80,"Height":20}', b"\x00typed", b"\xff\x00"]


async def test_request_carries_path_token_and_protocol() -> None:
    seen: list[Request] = []

    async def command(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(socket.request)
        await socket.send(outcome(SUCCESS))

    async with served(command) as credentials, connect(credentials, "/exec?command=a%20b&tty=true") as remote:
        await collected(remote)

    assert seen[0].path == "/exec?command=a%20b&tty=true"
    assert seen[0].headers["Authorization"] == "Bearer hush"
    assert seen[0].headers["Sec-WebSocket-Protocol"] == PROTOCOL


async def test_command_that_could_not_run_is_an_error() -> None:
    async def command(socket: ServerConnection) -> None:
        await socket.send(outcome({"status": "Failure", "reason": "InternalError", "message": "no program"}))

    async with served(command) as credentials, connect(credentials, "/exec") as remote:
        with pytest.raises(InternalError, match="no program"):
            await collected(remote)


async def test_connection_that_breaks_before_the_outcome_is_an_error() -> None:
    async def command(socket: ServerConnection) -> None:
        await socket.send(b"\x01half")

    async with served(command) as credentials, connect(credentials, "/exec") as remote:
        with pytest.raises(Unreachable, match="broke"):
            await collected(remote)
        with pytest.raises(ConnectionError):
            await remote.write(b"too late")


async def test_refusal_keeps_the_servers_words() -> None:
    status = {"kind": "Status", "reason": "Forbidden", "message": "not you", "code": 403}

    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(HTTPStatus.FORBIDDEN, json.dumps(status))

    async def never(socket: ServerConnection) -> None:
        raise AssertionError("refused")

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Forbidden, match="not you"):
            async with connect(Credentials(f"http://127.0.0.1:{port}"), "/exec"):
                pass


async def test_nobody_there_is_unreachable(unused_tcp_port: int) -> None:
    with pytest.raises(ApiError, match="no answer from"):
        async with connect(Credentials(f"http://127.0.0.1:{unused_tcp_port}"), "/exec"):
            pass

"""The client's side of exec and attach: a command's streams over one WebSocket, `v5.channel.k8s.io`.

Every message begins with its channel's number. Input and window sizes go out, output comes in, and last, on
the error channel, the outcome as a `Status`. Channel 255 closes the channel that it names: so the command
sees the end of its input while its output still flows.

Elsewhere: the server's side (the node agent), SPDY (spdy.py), terminals (whoever has one).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from kplane.api.errors import InternalError, Unreachable, from_status
from kplane.api.resource import Object
from kplane.client import codec
from kplane.client.kubeconfig import Credentials
from kplane.client.tls import tls_context
from kplane.client.transport import Response
from kplane.client.transport_https import unreachable

PROTOCOL = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


class Socket(Protocol):
    """An open WebSocket; both methods raise ConnectionError when it is closed."""

    async def send(self, message: bytes) -> None: ...

    async def receive(self) -> bytes: ...


class RemoteCommand:
    """A command that runs elsewhere."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self.exit_status: int | None = None
        """None until `output` has ended."""

    async def write(self, data: bytes) -> None:
        """Input for the command. Raises ConnectionError when it has ended."""
        await self._socket.send(bytes([STDIN]) + data)

    async def close_input(self) -> None:
        """The end of the input. Raises ConnectionError when the command has ended."""
        await self._socket.send(bytes([CLOSE, STDIN]))

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal's size. Raises ConnectionError when the command has ended."""
        size = msgspec.json.encode({"Width": columns, "Height": rows})
        await self._socket.send(bytes([RESIZE]) + size)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """STDOUT or STDERR with a piece of it, until the command has ended. Raises ApiError if it could not
        be run, Unreachable if the connection broke before its outcome was known."""
        while self.exit_status is None:
            try:
                message = await self._socket.receive()
            except ConnectionError as error:
                raise Unreachable(f"the connection to the command broke: {error}") from error
            channel, data = message[0] if message else STDIN, message[1:]
            if channel == ERROR and data:
                self.exit_status = _exit_status(data)
            elif channel in (STDOUT, STDERR) and data:
                yield channel, data


def _exit_status(data: bytes) -> int:
    """What the outcome says. Raises ApiError for a command that could not be run."""
    try:
        status: Object = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise InternalError(f"the command's outcome is not JSON: {error}") from error
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode" and str(cause.get("message")).isdigit():
                return int(cause["message"])
    raise from_status(int(status.get("code") or 500), status)


class _WebSocket:
    """A connection of `websockets` as a Socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise ConnectionError(str(error)) from error

    async def receive(self) -> bytes:
        try:
            message = await self._connection.recv(decode=False)
        except ConnectionClosed as error:
            raise ConnectionError(str(error)) from error
        assert isinstance(message, bytes)
        return message


@asynccontextmanager
async def connect(credentials: Credentials, path: str) -> AsyncIterator[RemoteCommand]:
    """Start what the path, query included, asks for (`…/pods/NAME/exec?command=…`). Raises ApiError with the
    server's own words where it refuses, Unreachable where there is no answer.

    By `websockets`, because aiohttp throws the body of a refused handshake away, and with it the Status.
    """
    server = credentials.server.rstrip("/")
    opening = open_websocket(
        server.replace("http", "ws", 1) + path,
        ssl=tls_context(credentials) if server.startswith("https:") else None,
        server_hostname=credentials.tls_server_name or None,
        additional_headers=_authorization(credentials),
        subprotocols=[Subprotocol(PROTOCOL)],
        compression=None,
        proxy=None,
        max_size=None,
        ping_interval=None,
    )
    try:
        connection = await opening
    except InvalidStatus as error:
        headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
        answer = Response(error.response.status_code, headers, bytes(error.response.body or b""))
        raise codec.error_from(answer) from error
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise unreachable(server, error) from error
    try:
        yield RemoteCommand(_WebSocket(connection))
    finally:
        await connection.close()


def _authorization(credentials: Credentials) -> Mapping[str, str]:
    token = credentials.token
    if credentials.token_file is not None:
        try:
            token = credentials.token_file.read_text().strip()
        except OSError as error:
            raise Unreachable(
                f"cannot read the token file {credentials.token_file}: {error.strerror}"
            ) from error
    return {"Authorization": f"Bearer {token}"} if token else {}

"""How bytes reach an API server: over HTTPS, or into the ASGI application in-process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]
    """Keys in lower case."""
    body: bytes


class Stream(Protocol):
    """A response whose body arrives over time."""

    status: int
    headers: Mapping[str, str]

    def lines(self) -> AsyncIterator[bytes]:
        """The body's lines, without their ends; ends when the server closes. Raises Unreachable."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unreachable."""


class Transport(Protocol):
    """One server. Raises `kplane.api.errors.Unreachable` when there is no answer."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response: ...

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Stream]: ...

    async def close(self) -> None: ...


class Relay:
    """A transport in front of another one. Everything passes; subclasses change what they are about."""

    def __init__(self, beyond: Transport) -> None:
        self.beyond = beyond

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        return await self.beyond.request(
            method, path, query=query, headers=headers, body=body, timeout=timeout
        )

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Stream]:
        return self.beyond.stream(method, path, query=query, headers=headers)

    async def close(self) -> None:
        await self.beyond.close()


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a body, however it was cut into chunks. A last line without an end counts as one."""
    partial: list[bytes] = []
    async for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            if partial:
                line = b"".join((*partial, line))
                partial.clear()
            if line:
                yield line
        if rest:
            partial.append(rest)
    if partial:
        yield b"".join(partial)


def target(path: str, query: Mapping[str, str] | None) -> str:
    """Path and query string of a request; the query's values are percent-encoded, the path already is."""
    return f"{path}?{urlencode(query)}" if query else path

"""Talking to a running supervisor: its state, and the request to stop."""

from __future__ import annotations

import asyncio

import msgspec

from .layout import Layout


class ProcessView(msgspec.Struct):
    """One process of a running cluster, as `kplane status -o json` prints it."""

    name: str
    pid: int | None
    state: str
    restarts: int
    since: str
    log: str


class ClusterView(msgspec.Struct):
    """A running cluster. `ready` once everything, nodes included, has been ready."""

    pid: int
    ready: bool
    processes: list[ProcessView]


async def ask(layout: Layout, request: str) -> ClusterView | None:
    """The supervisor's answer; None if none is running."""
    try:
        reader, writer = await asyncio.open_unix_connection(layout.supervisor_socket)
        writer.write(f"{request}\n".encode())
        answer = await reader.read()
        writer.close()
    except (FileNotFoundError, ConnectionError):
        return None
    return msgspec.json.decode(answer, type=ClusterView) if answer else None

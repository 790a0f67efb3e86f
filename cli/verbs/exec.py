"""`kplane exec`: a command in a container, joined to our own input and output; its exit status is ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlencode

from kplane.api.errors import ApiError
from kplane.api.types import Pod
from kplane.client.streams import remotecommand
from kplane.client.streams.remotecommand import STDERR, RemoteCommand

from . import terminal
from .failures import CommandError
from .pods import choose_container, find_pod
from .session import Session

NO_TERMINAL = "Unable to use a TTY - input is not a terminal or the right kind of file"


@dataclass(frozen=True)
class Options:
    """The flags of `exec`, as kubectl has them."""

    container: str = ""
    stdin: bool = False
    tty: bool = False


async def exec_command(session: Session, word: str, command: Sequence[str], options: Options) -> int:
    """Run the command to its end. Raises ApiError and CommandError."""
    if not command:
        raise CommandError("you must specify at least one command for the container")
    pod = await find_pod(session, word)
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise CommandError(f"cannot exec into a container in a completed pod; current phase is {phase}")
    container = choose_container(pod, options.container)
    use_terminal = options.tty and options.stdin
    if use_terminal and not os.isatty(sys.stdin.fileno()):
        print(NO_TERMINAL, file=sys.stderr)
        use_terminal = False
    path = _path(pod, container, command, stdin=options.stdin, tty=use_terminal)
    async with remotecommand.connect(session.credentials, path) as remote:
        status = await _attended(remote, stdin=options.stdin, tty=use_terminal)
    if status:
        print(f"command terminated with exit code {status}", file=sys.stderr)
    return status


def _path(pod: dict[str, object], container: str, command: Sequence[str], *, stdin: bool, tty: bool) -> str:
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    query = [("command", word) for word in command] + [("container", container)]
    streams = {"stdin": stdin, "stdout": True, "stderr": not tty, "tty": tty}
    query += [(name, "true") for name, wanted in streams.items() if wanted]
    return f"{Pod.API.path(metadata['namespace'], metadata['name'], 'exec')}?{urlencode(query)}"


async def _attended(remote: RemoteCommand, *, stdin: bool, tty: bool) -> int:
    """Carry input, window sizes and output until the command ends; its exit status."""
    descriptor = sys.stdin.fileno() if stdin else -1
    with terminal.raw_mode(descriptor) if tty else contextlib.nullcontext():
        try:
            async with asyncio.TaskGroup() as group:
                carriers = [group.create_task(_feed(remote, descriptor))] if stdin else []
                carriers += [group.create_task(_follow_size(remote, descriptor))] if tty else []
                await _print(remote)
                for carrier in carriers:
                    carrier.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
    assert remote.exit_status is not None
    return remote.exit_status


async def _print(remote: RemoteCommand) -> None:
    try:
        async with aclosing(remote.output()) as output:  # type: ignore[type-var]
            async for channel, data in output:
                stream = sys.stderr.buffer if channel == STDERR else sys.stdout.buffer
                stream.write(data)
                stream.flush()
    except ApiError as error:
        raise CommandError(error.message) from error


async def _feed(remote: RemoteCommand, descriptor: int) -> None:
    with contextlib.suppress(ConnectionError):  # the command has ended and reads no more
        async with aclosing(terminal.chunks(descriptor)) as chunks:  # type: ignore[type-var]
            async for data in chunks:
                await remote.write(data)
        await remote.close_input()


async def _follow_size(remote: RemoteCommand, descriptor: int) -> None:
    with contextlib.suppress(ConnectionError):
        async with aclosing(terminal.sizes(descriptor)) as sizes:  # type: ignore[type-var]
            async for columns, rows in sizes:
                await remote.resize(columns, rows)

"""The supervisor: starts a cluster's processes, restarts what dies, stops all of them in order.

Reads: a list of `ProcessSpec`. Writes: one log file per process, a Unix socket that answers with the state
of each as JSON. Elsewhere: which processes a cluster has (plan.py).

Invariant: no process outlives the supervisor. Children are in sessions of their own, so Ctrl-C reaches the
supervisor alone, and the kernel sends them SIGTERM if it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from kplane.api.clock import Clock, rfc3339
from kplane.runtime.process import Fatal

from .control import ClusterView, ProcessView

log = logging.getLogger(__name__)

FIRST_BACKOFF, LAST_BACKOFF = 0.1, 10.0
HEALTHY_AFTER = 30.0
"""Seconds after which a process that ran so long starts again without waiting."""

READY_INTERVAL = 0.03

Step = Callable[[], Awaitable[None]]


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPED = "stopped"


async def always_ready() -> bool:
    return True


async def nothing() -> None:
    """The step that does nothing."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process. `after` names those that must be ready before it is started for the first time;
    `before_start` runs once, ahead of its first start, `after_stop` when it has been stopped."""

    name: str
    argv: Sequence[str]
    log: Path
    after: Sequence[str] = ()
    ready: Callable[[], Awaitable[bool]] = always_ready
    stop_seconds: float = 10.0
    before_start: Step = nothing
    after_stop: Step = nothing


@dataclass
class Managed:
    """A process as it is now."""

    spec: ProcessSpec
    state: State = State.WAITING
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    since: str = ""
    was_ready: asyncio.Event = field(default_factory=asyncio.Event)

    def view(self) -> ProcessView:
        running = self.process is not None and self.process.returncode is None
        pid = self.process.pid if self.process is not None and running else None
        return ProcessView(
            self.spec.name, pid, str(self.state), self.restarts, self.since, str(self.spec.log)
        )


class Supervisor:
    """Keeps processes running until `request_stop`."""

    def __init__(self, specs: Sequence[ProcessSpec], clock: Clock) -> None:
        self._clock = clock
        self._managed = {spec.name: Managed(spec) for spec in specs}
        self._stopping = asyncio.Event()
        self._stopped = False
        self.ready = False
        """Set by whoever knows when the cluster as a whole is ready."""

    def view(self) -> ClusterView:
        return ClusterView(os.getpid(), self.ready, [managed.view() for managed in self._managed.values()])

    async def becoming_ready(self) -> AsyncIterator[str]:
        """The name of every process, in their order, once it has been ready."""
        for name, managed in self._managed.items():
            await managed.was_ready.wait()
            yield name

    def request_stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Run until `request_stop` or cancellation. Raises Fatal if a process fails before it was ready."""
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(managed)) for managed in self._managed.values()]
                await self._stopping.wait()
                await self._stop_all()
                for keeper in keepers:
                    keeper.cancel()
        finally:
            await asyncio.shield(self._stop_all())

    async def _keep(self, managed: Managed) -> None:
        for name in managed.spec.after:
            await self._managed[name].was_ready.wait()
        await managed.spec.before_start()
        backoff = FIRST_BACKOFF
        while not self._stopping.is_set():
            started = self._clock.monotonic()
            code = await self._run_once(managed)
            if self._stopping.is_set():
                return
            log.warning("process ended name=%s code=%s", managed.spec.name, code)
            if not managed.was_ready.is_set():
                raise Fatal(f"{managed.spec.name} did not start: {last_line(managed.spec.log)}")
            backoff = FIRST_BACKOFF if self._clock.monotonic() - started > HEALTHY_AFTER else backoff
            self._enter(managed, State.BACKOFF)
            await self._clock.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF)
            managed.restarts += 1

    async def _run_once(self, managed: Managed) -> int:
        """Start the process, tell when it is ready, and return its exit status when it ends."""
        with managed.spec.log.open("ab") as output:
            managed.process = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig", "TERM", "--", *managed.spec.argv,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._enter(managed, State.STARTING)
        ended = asyncio.create_task(managed.process.wait())
        try:
            while not ended.done() and not await managed.spec.ready():
                await asyncio.wait([ended], timeout=READY_INTERVAL)
            if not ended.done():
                self._enter(managed, State.RUNNING)
                managed.was_ready.set()
            return await ended
        finally:
            ended.cancel()

    async def _stop_all(self) -> None:
        """Stop in reverse order, each with SIGTERM, and SIGKILL when its time is over."""
        self._stopping.set()
        if self._stopped:
            return
        self._stopped = True
        for managed in reversed(self._managed.values()):
            await self._stop(managed)

    async def _stop(self, managed: Managed) -> None:
        """End the process if it runs, and take away what it may have left."""
        process = managed.process
        if process is not None:
            if process.returncode is None:
                await self._terminate(managed.spec, process)
            await managed.spec.after_stop()
        self._enter(managed, State.STOPPED)

    async def _terminate(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        signal_process(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(spec.stop_seconds):
                await process.wait()
        except TimeoutError:
            log.warning("process did not stop in time name=%s", spec.name)
            signal_process(process.pid, signal.SIGKILL)
            await process.wait()

    def _enter(self, managed: Managed, state: State) -> None:
        if managed.state is not state:
            managed.state = state
            managed.since = rfc3339(self._clock.now())


def signal_process(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        log.debug("process %d has ended already", pid)


def last_line(path: Path) -> str:
    """The last line of a log, which is where a component says what is wrong."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


async def serve_status(supervisor: Supervisor, socket: Path) -> asyncio.Server:
    """Answer every connection on the socket with the state as JSON; the request `stop` ends the cluster."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readline()).strip()
        if request == b"stop":
            supervisor.request_stop()
        writer.write(msgspec.json.encode(supervisor.view()))
        await writer.drain()
        writer.close()

    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, socket)
    socket.chmod(0o600)
    return server

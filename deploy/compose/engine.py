"""A Docker engine: the one that answers, else one of the demo's own.

The own one lives in namespaces of its own: its bridges and packet rules are in a network that nobody else
has, its mounts in a table of its own, and all its processes end with the first of them. What is left to take
away is one folder and one cgroup. Its containers reach each other and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from commands import Failed, attempt, last_lines, run

from kplane.api.clock import Clock, Entropy
from kplane.cli.containers import CGROUPS, remove_cgroups

HERE = Path(__file__).parent
START_SECONDS = 30
STOP_SECONDS = 30
POLL = 0.1

ISOLATED = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True)
class Engine:
    """How to speak to an engine. `inside` goes before a command that is to reach its published ports."""

    env: Mapping[str, str]
    inside: Sequence[str] = ()
    own: bool = False

    async def docker(self, *arguments: str, input: bytes = b"", seconds: float = 300) -> str:
        """Raises Failed."""
        return await run(["docker", *arguments], env=self.env, input=input, seconds=seconds)


def remove_cgroup(path: str) -> None:
    """From every hierarchy of the machine, with what is below it and holds no process."""
    for top in (CGROUPS, *CGROUPS.iterdir()):
        remove_cgroups(top / path.lstrip("/"))


@asynccontextmanager
async def engine(clock: Clock, *, own: bool = False) -> AsyncIterator[Engine]:
    """The engine that answers here, unless an `own` one is wanted or none does. Raises Failed."""
    # The classic builder: BuildKit's is not in every installation.
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    if not own and (await attempt(["docker", "version"], env=env, seconds=20))[0] == 0:
        yield Engine(env)
        return
    if os.geteuid():
        raise Failed("no Docker engine answers, and only root can start one: is DOCKER_HOST right?")
    folder = Path(tempfile.mkdtemp(prefix="kplane-docker-"))
    cgroup = f"/kplane-docker-{Entropy().suffix(6)}"
    try:
        async with _dockerd(folder, cgroup, clock) as first:
            socket = {"DOCKER_HOST": f"unix://{folder / 'docker.sock'}"}
            yield Engine({**env, **socket}, ("nsenter", f"--net=/proc/{first}/ns/net"), own=True)
    finally:
        remove_cgroup(cgroup)
        # Many thousand files.
        await run(["rm", "--recursive", "--force", "--one-file-system", str(folder)])


@asynccontextmanager
async def _dockerd(folder: Path, cgroup: str, clock: Clock) -> AsyncIterator[int]:
    """Its process, which is the first of its namespace. Raises Failed."""
    log = folder / "log"
    with log.open("wb") as output:
        # If the demo is killed, all of it goes.
        process = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", *ISOLATED, "/bin/sh", HERE / "dockerd.sh", folder, cgroup,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        await _answers(folder / "docker.sock", process, log, clock)
        [first] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield int(first)
    finally:
        await _stop(process)


async def _answers(socket: Path, process: asyncio.subprocess.Process, log: Path, clock: Clock) -> None:
    deadline = clock.monotonic() + START_SECONDS
    while process.returncode is None and clock.monotonic() < deadline:
        if socket.exists():
            env = {**os.environ, "DOCKER_HOST": f"unix://{socket}"}
            if (await attempt(["docker", "version"], env=env, seconds=START_SECONDS))[0] == 0:
                return
        await clock.sleep(POLL)
    raise Failed(f"dockerd did not start:\n{last_lines(log.read_text(errors='replace'))}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End dockerd, which ends its containers; then whatever is left in its namespaces."""
    if process.returncode is not None:
        return
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

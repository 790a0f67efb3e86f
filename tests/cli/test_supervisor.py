"""The supervisor: order of start and stop, restarts, and failures at the start, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kplane.api.clock import SystemClock
from kplane.cli.control import ask
from kplane.cli.layout import Layout
from kplane.cli.supervisor import ProcessSpec, State, Supervisor, serve_status
from kplane.runtime.process import Fatal
from kplane.testing.waiting import eventually

FOREVER = ("sleep", "1000")


def spec(tmp_path: Path, name: str, *argv: str, **options: object) -> ProcessSpec:
    return ProcessSpec(name, argv or FOREVER, tmp_path / f"{name}.log", **options)  # type: ignore[arg-type]


@asynccontextmanager
async def running(*specs: ProcessSpec) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(specs, SystemClock())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            supervisor.request_stop()
            await task


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pid_of(supervisor: Supervisor, index: int = 0) -> int:
    pid = supervisor.view().processes[index].pid
    assert pid is not None
    return pid


async def test_every_process_becomes_ready_in_order(tmp_path: Path) -> None:
    async with running(spec(tmp_path, "a"), spec(tmp_path, "b", after=("a",))) as supervisor:
        names = [name async for name in supervisor.becoming_ready()]

        assert names == ["a", "b"]
        assert {process.state for process in supervisor.view().processes} == {State.RUNNING}


async def test_killed_process_is_started_again(tmp_path: Path) -> None:
    async with running(spec(tmp_path, "a")) as supervisor:
        await eventually(lambda: supervisor.view().processes[0].state == State.RUNNING)
        first = pid_of(supervisor)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: supervisor.view().processes[0].pid not in (None, first))

        assert supervisor.view().processes[0].restarts == 1


async def test_stopping_ends_every_process(tmp_path: Path) -> None:
    async with running(spec(tmp_path, "a"), spec(tmp_path, "b")) as supervisor:
        await eventually(
            lambda: all(process.state == State.RUNNING for process in supervisor.view().processes)
        )
        pids = [pid_of(supervisor, 0), pid_of(supervisor, 1)]

    assert not any(alive(pid) for pid in pids)
    assert {process.state for process in supervisor.view().processes} == {State.STOPPED}


async def test_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = ("sh", "-c", "trap '' TERM; echo trapped; while :; do sleep 1000; done")
    started = spec(tmp_path, "a", *stubborn, stop_seconds=0.05)
    async with running(started) as supervisor:
        await eventually(lambda: started.log.exists() and b"trapped" in started.log.read_bytes())
        pid = pid_of(supervisor)
        group = os.getpgid(pid)

    assert not alive(pid)
    os.killpg(group, signal.SIGKILL)


async def test_steps_surround_a_process(tmp_path: Path) -> None:
    order: list[str] = []

    def step(name: str) -> Callable[[], Awaitable[None]]:
        async def record() -> None:
            order.append(name)

        return record

    specs = (
        spec(tmp_path, "a", after_stop=step("a stopped")),
        spec(tmp_path, "b", after=("a",), before_start=step("before b"), after_stop=step("b stopped")),
    )
    async with running(*specs) as supervisor:
        assert [name async for name in supervisor.becoming_ready()] == ["a", "b"]

    assert order == ["before b", "b stopped", "a stopped"]


async def test_what_a_dead_process_left_is_taken_away_all_the_same(tmp_path: Path) -> None:
    cleaned = asyncio.Event()

    async def clean() -> None:
        cleaned.set()

    async with running(spec(tmp_path, "a", "true", after_stop=clean)) as supervisor:
        await eventually(lambda: supervisor.view().processes[0].state == State.BACKOFF)

    assert cleaned.is_set()


async def test_failure_before_ready_tells_the_last_line_of_the_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    script = "echo noise; echo 'etcd: port 2379 is taken' >&2; exit 1"
    broken = spec(tmp_path, "etcd", "sh", "-c", script, ready=never)
    waiting = spec(tmp_path, "apiserver", after=("etcd",))
    supervisor = Supervisor([broken, waiting], SystemClock())

    with pytest.raises(ExceptionGroup) as raised:
        await supervisor.run()

    assert raised.group_contains(Fatal, match="etcd did not start: etcd: port 2379 is taken")


async def test_socket_answers_with_the_state_and_takes_the_request_to_stop(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    supervisor = Supervisor([spec(tmp_path, "a")], SystemClock())
    server = await serve_status(supervisor, layout.supervisor_socket)
    task = asyncio.create_task(supervisor.run())
    await eventually(lambda: supervisor.view().processes[0].state == State.RUNNING)

    view = await ask(layout, "status")
    await ask(layout, "stop")
    await asyncio.wait_for(task, 10)
    server.close()

    assert view is not None
    assert [(process.name, process.state) for process in view.processes] == [("a", "running")]


SUPERVISING = """
import asyncio, sys
from pathlib import Path
from kplane.api.clock import SystemClock
from kplane.cli.supervisor import ProcessSpec, Supervisor

async def main():
    supervisor = Supervisor([ProcessSpec("a", ["sleep", "1000"], Path(sys.argv[1]))], SystemClock())
    task = asyncio.create_task(supervisor.run())
    async for _ in supervisor.becoming_ready():
        print(supervisor.view().processes[0].pid, flush=True)
    await task

asyncio.run(main())
"""


@pytest.mark.slow
async def test_no_process_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", SUPERVISING, str(tmp_path / "a.log")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        child.kill()

    await eventually(lambda: not alive(pid))

"""kplane's own verbs against a cluster with real containers: logs, and commands inside containers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import termios
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from kplane.testing.clusters import Cluster, Finished, cluster
from kplane.testing.images import hello
from kplane.testing.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.xdist_group("cluster-verbs"),
    pytest.mark.asyncio(loop_scope="module"),
]

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: talker}
spec:
  selector: {matchLabels: {app: talker}}
  template:
    metadata: {labels: {app: talker}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: loud
        image: localhost/kplane/hello:1
        imagePullPolicy: IfNotPresent
        command: [/bin/sh, -c, "for i in 1 2 3; do echo line $i; done; exec sleep 600"]
      - name: quiet
        image: localhost/kplane/hello:1
        imagePullPolicy: IfNotPresent
        command: [/bin/sh, -c, "exec sleep 600"]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talker() -> AsyncIterator[Cluster]:
    """A node whose one Pod has written three lines."""
    async with cluster("--runtime", "containerd", "--store", "sqlite", "--port", "0") as made:
        await made.load(hello())
        await made.kplane("apply", "-f", "-", input=MANIFEST)
        await made.kubectl("rollout", "status", "deployment/talker", "--timeout=120s")
        yield made


async def run(cluster: Cluster, *words: str, input: str = "") -> Finished:
    return await cluster.kplane(*words, input=input, check=False)


async def test_logs_are_kubectls(talker: Cluster) -> None:
    for flags in ([], ["--tail", "1"], ["--tail=2", "--timestamps"], ["--since=1h"], ["-c", "quiet"], ["-p"]):
        ours = await run(talker, "logs", "deployment/talker", *flags)
        theirs = await talker.kubectl("logs", "deployment/talker", *flags, check=False)
        assert ours == theirs, flags


async def test_logs_follow_until_interrupted(talker: Cluster) -> None:
    process = await talker.start("kplane", "logs", "deployment/talker", "-c", "loud", "-f", "--tail=1")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(15):
            assert await process.stdout.readline() == b"line 3\n"
        assert process.returncode is None
    finally:
        process.kill()
        await process.communicate()


async def test_exec_passes_streams_and_exit_status(talker: Cluster) -> None:
    script = "read line; echo out $line; echo err >&2; exit 7"

    finished = await run(
        talker, "exec", "-i", "deploy/talker", "-c", "loud", "--", "sh", "-c", script, input="hi\n"
    )

    assert finished == Finished(7, "out hi\n", "err\ncommand terminated with exit code 7\n")


async def test_exec_ends_the_input_where_ours_ends(talker: Cluster) -> None:
    finished = await run(talker, "exec", "-i", "deploy/talker", "--", "wc", "-c", input="x" * 200_000)

    assert (finished.code, finished.out.strip()) == (0, "200000")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["deploy/talker", "-c", "loud", "--", "false"], id="exit-status"),
        pytest.param(["deploy/talker", "-c", "nope", "--", "true"], id="no-container"),
        pytest.param(["nope", "--", "true"], id="no-pod"),
        pytest.param(["deploy/talker", "--", "true"], id="default-container"),
        pytest.param(["deploy/talker", "-c", "loud", "--", "/no/such/program"], id="no-program"),
    ],
)
async def test_exec_ends_as_kubectls(talker: Cluster, words: list[str]) -> None:
    ours = await run(talker, "exec", *words)
    theirs = await talker.kubectl("exec", *words, check=False)

    # containerd names each execution by a random number.
    assert replace(ours, err=re.sub("[0-9a-f]{64}", "", ours.err)) == replace(
        theirs, err=re.sub("[0-9a-f]{64}", "", theirs.err)
    )


async def test_exec_with_a_terminal_is_raw_and_has_its_size(talker: Cluster) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    script = "echo ready; read key; until stty size | grep '33 111'; do sleep 0.1; done; exit 3"
    process = await asyncio.create_subprocess_exec(
        *talker.prefix, "kplane", "exec", "-it", "deploy/talker", "-c", "loud", "--", "sh", "-c", script,
        env=talker.env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    terminal = Terminal(ours)
    try:
        await eventually(lambda: terminal.shows("ready"), seconds=15)
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        termios.tcsetwinsize(theirs, (33, 111))
        process.send_signal(signal.SIGWINCH)
        os.write(ours, b"\r")
        async with asyncio.timeout(15):
            assert await process.wait() == 3
        await eventually(lambda: terminal.shows(r"33 111\r\n.*exit code 3"))
        assert termios.tcgetattr(theirs)[3] & termios.ECHO
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
        os.close(theirs)


class Terminal:
    """What a terminal has shown."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = ""

    def shows(self, pattern: str) -> bool:
        with contextlib.suppress(OSError):  # nothing new
            self._shown += os.read(self._descriptor, 4096).decode()
        return bool(re.search(pattern, self._shown, re.DOTALL))


async def test_deleted_deployment_is_gone_when_delete_returns(talker: Cluster) -> None:
    manifest = MANIFEST.replace("talker", "brief")
    await talker.kplane("apply", "-f", "-", input=manifest)
    await talker.kubectl("rollout", "status", "deployment/brief", "--timeout=120s")

    finished = await talker.kplane("delete", "pods", "-l", "app=brief")

    [name] = [line.split('"')[1] for line in finished.out.splitlines()]
    left = await run(talker, "get", "pod", name)
    assert left.err == f'Error from server (NotFound): pods "{name}" not found\n'
    await talker.kplane("delete", "-f", "-", input=manifest)

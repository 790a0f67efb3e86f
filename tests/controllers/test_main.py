"""The controller manager as a process: it says what is wrong, outlives an absent server, ends on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials


async def start(*flags: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kplane.controllers", "--bind-address=127.0.0.1", "--secure-port=0", *flags,
        stderr=PIPE,
    )  # fmt: skip


async def ended(process: Process) -> tuple[int, str]:
    """Exit status, and what it said."""
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        pytest.param(["--kubeconfig=/nowhere"], "cannot read the kubeconfig /nowhere", id="no-kubeconfig"),
        pytest.param(["--nonsense"], "unrecognized arguments: --nonsense", id="unknown-flag"),
    ],
)
async def test_what_a_person_can_mend_is_one_line(flags: list[str], said: str) -> None:
    status, text = await ended(await start(*flags))

    assert status == 1
    assert len(text.splitlines()) == 1
    assert said in text


@pytest.mark.slow
async def test_flags_without_effect_are_told() -> None:
    status, text = await ended(await start("--kubeconfig=/nowhere", "--profiling=false", "--cluster-name=a"))

    assert status == 1
    assert "these have no effect flags=--profiling,--cluster-name" in text


@pytest.mark.slow
@pytest.mark.parametrize("election", ["true", "false"])
async def test_an_absent_server_is_waited_for_until_the_signal(tmp_path: Path, election: str) -> None:
    config = tmp_path / "kubeconfig"
    # Port 1 is reserved and never listened on.
    kubeconfig.write(config, Credentials(server="https://127.0.0.1:1", insecure=True))
    process = await start(f"--kubeconfig={config}", f"--leader-elect={election}")
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while (line := await process.stderr.readline()) and b"127.0.0.1:1" not in line:
            pass

    process.send_signal(signal.SIGTERM)

    assert line
    assert (await ended(process))[0] == 0

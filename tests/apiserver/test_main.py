"""The process: flags, and the one line it says when it cannot run."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from kplane.apiserver.config import parse
from kplane.runtime.process import Fatal

REQUIRED = ["--storage-dir", "d"]


def test_flags_have_upstreams_names_and_defaults() -> None:
    config = parse([*REQUIRED, "--service-cluster-ip-range=10.0.0.0/24", "--event-ttl=1h30m0s", "--v=4"])

    assert config.service_cluster_ip_range == ipaddress.ip_network("10.0.0.0/24")
    assert (config.event_ttl, config.verbosity, config.secure_port) == (5400, 4, 6443)
    assert config.service_node_port_range == range(30000, 32768)


def test_etcd_servers_are_a_list() -> None:
    assert parse(["--etcd-servers=http://a:1,http://b:2"]).etcd_servers == ("http://a:1", "http://b:2")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        pytest.param([], "pass either --etcd-servers or --storage-dir", id="no-store"),
        pytest.param([*REQUIRED, "--etcd-servers=a"], "pass either", id="two-stores"),
        pytest.param([*REQUIRED, "--colour=red"], "unrecognized arguments: --colour=red", id="unknown"),
        pytest.param([*REQUIRED, "--secure-port=high"], "'high' is not a port", id="port"),
        pytest.param([*REQUIRED, "--service-cluster-ip-range=x"], "'x' is not a range", id="network"),
        pytest.param([*REQUIRED, "--service-node-port-range=9"], "'9' is not a port range", id="ports"),
        pytest.param([*REQUIRED, "--request-timeout=1 day"], "'1 day' is not a duration", id="duration"),
        pytest.param([*REQUIRED, "--tls-cert-file=/nowhere"], "there is no file /nowhere", id="file"),
    ],
)
def test_bad_flags_are_explained_in_one_line(flags: list[str], text: str) -> None:
    with pytest.raises(Fatal) as fault:
        parse(flags)

    assert text in str(fault.value)
    assert "\n" not in str(fault.value)


class Process:
    """A server of its own."""

    def __init__(self, *flags: str) -> None:
        self._flags = flags

    async def __aenter__(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kplane.apiserver", "--bind-address=127.0.0.1", *self._flags,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self._process

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        await self._process.wait()


async def complaint(*flags: str) -> str:
    """What a server that cannot start says."""
    async with asyncio.timeout(60), Process(*flags) as process:
        _, said = await process.communicate()
    assert process.returncode == 1
    lines = [line for line in said.decode().splitlines() if line.startswith("kplane apiserver: ")]
    assert len(lines) == 1, said.decode()
    return lines[0]


@pytest.mark.slow
async def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        said = await complaint(f"--storage-dir={tmp_path}", f"--secure-port={port}")

    assert said.startswith(f"kplane apiserver: cannot listen on 127.0.0.1:{port}: ")


@pytest.mark.slow
async def test_a_folder_in_use_is_said_so(tmp_path: Path) -> None:
    flags = (f"--storage-dir={tmp_path}", "--secure-port=0")
    async with Process(*flags) as first:
        assert first.stderr is not None
        async with asyncio.timeout(30):
            assert b"serving" in await first.stderr.readline()

        said = await complaint(*flags)

    assert str(tmp_path) in said
    assert first.returncode == 0


@pytest.mark.slow
async def test_an_etcd_that_is_not_there_is_said_so() -> None:
    with socket.socket() as reserved:
        # Bound and not listening: connections are refused.
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"

        said = await complaint(f"--etcd-servers={url}", "--secure-port=0")

    assert "etcd" in said


@pytest.mark.slow
async def test_a_storage_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    os.chmod(blocked, 0o600)

    assert "cannot make the storage folder" in await complaint(f"--storage-dir={blocked / 'sub'}")

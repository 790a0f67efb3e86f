"""Verbs against the real API server: in this process, and over TLS beside kubectl."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.cli.verbs.session import Session
from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

BIN = Path(sys.executable).parent


@pytest.fixture
def session(kplane_api: Client) -> Session:
    """A session in the namespace `default`, given by nobody."""
    return Session(kplane_api, "default", Credentials("https://in-process"))


@dataclass(frozen=True)
class Said:
    """What a command line printed, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLines:
    """kubectl and kplane, with the same kubeconfig."""

    env: Mapping[str, str]

    async def kubectl(self, *words: str, input: str = "") -> Said:
        return await self._run(str(BIN / "kubectl"), *words, input=input)

    async def kplane(self, *words: str, input: str = "") -> Said:
        return await self._run(sys.executable, "-m", "kplane.cli", *words, input=input)

    async def _run(self, *words: str, input: str) -> Said:
        process = await asyncio.create_subprocess_exec(
            *words, env=self.env,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(input.encode())
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def lines(tmp_path: Path) -> AsyncIterator[CommandLines]:
    """Both command lines, and an API server over TLS for them."""
    keys, config = tmp_path / "pki", tmp_path / "kubeconfig"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    listen = ServingConfig(
        "127.0.0.1", 0, keys / "apiserver.crt", keys / "apiserver.key", client_ca_file=keys / "ca.crt"
    )
    settings = ApiServerConfig(
        storage_dir=IN_MEMORY,
        bind_address="127.0.0.1",
        client_ca_file=keys / "ca.crt",
        disable_admission_plugins=("ServiceAccount",),
    )
    async with ApiServer(settings) as server, Serving(server.app, listen) as serving:
        ca, certificate, key = ((keys / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key"))
        address = f"https://127.0.0.1:{serving.port}"
        kubeconfig.write(config, Credentials(address, ca=ca, certificate=certificate, key=key))
        yield CommandLines({**os.environ, "KUBECONFIG": str(config), "HOME": str(tmp_path)})

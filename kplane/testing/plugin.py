"""The pytest plugin: fixtures for tests of controllers and of anything else that talks to the API.

Enable it with `pytest_plugins = ["kplane.testing.plugin"]` in a project's top conftest.py; it needs
pytest-asyncio.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport
from kplane.testing.cluster import FakeCluster

TOKEN = "kplane-api"  # noqa: S105 - it opens nothing but a server inside the test's own process


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """An empty FakeCluster, running."""
    async with FakeCluster() as fake:
        yield fake


@pytest_asyncio.fixture
async def kplane_api(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a real API server in this process, with an empty store in memory."""
    # By name: the library imports no component, and only those who ask for this fixture need one.
    config = importlib.import_module("kplane.apiserver.config")
    server = importlib.import_module("kplane.apiserver.server")
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(f"{TOKEN},test,test,system:masters\n")
    settings = config.ApiServerConfig(
        storage_dir=config.IN_MEMORY,
        token_auth_file=tokens,
        # As in envtest: no controller makes the accounts that Pods would have to have.
        disable_admission_plugins=("ServiceAccount",),
    )
    async with server.ApiServer(settings) as running:
        yield Client(AsgiTransport(running.app, token=TOKEN), user_agent="pytest")

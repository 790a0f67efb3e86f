"""The backends that every contract test runs against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.api.clock import Clock, SystemClock
from kplane.apiserver.storage.etcd import EtcdConfig, EtcdStore
from kplane.apiserver.storage.sqlite import SQLiteStore
from kplane.apiserver.storage.store import Store
from kplane.testing.clock import VirtualClock
from kplane.testing.etcd import Etcd

_PREFIXES = count(1)


@dataclass
class Backend:
    """Opens stores that hold the same data, one at a time."""

    name: str
    prefix: str
    """Where this test's keys are: etcd is shared."""
    clock: Clock
    path: Path | None = None
    url: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        store: Store = (
            EtcdStore(EtcdConfig([self.url]), self.clock) if self.url else SQLiteStore(self.path, self.clock)
        )
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    async def pass_time(self, seconds: float) -> None:
        if isinstance(self.clock, VirtualClock):
            await self.clock.advance(seconds)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def etcd() -> AsyncIterator[Etcd]:
    async with Etcd() as etcd:
        yield etcd


@pytest.fixture(
    params=[
        "sqlite",
        "memory",
        pytest.param("etcd", marks=[pytest.mark.slow, pytest.mark.xdist_group("etcd")]),
    ]
)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return make_backend(request, tmp_path)


def make_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """The backend that a fixture's parameter names."""
    prefix = f"/registry/test{next(_PREFIXES)}/"
    if request.param == "etcd":
        return Backend("etcd", prefix, SystemClock(), url=request.getfixturevalue("etcd").url)
    path = tmp_path / "store.db" if request.param == "sqlite" else None
    return Backend(request.param, prefix, VirtualClock(), path)


@pytest_asyncio.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    async with backend.open() as store:
        yield store

"""Fixtures: a containerd for each test module, and its runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from kplane.kubelet.runtime.cri import CriRuntime
from kplane.testing.containerd import Containerd, containerd


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def containerd_node() -> AsyncIterator[Containerd]:
    """A private containerd with the busybox image, for all tests of a module."""
    async with containerd() as node:
        yield node


@pytest_asyncio.fixture
async def cri(containerd_node: Containerd) -> AsyncIterator[CriRuntime]:
    runtime = CriRuntime(containerd_node.endpoint)
    await runtime.version()
    yield runtime
    await runtime.close()

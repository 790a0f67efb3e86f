"""A fake cluster that answers discovery as well: for controllers of all resources."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from kplane.testing.discoverable import DiscoverableCluster


@pytest_asyncio.fixture
async def discoverable() -> AsyncIterator[DiscoverableCluster]:
    async with DiscoverableCluster() as fake:
        yield fake

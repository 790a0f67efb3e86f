"""Whole clusters with real containers, one per store, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kplane.testing.clusters import Cluster, cluster
from kplane.testing.images import hello


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        pytest.param("sqlite", marks=pytest.mark.xdist_group("cluster-sqlite")),
        pytest.param("etcd", marks=pytest.mark.xdist_group("cluster-etcd")),
    ],
)
async def node_cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """A cluster of one real node with the demo's image in two versions."""
    async with cluster("--runtime", "containerd", "--store", request.param, "--port", "0") as made:
        await made.load(hello())
        await made.load(hello("localhost/kplane/hello:2"))
        yield made

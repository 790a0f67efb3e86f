"""Whole clusters with real containers, one per store, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the processes of the cluster said last."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Cluster):
                report.sections += [(str(path), last_lines(path)) for path in sorted(value.logs())]
    return report


def last_lines(path: Path, count: int = 40) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])

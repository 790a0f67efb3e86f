"""One cluster of one real node for all behaviours of a worker; tests ask its API through a door."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.testing.clusters import Cluster, cluster
from kplane.testing.images import busybox

from ..api import Api
from ..conftest import last_lines
from .door import door
from .pods import Pods


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.node)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Cluster, Path]]:
    """A cluster of real containers, and a kubeconfig with which it is reached from here."""
    async with cluster("--runtime", "containerd", "--port", "0") as made:
        await made.load(busybox())
        text = made.kubeconfig.read_text()
        [port] = set(re.findall(r"https://127\.0\.0\.1:(\d+)", text))
        with door(made.namespace, int(port)) as outside:
            kubeconfig = tmp_path_factory.mktemp("machine") / "admin.kubeconfig"
            kubeconfig.write_text(text.replace(f":{port}", f":{outside}"))
            yield made, kubeconfig


@pytest_asyncio.fixture
async def api(machine: tuple[Cluster, Path]) -> AsyncIterator[Api]:
    async with Api.connected(machine[1]) as api:
        yield api


@pytest.fixture
def node(machine: tuple[Cluster, Path]) -> Cluster:
    """The machine on which the pods run."""
    return machine[0]


@pytest.fixture
def pods(api: Api, core: str, node: Cluster) -> Pods:
    return Pods(api, core, node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the processes of the cluster said last."""
    report = yield
    made = getattr(item, "funcargs", {}).get("machine")
    if report.failed and made is not None:
        report.sections += [(str(path), last_lines(path)) for path in made[0].logs()]
    return report

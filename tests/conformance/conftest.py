"""One cluster of two hollow nodes for all behaviours of a worker; a namespace per test, made as suites do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from ..clients.cluster import Cluster, Kubectl, running, time_limit
from .api import Api

TEST_SECONDS = 60
_NUMBERS = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running("sqlite", tmp_path_factory.mktemp("conformance"), nodes=2) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _time_limit() -> Iterator[None]:
    with time_limit(TEST_SECONDS):
        yield


@pytest_asyncio.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    """The cluster's API, asked as its administrator."""
    async with Api.connected(cluster.kubeconfig) as api:
        yield api


@pytest_asyncio.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    """A namespace that is ready for Pods: its account and the root certificates are there."""
    labels = {"e2e-run": "one", "pod-security.kubernetes.io/enforce": "privileged"}
    name = f"conformance-{next(_NUMBERS)}"
    await api.make("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    core = f"/api/v1/namespaces/{name}"
    await api.until(f"{core}/serviceaccounts/default")
    await api.until(f"{core}/configmaps/kube-root-ca.crt")
    yield name
    await api("DELETE", core)


@pytest.fixture
def core(namespace: str) -> str:
    """The path of the test's namespace in the core group."""
    return f"/api/v1/namespaces/{namespace}"


@pytest.fixture
def apps(namespace: str) -> str:
    """The path of the test's namespace in the group of the workloads."""
    return f"/apis/apps/v1/namespaces/{namespace}"


@pytest.fixture
def batch(namespace: str) -> str:
    """The path of the test's namespace in the group of the jobs."""
    return f"/apis/batch/v1/namespaces/{namespace}"


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the processes of the cluster said last."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections += [(str(path), last_lines(path)) for path in cluster.logs()]
    return report


def last_lines(path: Path, count: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])

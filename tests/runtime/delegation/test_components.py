"""The ports of the controller manager and of the scheduler, as their flags open them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import pytest

from kplane.controllers import config as controllers
from kplane.controllers import main as controllers_main
from kplane.controllers.registry import worker_flags
from kplane.runtime.serving import free_port
from kplane.scheduler import config as scheduler
from kplane.scheduler import main as scheduler_main
from kplane.testing.waiting import eventually

from .conftest import Cluster, Port

pytestmark = pytest.mark.slow

Start: TypeAlias = Callable[[list[str]], Coroutine[Any, Any, None]]


def schedule(argv: list[str]) -> Coroutine[Any, Any, None]:
    return scheduler_main.run(scheduler.parse(argv))


def control(argv: list[str]) -> Coroutine[Any, Any, None]:
    argv = [*argv, "--controllers=ttl-after-finished-controller"]
    return controllers_main.run(controllers.parse(argv, worker_flags()))


COMPONENTS = [
    pytest.param("kube-scheduler", schedule, id="scheduler"),
    pytest.param("kube-controller-manager", control, id="controller-manager"),
]


@asynccontextmanager
async def started(cluster: Cluster, name: str, start: Start, *flags: str) -> AsyncIterator[Port]:
    port = Port(free_port(), cluster.keys)
    task = asyncio.create_task(
        start(
            [
                f"--kubeconfig={cluster.identity(name)}", "--bind-address=127.0.0.1",
                f"--secure-port={port.port}", f"--tls-cert-file={cluster.keys / 'apiserver.crt'}",
                f"--tls-private-key-file={cluster.keys / 'apiserver.key'}", "--leader-elect=false", *flags,
            ]
        )
    )  # fmt: skip

    async def answers() -> bool | None:
        with suppress(ConnectionError):
            return (await port.get("/healthz/ping", certificate="super-admin"))[0] == 200
        return None

    try:
        await eventually(answers)
        yield port
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(("name", "start"), COMPONENTS)
async def test_metrics_are_for_whom_the_api_server_allows(cluster: Cluster, name: str, start: Start) -> None:
    """With the rights alone that upstream's policy gives to the component."""
    scraper, other = await cluster.account("scraper"), await cluster.account("other")
    await cluster.allow("scraper", "/metrics")
    identity = cluster.identity(name)
    flags = f"--authentication-kubeconfig={identity}", f"--authorization-kubeconfig={identity}"

    # The authority of clients is looked up.
    async with started(cluster, name, start, *flags) as port:
        for path in ("/healthz", "/livez", "/readyz"):
            assert (await port.get(path))[0] in (200, 500)  # 500: the caches are not filled yet
        for path in ("/metrics", "/configz", "/debug/pprof/"):
            said = f'cannot get path \\"{path}\\"'
            status, text = await port.get(path)
            assert (status, 'User \\"system:anonymous\\"' in text, said in text) == (403, True, True)
        status, text = await port.get("/metrics", token=scraper)
        assert (status, "# TYPE" in text) == (200, True)
        assert (await port.get("/metrics", token=other))[0] == 403
        assert (await port.get("/metrics", token="made-up"))[0] == 401
        assert (await port.get("/metrics", certificate="super-admin"))[0] == 200


@pytest.mark.parametrize(("name", "start"), COMPONENTS)
async def test_without_flags_for_it_metrics_are_for_masters_alone(
    cluster: Cluster, name: str, start: Start
) -> None:
    scraper = await cluster.account("scraper")
    await cluster.allow("scraper", "/metrics")

    async with started(cluster, name, start, f"--client-ca-file={cluster.keys / 'ca.crt'}") as port:
        assert (await port.get("/livez"))[0] in (200, 500)
        assert (await port.get("/metrics", token=scraper))[0] == 403
        assert (await port.get("/metrics", certificate="kube-scheduler"))[0] == 403
        assert (await port.get("/metrics", certificate="super-admin"))[0] == 200

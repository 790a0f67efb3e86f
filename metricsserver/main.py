"""The metrics server's process: flags, connections, serving, scraping."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from kplane.api.clock import Clock, Entropy, SystemClock
from kplane.api.types import Node
from kplane.client import kubeconfig
from kplane.client.informer import InformerFactory
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import connect
from kplane.client.transport import Transport
from kplane.client.transport_https import HttpsTransport
from kplane.runtime import logs, process
from kplane.runtime.health import Unhealthy, component_app
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig

from .api import Health, MetricsApi
from .config import Config, parse
from .metrics import Metrics
from .objects import Viewer
from .scraper import Scraper, Target
from .usage import Usage
from .views import Pod


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit status."""

    async def start() -> None:
        config = parse(argv)
        logs.setup(config.verbosity)
        await run(config, SystemClock(), Entropy())

    return process.run("kplane metrics-server", start)


async def run(config: Config, clock: Clock, entropy: Entropy) -> None:
    """Scrape and serve until cancelled."""
    try:
        credentials = kubeconfig.load(config.kubeconfig)
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error
    client = connect(credentials, user_agent="metrics-server", clock=clock)
    informers = InformerFactory(client, clock=clock, entropy=entropy)
    nodes, pods, usage = informers.informer(Node), informers.informer(Pod), Usage()

    def reach(target: Target) -> Transport:
        return HttpsTransport(_kubelet(credentials, config, target), clock)

    metrics = Metrics()
    scraper = Scraper(
        nodes, usage, reach, clock, metrics,
        address_types=config.address_types, resolution=config.metric_resolution,
    )  # fmt: skip

    async def storage_ready() -> None:
        if not usage.ready:
            raise Unhealthy("no metrics to serve")

    health = Health(component_app({}), component_app({"metric-storage-ready": storage_ready}))
    app = MetricsApi(Viewer(usage), nodes, pods, clock, health, metrics, config.requestheader_allowed_names)
    serving = ServingConfig(
        config.bind_address, config.secure_port, config.cert_file, config.key_file,
        client_ca_file=config.requestheader_client_ca_file,
    )  # fmt: skip
    try:
        async with Serving(app, serving), asyncio.TaskGroup() as group:
            group.create_task(informers.run())
            await informers.wait_synced()
            await scraper.run()
    finally:
        await client.close()


def _kubelet(credentials: Credentials, config: Config, target: Target) -> Credentials:
    """The API server's credentials serve for kubelets, too; their certificates may be another authority's."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    authority = config.kubelet_authority
    return replace(
        credentials,
        server=f"https://{host}:{target.port}",
        ca=authority.read_bytes() if authority else credentials.ca,
        insecure=config.kubelet_insecure_tls,
        tls_server_name="",
    )

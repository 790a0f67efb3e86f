"""The controller manager's process: flags, connection, health, and the manager.

An API server that cannot be reached never ends this process: everything waits, with backoff, until it
answers. The port alone may need it at the start (`--authentication-tolerate-lookup-failure`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from kplane.api.clock import Entropy, SystemClock
from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import connect
from kplane.client.transport_https import HttpsTransport
from kplane.runtime import allocator, logs, process
from kplane.runtime.delegation.secureport import secure_port
from kplane.runtime.health import component_app
from kplane.runtime.process import Fatal
from kplane.runtime.serving import ServingConfig

from .config import Config, parse
from .credentials import USER_AGENT
from .manager import Manager
from .registry import worker_flags

log = logging.getLogger(__name__)

NAME = "kplane controller-manager"


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit status."""

    async def start() -> None:
        config = parse(argv, worker_flags())
        logs.setup(config.verbosity)
        if config.ignored:
            log.warning("these have no effect flags=%s", ",".join(config.ignored))
        allocator.keep_large_blocks_apart()
        await run(config)

    return process.run(NAME, start)


async def run(config: Config) -> None:
    """Serve health and metrics, and control, until cancelled."""
    credentials = _credentials(config)
    client = connect(credentials, user_agent=USER_AGENT)
    accounts = HttpsTransport(_nobody(credentials)) if config.use_service_account_credentials else None
    clock, entropy = SystemClock(), Entropy()
    manager = Manager(client, clock, entropy, config, accounts)
    serving = ServingConfig(
        address=config.bind_address,
        port=config.secure_port,
        cert_file=config.cert_file,
        key_file=config.key_file,
    )
    app = component_app(manager.checks())
    try:
        async with secure_port(app, serving, config.delegation, clock, entropy), asyncio.TaskGroup() as group:
            group.create_task(manager.lead() if config.leader_elect else manager.run())
    finally:
        await client.close()
        if accounts is not None:
            await accounts.close()


def _credentials(config: Config) -> Credentials:
    try:
        return kubeconfig.load(config.kubeconfig)
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error


def _nobody(credentials: Credentials) -> Credentials:
    """The same server, and nobody's identity."""
    return Credentials(
        server=credentials.server,
        ca=credentials.ca,
        insecure=credentials.insecure,
        tls_server_name=credentials.tls_server_name,
    )

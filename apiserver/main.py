"""The API server's process: flags, socket, life."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from ipaddress import ip_address

from kplane.runtime import garbage, logs, process
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig

from .config import ApiServerConfig, parse
from .server import ApiServer

log = logging.getLogger(__name__)

NAME = "kplane apiserver"


def main(argv: Sequence[str] | None = None) -> int:
    try:
        config = parse(argv)
    except Fatal as fault:
        print(f"{NAME}: {fault}", file=sys.stderr)
        return 1
    logs.setup(config.verbosity)
    return process.run(NAME, lambda: serve(config))


def further_addresses(config: ApiServerConfig) -> Sequence[str]:
    """Listening on loopback alone, the server is also there where it says that Pods can reach it."""
    advertised = config.advertise_address
    if not advertised or not config.secure_port or not ip_address(config.bind_address).is_loopback:
        return ()
    return () if ip_address(advertised).is_loopback else (advertised,)


async def serve(config: ApiServerConfig) -> None:
    """Serve until cancelled, or until what feeds the answers has failed."""
    listen = ServingConfig(
        address=config.bind_address,
        port=config.secure_port,
        also=further_addresses(config),
        cert_file=config.tls_cert_file,
        key_file=config.tls_private_key_file,
        client_ca_file=config.client_ca_file,
        further_client_ca_file=config.requestheader_client_ca_file,
    )
    async with ApiServer(config) as server, Serving(server.app, listen) as serving:
        server.advertise(serving.port)
        garbage.settle()
        log.info("serving address=%s port=%d", config.bind_address, serving.port)
        await server.failure()

"""A server that asks RBAC, and a manager whose controllers work as accounts of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kplane.api.clock import Entropy, SystemClock
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.runtime import pki

ADMIN, MANAGER, PROXY = "secret", "manager", "proxy"
USERS = f"""\
{ADMIN},admin,1,system:masters
{MANAGER},system:kube-controller-manager,2
{PROXY},system:kube-proxy,3
"""


@dataclass(frozen=True)
class Guarded:
    """`keys` is the folder of its certificates and keys."""

    server: ApiServer
    keys: Path

    def client(self, token: str = ADMIN) -> Client:
        return Client(AsgiTransport(self.server.app, token=token))


@asynccontextmanager
async def guarded(folder: Path, *, without: tuple[str, ...] = ("ServiceAccount",)) -> AsyncIterator[Guarded]:
    """The server. `without`: admission plug-ins that are off."""
    keys, listed = folder / "pki", folder / "tokens.csv"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    listed.write_text(USERS)
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=keys / "sa.key")
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=listed,
        authentication=AuthenticationSettings(service_accounts=accounts),
        authorization=AuthorizationSettings(modes=("RBAC",)),
        disable_admission_plugins=without,
    )
    async with ApiServer(config) as server:
        yield Guarded(server, keys)


@asynccontextmanager
async def managed(world: Guarded, options: Config) -> AsyncIterator[None]:
    """Its manager at work."""
    options = replace(options, use_service_account_credentials=True)
    app = world.server.app
    manager = Manager(world.client(MANAGER), SystemClock(), Entropy(), options, AsgiTransport(app))
    running = asyncio.create_task(manager.run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

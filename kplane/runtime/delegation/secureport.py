"""A port of health, metrics and the like, with its gate, and its connections to the API server.

Elsewhere: who may pass (gate.py).
Source: apiserver `pkg/server/options` (delegating authentication and authorization).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kplane.api.clock import Clock, Entropy
from kplane.client import kubeconfig
from kplane.client.kubeconfig import ConfigError, Credentials
from kplane.client.rest import Client, connect
from kplane.runtime.authorities import Authorities, Held
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig

from .authentication import Authentication, Tokens
from .authorization import AccessReviews
from .gate import App, Gate, OpenPaths, PathAccess
from .lookup import ClientAuthority
from .reviews import ReviewClient
from .settings import DelegationSettings

log = logging.getLogger(__name__)


@asynccontextmanager
async def secure_port(
    app: App, serving: ServingConfig, settings: DelegationSettings, clock: Clock, entropy: Entropy
) -> AsyncIterator[Serving]:
    """`app` behind its gate, on an open port. Raises Fatal for files that cannot be read, for a port that is
    taken, and if the cluster cannot be asked for the clients' authority but has to be."""
    async with AsyncExitStack() as stack:
        delegation = _Delegation(settings, clock, entropy, stack)
        asking = delegation.client(settings.authentication_kubeconfig, "authentication")
        deciding = delegation.client(settings.authorization_kubeconfig, "authorization")
        source = await delegation.client_authority(asking)
        gate = Gate(app, delegation.authentication(asking, source), delegation.access(deciding))
        yield await stack.enter_async_context(Serving(gate, replace(serving, client_ca_file=source)))


@dataclass(frozen=True)
class _Delegation:
    """The parts of the gate. What has to be ended goes on the stack."""

    settings: DelegationSettings
    clock: Clock
    entropy: Entropy
    stack: AsyncExitStack

    def client(self, file: Path | None, what: str) -> Client | None:
        credentials = _credentials(file, what)
        if credentials is None:
            log.warning("the API server is not asked, since there is no --%s-kubeconfig", what)
            return None
        client = connect(credentials, user_agent=f"kplane/{what}", clock=self.clock)
        self.stack.push_async_callback(client.close)
        return client

    async def client_authority(self, asking: Client | None) -> Path | Held | None:
        """Of certificates; None where there is none, and so no certificate is taken."""
        given = self.settings.client_ca_file
        if given is not None or asking is None or self.settings.authentication_skip_lookup:
            return given
        lookup = ClientAuthority(asking, self.clock, self.entropy)
        await lookup.first(tolerate=self.settings.authentication_tolerate_lookup_failure)
        group = await self.stack.enter_async_context(asyncio.TaskGroup())
        self.stack.callback(group.create_task(lookup.run()).cancel)
        return lookup.held

    def authentication(self, asking: Client | None, source: Path | Held | None) -> Authentication:
        authorities = tokens = None
        if isinstance(source, Held):
            authorities = Authorities.held(source, self.clock)
        elif source is not None:
            authorities = Authorities.load(source, self.clock)
        if asking is not None:
            ttl = self.settings.authentication_token_webhook_cache_ttl
            tokens = Tokens(ReviewClient(asking, self.clock, self.entropy), self.clock, ttl)
        return Authentication(authorities, tokens, anonymous=True)

    def access(self, deciding: Client | None) -> PathAccess:
        reviews = None
        if deciding is not None:
            reviews = AccessReviews(
                ReviewClient(deciding, self.clock, self.entropy),
                self.clock,
                self.settings.authorization_webhook_cache_authorized_ttl,
                self.settings.authorization_webhook_cache_unauthorized_ttl,
            )
        return PathAccess(OpenPaths(self.settings.authorization_always_allow_paths), reviews)


def _credentials(file: Path | None, what: str) -> Credentials | None:
    """The file's, else those of the Pod that this process runs in. Raises Fatal for a bad file."""
    if file is None and not kubeconfig.in_cluster_available():
        return None
    try:
        return kubeconfig.load(file) if file is not None else kubeconfig.in_cluster()
    except ConfigError as error:
        raise Fatal(f"--{what}-kubeconfig: {error}") from error

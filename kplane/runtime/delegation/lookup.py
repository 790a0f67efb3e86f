"""The authority of clients, where no flag names it: what the API server publishes for servers like ours.

Reads: ConfigMap kube-system/extension-apiserver-authentication, of which it follows `client-ca-file`.
Invariant: what was found once stays in use until something else that is good is found.
"""

from __future__ import annotations

import asyncio
import logging

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError, Forbidden, NotFound
from kplane.api.types import ConfigMap
from kplane.client.informer import Informer
from kplane.client.rest import Client
from kplane.runtime.authorities import Held
from kplane.runtime.process import Fatal

log = logging.getLogger(__name__)

NAMESPACE, NAME, KEY = "kube-system", "extension-apiserver-authentication", "client-ca-file"
READER = "extension-apiserver-authentication-reader"
TIMEOUT = 10.0
"""Seconds that the first look may take."""
_TOLERATE = "--authentication-tolerate-lookup-failure"


class ClientAuthority:
    """`held`: what is known of it, none before it was found."""

    def __init__(self, client: Client, clock: Clock, entropy: Entropy) -> None:
        self.held = Held()
        self._client = client
        self._informer = Informer(
            client, ConfigMap, clock=clock, entropy=entropy, namespace=NAMESPACE,
            field_selector=f"metadata.name={NAME}",
        )  # fmt: skip
        self._informer.on_change(lambda _, found: self._take(found))

    async def first(self, *, tolerate: bool) -> None:
        """Look once, before the port opens. Raises Fatal if that fails and is not tolerated."""
        try:
            async with asyncio.timeout(TIMEOUT):
                self._take(await self._client.get(ConfigMap, NAME, NAMESPACE))
        except NotFound:
            log.info("the cluster publishes no authority of clients configmap=%s/%s", NAMESPACE, NAME)
        except (ApiError, TimeoutError) as error:
            said = _said(error)
            if not tolerate:
                raise Fatal(f"{said}; give --client-ca-file or {_TOLERATE}") from error
            log.warning("%s; until it is known, callers with certificates are not let in", said)

    async def run(self) -> None:
        """Follow it until cancelled."""
        await self._informer.run()

    def _take(self, found: ConfigMap | None) -> None:
        pem = (found.data or {}).get(KEY, "") if found is not None else ""
        try:
            self.held.hold(pem.encode())
        except ValueError:
            log.warning("no authority of clients, the former stays configmap=%s/%s", NAMESPACE, NAME)


def _said(error: Exception) -> str:
    said = f"cannot look up {KEY} in configmap {NAMESPACE}/{NAME}: {error or 'no answer in time'}"
    if isinstance(error, Forbidden):
        return f"{said} (who asks needs the role {READER} in {NAMESPACE})"
    return said

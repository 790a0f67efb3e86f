"""The webhook backend: events are posted, in batches, to the server of a kubeconfig.

Source: apiserver `plugin/pkg/audit/webhook`, `pkg/util/webhook`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from kplane.api.clock import Clock, Entropy
from kplane.client.kubeconfig import ConfigError, load
from kplane.client.tls import tls_context
from kplane.runtime.process import Fatal

from ..auth.remote import TIMEOUT, Remote, RemoteError, json_headers, trusting
from ..storage.background import Background
from .event import VERSION, Event
from .settings import WebhookSettings
from .sinks import BackendError, at_most

NAME = "webhook"
ATTEMPTS = 5
FACTOR, JITTER = 1.5, 0.2
"""How much longer each pause between attempts is, and which part is added at most."""
_RETRIED = frozenset({429, 500, 504})


class _EventList(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    metadata: dict[str, str]
    items: Sequence[Event]


class WebhookBackend:
    name = NAME
    joins = False

    def __init__(self, settings: WebhookSettings, clock: Clock, entropy: Entropy) -> None:
        """Raises Fatal."""
        try:
            self._credentials = load(settings.config_file)
            server = self._credentials.server
            tls = tls_context(self._credentials) if server.startswith("https:") else trusting("")
        except ConfigError as error:
            raise Fatal(f"--audit-webhook-config-file: {error}") from error
        self._remote = Remote(tls, server_name=self._credentials.tls_server_name)
        self._url = f"{server}?timeout={TIMEOUT:.0f}s"
        self._backoff = settings.initial_backoff
        self._clock = clock
        self._entropy = entropy
        self._closing = asyncio.Event()

    async def open(self, background: Background) -> None:
        """Connections are made when the first events go out."""

    def hurry(self) -> None:
        self._closing.set()

    async def close(self) -> None:
        await self._remote.close()

    async def write(self, events: Sequence[Event]) -> None:
        body = msgspec.json.encode(_EventList("EventList", VERSION, {}, events))
        pause = self._backoff
        for _ in range(ATTEMPTS - 1):
            if await self._post(body, final=False):
                return
            longer = 1 + self._entropy.uniform(0, JITTER)
            await at_most(pause * longer, self._closing, self._clock)
            pause *= FACTOR
        await self._post(body, final=True)

    async def _post(self, body: bytes, *, final: bool) -> bool:
        """Whether the events were taken; False: try again. Raises BackendError."""
        try:
            answer = await self._remote.post(self._url, body, json_headers(self._credentials))
        except RemoteError as error:
            if error.transient and not final:
                return False
            raise BackendError(str(error)) from error
        if 200 <= answer.status <= 206:
            return True
        if not final and (answer.status in _RETRIED or "retry-after" in answer.headers):
            return False
        raise BackendError(f"the audit webhook answered with status {answer.status}")

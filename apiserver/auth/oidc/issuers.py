"""All foreign issuers that are in effect, and the file that says which.

A changed file is in effect once it is sound and each of its issuers has been found; until then, and if that
does not happen within UPDATE_TIMEOUT, the former issuers stay. `anonymous` is read at the start alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from kplane.api.clock import Clock
from kplane.api.field import FieldError, Path
from kplane.runtime.late import late
from kplane.runtime.process import Fatal

from ..identity import Audiences, Identity
from ..metrics import TokenCacheMetrics
from ..serviceaccounts.verifying import unverified_issuer
from ..statictokens import for_own_audiences
from ..tokencache import TokenCache
from .configuration import AuthenticationConfiguration, ConfigurationError, parse
from .metrics import OidcMetrics
from .validation import Sound, checked
from .verifying import issuer_of

if TYPE_CHECKING:
    from . import provider as oidc
else:
    oidc = late("kplane.apiserver.auth.oidc.provider")

POLL = 5.0
"""Seconds between two looks at the file."""
UPDATE_TIMEOUT = 60.0
RETIRE = 60.0
"""Seconds that former issuers stay for requests that have begun with them."""
KEPT = 10.0
"""Seconds that a good token is taken for good without another look at it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where the configuration comes from. `file`: None for flags, which do not change."""

    configuration: AuthenticationConfiguration
    algorithms: Sequence[str]
    file: FilePath | None = None
    data: bytes = b""


@dataclass(frozen=True)
class Surroundings:
    """`audiences`: the API server's own. `disallowed`: issuers that are the API server's own."""

    audiences: Audiences
    disallowed: Sequence[str]
    clock: Clock
    metrics: OidcMetrics
    cache_metrics: TokenCacheMetrics


class _Generation:
    """The issuers of one configuration."""

    def __init__(self, sound: Sequence[Sound], algorithms: Sequence[str], around: Surroundings) -> None:
        made = [oidc.Provider(entry, algorithms, around.clock, around.metrics) for entry in sound]
        self.providers = {provider.url: provider for provider in made}
        self._audiences = around.audiences
        self._tasks: list[asyncio.Task[None]] = []
        self.tokens = TokenCache(self, around.clock, around.cache_metrics, success=KEPT, failure=0)

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        provider = self.providers.get(issuer_of(unverified_issuer(token) or ""))
        if provider is None:
            return None
        user = await provider.authenticate(token)
        return for_own_audiences(user, self._audiences, audiences)

    def start(self, group: asyncio.TaskGroup) -> None:
        self._tasks = [group.create_task(provider.run()) for provider in self.providers.values()]

    async def ready(self) -> None:
        for provider in self.providers.values():
            await provider.ready.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for provider in self.providers.values():
            await provider.close()


class Issuers:
    """A TokenAuthenticator. `run` does its work beside the requests."""

    def __init__(self, source: Source, around: Surroundings) -> None:
        """Raises Fatal for a configuration that is not sound."""
        try:
            sound = checked(source.configuration, around.disallowed)
        except ConfigurationError as error:
            raise Fatal(f"invalid authentication configuration: {error}") from error
        self._source = source
        self._around = around
        self._seen = source.data
        self._current = _Generation(sound, source.algorithms, around)
        self._retired: list[_Generation] = []
        if source.file is not None:
            around.metrics.in_effect(source.data)

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        if unverified_issuer(token) is None:
            return None
        return await self._current.tokens.authenticate_token(token, audiences)

    async def run(self) -> None:
        """Find the issuers, and follow the file if there is one."""
        async with asyncio.TaskGroup() as group:
            self._current.start(group)
            if self._source.file is not None:
                await self._follow(self._source.file, group)

    async def close(self) -> None:
        for generation in (*self._retired, self._current):
            await generation.close()

    async def _follow(self, file: FilePath, group: asyncio.TaskGroup) -> None:
        while True:
            await self._around.clock.sleep(POLL)
            try:
                data = file.read_bytes()
            except OSError as error:
                log.error("failed to read authentication config file error=%s", error.strerror)
                self._report(ok=False)
                continue
            if data != self._seen:
                await self._reload(data, group)

    async def _reload(self, data: bytes, group: asyncio.TaskGroup) -> None:
        try:
            configuration = parse(data)
            sound = checked(configuration, self._around.disallowed, self._changes(configuration))
        except ConfigurationError as error:
            log.error("failed to load authentication config error=%s", error)
            # It will never be sound: only another file is looked at.
            self._seen = data
            self._report(ok=False)
            return
        fresh = _Generation(sound, self._source.algorithms, self._around)
        fresh.start(group)
        if not await self._found(fresh, group):
            log.error("failed to update authentication config: an issuer could not be found")
            await fresh.close()
            self._report(ok=False)
            return
        former, self._current, self._seen = self._current, fresh, data
        for url in former.providers.keys() - fresh.providers.keys():
            self._around.metrics.forget(url)
        self._around.metrics.in_effect(data)
        self._report(ok=True)
        log.info("reloaded authentication config")
        self._retired.append(former)
        group.create_task(self._retire(former))

    def _changes(self, configuration: AuthenticationConfiguration) -> list[FieldError]:
        if configuration.anonymous == self._source.configuration.anonymous:
            return []
        return [Path("anonymous").forbidden("changed from initial configuration file")]

    async def _found(self, generation: _Generation, group: asyncio.TaskGroup) -> bool:
        ready = group.create_task(generation.ready())
        limit = group.create_task(self._around.clock.sleep(UPDATE_TIMEOUT))
        try:
            await asyncio.wait([ready, limit], return_when=asyncio.FIRST_COMPLETED)
            return ready.done()
        finally:
            ready.cancel()
            limit.cancel()

    async def _retire(self, generation: _Generation) -> None:
        await self._around.clock.sleep(RETIRE)
        self._retired.remove(generation)
        await generation.close()

    def _report(self, *, ok: bool) -> None:
        self._around.metrics.reloaded(self._around.clock.now().timestamp(), ok=ok)

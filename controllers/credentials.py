"""`--use-service-account-credentials`: each controller asks as a service account of its own, and so with the
rights of its role alone.

All of them share one pool of connections, which has no client certificate: requests say by their token whose
they are. Informers stay shared, and read with the manager's rights, as upstream's do. A role that lets its
controller update but not patch is kept to: the client reads, merges the patch itself, and sends the whole.

Writes: service accounts that are missing; TokenRequests, as the manager.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from kplane.api.clock import Clock
from kplane.api.errors import AlreadyExists, ApiError, Conflict, NotFound, not_found
from kplane.api.patches import merge
from kplane.api.resource import Object, Resource, resource_of
from kplane.client import codec
from kplane.client.flights import Flights
from kplane.client.rest import Client, PatchType
from kplane.client.transport import Response, Stream, Transport

from .accounts import NAMESPACE, OF_THE_MANAGER, account, patched

log = logging.getLogger(__name__)

T = TypeVar("T")

USER_AGENT = "kube-controller-manager"
TOKEN_SECONDS = 3600
RENEWED = 0.8
"""Share of its life after which a token is replaced."""
RETRY_SECONDS = 10.0
"""How long the former token is used on where there is no new one yet."""
UPDATES = 5
"""How often a patch is merged again because somebody else was faster."""
KEPT_BYTES = 4 << 20
"""Of answers that all controllers keep together."""

Headers = Mapping[str, str]
Query = Mapping[str, str]


@dataclass(frozen=True)
class Held:
    """`due` and `end` on the monotonic clock."""

    token: str = field(repr=False)
    due: float
    end: float


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str
    expiration_timestamp: datetime


class _TokenRequest(msgspec.Struct, frozen=True):
    status: _Status


class AccountTokens:
    """A good token for each account, asked for when it is first needed."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._flights: Flights[str, str] = Flights()

    async def token(self, name: str) -> str:
        """Raises ApiError."""
        held = self._held.get(name)
        if held is not None and self._clock.monotonic() < held.due:
            return held.token
        return await self._flights.join(name, lambda: self._renewed(name))

    def refused(self, name: str, token: str) -> None:
        """The API server does not know this token any more: its account was made anew."""
        held = self._held.get(name)
        if held is not None and held.token == token:
            del self._held[name]

    async def _renewed(self, name: str) -> str:
        now = self._clock.monotonic()
        held = self._held.get(name)
        try:
            made = await self._request(name)
        except ApiError as error:
            if held is None or held.end <= now:
                raise
            log.warning("token not renewed account=%s error=%s", name, error)
            self._held[name] = Held(held.token, min(now + RETRY_SECONDS, held.end), held.end)
            return held.token
        life = (made.expiration_timestamp - self._clock.now()).total_seconds()
        self._held[name] = Held(made.token, now + life * RENEWED, now + life)
        return made.token

    async def _request(self, name: str) -> _Status:
        try:
            return await self._ask(name)
        except NotFound:
            await self._make(name)
            return await self._ask(name)

    async def _ask(self, name: str) -> _Status:
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        }
        answer = await self._client.raw("POST", path, body=body)
        return msgspec.json.decode(answer, type=_TokenRequest).status

    async def _make(self, name: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": NAMESPACE},
        }
        try:
            await self._client.raw("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", body=body)
        except AlreadyExists:
            return
        log.info("made service account account=%s", name)


class AsAccount:
    """A transport whose requests are an account's. `inner` proves no identity of its own, and is shared."""

    def __init__(self, inner: Transport, tokens: AccountTokens, name: str) -> None:
        self._inner = inner
        self._tokens = tokens
        self._name = name

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Headers | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        async def once(token: str) -> Response:
            sent = _bearing(headers, token)
            return await self._inner.request(
                method, path, query=query, headers=sent, body=body, timeout=timeout
            )

        token = await self._tokens.token(self._name)
        response = await once(token)
        if response.status != 401:
            return response
        self._tokens.refused(self._name, token)
        return await once(await self._tokens.token(self._name))

    def stream(
        self, method: str, path: str, *, query: Query | None = None, headers: Headers | None = None
    ) -> AbstractAsyncContextManager[Stream]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Stream]:
            token = await self._tokens.token(self._name)
            sent = _bearing(headers, token)
            async with self._inner.stream(method, path, query=query, headers=sent) as stream:
                if stream.status == 401:
                    self._tokens.refused(self._name, token)
                yield stream

        return opened()

    async def close(self) -> None:
        """The connections are everybody's."""


def _bearing(headers: Headers | None, token: str) -> Headers:
    return {**(headers or {}), "Authorization": f"Bearer {token}"}


class Answers:
    """Objects as the server last answered, by path, up to KEPT_BYTES: whoever writes one again need not read
    it first. One that has changed since is refused by its resourceVersion."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._bytes = 0

    def take(self, path: str) -> Object | None:
        """The answer, which is kept no longer."""
        body = self._bodies.pop(path, None)
        if body is None:
            return None
        self._bytes -= len(body)
        found: Object = msgspec.json.decode(body)
        return found

    def keep(self, path: str, body: bytes) -> None:
        """In place of that which is there; the oldest go."""
        self._bytes += len(body) - len(self._bodies.pop(path, b""))
        self._bodies[path] = body
        while self._bytes > KEPT_BYTES:
            oldest = next(iter(self._bodies))
            self._bytes -= len(self._bodies.pop(oldest))


class AccountClient(Client):
    """A controller's client. `reader` has the manager's rights; `answers` are those to all controllers."""

    def __init__(
        self, transport: Transport, reader: Client, name: str, clock: Clock, answers: Answers
    ) -> None:
        agent = f"{USER_AGENT}/system:serviceaccount:{NAMESPACE}:{name}"
        super().__init__(transport, user_agent=agent, clock=clock)
        self._reader = reader
        self._patched = patched(name)
        self._answers = answers

    async def patch(
        self,
        what: type[T] | Resource[T],
        name: str,
        namespace: str,
        patch: Any,
        *,
        kind: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> T:
        """As of every client; a merge patch that the role does not allow is sent as an update."""
        resource = resource_of(what)
        place = f"{resource.plural}/{subresource}" if subresource else resource.plural
        if kind is PatchType.MERGE and not self._patched & {place, "*"}:
            return await self._merge(resource, name, namespace, patch, subresource, field_manager)
        return await super().patch(
            resource, name, namespace, patch,
            kind=kind, subresource=subresource, field_manager=field_manager, force=force,
        )  # fmt: skip

    async def _merge(
        self, resource: Resource[T], name: str, namespace: str, patch: Object, subresource: str, manager: str
    ) -> T:
        guard: str | None = patch.get("metadata", {}).get("resourceVersion")
        place = resource.path(namespace, name)
        for attempt in range(UPDATES):
            kept = self._answers.take(place)
            if kept is not None and guard not in (None, kept["metadata"]["resourceVersion"]):
                kept = None
            whole = kept or await self._current(resource, name, namespace)
            path = resource.path(namespace, name, subresource)
            query = {"fieldManager": manager} if manager else {}
            try:
                response = await self._send("PUT", path, query, merge(whole, patch))
            except Conflict:
                if guard is not None or attempt == UPDATES - 1:
                    raise
            else:
                self._answers.keep(place, response.body)
                return codec.codec(resource.view).one(response.body)
        raise AssertionError("the last attempt returns or raises")

    async def _current(self, resource: Resource[Any], name: str, namespace: str) -> Object:
        """The object as it is. A list of one: that is what the manager may do with everything."""
        listing = await self._reader.list(
            resource.as_type(dict), namespace, field_selector=f"metadata.name={name}"
        )
        if not listing.items:
            raise not_found(resource.plural, resource.group, name)
        return {**listing.items[0], "apiVersion": resource.api_version, "kind": resource.kind}


class Clients:
    """The controllers' clients, each as its account."""

    def __init__(self, manager: Client, accounts: Transport, clock: Clock) -> None:
        self._manager = manager
        self._accounts = accounts
        self._clock = clock
        self._tokens = AccountTokens(manager, clock)
        self._answers = Answers()

    def client(self, controller: str) -> Client:
        if controller in OF_THE_MANAGER:
            return self._manager
        name = account(controller)
        transport = AsAccount(self._accounts, self._tokens, name)
        return AccountClient(transport, self._manager, name, self._clock, self._answers)

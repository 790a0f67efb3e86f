"""Plain REST for tests of behaviours: what is sent is what the test says, and waiting is watching."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kplane.client import kubeconfig
from kplane.client.transport import Stream
from kplane.client.transport_https import HttpsTransport

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
GO_ACCEPT = "application/vnd.kubernetes.protobuf, */*"
"""What Go's typed clients accept when they are told to speak protobuf."""

SECONDS = 30.0
Predicate = Callable[[Any], object]


class Answer(NamedTuple):
    code: int
    body: Any
    headers: Mapping[str, str]


class Event(NamedTuple):
    type: str
    object: Any

    @property
    def name(self) -> str:
        name: str = self.object["metadata"]["name"]
        return name


class Watch:
    """The events of one watch, in their order."""

    def __init__(self, stream: Stream) -> None:
        self._lines = stream.lines()

    async def next(self, seconds: float = SECONDS) -> Event:
        async with asyncio.timeout(seconds):
            return Event(**json.loads(await anext(self._lines)))

    async def until(
        self, type: str, holds: Predicate = lambda found: True, *, seconds: float = SECONDS
    ) -> Any:
        """The object of the first event of this type for which `holds`; others before it are passed over."""
        async with asyncio.timeout(seconds):
            while True:
                event = await self.next(seconds)
                if event.type == type and holds(event.object):
                    return event.object

    async def silent(self, seconds: float = 0.3) -> bool:
        """That nothing is said for a moment."""
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False


class Api:
    """One server. Bodies are objects, or bytes to be sent as they are."""

    def __init__(self, transport: HttpsTransport) -> None:
        self.transport = transport

    @classmethod
    @asynccontextmanager
    async def connected(cls, path: Path) -> AsyncIterator[Api]:
        transport = HttpsTransport(kubeconfig.load(path))
        try:
            yield cls(transport)
        finally:
            await transport.close()

    async def __call__(
        self, method: str, path: str, body: Any = None, *, type: str = JSON, accept: str = JSON, **query: str
    ) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": type, "Accept": accept}
        names = {name.removesuffix("_"): value for name, value in query.items()}
        said = await self.transport.request(method, path, query=names, headers=headers, body=data)
        is_json = said.headers.get("content-type", "").startswith(JSON)
        return Answer(said.status, json.loads(said.body) if is_json else said.body.decode(), said.headers)

    async def make(self, path: str, body: Any, **query: str) -> Any:
        answer = await self("POST", path, body, **query)
        assert answer.code == 201, answer.body
        return answer.body

    async def get(self, path: str, **query: str) -> Any:
        answer = await self("GET", path, **query)
        assert answer.code == 200, answer.body
        return answer.body

    async def items(self, path: str, **query: str) -> list[Any]:
        found: list[Any] = (await self.get(path, **query))["items"]
        return found

    async def names(self, path: str, **query: str) -> set[str]:
        return {item["metadata"]["name"] for item in await self.items(path, **query)}

    async def put(self, path: str, body: Any) -> Any:
        answer = await self("PUT", path, body)
        assert answer.code == 200, answer.body
        return answer.body

    async def change(self, path: str, change: Callable[[Any], None]) -> Any:
        """Read, change, write; once more where somebody was faster."""
        while True:
            found = await self.get(path)
            change(found)
            answer = await self("PUT", path, found)
            if answer.code != 409:
                assert answer.code == 200, answer.body
                return answer.body

    async def patch(self, path: str, patch: Any, type: str = STRATEGIC, **query: str) -> Any:
        answer = await self("PATCH", path, patch, type=type, **query)
        assert answer.code in (200, 201), answer.body
        return answer.body

    async def delete(self, path: str, query: Mapping[str, str] | None = None, **options: Any) -> Any:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None
        answer = await self("DELETE", path, body, **dict(query or {}))
        assert answer.code in (200, 202), answer.body
        return answer.body

    async def gone(self, path: str) -> bool:
        return (await self("GET", path)).code == 404

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[Watch]:
        headers = {"Accept": JSON}
        query["watch"] = "true"
        async with self.transport.stream("GET", path, query=query, headers=headers) as stream:
            assert stream.status == 200, [chunk async for chunk in stream.chunks()]
            async with aclosing(stream.lines()):  # type: ignore[type-var]
                yield Watch(stream)

    async def until(
        self, path: str, holds: Predicate = lambda found: True, *, seconds: float = SECONDS
    ) -> Any:
        """The object at this path as soon as it is there and `holds`."""
        kind, _, name = path.rpartition("/")
        async with self.watch(kind, fieldSelector=f"metadata.name={name}") as watch:
            last = None
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        event = await watch.next(seconds)
                        last = event.object
                        if event.type in ("ADDED", "MODIFIED") and holds(last):
                            return last
            except TimeoutError as error:
                raise AssertionError(f"not within {seconds} s: {json.dumps(last)}") from error

    async def until_gone(self, path: str, *, seconds: float = SECONDS) -> None:
        kind, _, name = path.rpartition("/")
        listed = await self.get(kind, fieldSelector=f"metadata.name={name}")
        if listed["items"]:
            since = listed["metadata"]["resourceVersion"]
            query = {"fieldSelector": f"metadata.name={name}", "resourceVersion": since}
            async with self.watch(kind, **query) as watch:
                await watch.until("DELETED", seconds=seconds)

    async def until_listed(
        self, path: str, holds: Callable[[list[Any]], object], *, seconds: float = SECONDS, **query: str
    ) -> list[Any]:
        """The items of this list as soon as they, together, are as wanted."""
        listed = await self.get(path, **query)
        items = {item["metadata"]["name"]: item for item in listed["items"]}
        since = listed["metadata"]["resourceVersion"]
        async with self.watch(path, **query, resourceVersion=since) as watch:
            try:
                async with asyncio.timeout(seconds):
                    while not holds(list(items.values())):
                        event = await watch.next(seconds)
                        items.pop(event.name, None)
                        if event.type != "DELETED":
                            items[event.name] = event.object
            except TimeoutError as error:
                raise AssertionError(f"not within {seconds} s: {json.dumps(list(items.values()))}") from error
        return list(items.values())


def condition(found: Any, type: str) -> Any:
    """The status of an object's condition, None where it has none."""
    listed = found.get("status", {}).get("conditions") or ()
    return next((each["status"] for each in listed if each["type"] == type), None)


def ready(pod: Any) -> bool:
    return condition(pod, "Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def template(labels: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """A Pod template with one container."""
    container = {"name": "app", "image": "web:1"}
    return {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container], **spec}}

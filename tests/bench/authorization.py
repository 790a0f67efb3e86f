"""What it costs to know who asks and whether they may: authentication and RBAC together, for each request.

    python -m tests.bench.authorization

A policy of 1,000 bindings and 10,000 rules. Microseconds, the best of ROUNDS runs, on one core:
    first    a user's first request after the policy has changed: what they hold is put together
    allowed  each further one, in a namespace where a RoleBinding allows it
    refused  one that no rule allows
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from kplane.api.clock import SystemClock
from kplane.apiserver.auth.authenticator import Authenticator
from kplane.apiserver.auth.authorizer import attributes_of
from kplane.apiserver.auth.identity import Credentials
from kplane.apiserver.auth.rbac.authorizer import RBAC
from kplane.apiserver.auth.rbac.index import GROUP, PolicyIndex
from kplane.apiserver.auth.statictokens import StaticTokens, load_tokens
from kplane.apiserver.http.requestinfo import read
from kplane.apiserver.storage.hub import Hub
from kplane.apiserver.storage.sqlite import SQLiteStore

BINDINGS, RULES, ROUNDS, CALLS = 1000, 10, 5, 2000
PATH = "/api/v1/namespaces/ns7/configmaps/settings"


def role(index: int) -> bytes:
    rules = [
        {
            "verbs": ["get", "list", "watch"],
            "apiGroups": ["", "apps"],
            "resources": [f"kind{index}-{each}", "pods"],
        }
        for each in range(RULES - 1)
    ]
    rules.append({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]})
    return stored("ClusterRole", {"name": f"role{index}"}, rules=rules)


def binding(index: int) -> bytes:
    subjects = [{"kind": "User", "name": f"user{index}"}, {"kind": "User", "name": "all"}]
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": f"role{index}"}
    meta = {"name": f"binding{index}", "namespace": f"ns{index % 20}"}
    return stored("RoleBinding", meta, roleRef=reference, subjects=subjects)


def stored(kind: str, meta: dict[str, Any], **rest: Any) -> bytes:
    obj = {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": meta | {"uid": "1"}} | rest
    return msgspec.json.encode(obj)


class Bench:
    def __init__(self, store: SQLiteStore, hub: Hub, folder: Path) -> None:
        self.store = store
        self.hub = hub
        self.index = PolicyIndex(lambda group, version, plural: hub.cache(f"/registry/{plural}/"))
        self.authorizer = RBAC(self.index)
        tokens = folder / "tokens.csv"
        tokens.write_text("".join(f"token-{name},{name},1\n" for name in ("user7", "all", "nobody")))
        self.authenticator = Authenticator([], [StaticTokens(load_tokens(tokens), ())])

    async def ask(self, name: str, verb: str = "GET") -> bool:
        headers = [(b"authorization", f"Bearer token-{name}".encode())]
        user = await self.authenticator.authenticate(Credentials(None, headers))
        verdict = await self.authorizer.authorize(attributes_of(user, read(verb, PATH, b"")))
        return verdict.allowed

    async def touch(self) -> None:
        """Write one binding and wait until the cache has it."""
        key = "/registry/rolebindings/ns3/binding3"
        found = await self.store.get(key)
        assert found is not None
        revision = await self.store.put(key, binding(3), expect=found.revision)
        await self.hub.wait(revision)


@asynccontextmanager
async def prepared() -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        clock = SystemClock()
        store = SQLiteStore(Path(folder) / "store.db", clock)
        await store.open()
        hub = Hub(store, clock)
        following = asyncio.create_task(hub.run())
        try:
            for index in range(BINDINGS):
                await store.put(f"/registry/clusterroles/role{index}", role(index), expect=0)
                await store.put(
                    f"/registry/rolebindings/ns{index % 20}/binding{index}", binding(index), expect=0
                )
            yield Bench(store, hub, Path(folder))
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await store.close()


async def each(call: Callable[[], Awaitable[object]], calls: int) -> float:
    """Microseconds of one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(calls):
            await call()
        best = min(best, perf_counter() - began)
    return best / calls * 1e6


async def main() -> int:
    async with prepared() as bench:
        assert await bench.ask("user7")
        assert not await bench.ask("user7", "DELETE")

        async def after_change(name: str) -> float:
            best = float("inf")
            for _ in range(ROUNDS):
                await bench.touch()
                began = perf_counter()
                await bench.ask(name)
                best = min(best, perf_counter() - began)
            return best * 1e6

        figures = {
            "first": await after_change("user7"),
            "first, of somebody with 500 rules there": await after_change("all"),
            "allowed": await each(lambda: bench.ask("user7"), CALLS),
            "allowed, of somebody with 500 rules there": await each(lambda: bench.ask("all"), CALLS),
            "refused": await each(lambda: bench.ask("user7", "DELETE"), CALLS),
            "refused, of somebody who holds nothing": await each(lambda: bench.ask("nobody"), CALLS),
        }
        for name, figure in figures.items():
            print(f"authentication and RBAC, {name}: {figure:.1f} us")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""What each stage of a request costs: a GET and a POST of a Pod, in a whole server with everything on.

    python -m tests.bench.stages

Microseconds of one request, the mean of REQUESTS one after another, best of ROUNDS, without sockets and TLS.
A stage does not count the stages within it; `rest` is the client. `store` waits for the disk.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from kplane.apiserver.auth.authenticator import Authenticator
from kplane.apiserver.auth.authorization import AuthorizationSettings, Configured
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.flowcontrol import gate
from kplane.apiserver.http import app, boundary, resources
from kplane.apiserver.http.metrics import RequestMetrics
from kplane.apiserver.http.resources import ResourceApi
from kplane.apiserver.registry import faults
from kplane.apiserver.registry.fields import Fields
from kplane.apiserver.registry.generic import Registry
from kplane.apiserver.registry.pods import PodStrategy
from kplane.apiserver.server import ApiServer
from kplane.apiserver.storage.cache import WatchCache
from kplane.apiserver.storage.metrics import MeasuredStore
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime import garbage

from .apiserver import pod

ROUNDS, REQUESTS = 5, 300
PODS = "/api/v1/namespaces/default/pods"
STAGES: tuple[tuple[str, object, str], ...] = (
    ("boundary", boundary.Boundary, "__call__"),
    ("read the request", boundary, "read"),
    ("measure", RequestMetrics, "started"),
    ("measure", RequestMetrics, "ended"),
    ("limit", gate.FairGate, "enter"),
    ("limit", gate._FairSeat, "leave"),
    ("authenticate", Authenticator, "authenticate"),
    ("authorise", Configured, "authorize"),
    ("route", app._Fork, "__call__"),
    ("route", ResourceApi, "__call__"),
    ("decode and check", resources, "read_object"),
    ("default", PodStrategy, "default"),
    ("track managers", Fields, "track"),
    ("mutating admission", ApiServer, "admit"),
    ("prepare", PodStrategy, "prepare_create"),
    ("validate", faults, "of_new"),
    ("validating admission", ApiServer, "validate"),
    ("warn", Registry, "_warn"),
    ("warn", PodStrategy, "warnings"),
    ("encode", Registry, "_encode"),
    ("store", MeasuredStore, "put"),
    ("look up", WatchCache, "get"),
    ("respond", boundary._Reply, "send"),
)
"""Name, and the function that does it; those of ApiServer are its admission's."""


class Stopwatch:
    """Time by stage; each has its own alone."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def attach(self, server: ApiServer) -> None:
        for name, owner, method in STAGES:
            target = type(server.admission) if owner is ApiServer else owner
            setattr(target, method, self._timed(name, getattr(target, method)))

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(call):

            @functools.wraps(call)
            async def waits(*args: Any, **named: Any) -> Any:
                began = self._begin()
                try:
                    return await call(*args, **named)
                finally:
                    self._end(name, began)

            return waits

        @functools.wraps(call)
        def runs(*args: Any, **named: Any) -> Any:
            began = self._begin()
            try:
                found = call(*args, **named)
                # What a generator yields is its work.
                return iter(list(found)) if inspect.isgenerator(found) else found
            finally:
                self._end(name, began)

        return runs

    def _begin(self) -> float:
        self._inner.append(0.0)
        return time.perf_counter()

    def _end(self, name: str, began: float) -> None:
        took = time.perf_counter() - began
        self.spent[name] += took - self._inner.pop()
        self._inner[-1] += took


async def measure(transport: AsgiTransport, watch: Stopwatch, verb: str, turn: int) -> dict[str, float]:
    """Seconds by stage for REQUESTS requests."""
    headers = {"content-type": "application/json"}
    bodies = [msgspec.json.encode(pod(f"stage-{turn}-{number}")) for number in range(REQUESTS)]
    watch.spent.clear()
    began = time.perf_counter()
    for body in bodies:
        path, sent = (PODS, body) if verb == "POST" else (f"{PODS}/one", b"")
        answer = await transport.request(verb, path, query={}, headers=headers, body=sent)
        assert answer.status in (200, 201), answer.body
    watch.spent["rest"] = time.perf_counter() - began - sum(watch.spent.values())
    return dict(watch.spent)


async def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.csv"
        tokens.write_text('secret,admin,1,"system:masters"\n')
        config = ApiServerConfig(
            storage_dir=Path(folder) / "data",
            bind_address="127.0.0.1",
            token_auth_file=tokens,
            authorization=AuthorizationSettings(modes=("Node", "RBAC")),
            enable_admission_plugins=("NodeRestriction",),
        )
        async with ApiServer(config) as server:
            transport, watch = AsgiTransport(server.app, token="secret"), Stopwatch()
            headers = {"content-type": "application/json"}
            account = msgspec.json.encode({"metadata": {"name": "default"}})
            accounts = "/api/v1/namespaces/default/serviceaccounts"
            await transport.request("POST", accounts, query={}, headers=headers, body=account)
            body = msgspec.json.encode(pod("one"))
            await transport.request("POST", PODS, query={}, headers=headers, body=body)
            garbage.settle()
            watch.attach(server)
            for verb in ("GET", "POST"):
                rounds = [await measure(transport, watch, verb, turn) for turn in range(ROUNDS)]
                best = min(rounds, key=lambda spent: sum(spent.values()))
                order = list(dict.fromkeys(name for name, _, _ in STAGES))
                for name in (*order, "rest"):
                    if best.get(name):
                        print(f"{verb} pod, {name}: {best[name] / REQUESTS * 1e6:.1f} us")
                print(f"{verb} pod, all of it: {sum(best.values()) / REQUESTS * 1e6:.1f} us", flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))

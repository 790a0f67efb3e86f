"""What the audit log says about how long a request took, and where."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kplane.api.clock import SystemClock
from kplane.apiserver.audit import latency
from kplane.apiserver.audit.settings import AuditSettings, LogSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api, configmap
from ..webhookserver import Handler, Received, Reply, WebhookServer
from .conftest import METADATA, Audited, write_policy

MAPS = "/api/v1/namespaces/default/configmaps"
GO_DURATION = re.compile(r"\d+(\.\d+)?(ns|µs|ms|s)")


class Leaping:
    """A clock that runs a thousand times too slow, however busy the machine is, until its `rate` changes;
    whoever makes it leap has taken so long."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.ahead = 0.0
        self.rate = 0.001

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic() * self.rate + self.ahead

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


@asynccontextmanager
async def audited(config: ApiServerConfig, folder: Path, clock: Leaping) -> AsyncIterator[Audited]:
    path = folder / "audit.log"
    settings = AuditSettings(policy_file=write_policy(folder, METADATA), log=LogSettings(path=str(path)))
    async with ApiServer(replace(config, audit=settings), clock) as server:
        yield Audited(server, Api(server.app), path)


def layers(event: dict[str, Any]) -> dict[str, str]:
    prefix = "apiserver.latency.k8s.io/"
    found = (event.get("annotations") or {}).items()
    return {key.removeprefix(prefix): value for key, value in found if key.startswith(prefix)}


def seconds(text: str) -> float:
    assert GO_DURATION.fullmatch(text), text
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


def slow(clock: Leaping) -> Handler:
    """A webhook that allows everything, after a second; nobody waits for it."""

    async def handler(received: Received) -> Reply:
        clock.ahead += 1
        review = {key: received.body[key] for key in ("kind", "apiVersion")}
        response = {"uid": received.body["request"]["uid"], "allowed": True}
        return Reply(body=json.dumps(review | {"response": response}).encode())

    return handler


async def configure(api: Api, server: WebhookServer, kind: str, *names: str) -> None:
    """Webhooks of one kind that are asked about ConfigMaps."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    webhooks = [
        {
            "name": f"{name}.example.com",
            "clientConfig": server.by_url(),
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        for name in names
    ]
    path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations"
    await api.make(path, {"metadata": {"name": "slow"}, "webhooks": webhooks})
    # A consistent read: the watch cache has what was written.
    await api("GET", f"{path}/slow")


@pytest.fixture
def clock() -> Leaping:
    return Leaping()


async def test_a_quick_request_says_nothing_of_it(
    config: ApiServerConfig, tmp_path: Path, clock: Leaping
) -> None:
    async with audited(config, tmp_path, clock) as log:
        await log.api("POST", MAPS, configmap())

    assert layers(log.complete("configmaps")) == {}


async def test_a_slow_request_says_where_the_time_went(
    config: ApiServerConfig, tmp_path: Path, clock: Leaping
) -> None:
    hook = WebhookServer(tmp_path / "pki", slow(clock))
    async with audited(config, tmp_path, clock) as log, hook as server:
        await configure(log.api, server, "mutating", "one", "two")
        await configure(log.api, server, "validating", "three")
        await log.api("POST", MAPS, configmap())
        first, complete = log.events(resource="configmaps")

    found = layers(complete)
    assert layers(first) == {}
    assert found.keys() == {
        "authentication", "authorization", "mutating-webhook", "validating-webhook", "etcd", "response-write",
        "total",
    }  # fmt: skip
    assert 2 <= seconds(found["mutating-webhook"]) < 3
    assert 1 <= seconds(found["validating-webhook"]) < 2
    assert 0 < seconds(found["etcd"]) < 1
    assert 3 <= seconds(found["total"]) < 4


async def test_a_slow_table_says_what_it_took_to_make(
    config: ApiServerConfig, tmp_path: Path, clock: Leaping
) -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with audited(config, tmp_path, clock) as log:
        await log.api.make(MAPS, configmap())
        clock.rate = 10_000.0
        await log.api("GET", f"{MAPS}/settings", accept=table)
        one = log.events(stage="ResponseComplete", uri=f"{MAPS}/settings")[-1]
        await log.api("GET", MAPS, accept=table)
        listed = log.events(stage="ResponseComplete", uri=MAPS)[-1]

    made = {"decode-response-object", "transform-response-object", "serialize-response-object"}
    assert made <= layers(one).keys()
    assert made <= layers(listed).keys()


def test_what_is_done_at_once_counts_as_long_as_its_longest_part() -> None:
    now = iter([2.0])
    latencies = latency.Latencies(lambda: next(now), began=0.0)

    for took in (0.25, 0.5, 0.125):
        latencies.add(latency.VALIDATING_WEBHOOK, took)
        latencies.add(latency.MUTATING_WEBHOOK, took)

    assert latencies.annotations() == {
        "apiserver.latency.k8s.io/validating-webhook": "500ms",
        "apiserver.latency.k8s.io/mutating-webhook": "875ms",
        "apiserver.latency.k8s.io/total": "2s",
    }


def test_where_no_layer_did_anything_there_is_no_total() -> None:
    assert latency.Latencies(lambda: 2.0, began=0.0).annotations() == {}


@pytest.mark.parametrize(
    ("taken", "text"),
    [
        (0.0, "0s"), (317e-9, "317ns"), (629.994e-6, "629.994µs"), (0.0035, "3.5ms"), (0.5, "500ms"),
        (1.5, "1.5s"), (59.999999999, "59.999999999s"), (62.5, "1m2.5s"), (3600.25, "1h0m0.25s"),
    ],
)  # fmt: skip
def test_durations_look_like_those_of_go(taken: float, text: str) -> None:
    assert latency.shown(taken) == text

"""Tokens that a webhook knows: what it is asked, what is made of its answers, and how long they are kept."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kplane.api.clock import Entropy
from kplane.apiserver.auth.identity import Identity, Refused
from kplane.apiserver.auth.metrics import TokenCacheMetrics
from kplane.apiserver.auth.settings import AuthenticationSettings, TokenWebhookSettings
from kplane.apiserver.auth.tokencache import TokenCache
from kplane.apiserver.auth.user import User
from kplane.apiserver.auth.webhooktokens import ATTEMPTS, WebhookTokens
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock

from ..conftest import Api
from ..webhookserver import Handler, Received, Reply, WebhookServer, answering

TOKEN = "very-secret"
OWN = ("https://kubernetes.default.svc",)
ANN = {"username": "ann", "uid": "7", "groups": ["dev"], "extra": {"scope": ["view"]}}
KNOWN = User("ann", "7", ("dev", "system:authenticated"), {"scope": ("view",)})


def review(version: str = "v1", **status: Any) -> dict[str, Any]:
    return {"apiVersion": f"authentication.k8s.io/{version}", "kind": "TokenReview", "status": status}


GOOD = review(authenticated=True, user=ANN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("webhook")


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[WebhookServer]:
    async with WebhookServer(folder, answering(GOOD)) as made:
        yield made


def credentials(server: WebhookServer, **more: Any) -> Credentials:
    address = f"https://127.0.0.1:{server.port}/authenticate"
    return Credentials(address, ca=(server.folder / "ca.crt").read_bytes(), **more)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def webhook(server: WebhookServer, clock: VirtualClock) -> AsyncIterator[WebhookTokens]:
    made = WebhookTokens(credentials(server), "v1", OWN, clock, Entropy(1))
    yield made
    await made.close()


async def patient(clock: VirtualClock, webhook: WebhookTokens) -> Identity | None:
    """Ask while time passes as soon as somebody waits for it."""
    task = asyncio.create_task(webhook.authenticate_token(TOKEN, None))
    async with asyncio.timeout(30):
        while not task.done():
            if clock.next_wake is not None:
                await clock.advance(clock.next_wake)
            await asyncio.sleep(0)
    return task.result()


async def test_the_webhook_says_who_it_is(webhook: WebhookTokens, server: WebhookServer) -> None:
    assert await webhook.authenticate_token(TOKEN, None) == Identity(KNOWN)

    (asked,) = server.received
    assert asked.path == "/authenticate?timeout=30s"
    assert asked.body["apiVersion"] == "authentication.k8s.io/v1"
    assert (asked.body["kind"], asked.body["spec"]) == ("TokenReview", {"token": TOKEN})


async def test_the_older_version_is_spoken_as_well(server: WebhookServer, clock: VirtualClock) -> None:
    server.handler = answering(review("v1beta1", authenticated=True, user=ANN))
    webhook = WebhookTokens(credentials(server, token="mine"), "v1beta1", OWN, clock, Entropy(1))

    assert await webhook.authenticate_token(TOKEN, OWN) == Identity(KNOWN, OWN)

    (asked,) = server.received
    assert asked.body["apiVersion"] == "authentication.k8s.io/v1beta1"
    assert asked.body["spec"]["audiences"] == list(OWN)
    assert asked.headers["authorization"] == "Bearer mine"
    await webhook.close()


@pytest.mark.parametrize(
    ("said", "asked", "meant"),
    [
        pytest.param(["vault", "x"], ("vault",), ("vault",), id="for whom is asked"),
        pytest.param(["x"], ("vault",), None, id="for others"),
        pytest.param([], (*OWN, "vault"), OWN, id="for us"),
        pytest.param([], ("vault",), None, id="for us, but others ask"),
    ],
)
async def test_a_token_is_good_for_its_audiences(
    webhook: WebhookTokens, server: WebhookServer, said: list[str], asked: tuple[str, ...], meant: Any
) -> None:
    server.handler = answering(review(authenticated=True, user=ANN, audiences=said))

    assert await webhook.authenticate_token(TOKEN, asked) == (Identity(KNOWN, meant) if meant else None)


async def test_an_unknown_token_is_nobodys(webhook: WebhookTokens, server: WebhookServer) -> None:
    server.handler = answering(review(authenticated=False))
    assert await webhook.authenticate_token(TOKEN, None) is None

    server.handler = answering(review(error=f"no such token: {TOKEN}"))
    with pytest.raises(Refused) as caught:
        await webhook.authenticate_token(TOKEN, None)
    assert str(caught.value) == "no such token: <token>"


def sending(*replies: Reply | bytes) -> Handler:
    left = list(replies)

    async def handler(received: Received) -> Reply | bytes:
        return left.pop(0) if len(left) > 1 else left[0]

    return handler


FINE = Reply(body=json.dumps(GOOD).encode())


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Reply(500), id="fault"),
        pytest.param(Reply(429), id="too many"),
        pytest.param(Reply(504), id="gateway"),
        pytest.param(Reply(503, headers={"retry-after": "1"}), id="later"),
        pytest.param(b"", id="connection lost"),
    ],
)
async def test_faults_that_pass_are_outwaited(
    webhook: WebhookTokens, server: WebhookServer, clock: VirtualClock, bad: Reply | bytes
) -> None:
    server.handler = sending(*[bad] * (ATTEMPTS - 1), FINE)

    assert await patient(clock, webhook) == Identity(KNOWN)

    assert len(server.received) == ATTEMPTS
    # 0.5 s and 1.5 times as long each time, and up to a fifth more.
    assert 4.06 <= clock.monotonic() <= 4.88


async def test_faults_that_stay_are_told_without_the_token(
    webhook: WebhookTokens, server: WebhookServer, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    server.handler = sending(Reply(500, TOKEN.encode()))

    with caplog.at_level(logging.DEBUG), pytest.raises(Refused) as caught:
        await patient(clock, webhook)

    assert str(caught.value) == "the token webhook answered with status 500"
    assert len(server.received) == ATTEMPTS
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(403), id="forbidden"),
        pytest.param(Reply(302, headers={"location": "https://evil"}), id="redirect"),
        pytest.param(Reply(body=TOKEN.encode()), id="garbage"),
        pytest.param(Reply(body=b"[]"), id="list"),
        pytest.param(Reply(body=b'{"status": {"authenticated": "yes"}}'), id="wrong kind"),
        pytest.param(Reply(body=json.dumps(GOOD | {"kind": "Pod"}).encode()), id="another kind"),
        pytest.param(Reply(body=json.dumps(review("v2", authenticated=True)).encode()), id="version"),
        pytest.param(Reply(body=b" " * 2_000_000), id="huge"),
    ],
)
async def test_bad_answers_are_refusals(
    webhook: WebhookTokens, server: WebhookServer, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    server.handler = sending(reply)

    with caplog.at_level(logging.DEBUG), pytest.raises(Refused) as caught:
        await webhook.authenticate_token(TOKEN, None)

    assert len(server.received) == 1
    assert TOKEN not in f"{caught.value}{caplog.text}"


async def test_a_strangers_server_is_not_told_the_token(server: WebhookServer, clock: VirtualClock) -> None:
    stranger = (server.folder / "front-proxy-ca.crt").read_bytes()
    webhook = WebhookTokens(replace(credentials(server), ca=stranger), "v1", OWN, clock, Entropy(1))

    with pytest.raises(Refused, match="failed to verify certificate"):
        await webhook.authenticate_token(TOKEN, None)

    assert server.received == []
    await webhook.close()


@pytest.mark.parametrize(
    ("text", "fault"), [("[]", "is not a mapping"), ("current-context: a", "no context named 'a'")]
)
def test_a_kubeconfig_that_is_no_good_stops_the_start(
    tmp_path: Path, clock: VirtualClock, text: str, fault: str
) -> None:
    file = tmp_path / "hook.kubeconfig"
    file.write_text(text)

    with pytest.raises(Fatal, match=fault):
        WebhookTokens.load(file, "v1", OWN, clock, Entropy(1))


def test_other_versions_are_refused() -> None:
    with pytest.raises(Fatal, match='unsupported authentication webhook version "v2"'):
        TokenWebhookSettings(version="v2").check()


async def test_a_server_asks_the_webhook_once_for_each_token(
    server: WebhookServer, config: ApiServerConfig, tmp_path: Path
) -> None:
    file = tmp_path / "hook.kubeconfig"
    kubeconfig.write(file, credentials(server))
    settings = AuthenticationSettings(webhook=TokenWebhookSettings(config_file=file, version="v1"))
    async with ApiServer(replace(config, authentication=settings)) as running:
        api = Api(running.app, TOKEN)
        for _ in range(3):
            assert (await api("GET", "/api/v1/namespaces")).code == 200
        assert len(server.received) == 1

        server.handler = answering(review(error="go away"))
        assert (await Api(running.app, "other")("GET", "/api/v1/namespaces")).code == 401
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "other"}}
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        answer = await Api(running.app)("POST", path, body)
        assert answer.body["status"]["error"] == "[invalid bearer token, go away]"


# The cache


class Oracle:
    """Knows the tokens that begin with `good`; the others are nobody's, or `bad…` with a reason."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def authenticate_token(self, token: str, audiences: Any) -> Identity | None:
        self.asked += 1
        await self.gate.wait()
        if token.startswith("bad"):
            raise Refused("bad")
        return Identity(User(token)) if token.startswith("good") else None


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def cache(oracle: Oracle, clock: VirtualClock) -> TokenCache:
    return TokenCache(oracle, clock, TokenCacheMetrics(CollectorRegistry()), success=10, failure=5)


@pytest.mark.parametrize(("token", "kept"), [("good", 10), ("unknown", 5)])
async def test_verdicts_are_kept_for_their_time(
    cache: TokenCache, oracle: Oracle, clock: VirtualClock, token: str, kept: float
) -> None:
    first = await cache.authenticate_token(token, None)
    await clock.advance(kept - 1)
    assert await cache.authenticate_token(token, None) == first
    assert oracle.asked == 1

    await clock.advance(1)
    assert await cache.authenticate_token(token, None) == first
    assert oracle.asked == 2


async def test_faults_are_not_kept(cache: TokenCache, oracle: Oracle) -> None:
    for _ in range(2):
        with pytest.raises(Refused):
            await cache.authenticate_token("bad", None)
    assert oracle.asked == 2


async def test_a_verdict_for_some_is_none_for_others(cache: TokenCache, oracle: Oracle) -> None:
    await cache.authenticate_token("good", ("a",))
    await cache.authenticate_token("good", ("b",))
    await cache.authenticate_token("good", None)
    assert oracle.asked == 3


async def test_those_who_ask_at_once_share_a_verdict(cache: TokenCache, oracle: Oracle) -> None:
    oracle.gate.clear()
    tasks = [asyncio.create_task(cache.authenticate_token("bad", None)) for _ in range(5)]
    await asyncio.sleep(0)
    oracle.gate.set()

    faults = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(fault) for fault in faults] == ["bad"] * 5
    assert oracle.asked == 1


async def test_one_who_leaves_takes_nobody_along(cache: TokenCache, oracle: Oracle) -> None:
    oracle.gate.clear()
    first, second = (asyncio.create_task(cache.authenticate_token("good", None)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    oracle.gate.set()

    assert await second == Identity(User("good"))


async def test_strange_tokens_do_not_fill_the_memory(cache: TokenCache) -> None:
    for index in range(5000):
        await cache.authenticate_token(f"unknown{index}", None)

    assert len(cache) <= 4096

"""Controllers as service accounts of their own, against an API server that asks RBAC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.clock import Entropy, SystemClock
from kplane.api.errors import Conflict, Forbidden, NotFound, Unreachable
from kplane.api.resource import Resource
from kplane.api.types import ConfigMap, Pod
from kplane.api.types.apps import Deployment, ReplicaSet
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client
from kplane.client.transport import Response
from kplane.client.transport_asgi import AsgiTransport
from kplane.controllers.config import Config
from kplane.controllers.credentials import KEPT_BYTES, AccountTokens, Answers, Clients
from kplane.controllers.manager import Manager
from kplane.testing.objects import make_deployment, make_replicaset
from kplane.testing.waiting import eventually

ACCOUNTS: Resource[dict[str, Any]] = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, dict)
MANAGER = "manager"


class Shifted(SystemClock):
    """The machine's clock, ahead of it by `ahead`."""

    ahead = timedelta()

    def now(self) -> Any:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead.total_seconds()


class Way(AsgiTransport):
    """Counts requests by method and path, and can be cut."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.sent: list[tuple[str, str]] = []
        self.cut = False

    async def request(self, method: str, path: str, **more: Any) -> Response:
        if self.cut:
            raise Unreachable("cut")
        self.sent.append((method, path))
        return await super().request(method, path, **more)


@dataclass
class World:
    server: ApiServer
    clock: Shifted
    admin: Client
    manager: Way
    accounts: Way

    @property
    def clients(self) -> Clients:
        return Clients(Client(self.manager, clock=self.clock), self.accounts, self.clock)

    @property
    def tokens(self) -> AccountTokens:
        return AccountTokens(Client(self.manager, clock=self.clock), self.clock)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    key, listed = tmp_path / "sa.key", tmp_path / "tokens.csv"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    listed.write_text(f"secret,admin,1,system:masters\n{MANAGER},system:kube-controller-manager,2\n")
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=key)
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=listed,
        authentication=AuthenticationSettings(service_accounts=accounts),
        authorization=AuthorizationSettings(modes=("RBAC",)),
        disable_admission_plugins=("ServiceAccount",),
    )
    clock = Shifted()
    async with ApiServer(config, clock) as server:
        admin = Client(AsgiTransport(server.app, token="secret"))
        yield World(server, clock, admin, Way(server.app, token=MANAGER), Way(server.app))


def claims(token: str) -> Any:
    return jwt.decode(token, options={"verify_signature": False})


async def test_a_missing_account_is_made_and_its_token_kept(world: World) -> None:
    tokens = world.tokens

    first = await asyncio.gather(*(tokens.token("deployment-controller") for _ in range(3)))

    assert len(set(first)) == 1
    assert claims(first[0])["sub"] == "system:serviceaccount:kube-system:deployment-controller"
    assert await world.admin.get(ACCOUNTS, "deployment-controller", "kube-system")
    posts = len(world.manager.sent)
    assert await tokens.token("deployment-controller") == first[0]
    assert len(world.manager.sent) == posts


async def test_a_token_is_replaced_at_80_percent_of_its_hour(world: World) -> None:
    tokens = world.tokens
    first = await tokens.token("job-controller")

    world.clock.ahead = timedelta(seconds=2870)
    assert await tokens.token("job-controller") == first
    world.clock.ahead = timedelta(seconds=2890)
    assert await tokens.token("job-controller") != first


async def test_a_token_that_cannot_be_replaced_is_used_to_its_end(world: World) -> None:
    tokens = world.tokens
    first = await tokens.token("job-controller")
    world.manager.cut = True

    world.clock.ahead = timedelta(seconds=3000)
    assert await tokens.token("job-controller") == first
    world.clock.ahead = timedelta(seconds=3601)
    with pytest.raises(Unreachable):
        await tokens.token("job-controller")


async def test_an_account_that_was_made_anew_gets_a_new_token(world: World) -> None:
    client = world.clients.client("deployment-controller")
    with pytest.raises(NotFound):
        await client.get(Deployment, "web", "default")

    await world.admin.delete(ACCOUNTS, "deployment-controller", "kube-system")

    with pytest.raises(NotFound):
        await client.get(Deployment, "web", "default")
    assert await world.admin.get(ACCOUNTS, "deployment-controller", "kube-system")


async def test_a_controller_has_no_rights_but_its_own(world: World) -> None:
    client = world.clients.client("deployment-controller")

    with pytest.raises(Forbidden, match="system:serviceaccount:kube-system:deployment-controller"):
        await client.create(ConfigMap, {"metadata": {"name": "a", "namespace": "default"}})


async def test_what_may_only_be_updated_is_patched_here_and_sent_whole(world: World) -> None:
    made = await world.admin.create(Deployment, make_deployment())
    client = world.clients.client("deployment-controller")

    status = {"status": {"observedGeneration": 1}}
    answer = await client.patch(Deployment, made.metadata.name, "default", status, subresource="status")

    assert answer.status.observed_generation == 1
    assert {method for method, _ in world.accounts.sent} == {"PUT"}
    with pytest.raises(NotFound):
        await client.patch(Deployment, "none", "default", status, subresource="status")


async def test_what_was_written_last_is_not_read_again_unless_it_changed(world: World) -> None:
    made = await world.admin.create(Deployment, make_deployment())
    name = made.metadata.name
    client = world.clients.client("deployment-controller")

    async def observe(field: str, value: int) -> int:
        before = len(world.manager.sent)
        await client.patch(Deployment, name, "default", {"status": {field: value}}, subresource="status")
        return [method for method, _ in world.manager.sent[before:]].count("GET")

    assert await observe("observedGeneration", 1) == 1
    assert await observe("replicas", 2) == 0
    labelled = {"metadata": {"labels": {"by": "somebody"}}}
    await world.admin.patch(Deployment, name, "default", labelled)
    assert await observe("collisionCount", 3) == 1
    await world.admin.delete(Deployment, name, "default")
    await world.admin.create(Deployment, make_deployment())
    assert await observe("replicas", 1) == 1
    found = await world.admin.get(replace(Deployment.API, view=dict), name, "default")
    assert (found["status"]["replicas"], found["metadata"].get("labels", {}).get("by")) == (1, None)
    assert "collisionCount" not in found["status"]


def test_the_oldest_answers_make_room() -> None:
    answers = Answers()
    for number in range(3):
        answers.keep(f"/{number}", b'{"a": "%s"}' % (b"x" * (KEPT_BYTES * 2 // 5)))

    assert answers.take("/0") is None
    assert answers.take("/1")
    assert answers.take("/1") is None
    answers.keep("/large", b'"%s"' % (b"x" * KEPT_BYTES))
    assert answers.take("/large") is None


async def test_what_one_controller_was_answered_another_need_not_ask_for(world: World) -> None:
    made = await world.admin.create(ReplicaSet, make_replicaset())
    body = {"status": {"replicas": 0, "observedGeneration": 1}}
    await world.clients.client("replicaset-controller").patch(
        ReplicaSet, made.metadata.name, "default", body, subresource="status"
    )
    asked = len([path for method, path in world.manager.sent if method == "GET"])

    await world.clients.client("deployment-controller").patch(
        ReplicaSet, made.metadata.name, "default", {"spec": {"replicas": 3}}
    )

    found = await world.admin.get(ReplicaSet, made.metadata.name, "default")
    assert found.spec.replicas == 3
    assert len([path for method, path in world.manager.sent if method == "GET"]) == asked


async def test_a_patch_of_an_older_state_is_a_conflict_and_another_is_merged_again(world: World) -> None:
    made = await world.admin.create(Deployment, make_deployment())
    name = made.metadata.name
    client = world.clients.client("deployment-controller")
    stale = {"metadata": {"resourceVersion": "1"}, "status": {"observedGeneration": 1}}

    with pytest.raises(Conflict):
        await client.patch(Deployment, name, "default", stale, subresource="status")
    assert len([path for method, path in world.accounts.sent if method == "PUT"]) == 1

    wanted = {"replicas": 2, "observedGeneration": 1, "collisionCount": 3}
    async with asyncio.TaskGroup() as group:
        for field, value in wanted.items():
            body = {"status": {field: value}}
            group.create_task(client.patch(Deployment, name, "default", body, subresource="status"))
    found = await world.admin.get(replace(Deployment.API, view=dict), name, "default")
    assert wanted.items() <= found["status"].items()


async def test_all_controllers_work_as_their_accounts(world: World) -> None:
    manager = Manager(
        Client(world.manager, clock=world.clock),
        world.clock,
        Entropy(),
        Config(use_service_account_credentials=True),
        world.accounts,
    )
    running = asyncio.create_task(manager.run())
    await world.admin.create(Deployment, make_deployment(replicas=2))

    async def observed() -> bool:
        found = (await world.admin.list(Deployment)).items[0]
        return found.status.replicas == 2

    assert await eventually(observed)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    pods = await world.admin.list(replace(Pod.API, view=dict), "default")
    managers = {entry["manager"] for pod in pods.items for entry in pod["metadata"]["managedFields"]}
    assert managers == {"kube-controller-manager"}
    writes = {method for method, path in world.manager.sent if "serviceaccounts" not in path} - {"GET"}
    assert writes == set()

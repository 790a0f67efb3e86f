"""Service account tokens of Pods: asked of a real API server, kept, renewed, written for their reader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.clock import Entropy, SystemClock
from kplane.api.errors import ApiError
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.codec import codec
from kplane.client.rest import Client
from kplane.client.transport import Response
from kplane.client.transport_asgi import AsgiTransport
from kplane.kubelet.persistentvolume import PersistentVolume
from kplane.kubelet.pod import Pod, ProjectedSource, Projection, ServiceAccountTokenSource, Volume
from kplane.kubelet.tokens import TokenCache
from kplane.kubelet.volumes import projected
from kplane.kubelet.volumes.projected import common_user
from kplane.kubelet.volumes.volume import Request

from .support import pod_of

SPEC = {"audiences": [], "expirationSeconds": 3600}


class Shifted(SystemClock):
    """The machine's clock, ahead of it by `ahead`."""

    ahead = timedelta()

    def now(self) -> Any:
        return super().now() + self.ahead


class Breakable(AsgiTransport):
    """A way to the API that may be cut."""

    broken = False

    async def request(self, method: str, path: str, **options: Any) -> Response:
        if self.broken:
            raise ApiError("no way")
        return await super().request(method, path, **options)


@dataclass
class World:
    tokens: TokenCache
    pod: Pod
    clock: Shifted
    transport: Breakable


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    key, listed = tmp_path / "sa.key", tmp_path / "tokens.csv"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    listed.write_text("secret,admin,1,system:masters\n")
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=key)
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=listed,
        authentication=AuthenticationSettings(service_accounts=accounts),
        disable_admission_plugins=("ServiceAccount",),
    )
    clock = Shifted()
    async with ApiServer(config, clock) as server:
        transport = Breakable(server.app, token="secret")
        client = Client(transport, clock=clock)
        await client.raw(
            "POST", "/api/v1/namespaces/default/serviceaccounts", body={"metadata": {"name": "default"}}
        )
        body = {
            "metadata": {"name": "web"},
            "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i:1"}]},
        }
        wire = await client.raw("POST", "/api/v1/namespaces/default/pods", body=body)
        yield World(TokenCache(client, clock), codec(Pod).one(wire), clock, transport)


def bound(pod: Pod) -> Mapping[str, Any]:
    reference = {"kind": "Pod", "apiVersion": "v1", "name": pod.metadata.name, "uid": pod.metadata.uid}
    return SPEC | {"boundObjectRef": reference}


async def test_a_token_is_bound_to_its_pod_and_kept(world: World) -> None:
    token = await world.tokens.get(world.pod, dict(bound(world.pod)))

    private = jwt.decode(token, options={"verify_signature": False})["kubernetes.io"]
    assert private["pod"] == {"name": "web", "uid": world.pod.metadata.uid}
    assert await world.tokens.get(world.pod, dict(bound(world.pod))) == token


async def test_a_token_is_renewed_at_80_percent_of_its_life(world: World) -> None:
    token = await world.tokens.get(world.pod, dict(SPEC))
    due = world.tokens.renewal(world.pod.metadata.uid)

    world.clock.ahead = timedelta(seconds=2870)
    assert await world.tokens.get(world.pod, dict(SPEC)) == token
    world.clock.ahead = timedelta(seconds=2890)
    assert await world.tokens.get(world.pod, dict(SPEC)) != token
    later = world.tokens.renewal(world.pod.metadata.uid)
    assert due is not None
    assert later is not None
    assert later > due


async def test_an_old_token_serves_while_it_cannot_be_renewed_and_lasts(world: World) -> None:
    token = await world.tokens.get(world.pod, dict(SPEC))
    world.transport.broken = True

    world.clock.ahead = timedelta(seconds=3000)
    assert await world.tokens.get(world.pod, dict(SPEC)) == token
    due = world.tokens.renewal(world.pod.metadata.uid)
    assert due is not None
    assert timedelta() < due - world.clock.now() <= timedelta(seconds=10)
    world.clock.ahead = timedelta(seconds=3700)
    with pytest.raises(ApiError):
        await world.tokens.get(world.pod, dict(SPEC))


async def test_a_forgotten_pods_tokens_are_gone(world: World) -> None:
    await world.tokens.get(world.pod, dict(SPEC))

    world.tokens.forget(world.pod.metadata.uid)

    assert world.tokens.renewal(world.pod.metadata.uid) is None


def container(user: int | None = None) -> dict[str, Any]:
    context = {} if user is None else {"securityContext": {"runAsUser": user}}
    return {"name": f"c{user}", "image": "i:1"} | context


@pytest.mark.parametrize(
    ("containers", "pod_user", "user"),
    [
        pytest.param([container(7)], None, 7, id="one"),
        pytest.param([container(7), container()], 7, 7, id="from the pod"),
        pytest.param([container(7), container(8)], None, None, id="differing"),
        pytest.param([container(7), container()], None, None, id="unsaid"),
    ],
)
def test_the_containers_common_user(
    containers: list[dict[str, Any]], pod_user: int | None, user: int | None
) -> None:
    context = {} if pod_user is None else {"securityContext": {"runAsUser": pod_user}}

    assert common_user(pod_of(*containers, **context)) == user


@pytest.mark.node
@pytest.mark.parametrize(
    ("user", "group", "mode", "owner"),
    [
        pytest.param(None, None, 0o644, (0, 0), id="anybody"),
        pytest.param(1000, None, 0o600, (1000, 0), id="its user"),
        pytest.param(None, 2000, 0o640, (0, 2000), id="its group"),
    ],
)
async def test_a_token_is_readable_by_its_containers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: int | None,
    group: int | None,
    mode: int,
    owner: tuple[int, int],
) -> None:
    monkeypatch.setattr(projected.secret, "in_memory", lambda folder: folder.mkdir(parents=True))
    source = ServiceAccountTokenSource(path="token", expiration_seconds=3600)
    volume = Volume(name="v", projected=ProjectedSource(sources=[Projection(service_account_token=source)]))
    context = {} if group is None else {"securityContext": {"fsGroup": group}}

    async def none(_name: object) -> None:
        return None

    async def token(_spec: object) -> str:
        return "hush"

    async def no_claim() -> PersistentVolume:
        return PersistentVolume()

    request = Request(
        pod_of(container(user), **context),
        volume,
        tmp_path / "v",
        none,
        none,
        token,
        no_claim,
        {},
        Shifted(),
        Entropy(0),
    )
    await projected.set_up(request)

    found = (tmp_path / "v" / "token").stat()
    assert (found.st_mode & 0o777, (found.st_uid, found.st_gid)) == (mode, owner)

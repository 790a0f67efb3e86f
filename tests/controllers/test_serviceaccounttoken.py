"""Tokens in Secrets, from their making to their end, and the bundle by which Pods know the API server."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kplane.api.clock import rfc3339
from kplane.api.errors import NotFound
from kplane.api.resource import Object, Resource
from kplane.client.rest import Client
from kplane.controllers.config import Config
from kplane.controllers.legacytokencleaner import (
    INVALID_SINCE,
    LAST_USED,
    TRACKING,
    LegacyTokenCleaner,
    secret_names,
)
from kplane.controllers.serviceaccounttoken import ACCOUNT_NAME, ACCOUNT_UID, SECRETS, TYPE, WHOLE_ACCOUNTS
from kplane.controllers.trustbundlepublisher import BUNDLES, SIGNER, bundle_name
from kplane.testing.clock import START
from kplane.testing.cluster import FakeCluster
from kplane.testing.waiting import eventually

from .guarded import guarded, managed

REVIEWS: Resource[dict[str, Any]] = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False, dict
)
UNDER_TEST = (
    "serviceaccount-token-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
)


def secret(name: str, account: str, **annotations: str) -> Object:
    notes = {ACCOUNT_NAME: account, **annotations}
    return {"metadata": {"name": name, "namespace": "default", "annotations": notes}, "type": TYPE}


@dataclass
class World:
    admin: Client
    keys: Path

    async def account(self, name: str, **more: Any) -> str:
        made = await self.admin.create(
            WHOLE_ACCOUNTS, {"metadata": {"name": name, "namespace": "default"}, **more}
        )
        uid: str = made["metadata"]["uid"]
        return uid

    async def filled(self, name: str) -> Object:
        async def look() -> Object | None:
            found = await self.admin.get(SECRETS, name, "default")
            return found if (found.get("data") or {}).get("token") else None

        return await eventually(look)

    async def gone(self, name: str) -> bool:
        try:
            await self.admin.get(SECRETS, name, "default")
        except NotFound:
            return True
        return False


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The controllers with the manager's own rights, against a server that asks RBAC."""
    async with guarded(tmp_path, without=()) as made:
        options = Config(
            controllers=UNDER_TEST,
            root_ca_file=made.keys / "ca.crt",
            service_account_private_key_file=made.keys / "sa.key",
        )
        async with managed(made, options):
            yield World(made.client(), made.keys)


async def test_a_secret_is_filled_with_a_token_that_is_good(world: World) -> None:
    uid = await world.account("robot")
    await world.admin.create(SECRETS, secret("robot-token", "robot"))

    found = await world.filled("robot-token")

    data = {key: base64.b64decode(value) for key, value in found["data"].items()}
    assert data["namespace"] == b"default"
    assert data["ca.crt"] == (world.keys / "ca.crt").read_bytes()
    assert found["metadata"]["annotations"][ACCOUNT_UID] == uid
    review = await world.admin.create(
        REVIEWS,
        {
            "apiVersion": REVIEWS.api_version,
            "kind": REVIEWS.kind,
            "spec": {"token": data["token"].decode()},
        },
    )
    assert review["status"]["authenticated"]
    assert review["status"]["user"]["username"] == "system:serviceaccount:default:robot"
    assert await world.admin.get(SECRETS, "robot-token", "default")


async def test_what_is_taken_out_of_a_secret_comes_back(world: World) -> None:
    await world.account("robot")
    await world.admin.create(SECRETS, secret("robot-token", "robot"))
    before = (await world.filled("robot-token"))["data"]

    await world.admin.patch(
        SECRETS, "robot-token", "default", {"data": {"ca.crt": "bm9uZQ==", "namespace": None}}
    )

    async def mended() -> bool:
        found: Object = await world.admin.get(SECRETS, "robot-token", "default")
        return bool(found["data"] == before)

    assert await eventually(mended)


async def test_secrets_go_with_their_account_and_another_of_its_name_does_not_get_them(world: World) -> None:
    uid = await world.account("robot")
    await world.admin.create(SECRETS, secret("mine", "robot"))
    await world.admin.create(SECRETS, secret("strange", "robot", **{ACCOUNT_UID: "another"}))
    await world.admin.create(SECRETS, secret("nobodys", "nobody"))
    await world.filled("mine")

    assert await eventually(lambda: world.gone("strange"))
    assert await eventually(lambda: world.gone("nobodys"))
    await world.admin.delete(WHOLE_ACCOUNTS, "robot", "default")
    assert await eventually(lambda: world.gone("mine"))
    assert await world.account("robot") != uid


async def test_an_account_forgets_a_secret_that_is_gone(world: World) -> None:
    await world.account("robot", secrets=[{"name": "mine"}, {"name": "other"}])
    await world.admin.create(SECRETS, secret("mine", "robot"))
    await world.filled("mine")

    await world.admin.delete(SECRETS, "mine", "default")

    async def forgotten() -> bool:
        found: Object = await world.admin.get(WHOLE_ACCOUNTS, "robot", "default")
        return bool(found["secrets"] == [{"name": "other"}])

    assert await eventually(forgotten)


async def test_the_authorities_are_published_as_a_bundle_and_former_ones_go(world: World) -> None:
    wanted = bundle_name(SIGNER, (world.keys / "ca.crt").read_bytes())

    async def published() -> list[str]:
        return [found.metadata.name for found in (await world.admin.list(BUNDLES)).items]

    async def alone() -> bool:
        return await published() == [wanted]

    assert await eventually(alone)
    former = {
        "metadata": {"name": f"{SIGNER.replace('/', ':')}:former"},
        "spec": {"signerName": SIGNER, "trustBundle": (world.keys / "front-proxy-ca.crt").read_text()},
    }
    await world.admin.create(BUNDLES, former)
    assert await eventually(alone)


DAY = 86_400.0
YEAR = 365 * DAY


@pytest.fixture
def unused(cluster: FakeCluster) -> FakeCluster:
    """Secrets of an account, tracked since the first day."""
    cluster.load(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": TRACKING.name, "namespace": TRACKING.namespace},
            "data": {"since": f"{cluster.clock.now():%Y-%m-%d}"},
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "robot", "uid": "u1"},
            "secrets": [{"name": "generated"}, {"name": "mounted"}, {"name": "used"}],
        },
    )
    for name in ("generated", "mounted", "used", "handmade"):
        cluster.load(old_secret(name))
    spec = {"containers": [], "volumes": [{"name": "v", "secret": {"secretName": "mounted"}}]}
    cluster.load({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec})
    return cluster


def old_secret(name: str, **labels: str) -> Object:
    """One of the first day."""
    body = secret(name, "robot", **{ACCOUNT_UID: "u1"})
    more = {"creationTimestamp": rfc3339(START), "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", **body, "metadata": body["metadata"] | more}


def clean(cluster: FakeCluster) -> None:
    context = cluster.context(options=Config())
    cluster.start(context.queue.run(LegacyTokenCleaner(context).reconcile))


def labels(cluster: FakeCluster) -> dict[str, dict[str, str]]:
    return {
        found["metadata"]["name"]: found["metadata"].get("labels") or {} for found in cluster.list(SECRETS)
    }


async def test_a_generated_token_that_nobody_uses_is_marked_and_a_year_later_gone(
    unused: FakeCluster,
) -> None:
    clean(unused)
    await unused.advance(YEAR)
    assert not any(labels(unused).values())
    unused.load(old_secret("used", **{LAST_USED: f"{unused.clock.now():%Y-%m-%d}"}))
    await unused.advance(2 * DAY)
    assert {name for name, found in labels(unused).items() if INVALID_SINCE in found} == {"generated"}

    await unused.advance(300 * DAY)
    assert "generated" in labels(unused)
    unused.load(old_secret("used", **{LAST_USED: f"{unused.clock.now():%Y-%m-%d}"}))
    await unused.advance(70 * DAY)

    assert labels(unused).keys() == {"mounted", "used", "handmade"}


async def test_nothing_is_cleaned_up_where_uses_were_not_noted(unused: FakeCluster) -> None:
    noted = {"name": TRACKING.name, "namespace": TRACKING.namespace}
    unused.load({"apiVersion": "v1", "kind": "ConfigMap", "metadata": noted, "data": {"since": "never"}})
    clean(unused)

    await unused.advance(3 * YEAR)

    assert not any(labels(unused).values())


def test_every_place_of_a_pods_spec_counts() -> None:
    spec: dict[str, Any] = {
        "imagePullSecrets": [{"name": "a"}],
        "volumes": [
            {"secret": {"secretName": "b"}},
            {"projected": {"sources": [{"secret": {"name": "c"}}]}},
            {"csi": {"nodePublishSecretRef": {"name": "d"}}},
        ],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "e"}}]}],
        "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "f", "key": "k"}}}]}],
    }
    found: Sequence[str] = sorted(set(secret_names(spec)))
    assert found == ["a", "b", "c", "d", "e", "f"]


def test_a_bundle_is_named_by_its_hash() -> None:
    assert bundle_name(SIGNER, b"x") == "kubernetes.io:kube-apiserver-serving:2d711642b726b04401627ca9"
    assert timedelta(seconds=Config().legacy_token_clean_up_period) == timedelta(days=365)

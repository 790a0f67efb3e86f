"""The default ServiceAccount and the root CA of every namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.api.errors import Forbidden, InternalError
from kplane.api.resource import Key
from kplane.api.types import ConfigMap
from kplane.controllers.config import Config
from kplane.controllers.root_ca import CONFIG_MAP, RootCAPublisher
from kplane.controllers.serviceaccount import ACCOUNTS, ServiceAccountController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_configmap, make_namespace

ACCOUNT = Key("default", "default")
PUBLISHED = Key("default", CONFIG_MAP)


def run_accounts(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(ServiceAccountController(context).reconcile))


def run_publisher(cluster: FakeCluster, tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("CERTIFICATE")
    context = cluster.context(options=Config(root_ca_file=authority))
    cluster.start(context.queue.run(RootCAPublisher(context).reconcile))


async def test_every_namespace_has_a_default_account_again_and_again(cluster: FakeCluster) -> None:
    cluster.load(make_namespace())
    run_accounts(cluster)
    await cluster.settle()
    first = cluster.get(ACCOUNTS, ACCOUNT)

    cluster.delete(ACCOUNTS, ACCOUNT)
    await cluster.settle()

    second = cluster.get(ACCOUNTS, ACCOUNT)
    assert first is not None
    assert second is not None
    assert first.metadata.uid != second.metadata.uid


async def test_a_failed_creation_is_tried_again(cluster: FakeCluster) -> None:
    cluster.load(make_namespace())
    cluster.faults.fail_next(InternalError("broken"), times=3)
    run_accounts(cluster)

    await cluster.advance(10)

    assert cluster.get(ACCOUNTS, ACCOUNT) is not None


async def test_a_terminating_namespace_gets_no_account(cluster: FakeCluster) -> None:
    cluster.load(make_namespace())
    refusal = Forbidden("being terminated", {"causes": [{"reason": "NamespaceTerminating"}]})
    cluster.faults.fail_next(refusal, times=1)
    context = cluster.context()

    outcome = await ServiceAccountController(context).reconcile(Key("", "default"))

    assert outcome is None
    assert cluster.get(ACCOUNTS, ACCOUNT) is None


async def test_the_root_ca_is_published(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.load(make_namespace())
    run_publisher(cluster, tmp_path)

    await cluster.settle()

    found = cluster.get(ConfigMap, PUBLISHED)
    assert found is not None
    assert found.data == {"ca.crt": "CERTIFICATE"}


@pytest.mark.parametrize("tampering", ["changed", "deleted"])
async def test_tampering_with_the_root_ca_is_undone(
    cluster: FakeCluster, tmp_path: Path, tampering: str
) -> None:
    cluster.load(make_namespace())
    run_publisher(cluster, tmp_path)
    await cluster.settle()

    if tampering == "deleted":
        cluster.delete(ConfigMap, PUBLISHED)
    else:
        cluster.load(make_configmap(CONFIG_MAP, data={"ca.crt": "FORGED", "more": "x"}))
    await cluster.settle()

    found = cluster.get(ConfigMap, PUBLISHED)
    assert found is not None
    assert found.data == {"ca.crt": "CERTIFICATE"}

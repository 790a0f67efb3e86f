"""The manager: all controllers together, one leader at a time, through any outage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.errors import Unreachable
from kplane.api.resource import Key
from kplane.api.types import Deployment, Lease, Pod, ReplicaSet
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.controllers.nodettl import NodeTTLController
from kplane.runtime.health import report
from kplane.testing.clock import SkewedClock
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_deployment, make_namespace, make_node, make_replicaset

LEASE = Key("kube-system", "kube-controller-manager")


def manager(cluster: FakeCluster, **options: Any) -> Manager:
    return Manager(cluster.client(), cluster.clock, cluster.entropy, Config(**options))


async def test_all_controllers_work_together(discoverable: FakeCluster) -> None:
    discoverable.load(make_namespace(), make_deployment(replicas=2))
    discoverable.start(manager(discoverable).run())

    await discoverable.advance(5)

    assert len(discoverable.list(Pod)) == 2


async def test_controllers_that_were_not_chosen_do_nothing(discoverable: FakeCluster) -> None:
    discoverable.load(make_deployment(replicas=2))
    discoverable.start(manager(discoverable, controllers=("*", "-replicaset-controller")).run())

    await discoverable.advance(5)

    assert len(discoverable.list(ReplicaSet)) == 1
    assert list(discoverable.list(Pod)) == []


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        pytest.param({"enable_garbage_collector": False}, "garbage-collector-controller", id="collector"),
        pytest.param(
            {"feature_gates": {"DRADeviceTaints": False}}, "device-taint-eviction-controller", id="gate"
        ),
    ],
)
async def test_flags_leave_controllers_out(
    discoverable: FakeCluster, options: dict[str, Any], left_out: str
) -> None:
    everything, fewer = manager(discoverable).checks(), manager(discoverable, **options).checks()

    assert everything.keys() - fewer.keys() == {left_out}


async def test_what_the_server_does_not_serve_holds_up_only_who_needs_it(discoverable: FakeCluster) -> None:
    scheme = discoverable.server.scheme
    missing = scheme.rows["resource.k8s.io", "v1", "devicetaintrules"]
    scheme.remove(missing)
    try:
        discoverable.load(make_namespace(), make_deployment(replicas=2))
        discoverable.start(manager(discoverable).run())
        await discoverable.advance(5)
        made = len(discoverable.list(Pod))
        await discoverable.client().delete(Deployment, "web", "default", propagation="Background")
        await discoverable.advance(60)
    finally:
        scheme.add(missing)

    assert made == 2
    assert list(discoverable.list(ReplicaSet)) == []


async def test_controllers_that_run_are_shown(discoverable: FakeCluster) -> None:
    def shown() -> float | None:
        labels = {"name": "ttl-controller", "manager": "kube-controller-manager"}
        return REGISTRY.get_sample_value("running_managed_controllers", labels)

    task = asyncio.create_task(manager(discoverable, controllers=("ttl-controller",)).run())
    await discoverable.advance(5)
    running = shown()
    task.cancel()
    await asyncio.wait([task])

    assert (running, shown()) == (1, 0)


async def test_an_unreachable_server_is_waited_for(discoverable: FakeCluster) -> None:
    discoverable.load(make_deployment(replicas=2))
    methods = ("GET", "POST", "PATCH", "WATCH")
    discoverable.faults.fail_next(Unreachable("connection refused"), times=200, methods=methods)
    discoverable.start(manager(discoverable).run())

    await discoverable.advance(600)

    assert len(discoverable.list(Pod)) == 2


async def test_only_the_leader_works_and_an_outage_does_not_end_it(discoverable: FakeCluster) -> None:
    discoverable.load(make_namespace("kube-system"), make_deployment(replicas=2))
    for _ in range(2):
        discoverable.start(manager(discoverable).lead())
    await discoverable.advance(10)
    lease = discoverable.get(Lease, LEASE)

    discoverable.faults.fail_next(Unreachable("down"), times=40, methods=("PUT", "PATCH"), plural="leases")
    await discoverable.advance(120)
    discoverable.delete(Pod, discoverable.list(Pod)[0].key)
    await discoverable.advance(60)

    assert lease is not None
    assert lease.spec.holder_identity
    assert len(discoverable.list(Pod)) == 2


@pytest.mark.parametrize("offset", [7200, -7200])
async def test_managers_whose_clocks_disagree_take_turns(discoverable: FakeCluster, offset: float) -> None:
    discoverable.load(make_namespace("kube-system"), make_replicaset(replicas=3))
    wrong = SkewedClock(discoverable.clock, offset)
    for clock in (wrong, discoverable.clock):
        under_test = Manager(discoverable.client(), clock, discoverable.entropy, Config())
        discoverable.start(under_test.lead())
    await discoverable.advance(60)
    lease = discoverable.get(Lease, LEASE)
    wrong.offset = -offset
    await discoverable.advance(60)
    later = discoverable.get(Lease, LEASE)

    assert lease is not None
    assert later is not None
    assert later.spec.holder_identity == lease.spec.holder_identity
    created = [change for change in discoverable.server.state.history(("", "pods")) if change.old is None]
    assert len(created) == 3


async def test_a_stuck_queue_is_told(discoverable: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(self: object, key: Key) -> None:
        await discoverable.clock.sleep(10_000)

    monkeypatch.setattr(NodeTTLController, "reconcile", hang)
    discoverable.load(make_node("a"), make_node("b"))
    under_test = manager(discoverable, controllers=("ttl-controller", "deployment-controller"))
    discoverable.start(under_test.run())
    await discoverable.clock.advance(200)
    early = await report("healthz", under_test.checks(), verbose=False, excluded=set())
    await discoverable.clock.advance(200)
    late = await report("healthz", under_test.checks(), verbose=False, excluded=set())

    assert early[0] == 200
    assert late[0] == 500
    assert "[-]ttl-controller failed" in late[1]
    assert "[+]deployment-controller ok" in late[1]
    running = {"name": "ttlcontroller"}
    unfinished = REGISTRY.get_sample_value("workqueue_unfinished_work_seconds", running)
    longest = REGISTRY.get_sample_value("workqueue_longest_running_processor_seconds", running)
    assert unfinished == longest
    assert longest is not None
    assert longest > 390

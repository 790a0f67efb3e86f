"""The scheduler's process: flags, and leading."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.api.resource import Key
from kplane.api.types import Lease, Pod
from kplane.runtime.health import Unhealthy
from kplane.runtime.process import Fatal
from kplane.scheduler.config import Config, parse
from kplane.scheduler.main import Running
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod


def test_flags_have_upstreams_names_and_defaults() -> None:
    config = parse(["--leader-elect=false", "--secure-port=0", "--leader-elect-lease-duration=1m", "--v=4"])

    assert config == Config(leader_elect=False, secure_port=0, lease_duration=60, verbosity=4)
    assert (Config().leader_elect, Config().secure_port) == (True, 10259)


def test_a_manifest_of_upstream_starts() -> None:
    asked = Path("/etc/kubernetes/scheduler.conf")
    config = parse(
        [
            f"--authentication-kubeconfig={asked}", f"--authorization-kubeconfig={asked}",
            "--bind-address=127.0.0.1", f"--kubeconfig={asked}", "--leader-elect=true",
        ]
    )  # fmt: skip

    assert (config.kubeconfig, config.bind_address) == (asked, "127.0.0.1")
    assert config.delegation.authentication_kubeconfig == asked
    assert config.delegation.authorization_kubeconfig == asked
    # Where no flag names the authority of clients, it is found when the API server can be asked.
    assert config.delegation.authentication_tolerate_lookup_failure


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(["--unknown"], id="unknown"),
        pytest.param(["--leader-elect-lease-duration=soon"], id="not-a-duration"),
        pytest.param(["--leader-elect-lease-duration=5s"], id="shorter-than-the-renew-deadline"),
    ],
)
def test_flags_that_make_no_sense_are_fatal(flags: list[str]) -> None:
    with pytest.raises(Fatal):
        parse(flags)


async def test_it_schedules_once_it_leads(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_pod())
    running = Running(cluster.client(), cluster.clock, cluster.entropy)
    with pytest.raises(Unhealthy):
        await running.check_synced()

    cluster.start(running.lead(Config()))
    await cluster.advance(5)

    lease = cluster.get(Lease, Key("kube-system", "kube-scheduler"))
    assert lease is not None
    assert lease.spec.holder_identity
    pod = cluster.get(Pod, Key("default", "web"))
    assert pod is not None
    assert pod.spec.node_name == "a"
    await running.check_synced()
    assert [event.reason for event in cluster.events()] == ["Scheduled"]

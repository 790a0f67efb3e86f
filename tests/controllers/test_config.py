"""Flags of the controller manager."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.controllers.config import OFF_BY_DEFAULT, parse
from kplane.controllers.registry import worker_flags
from kplane.runtime.process import Fatal

KNOWN = worker_flags()
ALL = set(KNOWN) - OFF_BY_DEFAULT


def test_defaults_are_upstreams() -> None:
    config = parse([], KNOWN)

    assert config.leader_elect
    assert (config.secure_port, config.bind_address) == (10257, "0.0.0.0")
    assert (config.lease_duration, config.renew_deadline, config.retry_period) == (15, 10, 2)
    assert config.workers["deployment-controller"] == 5
    assert config.workers["garbage-collector-controller"] == 20
    assert config.max_endpoints_per_slice == 100
    assert {name for name in KNOWN if not config.enabled(name)} == OFF_BY_DEFAULT


def test_flags_are_read() -> None:
    config = parse(
        [
            "--kubeconfig=/etc/kubeconfig", "--leader-elect=false", "--secure-port=0", "--v=4",
            "--concurrent-deployment-syncs=9", "--leader-elect-lease-duration=1m30s",
        ],
        KNOWN,
    )  # fmt: skip

    assert config.kubeconfig == Path("/etc/kubeconfig")
    assert not config.leader_elect
    assert (config.secure_port, config.verbosity, config.lease_duration) == (0, 4, 90)
    assert config.workers["deployment-controller"] == 9


def test_periods_in_which_endpoints_are_gathered_are_read() -> None:
    config = parse(
        [
            "--endpoint-updates-batch-period=500ms", "--endpointslice-updates-batch-period=2s",
            "--mirroring-endpointslice-updates-batch-period=1m",
        ],
        KNOWN,
    )  # fmt: skip

    assert config.endpoint_updates_batch_period == 0.5
    assert config.endpointslice_updates_batch_period == 2
    assert config.mirroring_endpointslice_updates_batch_period == 60
    assert parse([], KNOWN).endpointslice_updates_batch_period == 0


@pytest.mark.parametrize(
    ("flag", "enabled"),
    [
        pytest.param("*,-namespace-controller", ALL - {"namespace-controller"}, id="all-but-one"),
        pytest.param("namespace-controller", {"namespace-controller"}, id="only-one"),
        pytest.param("*", ALL, id="all"),
        pytest.param("*,kubelet-serving-approving-controller", set(KNOWN), id="one-that-is-off-by-default"),
        pytest.param("cronjob", {"cronjob-controller"}, id="short-name"),
        pytest.param("*,-endpoint", ALL - {"endpoints-controller"}, id="all-but-a-short-name"),
    ],
)
def test_controllers_are_chosen_by_name(flag: str, enabled: set[str]) -> None:
    config = parse([f"--controllers={flag}"], KNOWN)

    assert {name for name in KNOWN if config.enabled(name)} == enabled


def test_feature_gates_are_read_and_the_last_word_counts() -> None:
    config = parse(["--feature-gates=One=true,Two=false", "--feature-gates=Two=true"], KNOWN)

    assert config.feature_gates == {"One": True, "Two": True}


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        pytest.param(
            "--controllers=nonsense", '"nonsense" is not in the list of known controllers', id="name"
        ),
        pytest.param("--leader-elect-retry-period=soon", '"soon" is not a duration', id="duration"),
        pytest.param("--concurrent-gc-syncs=0", "must be at least 1", id="workers"),
        pytest.param("--max-endpoints-per-slice=2000", "from 1 to 1000", id="slice-size"),
        pytest.param("--cluster-cidr=10.0.0.0/99", "invalid --cluster-cidr", id="network"),
        pytest.param("--cluster-cidr=10.0.0.0/8,10.1.0.0/16", "one network of each", id="two-networks"),
        pytest.param("--allocate-node-cidrs", "--cluster-cidr must be set", id="no-network"),
        pytest.param(
            ["--allocate-node-cidrs", "--cluster-cidr=10.0.0.0/28"], "mask size 24 does not fit", id="mask"
        ),
        pytest.param(
            ["--allocate-node-cidrs", "--cluster-cidr=10.0.0.0/8,fd00::/56", "--node-cidr-mask-size=24"],
            "not allowed with dual-stack",
            id="mask-of-both-families",
        ),
        pytest.param(
            ["--allocate-node-cidrs", "--cluster-cidr=fd00::/32"], "node CIDR size is too big", id="too-many"
        ),
        pytest.param("--mirroring-max-endpoints-per-subset=0", "from 1 to 1000", id="mirrored"),
        pytest.param("--feature-gates=DRADeviceTaints", "missing bool value for DRADeviceTaints", id="gate"),
        pytest.param("--feature-gates=X=perhaps", "invalid value of X=perhaps", id="gate-value"),
        pytest.param("--nonsense", "unrecognized arguments", id="flag"),
    ],
)
def test_bad_flags_are_fatal(argument: str | list[str], said: str) -> None:
    with pytest.raises(Fatal, match=said):
        parse([argument] if isinstance(argument, str) else argument, KNOWN)


def test_flags_of_volumes_that_mean_nothing_here_are_taken() -> None:
    argv = [
        "--enable-hostpath-provisioner=true", "--flex-volume-plugin-dir=/plugins",
        "--attach-detach-reconcile-sync-period=2m", "--disable-attach-detach-reconcile-sync",
    ]  # fmt: skip
    assert parse(argv, worker_flags()) == parse([], worker_flags())


def test_flags_of_volumes_and_quotas_are_read() -> None:
    argv = [
        "--pvclaimbinder-sync-period=1m", "--enable-dynamic-provisioning=false",
        "--disable-force-detach-on-timeout", "--resource-quota-sync-period=10s",
    ]  # fmt: skip
    config = parse(argv, worker_flags())
    assert (config.pvclaimbinder_sync_period, config.resource_quota_sync_period) == (60, 10)
    assert not config.enable_dynamic_provisioning
    assert config.disable_force_detach_on_timeout


def test_a_manifest_of_upstream_starts_and_its_flags_without_effect_are_known() -> None:
    config = parse(
        [
            "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf", "--profiling=false",
            "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf", "--permit-port-sharing",
            "--bind-address=127.0.0.1", "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-name=kubernetes", "--controllers=*,bootstrapsigner,tokencleaner",
            "--kubeconfig=/etc/kubernetes/controller-manager.conf", "--leader-elect=true",
            "--leader-elect-resource-lock=leases",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
            "--root-ca-file=/etc/kubernetes/pki/ca.crt", "--use-service-account-credentials=true",
            "--service-account-private-key-file=/etc/kubernetes/pki/sa.key",
        ],
        KNOWN,
    )  # fmt: skip

    assert config.bind_address == "127.0.0.1"
    asked = Path("/etc/kubernetes/controller-manager.conf")
    assert config.delegation.authentication_kubeconfig == asked
    assert config.delegation.authorization_kubeconfig == asked
    assert config.delegation.client_ca_file == Path("/etc/kubernetes/pki/ca.crt")
    assert not config.delegation.authentication_tolerate_lookup_failure
    assert config.ignored == (
        "--profiling", "--permit-port-sharing", "--cluster-name", "--leader-elect-resource-lock",
        "--requestheader-client-ca-file",
    )  # fmt: skip
    assert parse([], KNOWN).ignored == ()


@pytest.mark.parametrize(
    "flag", ["--profiling=perhaps", "--leader-elect-resource-lock=endpoints", "--cluster-name"]
)
def test_flags_without_effect_have_to_make_sense(flag: str) -> None:
    with pytest.raises(Fatal):
        parse([flag], KNOWN)

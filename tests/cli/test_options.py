"""Choices that follow from the machine, and the processes that follow from the choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.cli import options
from kplane.cli.layout import Layout
from kplane.cli.lock import held, locked
from kplane.cli.options import Options, Runtime, StoreKind, choose_runtime, node_address, reachable_at
from kplane.cli.plan import Ports, processes
from kplane.cli.up import choose_ports
from kplane.runtime.process import Fatal


def make_options(**changes: object) -> Options:
    base = {
        "port": 6443,
        "store": StoreKind.SQLITE,
        "etcd_servers": "",
        "runtime": Runtime.HOLLOW,
        "nodes": 1,
        "node_name": "n",
    }
    return Options(**(base | changes))  # type: ignore[arg-type]


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "missing_for_containers", lambda: ["root", "containerd"])


@pytest.mark.usefixtures("bare_machine")
def test_auto_falls_back_to_hollow() -> None:
    assert choose_runtime(Runtime.AUTO) is Runtime.HOLLOW


@pytest.mark.usefixtures("bare_machine")
def test_containerd_where_it_cannot_run_says_what_is_missing_and_what_to_do() -> None:
    with pytest.raises(Fatal, match=r"needs root, containerd; install it .* or use --runtime hollow"):
        choose_runtime(Runtime.CONTAINERD)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ["apiserver", "scheduler", "controller-manager", "kubelet", "metrics-server"]),
        ({"metrics_server": False}, ["apiserver", "scheduler", "controller-manager", "kubelet"]),
        (
            {"runtime": Runtime.CONTAINERD, "store": StoreKind.ETCD},
            [
                "etcd",
                "containerd",
                "apiserver",
                "scheduler",
                "controller-manager",
                "kubelet",
                "proxy",
                "metrics-server",
            ],
        ),
        (
            {"store": StoreKind.ETCD, "etcd_servers": "http://127.0.0.1:2379"},
            ["apiserver", "scheduler", "controller-manager", "kubelet", "metrics-server"],
        ),
    ],
    ids=["hollow on sqlite", "no metrics server", "containerd on own etcd", "external etcd"],
)
def test_processes_follow_the_options(tmp_path: Path, changes: dict[str, object], names: list[str]) -> None:
    specs = processes(Layout(tmp_path), make_options(**changes), Ports(6443, etcd=1, etcd_peer=2))

    assert [spec.name for spec in specs] == names


def test_upstream_ports_beside_the_default_port_only() -> None:
    assert choose_ports(make_options()).scheduler == 10259
    other = choose_ports(make_options(port=0))
    assert other.api > 0
    assert {other.scheduler, other.kubelet, other.controller_manager}.isdisjoint({10259, 10250, 10257})


def test_node_address_is_unreachable_from_other_machines() -> None:
    assert node_address(Runtime.HOLLOW, "10.244.0.0/24") == "127.0.0.1"
    assert node_address(Runtime.CONTAINERD, "10.244.0.0/24") == "10.244.0.1"


def test_a_bind_address_is_where_other_machines_find_the_cluster() -> None:
    assert reachable_at("127.0.0.1") == "127.0.0.1"
    with pytest.raises(Fatal, match="--bind-address here is not an IP address"):
        reachable_at("here")


def test_second_cluster_in_one_folder_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    refusal = pytest.raises(Fatal, match=r"already \(pid \d+\); stop it with `kplane down`")
    with locked(layout), refusal, locked(layout):
        pass


def test_lock_is_seen_from_outside_while_it_is_held(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    assert not held(layout)
    with locked(layout):
        assert held(layout)
    assert not held(layout)


def test_folder_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="too long for sockets"):
        Layout(tmp_path / ("x" * 120)).make()


def test_unwritable_folder_is_a_fatal() -> None:
    with pytest.raises(Fatal, match="cannot create the data folder /proc/kplane"):
        Layout(Path("/proc/kplane")).make()


@pytest.mark.parametrize("path", ["/kplane", "/kplane-demo-1", "/a/b"])
def test_a_node_may_be_given_a_cgroup_of_its_own(tmp_path: Path, path: str) -> None:
    made = make_options(runtime=Runtime.CONTAINERD, cgroup_root=options.cgroup(path))

    specs = {spec.name: spec for spec in processes(Layout(tmp_path), made, choose_ports(made))}

    assert f"--cgroup-root={path}" in specs["kubelet"].argv


@pytest.mark.parametrize("path", ["", "/", "kplane", "/kplane/", "/../kplane", "//kplane", "/a/./b"])
def test_what_is_no_cgroup_of_a_nodes_own_is_refused(path: str) -> None:
    with pytest.raises(Fatal, match="--cgroup-root"):
        options.cgroup(path)

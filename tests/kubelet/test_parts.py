"""Small pure parts: resources, back-off, images' names, DNS, hosts, flags, admission of sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kplane.kubelet import dns, flags, hosts, resources, sandbox
from kplane.kubelet.admission import request
from kplane.kubelet.backoff import BackOff
from kplane.kubelet.credentials import for_image, registry_of
from kplane.kubelet.images import with_default_tag
from kplane.kubelet.main import main
from kplane.kubelet.runtime.interface import Dns, RuntimeFailure

from .support import config_in, pod_of

WEB = {"name": "web", "image": "web:1"}


def with_resources(requests: Any = None, limits: Any = None) -> Any:
    return pod_of(WEB | {"resources": {"requests": requests or {}, "limits": limits or {}}})


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        pytest.param({}, {}, "BestEffort", id="nothing"),
        pytest.param({"cpu": "1"}, {}, "Burstable", id="request only"),
        pytest.param({}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed", id="limits stand for requests"),
        pytest.param({"cpu": "500m"}, {"cpu": "1", "memory": "1Gi"}, "Burstable", id="less than the limit"),
        pytest.param({"cpu": "1000m"}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed", id="equal, other words"),
    ],
)
def test_qos_class(requests: Any, limits: Any, expected: str) -> None:
    assert resources.qos_class(with_resources(requests, limits)) == expected


def test_cgroup_values_of_a_container() -> None:
    pod = with_resources({"cpu": "250m", "memory": "1Gi"}, {"cpu": "500m", "memory": "2Gi"})

    found = resources.for_container(pod, pod.spec.containers[0], 4 << 30)

    assert (found.cpu_shares, found.cpu_quota, found.cpu_period) == (256, 50_000, 100_000)
    assert found.memory_bytes == 2 << 30
    assert found.oom_score_adj == 750


def test_pod_limit_needs_a_limit_on_every_container() -> None:
    limited = WEB | {"resources": {"limits": {"memory": "1Gi"}}}

    assert resources.for_pod(pod_of(limited)).memory_bytes == 1 << 30
    assert resources.for_pod(pod_of(limited, {"name": "b", "image": "b"})).memory_bytes == 0


def test_request_counts_the_peak_of_initialization() -> None:
    def needs(cpu: str, **more: Any) -> Any:
        return {"name": f"c{cpu}", "image": "i", "resources": {"requests": {"cpu": cpu}}, **more}

    pod = pod_of(needs("1"), init=(needs("2", restartPolicy="Always"), needs("3")))

    assert request(pod, "cpu") == 5000


def test_back_off_doubles_to_five_minutes_and_is_forgotten_after_ten() -> None:
    backoff, now = BackOff(), 0.0
    delays = []
    for _ in range(7):
        backoff.next("web", now, now)
        delays.append(backoff.remaining("web", now, now))
        now += delays[-1]

    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.remaining("web", now + 601, now + 601) == 0


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param("busybox", "busybox:latest", id="bare"),
        pytest.param("localhost:5000/a/b", "localhost:5000/a/b:latest", id="port is no tag"),
        pytest.param("a/b:1.0", "a/b:1.0", id="tagged"),
        pytest.param(f"a@sha256:{'0' * 64}", f"a@sha256:{'0' * 64}", id="digest"),
    ],
)
def test_default_tag(image: str, expected: str) -> None:
    assert with_default_tag(image) == expected


@pytest.mark.parametrize("image", ["", "a/Upper", "a b", "a:", "-a"])
def test_broken_image_name_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match="couldn't parse image name"):
        with_default_tag(image)


@pytest.mark.parametrize(
    ("image", "place"),
    [
        pytest.param("busybox:1", "docker.io/busybox:1", id="hub"),
        pytest.param("team/app", "docker.io/team/app", id="hub with path"),
        pytest.param("example.com/app", "example.com/app", id="named"),
        pytest.param("localhost:5000/app", "localhost:5000/app", id="local"),
    ],
)
def test_registry_of_an_image(image: str, place: str) -> None:
    assert registry_of(image) == place


def test_without_pull_secrets_there_are_no_credentials() -> None:
    assert for_image("busybox", []) == []


CLUSTER_SEARCHES = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan")
NO_POLICY = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.2.3.4"]}}


@pytest.mark.parametrize(
    ("spec", "servers", "searches"),
    [
        pytest.param({}, ("10.0.0.10",), CLUSTER_SEARCHES, id="cluster first"),
        pytest.param({"hostNetwork": True}, ("192.0.2.53",), ("lan",), id="host network"),
        pytest.param({"dnsPolicy": "Default"}, ("192.0.2.53",), ("lan",), id="default"),
        pytest.param(NO_POLICY, ("1.2.3.4",), (), id="none"),
    ],
)
def test_dns_by_policy(tmp_path: Path, spec: Any, servers: Any, searches: Any) -> None:
    node = dns.parse("# comment\nnameserver 192.0.2.53\nsearch lan\noptions timeout:1\n")
    config = config_in(tmp_path, cluster_dns=("10.0.0.10",))

    found = dns.for_pod(pod_of(**spec), config, node)

    assert (found.servers, found.searches) == (servers, searches)


def test_dns_options_of_the_pod_win(tmp_path: Path) -> None:
    pod = pod_of(dnsConfig={"options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]})

    found = dns.for_pod(pod, config_in(tmp_path, cluster_dns=("10.0.0.10",)), Dns())

    assert found.options == ("ndots:2", "edns0")


def test_hosts_file_names_the_pod_and_its_aliases() -> None:
    pod = pod_of(hostname="h", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}])

    lines = hosts.content(pod, ["10.1.0.2"], "cluster.local").splitlines()

    assert "10.1.0.2\th.sub.default.svc.cluster.local\th" in lines
    assert "1.2.3.4\tx\ty" in lines


def test_kernel_is_called_by_the_full_name_and_the_hosts_file_by_both() -> None:
    pod = pod_of(hostname="h", subdomain="sub", setHostnameAsFQDN=True)

    assert sandbox.kernel_name(pod, "cluster.local") == "h.sub.default.svc.cluster.local"
    assert "10.1.0.2\th.sub.default.svc.cluster.local\th" in hosts.content(pod, ["10.1.0.2"], "cluster.local")


def test_full_name_that_the_kernel_cannot_hold_is_refused() -> None:
    pod = pod_of(hostname="h" * 40, subdomain="sub", setHostnameAsFQDN=True)

    with pytest.raises(
        RuntimeFailure, match=r"is too long \(64 characters is the max, 70 characters requested"
    ):
        sandbox.kernel_name(pod, "cluster.local")


def test_override_is_the_whole_name() -> None:
    pod = pod_of(hostname="h", subdomain="sub", hostnameOverride="over.example.com")

    assert sandbox.hostname(pod, "cluster.local") == ("over.example.com", "")


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        pytest.param("10.5.0.0/16", ("10.5.0.0/24", "10.5.1.0/24"), id="divided"),
        pytest.param("10.5.0.0/24", ("10.5.0.0/24", "10.5.1.0/24"), id="continued"),
    ],
)
def test_hollow_nodes_get_names_and_ranges_of_their_own(cidr: str, expected: tuple[str, str]) -> None:
    given = flags.parser().parse_args(
        ["--hostname-override=n", "--container-runtime-endpoint=hollow://", "--hollow-nodes=2",
         f"--pod-cidr={cidr}", "--node-ip=192.0.2.1", "--node-labels=a=b,c=d"]
    )  # fmt: skip

    first, second = flags.configs(given, "https://127.0.0.1:6443")

    assert (first.node_name, second.node_name) == ("n-0", "n-1")
    assert (first.pod_cidr, second.pod_cidr) == expected
    assert first.node_labels == {"a": "b", "c": "d"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--hollow-nodes=2"], "--hollow-nodes needs", id="hollow nodes of a real runtime"),
        pytest.param(["--register-with-taints=x"], "is not key=value:effect", id="taint"),
        pytest.param(["--bogus"], "unrecognized arguments: --bogus", id="unknown flag"),
    ],
)
def test_bad_flags_end_with_one_line(
    arguments: list[str], message: str, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"--kubeconfig={kubeconfig}", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_absent_runtime_ends_with_one_line_that_says_what_to_do(
    kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--kubeconfig={kubeconfig}", f"--root-dir={tmp_path}", "--port=0", "--address=127.0.0.1"]

    status = main([*arguments, f"--container-runtime-endpoint=unix://{tmp_path}/none.sock"])

    error = capsys.readouterr().err
    assert status == 1
    assert error.startswith("kubelet: no container runtime answers at unix://")
    assert "start containerd" in error.splitlines()[0]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    cluster = "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]"
    context = "contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]"
    path.write_text(f"apiVersion: v1\nkind: Config\n{cluster}\n{context}\ncurrent-context: x\n")
    return path

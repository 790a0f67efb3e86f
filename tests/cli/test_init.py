"""`kplane init`: what it makes, what it says, and what it refuses."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from typer.testing import CliRunner

from kplane.api.clock import Entropy, SystemClock
from kplane.api.resource import Resource
from kplane.api.types import ConfigMap, Secret
from kplane.apiserver import config as apiserver
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.cli import certs, init, tokens
from kplane.cli.initcommand import app
from kplane.cli.layout import Layout
from kplane.cli.prepare import KUBECONFIGS, write_kubeconfigs
from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import connect
from kplane.controllers import config as controllers
from kplane.controllers.registry import worker_flags
from kplane.metricsserver import config as metricsserver
from kplane.runtime import pki
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig
from kplane.scheduler import config as scheduler
from kplane.testing.clock import VirtualClock

SERVICES: Resource[dict[str, Any]] = Resource("", "v1", "services", "Service", True, dict)
API_SERVICES: Resource[dict[str, Any]] = Resource(
    "apiregistration.k8s.io", "v1", "apiservices", "APIService", False, dict
)
WISH = init.Wish(endpoint="api.example.net:8443", advertise_address="192.0.2.1")
CONFIGS = (
    "admin.conf", "super-admin.conf", "scheduler.conf", "controller-manager.conf", "metrics-server.conf"
)  # fmt: skip


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "made")


def names(certificate: Path) -> set[str]:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    found = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*found.get_values_for_type(x509.DNSName)} | {
        str(address) for address in found.get_values_for_type(x509.IPAddress)
    }


def subject(certificate: bytes | None) -> str:
    assert certificate is not None
    return x509.load_pem_x509_certificate(certificate).subject.rfc4514_string()


def flags(made: Sequence[init.Command], component: str) -> list[str]:
    [found] = [command.words for command in made if command.words[:2] == ["kplane", component]]
    return list(found[2:])


def test_each_kubeconfig_is_complete_and_its_components_own(layout: Layout, clock: VirtualClock) -> None:
    init.init(layout, WISH, clock)

    found = {name: kubeconfig.load(layout.root / name) for name in CONFIGS}
    assert {name: subject(held.certificate) for name, held in found.items()} == {
        "admin.conf": "CN=kubernetes-admin,O=kubeadm:cluster-admins",
        "super-admin.conf": "CN=kubernetes-super-admin,O=system:masters",
        "scheduler.conf": "CN=system:kube-scheduler",
        "controller-manager.conf": "CN=system:kube-controller-manager",
        "metrics-server.conf": (
            "CN=system:serviceaccount:kube-system:metrics-server,"
            "O=system:serviceaccounts:kube-system,O=system:serviceaccounts"
        ),
    }
    assert {held.server for held in found.values()} == {"https://api.example.net:8443"}
    # Nothing is elsewhere: the file alone can be taken to another machine.
    assert not [held for held in found.values() if held.certificate_file or held.key_file]


def test_secrets_are_their_owners(layout: Layout, clock: VirtualClock) -> None:
    init.init(layout, WISH, clock)

    secret = [path for path in layout.root.rglob("*") if path.suffix in (".key", ".conf")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert stat.S_IMODE(layout.root.stat().st_mode) == 0o700


def test_the_servers_certificates_carry_every_name_that_leads_to_them(
    layout: Layout, clock: VirtualClock
) -> None:
    wish = replace(
        WISH,
        extra_names=("api-1", "192.0.2.9", "2001:db8::1"),
        service_cidr="10.32.0.0/16",
        etcd_servers=("https://etcd-1:2379", "https://192.0.2.20:2379"),
    )

    init.init(layout, wish, clock)

    assert names(layout.pki / "apiserver.crt") >= {
        "api.example.net", "api-1", "kubernetes.default.svc", "localhost", "127.0.0.1",
        "192.0.2.1", "192.0.2.9", "2001:db8::1", "10.32.0.1",
    }  # fmt: skip
    for name in ("server", "peer"):
        assert names(layout.pki / "etcd" / f"{name}.crt") >= {"etcd-1", "192.0.2.20", "localhost"}


def test_what_is_good_stays_and_a_new_name_is_added(layout: Layout, clock: VirtualClock) -> None:
    init.init(layout, WISH, clock)
    before = {path: path.read_bytes() for path in layout.pki.rglob("*.crt")}

    init.init(layout, WISH, clock)
    assert {path: path.read_bytes() for path in layout.pki.rglob("*.crt")} == before

    init.init(layout, replace(WISH, extra_names=("another",)), clock)
    assert "another" in names(layout.pki / "apiserver.crt")
    assert (layout.pki / "ca.crt").read_bytes() == before[layout.pki / "ca.crt"]


def test_the_components_understand_what_they_are_to_be_started_with(
    layout: Layout, clock: VirtualClock
) -> None:
    made = init.init(layout, WISH, clock)

    served = apiserver.parse(flags(made, "apiserver"))
    assert served.tls_cert_file == layout.pki / "apiserver.crt"
    assert served.etcd_servers == ("https://127.0.0.1:2379",)
    assert served.etcd_certfile == layout.pki / "apiserver-etcd-client.crt"
    assert served.advertise_address == "192.0.2.1"
    scheduling = scheduler.parse(flags(made, "scheduler"))
    assert scheduling.kubeconfig == layout.root / "scheduler.conf"
    managed = controllers.parse(flags(made, "controller-manager"), worker_flags())
    # Their metrics are for those whom the API server allows to read them.
    for config in (scheduling, managed):
        assert config.delegation.authentication_kubeconfig == config.kubeconfig
        assert config.delegation.authorization_kubeconfig == config.kubeconfig
        assert config.delegation.client_ca_file == layout.pki / "ca.crt"
    assert managed.root_ca_file == layout.pki / "ca.crt"
    # More than one of each may be started.
    assert managed.leader_elect
    # Nodes that join prove by themselves that they are the kubelets at their addresses.
    assert managed.enabled("kubelet-serving-approving-controller")
    measured = metricsserver.parse(flags(made, "metrics-server"))
    assert measured.kubeconfig == layout.root / "metrics-server.conf"
    assert not measured.kubelet_insecure_tls
    named = {word.partition("=")[2] for command in made for word in command.words}
    assert not [path for path in named if path.startswith(str(layout.root)) and not Path(path).exists()]


def test_each_member_of_etcd_is_told_of_all(layout: Layout, clock: VirtualClock) -> None:
    wish = replace(WISH, etcd_servers=("https://etcd-1:2379", "https://etcd-2:12379"))

    made = init.init(layout, wish, clock)

    [first, second] = [command.words for command in made if command.words[0] == "etcd"]
    assert "--initial-cluster=etcd-1=https://etcd-1:2380,etcd-2=https://etcd-2:2380" in first
    assert "--name=etcd-2" in second
    assert "--listen-client-urls=https://0.0.0.0:12379" in second


def test_an_etcd_without_tls_gets_no_certificates(layout: Layout, clock: VirtualClock) -> None:
    made = init.init(layout, replace(WISH, etcd_servers=("http://192.0.2.20:2379",)), clock)

    assert not (layout.pki / "etcd").exists()
    assert not [command for command in made if command.words[0] == "etcd"]
    assert apiserver.parse(flags(made, "apiserver")).etcd_cafile is None


def test_a_renewed_certificate_is_in_its_kubeconfig(layout: Layout, clock: VirtualClock) -> None:
    init.init(layout, WISH, clock)
    before = {name: kubeconfig.load(layout.root / name).certificate for name in CONFIGS}

    certs.renew(layout, ["admin", "kube-scheduler", "metrics-server"], clock)

    after = {name: kubeconfig.load(layout.root / name) for name in CONFIGS}
    changed = {name for name in CONFIGS if after[name].certificate != before[name]}
    assert changed == {"admin.conf", "scheduler.conf", "metrics-server.conf"}
    assert subject(after["metrics-server.conf"].certificate) == subject(before["metrics-server.conf"])
    assert after["scheduler.conf"].key == (layout.pki / "kube-scheduler.key").read_bytes()
    assert {held.server for held in after.values()} == {"https://api.example.net:8443"}
    assert not layout.admin_kubeconfig.exists()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        pytest.param("api", "https://api:6443", id="name"),
        pytest.param("192.0.2.1:443", "https://192.0.2.1:443", id="address"),
        pytest.param("2001:db8::1", "https://[2001:db8::1]:6443", id="bare-ipv6"),
        pytest.param("[2001:db8::1]:443", "https://[2001:db8::1]:443", id="ipv6"),
    ],
)
def test_the_endpoint_is_a_host_with_or_without_a_port(endpoint: str, url: str) -> None:
    assert init.server_url(init.Wish(endpoint=endpoint)) == url


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"endpoint": "user@api"}, "is not HOST[:PORT]", id="user"),
        pytest.param({"endpoint": "api/path"}, "is not HOST[:PORT]", id="path"),
        pytest.param({"endpoint": "api:99999"}, "is not HOST[:PORT]", id="port"),
        pytest.param({"endpoint": "a_b"}, "neither a DNS name nor an IP address", id="name"),
        pytest.param({"endpoint": "", "advertise_address": ""}, "--control-plane-endpoint", id="none"),
        pytest.param({"advertise_address": "api"}, "is not an IP address", id="advertise"),
        pytest.param({"extra_names": ["a b"]}, "--apiserver-cert-extra-sans", id="extra"),
        pytest.param({"service_cidr": "10.0.0.0/33"}, "--service-cidr", id="services"),
        pytest.param({"service_cidr": "10.0.0.0/32"}, "--service-cidr", id="one-service"),
        pytest.param({"etcd_servers": ["etcd:2379"]}, "--etcd-servers etcd:2379", id="etcd"),
        pytest.param({"etcd_servers": ["http://a:1", "https://b:1"]}, "all speak https", id="mixed"),
        pytest.param({"etcd_servers": []}, "--etcd-servers", id="no-etcd"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    layout: Layout, clock: VirtualClock, change: dict[str, object], says: str
) -> None:
    with pytest.raises(Fatal) as refused:
        init.init(layout, replace(WISH, **change), clock)  # type: ignore[arg-type]

    assert says in str(refused.value)
    assert not layout.root.exists()


def test_a_cluster_of_kplane_up_is_left_alone(layout: Layout, clock: VirtualClock) -> None:
    layout.make()
    pki.write_private(layout.admin_kubeconfig, b"")

    with pytest.raises(Fatal, match="belongs to a cluster of `kplane up`"):
        init.init(layout, WISH, clock)


def test_verbs_and_tokens_find_the_administrator(layout: Layout, clock: VirtualClock) -> None:
    assert layout.administrator == layout.admin_kubeconfig

    init.init(layout, WISH, clock)
    assert kubeconfig.load(layout.administrator).server == "https://api.example.net:8443"

    layout.admin_kubeconfig.touch()
    assert layout.administrator == layout.admin_kubeconfig


def test_the_command_prints_how_to_go_on(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--data-dir", str(tmp_path / "d"), "--control-plane-endpoint", "api"])

    assert done.exit_code == 0
    assert f"kplane init phase bootstrap-token --kubeconfig={tmp_path}/d/super-admin.conf" in done.output
    assert "PRIVATE KEY" not in done.output


@pytest.mark.slow
async def test_nodes_can_join_once_the_api_answers(layout: Layout) -> None:
    """Twice: a token that was lost is made anew."""
    clock, entropy = SystemClock(), Entropy()
    init.init(layout, init.Wish(endpoint="127.0.0.1"), clock)
    keys = layout.pki
    listen = ServingConfig(
        address="127.0.0.1",
        port=0,
        cert_file=keys / "apiserver.crt",
        key_file=keys / "apiserver.key",
        client_ca_file=keys / "ca.crt",
    )
    config = ApiServerConfig(
        storage_dir=layout.root / "store",
        bind_address="127.0.0.1",
        client_ca_file=keys / "ca.crt",
        authorization=AuthorizationSettings(modes=("Node", "RBAC")),
    )
    async with ApiServer(config) as server, Serving(server.app, listen) as serving:
        url = f"https://127.0.0.1:{serving.port}"
        write_kubeconfigs(layout, KUBECONFIGS, url)
        path = layout.root / "super-admin.conf"
        made = [tokens.generate(entropy) for _ in range(2)]

        said = [await init.let_nodes_join(path, tokens.Wish(token), clock) for token in made]

        for line, token in zip(said, made, strict=True):
            assert line.startswith(f"kplane join 127.0.0.1:{serving.port} --token {token} --discovery-token")
        stranger = connect(Credentials(url, ca=(keys / "ca.crt").read_bytes()))
        # From here on the administrator may do everything; who is nobody may see where the cluster is.
        admin = connect(kubeconfig.load(layout.root / "admin.conf"))
        try:
            info = await stranger.get(ConfigMap, "cluster-info", "kube-public")
            assert url in info.data["kubeconfig"]
            found = {secret.metadata.name for secret in (await admin.list(Secret, "kube-system")).items}
            assert {token.secret_name for token in made} <= found
            await init.announce_metrics_server(path, "metrics.example.net:8443")
            service = await admin.get(SERVICES, "metrics-server", "kube-system")
            assert service["spec"]["externalName"] == "metrics.example.net"
            for version in ("v1", "v1beta1"):
                aggregated = await admin.get(API_SERVICES, f"{version}.metrics.k8s.io")
                assert aggregated["spec"]["service"]["port"] == 8443
        finally:
            await stranger.close()
            await admin.close()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        pytest.param("", "--metrics-server-address HOST[:PORT]", id="none"),
        pytest.param("a_b", "neither a DNS name nor an IP address", id="name"),
        pytest.param("a:b", "--metrics-server-address a:b is not HOST[:PORT]", id="port"),
        pytest.param("2001:db8::1", "cannot lead to an IPv6 address", id="ipv6"),
    ],
)
async def test_a_metrics_server_that_cannot_be_found_is_told(layout: Layout, address: str, says: str) -> None:
    with pytest.raises(Fatal) as refused:
        await init.announce_metrics_server(layout.root / "super-admin.conf", address)

    assert says in str(refused.value)


async def test_a_kubeconfig_that_is_not_there_is_told(layout: Layout, clock: VirtualClock) -> None:
    with pytest.raises(Fatal, match=r"super-admin\.conf"):
        await init.let_nodes_join(
            layout.root / "super-admin.conf", tokens.Wish(tokens.generate(Entropy())), clock
        )

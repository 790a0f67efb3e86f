"""The kubelet's configuration file, and how it goes with flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.kubelet import flags
from kplane.kubelet.server.authorization import Mode
from kplane.runtime.process import Fatal

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_without_a_file_the_defaults_are_those_of_upstreams_flags() -> None:
    given = flags.parse([])
    authentication, authorization = flags.authentication(given), flags.authorization(given)

    assert (authentication.anonymous, authentication.webhook, authentication.cache_ttl) == (True, False, 120)
    assert authorization.mode is Mode.ALWAYS_ALLOW
    assert (given.port, given.healthz_port, given.max_pods) == (10250, 10248, 110)


def test_a_file_that_says_nothing_closes_the_node(file: Path) -> None:
    file.write_text(HEAD)
    given = flags.parse([f"--config={file}"])
    authentication, authorization = flags.authentication(given), flags.authorization(given)

    assert (authentication.anonymous, authentication.webhook, authentication.cache_ttl) == (False, True, 120)
    assert authorization.mode is Mode.WEBHOOK
    assert (authorization.authorized_ttl, authorization.unauthorized_ttl) == (300, 30)


def test_flags_count_more_than_the_file(file: Path) -> None:
    text = """\
port: 10350
maxPods: 20
clusterDNS: [10.96.0.10, "fd00::a"]
clusterDomain: example.org
nodeStatusUpdateFrequency: 1m30s
serverTLSBootstrap: true
registerWithTaints: [{key: gpu, effect: NoSchedule}, {key: a, value: b, effect: NoExecute}]
authentication: {x509: {clientCAFile: pki/ca.crt}, webhook: {cacheTTL: 10s}}
authorization: {mode: AlwaysAllow, webhook: {cacheAuthorizedTTL: 1m0s}}
evictionHard: {memory.available: 100Mi}
"""
    file.write_text(HEAD + text)
    given = flags.parse([f"--config={file}", "--max-pods=5", "--node-ip=192.0.2.1"])
    (config,) = flags.configs(given, "https://127.0.0.1:1")

    assert (config.port, config.max_pods, config.cluster_domain) == (10350, 5, "example.org")
    assert list(config.cluster_dns) == ["10.96.0.10", "fd00::a"]
    assert (config.node_status_update_frequency, config.node_status_report_frequency) == (90, 90)
    assert config.register_with_taints == [
        {"key": "gpu", "effect": "NoSchedule"},
        {"key": "a", "value": "b", "effect": "NoExecute"},
    ]
    assert given.rotate_server_certificates
    assert flags.authentication(given).client_ca_file == file.parent / "pki" / "ca.crt"
    assert (flags.authentication(given).cache_ttl, flags.authorization(given).authorized_ttl) == (10, 60)


def test_what_is_zero_is_as_if_it_was_not_said(file: Path) -> None:
    """So does kubeadm write what it leaves to the kubelet."""
    text = """\
address: ""
port: 0
maxPods: 0
nodeStatusUpdateFrequency: 0s
nodeStatusReportFrequency: 0s
authentication: {webhook: {cacheTTL: 0s}}
authorization: {webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}}
containerRuntimeEndpoint: ""
"""
    file.write_text(HEAD + text)
    given, usual = flags.parse([f"--config={file}"]), flags.parse([])
    authorization = flags.authorization(given)

    for name in ("address", "port", "max_pods", "node_status_update_frequency", "container_runtime_endpoint"):
        assert getattr(given, name) == getattr(usual, name)
    assert given.node_status_report_frequency == 300
    assert flags.authentication(given).cache_ttl == 120
    assert (authorization.authorized_ttl, authorization.unauthorized_ttl) == (300, 30)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            HEAD + "maxPod: 5\nport: 1\n", 'strict decoding error: unknown field "maxPod"', id="unknown"
        ),
        pytest.param(HEAD + "authentication: {x508: {}}", "unknown field `x508`", id="unknown-inside"),
        pytest.param(HEAD + "maxPods: many", "Expected `int", id="type"),
        pytest.param(HEAD + "authentication: {webhook: {cacheTTL: soon}}", "cacheTTL", id="duration"),
        pytest.param(HEAD + "port: 70000", "must be between 0 and 65535", id="port"),
        pytest.param(HEAD + "readOnlyPort: 10255", "readOnlyPort must be 0", id="read-only"),
        pytest.param(HEAD + "tlsCertFile: a.crt", "belong together", id="half-a-pair"),
        pytest.param(HEAD + "authorization: {mode: RBAC}", "Unknown authorization mode RBAC", id="mode"),
        pytest.param("kind: KubeletConfiguration", "no kind", id="no-version"),
        pytest.param(HEAD.replace("Kubelet", "KubeProxy"), 'no kind "KubeProxyConfiguration"', id="kind"),
        pytest.param("[1]", "is not a KubeletConfiguration", id="list"),
        pytest.param("a: [", "it is not YAML", id="yaml"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_reason(file: Path, text: str, message: str) -> None:
    file.write_text(text)

    with pytest.raises(Fatal) as fault:
        flags.parse([f"--config={file}"])
    assert message in str(fault.value)


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(Fatal, match=r"failed to load kubelet config file, path: .*config\.yaml"):
        flags.parse([f"--config={file}"])


def test_there_is_no_port_without_authentication() -> None:
    with pytest.raises(Fatal, match="--read-only-port must be 0"):
        flags.parse(["--read-only-port=10255"])

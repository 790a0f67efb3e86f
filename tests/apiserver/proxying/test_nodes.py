"""`nodes/proxy`: the kubelet with our certificate, other ports without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.runtime.health import respond
from kplane.runtime.serving import peer_certificate

from ..conftest import Api, pod
from .backend import HOST, echo, running

NODES = "/api/v1/nodes"


@pytest.fixture
def config(config: ApiServerConfig, tmp_path: Path) -> ApiServerConfig:
    keys = tmp_path / "kubelet"
    pki.ensure(keys, server_names=["localhost"], server_ips=[HOST])
    return replace(
        config,
        kubelet_client_certificate=keys / "apiserver-kubelet-client.crt",
        kubelet_client_key=keys / "apiserver-kubelet-client.key",
        kubelet_certificate_authority=keys / "ca.crt",
    )


@pytest.fixture
async def kubelet(config: ApiServerConfig) -> AsyncIterator[int]:
    assert config.kubelet_certificate_authority
    keys = config.kubelet_certificate_authority.parent
    async with running(echo, keys, keys / "ca.crt") as port:
        yield port


async def make_node(api: Api, port: int, address: str = HOST) -> None:
    made = await api.make(NODES, {"metadata": {"name": "n1"}})
    made["status"] = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    answer = await api("PUT", f"{NODES}/n1/status", made)
    assert answer.code == 200, answer.body


@pytest.mark.parametrize("name", ["n1", "n1:{port}", "https:n1:{port}", "http:n1:{port}"])
async def test_the_kubelet_sees_our_certificate(api: Api, kubelet: int, name: str) -> None:
    await make_node(api, kubelet)

    got = await api("GET", f"{NODES}/{name.format(port=kubelet)}/proxy/configz")

    assert (got.code, got.body["path"], got.body["certificate"]) == (200, "/configz", True)


async def test_another_port_of_the_node(api: Api, kubelet: int) -> None:
    async with running(echo) as port:
        await make_node(api, kubelet)

        got = await api("GET", f"{NODES}/n1:{port}/proxy/metrics")

    assert (got.code, got.body["path"], got.body["certificate"]) == (200, "/metrics", False)


async def test_other_ports_of_the_loopback_are_not_reached(api: Api, kubelet: int) -> None:
    await make_node(api, kubelet, "127.0.0.1")

    got = await api("GET", f"{NODES}/n1:2379/proxy/")

    assert (got.code, got.body["message"]) == (400, "address not allowed")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        pytest.param("gone", 404, 'nodes "gone" not found', id="no-node"),
        pytest.param("ftp:n1:21", 400, 'invalid node request "ftp:n1:21"', id="scheme"),
    ],
)
async def test_names_that_lead_nowhere(api: Api, name: str, code: int, message: str) -> None:
    got = await api("GET", f"{NODES}/{name}/proxy/")

    assert (got.code, got.body["message"]) == (code, message)


async def test_kubelet_with_a_foreign_certificate(api: Api, server: ApiServer, tmp_path: Path) -> None:
    async with running(echo, tmp_path / "stranger") as port:
        await make_node(api, port)
        got: Any = await api("GET", f"{NODES}/n1/proxy/")

    assert got.code == 503
    assert got.body["message"] == (
        "error trying to reach service: tls: failed to verify certificate: "
        "x509: certificate signed by unknown authority"
    )


async def test_a_renewed_certificate_is_shown_without_a_restart(api: Api, config: ApiServerConfig) -> None:
    authority, certificate = config.kubelet_certificate_authority, config.kubelet_client_certificate
    assert authority
    assert certificate
    keys = authority.parent
    seen: list[str] = []

    async def tell(scope: Any, receive: Any, send: Any) -> None:
        der = peer_certificate(scope)
        assert der
        seen.append(x509.load_der_x509_certificate(der).subject.rfc4514_string())
        await respond(send, 200, b"log")

    async with running(tell, keys, keys / "ca.crt") as port:
        await make_node(api, port)
        await api("GET", f"{NODES}/n1/proxy/configz")
        for suffix in (".crt", ".key"):
            renewed = (keys / f"kube-scheduler{suffix}").read_bytes()
            pki.write_private(certificate.with_suffix(suffix), renewed)
        await api("GET", f"{NODES}/n1/proxy/configz")
        await api.make("/api/v1/namespaces/default/pods", pod("web", nodeName="n1"))
        assert (await api("GET", "/api/v1/namespaces/default/pods/web/log")).code == 200

    assert seen == ["CN=kube-apiserver-kubelet-client", *["CN=system:kube-scheduler"] * 2]

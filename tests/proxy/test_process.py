"""The proxy's process in a network namespace of its own, beside an API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.runtime import pki
from kplane.testing.waiting import eventually

from .network import Namespace, Network, network

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("network")]

# Fixed in name only: nothing else lives in the namespace.
API, HEALTH, METRICS = 6443, 10256, 10249


@contextlib.asynccontextmanager
async def started(net: Network, *argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *net.prefix, sys.executable, "-m", *argv, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def get(node: Namespace, port: int, path: str) -> tuple[int, str] | None:
    """Status and body; None while nobody listens."""
    with contextlib.closing(node.socket(socket.SOCK_STREAM)) as raw:
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        except ConnectionRefusedError:
            return None
        reader, writer = await asyncio.open_connection(sock=raw)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
    return int(head.split()[1]), body


def api_server(folder: Path) -> Sequence[str]:
    """Its command line; and a kubeconfig for it in the folder."""
    pki.ensure(folder / "pki", server_names=["localhost"], server_ips=["127.0.0.1"])
    (folder / "tokens.csv").write_text('secret,proxy,1,"system:masters"\n')
    ca = (folder / "pki/ca.crt").read_bytes()
    kubeconfig.write(folder / "kubeconfig", Credentials(f"https://127.0.0.1:{API}", ca=ca, token="secret"))
    return [
        "kplane.apiserver", f"--storage-dir={folder / 'store'}", f"--secure-port={API}",
        "--bind-address=127.0.0.1", f"--tls-cert-file={folder / 'pki/apiserver.crt'}",
        f"--tls-private-key-file={folder / 'pki/apiserver.key'}",
        f"--token-auth-file={folder / 'tokens.csv'}", "--service-cluster-ip-range=10.96.0.0/16",
    ]  # fmt: skip


async def test_the_process_keeps_rules_tells_its_health_and_leaves_the_rules_behind(tmp_path: Path) -> None:
    with network(pods=0) as net:

        async def healthy() -> tuple[int, str] | None:
            found = await get(net.node, HEALTH, "/healthz")
            return found if found is not None and found[0] == 200 else None

        flags = [f"--kubeconfig={tmp_path / 'kubeconfig'}", "--hostname-override=node-1"]
        async with started(net, *api_server(tmp_path)), started(net, "kplane.proxy", *flags) as proxy:
            _, body = await eventually(healthy)
            assert json.loads(body)["nodeEligible"] is True
            assert await get(net.node, METRICS, "/proxyMode") == (200, "nftables")
            metrics = await get(net.node, METRICS, "/metrics")
            assert metrics is not None
            assert "kubeproxy_sync_proxy_rules_duration_seconds_count" in metrics[1]
            # The API server's own Service.
            assert "10.96.0.1 . tcp . 443" in net.node.run("nft", "list", "table", "ip", "kplane-proxy")
            proxy.terminate()
            assert await proxy.wait() == 0

        assert "kplane-proxy" in net.node.run("nft", "list", "tables")
        async with started(net, "kplane.proxy", "--cleanup") as cleanup:
            assert await cleanup.wait() == 0
        assert net.node.run("nft", "list", "tables") == ""


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 32123,
        "ports": [{"port": 80}],
    },
}


async def test_load_balancers_are_told_about_services(tmp_path: Path) -> None:
    kubeconfig = f"--kubeconfig={tmp_path / 'kubeconfig'}"
    manifest = tmp_path / "service.json"
    manifest.write_text(json.dumps(SERVICE))
    with network(pods=0) as net:
        flags = [kubeconfig, "--hostname-override=node-1", "--nodeport-addresses=127.0.0.0/8"]
        async with started(net, *api_server(tmp_path)), started(net, "kplane.proxy", *flags):

            async def made() -> bool:
                async with started(net, "kplane.cli", "apply", "-f", str(manifest), kubeconfig) as apply:
                    return await apply.wait() == 0

            await eventually(made, what="the Service", interval=0.2)

            async def told() -> tuple[int, str] | None:
                return await get(net.node, 32123, "/")

            code, body = await eventually(told, what="its health")

    assert code == 503
    assert json.loads(body) == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 0,
        "serviceProxyHealthy": True,
    }


async def test_without_permission_it_says_what_to_do(tmp_path: Path) -> None:
    api_server(tmp_path)
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "kplane.proxy",
        f"--kubeconfig={tmp_path / 'kubeconfig'}", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()

    assert process.returncode == 1
    assert said.decode().startswith("kplane proxy: nftables cannot be used:")
    assert said.decode().endswith("install nftables and run as root\n")

"""What joining nodes find of kubeadm's, in a server that asks RBAC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from kplane.api.errors import Forbidden
from kplane.api.types import ConfigMap
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.cli.clusterinfo import BOOTSTRAPPERS
from kplane.cli.kubeadmconfig import KUBEADM, KUBELET, KUBELET_KEY, NAMESPACE, fetch_kubelet, publish
from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport

TOKENS = f"secret,admin,1,system:masters\njoining,system:bootstrap:a,2,{BOOTSTRAPPERS}\nnobody,x,3\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    listed = tmp_path / "tokens.csv"
    listed.write_text(TOKENS)
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=listed,
        authorization=AuthorizationSettings(modes=("RBAC",)),
    )
    async with ApiServer(config) as server:
        yield server


def client(server: ApiServer, token: str) -> Client:
    return Client(AsgiTransport(server.app, token=token))


async def test_who_joins_reads_both_and_nobody_else_does(server: ApiServer) -> None:
    admin, joining, nobody = (client(server, token) for token in ("secret", "joining", "nobody"))
    await publish(admin, "https://192.0.2.1:6443")
    await publish(admin, "https://192.0.2.9:6443")

    text = await fetch_kubelet(joining)
    assert text is not None
    assert yaml.safe_load(text)["authentication"]["anonymous"] == {"enabled": False}
    found = await joining.get(ConfigMap, KUBEADM, NAMESPACE)
    cluster = yaml.safe_load(found.data["ClusterConfiguration"])
    assert cluster["controlPlaneEndpoint"] == "192.0.2.1:6443"
    assert cluster["networking"]["serviceSubnet"] == "10.96.0.0/12"
    with pytest.raises(Forbidden):
        await nobody.get(ConfigMap, KUBELET, NAMESPACE)
    with pytest.raises(Forbidden):
        await joining.list(ConfigMap, NAMESPACE)


async def test_what_an_administrator_wrote_stays(server: ApiServer) -> None:
    admin = client(server, "secret")
    await publish(admin, "https://192.0.2.1:6443")
    await admin.patch(ConfigMap, KUBELET, NAMESPACE, {"data": {KUBELET_KEY: "mine"}})

    await publish(admin, "https://192.0.2.1:6443")

    assert await fetch_kubelet(client(server, "joining")) == "mine"


async def test_a_cluster_without_a_configuration_for_kubelets_has_none(server: ApiServer) -> None:
    assert await fetch_kubelet(client(server, "joining")) is None

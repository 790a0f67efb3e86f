"""kubectl with identities: tokens of service accounts, who am I, acting as somebody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

from ..kubectl import Kubectl

pytestmark = pytest.mark.slow


@pytest.fixture
async def kubectl(config: ApiServerConfig, tmp_path: Path) -> AsyncIterator[Kubectl]:
    """kubectl, and a server that issues tokens with the keys of the cluster's own PKI."""
    keys = tmp_path / "pki"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    accounts = ServiceAccountSettings(
        issuers=("https://kubernetes.default.svc",),
        key_files=(keys / "sa.pub",),
        signing_key_file=keys / "sa.key",
    )
    config = replace(
        config,
        client_ca_file=keys / "ca.crt",
        authentication=AuthenticationSettings(service_accounts=accounts),
    )
    listen = ServingConfig(
        address="127.0.0.1",
        port=0,
        cert_file=keys / "apiserver.crt",
        key_file=keys / "apiserver.key",
        client_ca_file=keys / "ca.crt",
    )
    async with ApiServer(config) as server, Serving(server.app, listen) as serving:
        yield Kubectl(serving.port, keys, tmp_path)


async def test_kubectl_creates_tokens(kubectl: Kubectl) -> None:
    await kubectl("create", "serviceaccount", "robot")

    token = (await kubectl("create", "token", "robot", "--duration=20m", "--audience=vault")).strip()

    found = jwt.decode(token, options={"verify_signature": False})
    assert found["aud"] == ["vault"]
    assert found["exp"] - found["iat"] == 1200


async def test_kubectl_knows_who_it_is_and_acts_as(kubectl: Kubectl) -> None:
    await kubectl("create", "serviceaccount", "robot")

    assert "kubernetes-admin" in await kubectl("auth", "whoami")
    assert "ann" in await kubectl("auth", "whoami", "--as=ann", "--as-group=dev", "--as-uid=7")
    assert "system:serviceaccounts:default" in await kubectl(
        "auth", "whoami", "--as=system:serviceaccount:default:robot"
    )


async def test_can_i_answers_for_whom_one_acts_as(kubectl: Kubectl) -> None:
    assert (await kubectl("auth", "can-i", "get", "pods")).strip() == "yes"
    refused = await kubectl("auth", "can-i", "get", "pods", "--as=system:anonymous", fails=True)
    assert "no" in refused or "Forbidden" in refused

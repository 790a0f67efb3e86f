"""`kplane token`: Secrets as kubeadm makes them, and the command that is printed."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kplane.api.bootstraptokens import Token, signature_is_good
from kplane.api.clock import Entropy
from kplane.api.resource import Key
from kplane.api.types import ConfigMap, Secret
from kplane.cli import tokens
from kplane.cli.clusterinfo import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, publish
from kplane.cli.discovery import pin
from kplane.controllers.bootstrap import CLUSTER_INFO, BootstrapSigner, TokenCleaner
from kplane.runtime import pki
from kplane.runtime.process import Fatal
from kplane.testing.cluster import FakeCluster

TOKEN = Token("abcdef", "0123456789abcdef")
SERVER = "https://192.0.2.1:6443"


def stored(cluster: FakeCluster) -> dict[str, str]:
    """The token's Secret, decoded. The fake keeps `stringData` as it was sent."""
    found = cluster.server.state.get(("", "secrets"), Key("kube-system", TOKEN.secret_name))
    assert found is not None
    assert found["type"] == "bootstrap.kubernetes.io/token"
    data: dict[str, str] = found["stringData"]
    return data


def load(cluster: FakeCluster) -> None:
    """What the server makes of `stringData`."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in stored(cluster).items()}
    metadata = {"name": TOKEN.secret_name, "namespace": "kube-system"}
    cluster.load(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        | {"type": "bootstrap.kubernetes.io/token"}
    )


async def test_a_token_is_a_secret_of_kubeadms_form(cluster: FakeCluster) -> None:
    await tokens.create(cluster.client(), tokens.Wish(TOKEN, description="for a test"), cluster.clock)

    assert stored(cluster) == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "description": "for a test",
        "expiration": "2026-01-02T00:00:00Z",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        "usage-bootstrap-signing": "true",
        "usage-bootstrap-authentication": "true",
    }


async def test_a_token_for_ever_has_no_expiration(cluster: FakeCluster) -> None:
    wish = tokens.Wish(TOKEN, seconds=0, usages=("signing",))
    await tokens.create(cluster.client(), wish, cluster.clock)

    assert "expiration" not in stored(cluster)
    assert "usage-bootstrap-authentication" not in stored(cluster)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        pytest.param({"usages": ["cooking"]}, "invalid bootstrap token usage string: cooking", id="usage"),
        pytest.param(
            {"groups": ["system:masters"]}, "bootstrap group 'system:masters' is invalid", id="group"
        ),
        pytest.param({"seconds": -1}, "--ttl must not be negative", id="ttl"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_told(
    cluster: FakeCluster, wish: dict[str, Any], text: str
) -> None:
    with pytest.raises(Fatal, match=text):
        await tokens.create(cluster.client(), tokens.Wish(TOKEN, **wish), cluster.clock)


async def test_an_id_is_taken_once(cluster: FakeCluster) -> None:
    await tokens.create(cluster.client(), tokens.Wish(TOKEN), cluster.clock)

    with pytest.raises(Fatal, match='a token with id "abcdef" already exists'):
        await tokens.create(cluster.client(), tokens.Wish(TOKEN), cluster.clock)


async def test_tokens_are_listed_with_what_is_left_of_them(cluster: FakeCluster) -> None:
    await tokens.create(cluster.client(), tokens.Wish(TOKEN, seconds=7200), cluster.clock)
    load(cluster)

    _, row = (await tokens.listing(cluster.client(), cluster.clock.now())).splitlines()

    assert row.split() == [
        "abcdef.0123456789abcdef",
        "2h",
        "2026-01-01T02:00:00Z",
        "authentication,signing",
        "<none>",
        "system:bootstrappers:kubeadm:default-node-token",
    ]


@pytest.mark.parametrize("name", ["abcdef", "abcdef.0123456789abcdef"])
async def test_tokens_are_deleted_by_id_or_whole(cluster: FakeCluster, name: str) -> None:
    await tokens.create(cluster.client(), tokens.Wish(TOKEN), cluster.clock)

    assert await tokens.delete(cluster.client(), name) == "abcdef"

    assert not cluster.list(Secret)
    with pytest.raises(Fatal, match='there is no token with id "abcdef"'):
        await tokens.delete(cluster.client(), name)


@pytest.mark.parametrize("text", ["", "abcdef", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef\n"])
def test_what_is_no_token_is_told_without_repeating_it(text: str) -> None:
    with pytest.raises(Fatal) as caught:
        tokens.parse_token(text)
    assert "0123456789abcdef" not in str(caught.value)


def test_generated_tokens_are_tokens() -> None:
    made = tokens.generate(Entropy())

    assert tokens.parse_token(str(made)) == made
    assert tokens.generate(Entropy()) != made
    assert made.secret not in repr(made)


async def test_the_join_command_says_where_and_whom_to_trust(cluster: FakeCluster, tmp_path: Path) -> None:
    pki.ensure(tmp_path, server_names=[], server_ips=[], clock=cluster.clock)
    authority = (tmp_path / "ca.crt").read_bytes()
    await publish(cluster.client(), SERVER, authority)

    command = await tokens.join_command(cluster.client(), TOKEN)

    hashed = pin(x509.load_pem_x509_certificate(authority))
    assert command == (
        f"kplane join 192.0.2.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {hashed}"
    )


async def test_publishing_again_follows_the_address_and_keeps_the_rest(cluster: FakeCluster) -> None:
    await publish(cluster.client(), "https://192.0.2.1:1", b"authority")
    await publish(cluster.client(), SERVER, b"authority")

    info = cluster.get(ConfigMap, CLUSTER_INFO)
    assert info is not None
    assert SERVER in info.data["kubeconfig"]
    names = {binding["metadata"]["name"] for binding in cluster.list(CLUSTER_ROLE_BINDINGS)}
    assert names == {
        "kubeadm:kubelet-bootstrap",
        "kubeadm:node-autoapprove-bootstrap",
        "kubeadm:node-autoapprove-certificate-rotation",
        "kubeadm:get-nodes",
        "kplane:node-proxier",
    }
    [binding] = cluster.list(ROLE_BINDINGS)
    assert binding["subjects"][0]["name"] == "system:anonymous"


async def test_what_is_published_is_signed_until_the_token_expires(cluster: FakeCluster) -> None:
    await publish(cluster.client(), SERVER, b"authority")
    await tokens.create(cluster.client(), tokens.Wish(TOKEN, seconds=3600), cluster.clock)
    load(cluster)
    for controller in (BootstrapSigner, TokenCleaner):
        context = cluster.context()
        cluster.start(context.queue.run(controller(context).reconcile))
    await cluster.settle()

    info = cluster.get(ConfigMap, CLUSTER_INFO)
    assert info is not None
    assert signature_is_good(info.data["jws-kubeconfig-abcdef"], info.data["kubeconfig"], TOKEN)
    assert not signature_is_good(
        info.data["jws-kubeconfig-abcdef"], info.data["kubeconfig"], Token("abcdef", "f" * 16)
    )
    await cluster.advance(3601)

    info = cluster.get(ConfigMap, CLUSTER_INFO)
    assert info is not None
    assert set(info.data) == {"kubeconfig"}

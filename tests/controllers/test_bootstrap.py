"""Bootstrap tokens: cluster-info carries their signatures, and they go when they have expired."""

from __future__ import annotations

import base64
from datetime import timedelta

import jwt
import pytest

from kplane.api import bootstraptokens as tokens
from kplane.api.clock import rfc3339
from kplane.api.resource import Key, Object
from kplane.api.types import ConfigMap, Secret
from kplane.controllers.bootstrap import CLUSTER_INFO, BootstrapSigner, TokenCleaner
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object

KUBECONFIG = "apiVersion: v1\nkind: Config\n"
TOKEN = tokens.Token("abcdef", "0123456789abcdef")


def make_secret(
    token: tokens.Token = TOKEN,
    *,
    namespace: str = "kube-system",
    expiration: str = "",
    usages: tuple[str, ...] = tokens.USAGES,
) -> Object:
    said = tokens.TokenSecret(token.id, token.secret, expiration=expiration, usages=usages)
    data = {key: base64.b64encode(value.encode()).decode() for key, value in tokens.secret_data(said).items()}
    return make_object("v1", "Secret", token.secret_name, namespace, type=tokens.SECRET_TYPE, data=data)


def make_info(**data: str) -> Object:
    return make_object("v1", "ConfigMap", CLUSTER_INFO.name, CLUSTER_INFO.namespace, data=data)


async def sign(cluster: FakeCluster) -> dict[str, str]:
    """The signatures after the controller has looked."""
    await BootstrapSigner(cluster.context()).reconcile(CLUSTER_INFO)
    found = cluster.get(ConfigMap, CLUSTER_INFO)
    assert found is not None
    return {name: text for name, text in found.data.items() if name != "kubeconfig"}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_cluster_info_is_signed_with_every_token(cluster: FakeCluster) -> None:
    other = tokens.Token("zzzzzz", "a" * 16)
    cluster.load(make_info(kubeconfig=KUBECONFIG), make_secret(), make_secret(other))

    signatures = await sign(cluster)

    assert set(signatures) == {"jws-kubeconfig-abcdef", "jws-kubeconfig-zzzzzz"}
    header, _, mac = signatures["jws-kubeconfig-abcdef"].split(".")
    payload = base64.urlsafe_b64encode(KUBECONFIG.encode()).rstrip(b"=").decode()
    # As any library for JWS sees it.
    whole = jwt.api_jws.decode_complete(f"{header}.{payload}.{mac}", TOKEN.secret, algorithms=["HS256"])
    assert whole["payload"] == KUBECONFIG.encode()
    assert whole["header"] == {"alg": "HS256", "kid": "abcdef"}


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(make_secret(usages=("authentication",)), id="not for signing"),
        pytest.param(make_secret(expiration="2020-01-01T00:00:00Z"), id="expired"),
        pytest.param(make_secret(expiration="tomorrow"), id="unreadable expiration"),
        pytest.param(make_secret(namespace="default"), id="another namespace"),
    ],
)
async def test_other_tokens_do_not_sign_and_old_signatures_go(cluster: FakeCluster, secret: Object) -> None:
    stale = {"jws-kubeconfig-abcdef": "stale", "kubeconfig": KUBECONFIG}
    cluster.load(make_info(**stale), secret)

    assert await sign(cluster) == {}


async def test_nothing_to_sign_is_left_alone(cluster: FakeCluster) -> None:
    cluster.load(make_info(other="x"), make_secret())

    assert await sign(cluster) == {"other": "x"}


async def test_a_token_goes_when_it_expires(cluster: FakeCluster) -> None:
    moment = rfc3339(cluster.clock.now() + timedelta(hours=1))
    kept = tokens.Token("zzzzzz", "a" * 16)
    cluster.load(make_secret(expiration=moment), make_secret(kept))
    cluster.load(make_secret(tokens.Token("yyyyyy", "a" * 16), namespace="default", expiration=moment))
    context = cluster.context()
    cluster.start(context.queue.run(TokenCleaner(context).reconcile))

    await cluster.advance(3590)
    assert cluster.get(Secret, Key("kube-system", TOKEN.secret_name)) is not None
    await cluster.advance(20)

    names = {secret.metadata.name for secret in cluster.list(Secret)}
    assert names == {"bootstrap-token-zzzzzz", "bootstrap-token-yyyyyy"}

"""How a joining node comes to trust a cluster that it knows by address, token and the authority's hash.

`cluster-info` is read by a stranger from a stranger. Its signature shows that whoever wrote it knows the
token's secret; the pinned hash, that the authority is the one meant; and a second reading over verified TLS,
that the server at this address belongs to that authority.

Source: cmd/kubeadm/app/discovery/token.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kplane.api import bootstraptokens as tokens
from kplane.api.bootstraptokens import Token
from kplane.api.clock import Clock
from kplane.api.errors import ApiError, Forbidden, NotFound, Unauthorized, Unreachable
from kplane.api.types import ConfigMap
from kplane.client.kubeconfig import ConfigError, Credentials
from kplane.client.rest import Client
from kplane.client.transport_https import HttpsTransport
from kplane.runtime.process import Fatal

PATIENCE_SECONDS = 5.0
"""How long the signature of a token that was made just now may take to appear."""
INTERVAL = 0.5


@dataclass(frozen=True)
class Discovered:
    """A cluster that can be trusted."""

    server: str
    authority: bytes = field(repr=False)


def pin(certificate: x509.Certificate) -> str:
    """What `--discovery-token-ca-cert-hash` names an authority by: the hash of its public key."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


def check_pins(pins: Sequence[str]) -> None:
    """Raises Fatal for what is no hash."""
    for text in pins:
        kind, _, digest = text.partition(":")
        if kind != "sha256" or len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
            raise Fatal(f"--discovery-token-ca-cert-hash {text} is not sha256: followed by 64 hex digits")


async def discover(address: str, token: Token, pins: Collection[str], clock: Clock) -> Discovered:
    """Without `pins`, any authority that the token's holder names is taken. Raises Fatal."""
    stranger = Credentials(f"https://{address}", insecure=True)
    content = await _signed_info(stranger, token, clock)
    found = parse(content)
    certificates = _certificates(found.authority)
    if pins and not any(pin(certificate) in pins for certificate in certificates):
        named = ", ".join(f'"{pin(certificate)}"' for certificate in certificates)
        raise Fatal(
            "cluster CA found in cluster-info ConfigMap is invalid: "
            f"none of the public keys {named} are pinned"
        )
    verified = Credentials(stranger.server, ca=found.authority)
    if (await _read(verified, clock)).data.get(tokens.KUBECONFIG_KEY) != content:
        raise Fatal(f"cluster-info has changed while it was verified; the server at {address} is not trusted")
    return found


async def _signed_info(server: Credentials, token: Token, clock: Clock) -> str:
    """The kubeconfig in `cluster-info`, once it is signed with the token. Raises Fatal."""
    deadline = clock.monotonic() + PATIENCE_SECONDS
    while True:
        data = (await _read(server, clock)).data
        content, signature = (
            data.get(tokens.KUBECONFIG_KEY),
            data.get(f"{tokens.SIGNATURE_PREFIX}{token.id}"),
        )
        if content is not None and signature is not None:
            break
        if clock.monotonic() >= deadline:
            raise Fatal(
                "could not find a JWS signature in the cluster-info ConfigMap for token ID "
                f'"{token.id}": the token is unknown or has expired; make one with `kplane token create`'
            )
        await clock.sleep(INTERVAL)
    if not tokens.signature_is_good(signature, content, token):
        raise Fatal(
            f'failed to verify JWS signature of received cluster info object with token ID "{token.id}": the '
            "token's secret is wrong, or this is not the server that it is for"
        )
    return content


async def _read(credentials: Credentials, clock: Clock) -> ConfigMap:
    """Raises Fatal."""
    try:
        client = Client(HttpsTransport(credentials, clock), user_agent="kplane-join", clock=clock)
    except ConfigError as error:
        raise Fatal(str(error)) from error
    try:
        return await client.get(ConfigMap, tokens.CLUSTER_INFO, tokens.CLUSTER_INFO_NAMESPACE)
    except Unreachable as error:
        raise Fatal(f"{error}; is this the API server's address, and reachable from here?") from error
    except NotFound as error:
        raise Fatal(
            f"the cluster at {credentials.server} has no cluster-info: no node can join it"
        ) from error
    except (Forbidden, Unauthorized) as error:
        raise Fatal(f"the cluster at {credentials.server} shows cluster-info to nobody: {error}") from error
    except ApiError as error:
        raise Fatal(f"cannot read cluster-info from {credentials.server}: {error}") from error
    finally:
        await client.close()


def parse(content: str) -> Discovered:
    """What the kubeconfig of `cluster-info` says. Raises Fatal."""
    try:
        [entry] = yaml.safe_load(content)["clusters"]
        cluster = entry["cluster"]
        server = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"], validate=True)
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise Fatal("cluster-info does not hold a kubeconfig of one cluster") from error
    if not isinstance(server, str) or not server.startswith("https://"):
        raise Fatal("cluster-info names no https server")
    return Discovered(server, authority)


def _certificates(pem: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise Fatal("the authority in cluster-info cannot be read") from error


def pins_of(pem: bytes) -> Sequence[str]:
    """Of every certificate. Raises Fatal."""
    return [pin(certificate) for certificate in _certificates(pem)]

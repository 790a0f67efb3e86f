"""How a kubelet that has only a bootstrap token gets its own kubeconfig.

Reads: --bootstrap-kubeconfig. Writes: the first client certificate, and --kubeconfig, which names it.
Elsewhere: the certificate itself, and those after it (certificates.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError, Forbidden, Unauthorized
from kplane.client import kubeconfig
from kplane.client.backoff import Backoff
from kplane.client.rest import Client
from kplane.client.transport_https import HttpsTransport
from kplane.runtime import csr
from kplane.runtime.process import Fatal

from .certificates import CLIENT_SIGNER, NotIssued, Pair, Store, Wanted, kept_key, obtain, request_name

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 0.5, 15.0


@dataclass(frozen=True)
class Bootstrap:
    """`given` is the bootstrap kubeconfig, `made` the one that comes of it."""

    given: Path
    made: Path
    node: str
    store: Store


def has_identity(path: Path, clock: Clock) -> bool:
    """Whether the kubeconfig is there, and what it holds has not ended."""
    if not path.exists():
        return False
    try:
        credentials = kubeconfig.load(path)
    except kubeconfig.ConfigError as error:
        log.warning("kubeconfig is not usable path=%s error=%s", path, error)
        return False
    if credentials.certificate is None:
        return bool(credentials.token or credentials.token_file)
    try:
        certificate = x509.load_pem_x509_certificate(credentials.certificate)
    except ValueError:
        return False
    return clock.now() < certificate.not_valid_after_utc


async def bootstrap(what: Bootstrap, clock: Clock, entropy: Entropy) -> None:
    """Get the kubeconfig, unless it is there. Raises Fatal where that is hopeless."""
    if has_identity(what.made, clock):
        return
    try:
        credentials = kubeconfig.load(what.given)
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error
    client = Client(HttpsTransport(credentials, clock), user_agent="kubelet-bootstrap", clock=clock)
    try:
        await request_identity(client, what, credentials, clock, entropy)
    finally:
        await client.close()


async def request_identity(
    client: Client, what: Bootstrap, credentials: kubeconfig.Credentials, clock: Clock, entropy: Entropy
) -> None:
    """Ask until the certificate is there, then write the kubeconfig. Raises Fatal."""
    wanted = Wanted(what.node, CLIENT_SIGNER)
    draft = what.store.folder / f"{what.store.name}.key.tmp"
    key = kept_key(draft)
    backoff = Backoff(FIRST_RETRY, LAST_RETRY, entropy, jitter=0.1)
    while True:
        try:
            made = await obtain(client, wanted, key, request_name(key, wanted))
            break
        except (Unauthorized, Forbidden) as error:
            raise Fatal(
                f"the API server does not let this node ask for a certificate: {error.message}; "
                "is the bootstrap token right, and not expired?"
            ) from error
        except NotIssued as error:
            raise Fatal(f"this node was not given a certificate: {error}") from error
        except ApiError as error:
            log.warning("no certificate yet error=%s", error)
        await clock.sleep(backoff.delay())
    what.store.save(Pair(made, csr.key_pem(key)), clock.now())
    current = what.store.current.absolute()
    kubeconfig.write(
        what.made,
        replace(credentials, token="", certificate_file=current, key_file=current),
        cluster="default-cluster",
        user="default-auth",
    )
    draft.unlink(missing_ok=True)
    log.info("this node has its own certificate node=%s", what.node)

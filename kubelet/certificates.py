"""The kubelet's own certificates, asked of the API: the first by a bootstrap token, then by the former one.

Writes: CertificateSigningRequests; in --cert-dir `NAME-<time>.pem` (certificate and key together), and the
link `NAME-current.pem` to the newest.
Elsewhere: approval and signing (the controller manager), the first kubeconfig (bootstrap.py).

Invariant: `NAME-current.pem` is always a whole certificate with its key; what it holds is used until the next
is there. Source: k8s.io/client-go/util/certificate, pkg/kubelet/certificate/bootstrap.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import AlreadyExists, ApiError
from kplane.api.resource import Object, Resource
from kplane.api.types.meta import Condition, Part, View
from kplane.client.backoff import Backoff
from kplane.client.rest import Client
from kplane.runtime import csr
from kplane.runtime.pki import write_private
from kplane.runtime.process import Fatal

log = logging.getLogger(__name__)

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"

FIRST_RETRY, LAST_RETRY = 2.0, 128.0
WAIT_SECONDS = 900
"""How long a request may wait for its certificate before another one is made."""

EARLIEST, SPREAD = 0.7, 0.2
"""A certificate is renewed when this share of its life is over, plus up to so much of it by chance."""


class Status(Part, frozen=True):
    certificate: str = ""
    conditions: tuple[Condition, ...] = ()


class SigningRequest(View, frozen=True):
    API: ClassVar[Resource[Any]]

    status: Status = Status()


SigningRequest.API = Resource(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    False,
    SigningRequest,
)


class NotIssued(Exception):
    """The request was denied, has failed, or nobody has decided on it in time."""


@dataclass(frozen=True)
class Wanted:
    """What a certificate of this node says."""

    node: str
    signer: str
    dns_names: Sequence[str] = ()
    ips: Sequence[str] = ()

    @property
    def subject(self) -> x509.Name:
        return csr.subject(f"system:node:{self.node}", ("system:nodes",))

    @property
    def usages(self) -> Sequence[str]:
        return ("digital signature", "server auth" if self.signer == SERVING_SIGNER else "client auth")

    def pem(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        return csr.request_pem(key, self.subject, dns_names=self.dns_names, ips=self.ips)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, as PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Store:
    """The files of one certificate and those before it."""

    folder: Path
    name: str

    @property
    def current(self) -> Path:
        return self.folder / f"{self.name}-current.pem"

    def save(self, pair: Pair, now: datetime) -> None:
        """Make this pair the current one; the one before it stays, older ones go."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = self.folder / f"{self.name}-{now.astimezone(UTC):%Y-%m-%d-%H-%M-%S}.pem"
        former = self.current.readlink().name if self.current.is_symlink() else ""
        write_private(made, pair.certificate + pair.key)
        link = self.folder / f".{self.name}-current.tmp"
        link.unlink(missing_ok=True)
        link.symlink_to(made.name)
        link.replace(self.current)
        for path in self.folder.glob(f"{self.name}-*.pem"):
            if path.name not in (made.name, former, self.current.name):
                path.unlink()

    def certificate(self) -> x509.Certificate | None:
        """The current one; None if there is none that can be read."""
        try:
            return x509.load_pem_x509_certificate(self.current.read_bytes())
        except (OSError, ValueError):
            return None


def usable(certificate: x509.Certificate | None, now: datetime) -> bool:
    """Whether it is valid now, and was issued by an authority rather than by its own key."""
    if certificate is None or certificate.subject == certificate.issuer:
        return False
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


async def obtain(client: Client, wanted: Wanted, key: ec.EllipticCurvePrivateKey, name: str = "") -> bytes:
    """The certificate that the API issues for this key. With a `name`, a request of an earlier life under it
    is taken up again. Raises NotIssued, ApiError."""
    metadata: Object = {"name": name} if name else {"generateName": "csr-"}
    body: Object = {
        "apiVersion": SigningRequest.API.api_version,
        "kind": SigningRequest.API.kind,
        "metadata": metadata,
        "spec": {
            "request": base64.b64encode(wanted.pem(key)).decode(),
            "signerName": wanted.signer,
            "usages": list(wanted.usages),
        },
    }
    try:
        name = (await client.create(SigningRequest, body)).metadata.name
    except AlreadyExists:
        log.info("taking up an earlier request name=%s", name)
    return await _wait(client, name)


async def _wait(client: Client, name: str) -> bytes:
    """The certificate of a request when it is there. Raises NotIssued, ApiError."""
    selector = f"metadata.name={name}"
    listed = await client.list(SigningRequest, field_selector=selector)
    for request in listed.items:
        if (made := verdict(request)) is not None:
            return made
    events = client.watch(
        SigningRequest,
        resource_version=listed.resource_version,
        field_selector=selector,
        timeout_seconds=WAIT_SECONDS,
    )
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if event.type == "DELETED":
                break
            if event.object is not None and (made := verdict(event.object)) is not None:
                return made
    raise NotIssued(f"certificate signing request {name} was not decided on")


def verdict(request: SigningRequest) -> bytes | None:
    """The certificate, as PEM; None: not yet. Raises NotIssued."""
    for condition in request.status.conditions:
        words = {"Denied": "is denied", "Failed": "failed"}.get(condition.type)
        if words:
            raise NotIssued(
                f"certificate signing request {words}, reason: {condition.reason}, "
                f"message: {condition.message}"
            )
    approved = any(condition.type == "Approved" for condition in request.status.conditions)
    return base64.b64decode(request.status.certificate) if approved and request.status.certificate else None


def rotation_time(certificate: x509.Certificate, entropy: Entropy) -> datetime:
    """When to ask for the next one: at some 80 % of its life, not at the same moment on every node."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * (EARLIEST + entropy.uniform(0, SPREAD))


class Rotation:
    """Keeps one certificate fresh."""

    def __init__(self, client: Client, wanted: Wanted, store: Store, clock: Clock, entropy: Entropy) -> None:
        self._client, self._wanted, self._store = client, wanted, store
        self._clock, self._entropy = clock, entropy

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            certificate = self._store.certificate()
            if certificate is not None and usable(certificate, self._clock.now()):
                moment = rotation_time(certificate, self._entropy)
                log.info("certificate rotates name=%s at=%s", self._store.name, moment)
                await self._clock.sleep((moment - self._clock.now()).total_seconds())
            await self._renew()

    async def _renew(self) -> None:
        """Until there is a new one."""
        backoff = Backoff(FIRST_RETRY, LAST_RETRY, self._entropy, jitter=0.1)
        while True:
            key = csr.new_key()
            try:
                made = await obtain(self._client, self._wanted, key)
                break
            except (NotIssued, ApiError) as error:
                log.warning("no new certificate yet name=%s error=%s", self._store.name, error)
            await self._clock.sleep(backoff.delay())
        self._store.save(Pair(made, csr.key_pem(key)), self._clock.now())
        log.info("certificate rotated name=%s", self._store.name)


def request_name(key: ec.EllipticCurvePrivateKey, wanted: Wanted) -> str:
    """The name of a bootstrapping node's request: the same for the same key and the same wishes."""
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashlib.sha256(public + wanted.subject.public_bytes() + wanted.signer.encode()).digest()
    return f"node-csr-{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def kept_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of an earlier attempt to bootstrap, else a new one. Raises Fatal."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    except (OSError, ValueError, TypeError):
        log.debug("no key of an earlier attempt path=%s", path)
    made = csr.new_key()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, csr.key_pem(made))
    except OSError as error:
        raise Fatal(f"cannot keep the kubelet's key in {path.parent}: {error.strerror}") from error
    return made


def self_signed(names: Sequence[str], ips: Sequence[str], now: datetime) -> Pair:
    """A serving certificate that nobody has vouched for: what a kubelet has until it is given another."""
    key = csr.new_key()
    subject = csr.subject(f"{names[0]}@{int(now.timestamp())}")
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(csr.alternatives(names, ips)), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(made.public_bytes(serialization.Encoding.PEM), csr.key_pem(key))

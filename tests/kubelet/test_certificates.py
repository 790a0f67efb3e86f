"""Certificates of a kubelet's own: the first one, its renewal in time, and what happens without an answer."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from kplane.api.clock import Entropy
from kplane.api.errors import Unauthorized
from kplane.client import kubeconfig
from kplane.controllers.certificates.request import SigningRequest
from kplane.controllers.certificates.signing import CSRSigningController
from kplane.controllers.config import Config
from kplane.kubelet.bootstrap import Bootstrap, has_identity, request_identity
from kplane.kubelet.certificates import (
    CLIENT_SIGNER,
    SERVING_SIGNER,
    Rotation,
    Store,
    Wanted,
    self_signed,
    usable,
)
from kplane.runtime import pki
from kplane.runtime.process import Fatal
from kplane.testing.cluster import FakeCluster

NODE = "worker"
DAY = 24 * 3600.0
CLIENT = Wanted(NODE, CLIENT_SIGNER)


@pytest_asyncio.fixture
async def signed(cluster: FakeCluster, tmp_path: Path) -> AsyncIterator[FakeCluster]:
    """A cluster that signs what is approved, for ten days."""
    pki.ensure(tmp_path / "ca", server_names=[], server_ips=[], clock=cluster.clock)
    files = (tmp_path / "ca" / "ca.crt", tmp_path / "ca" / "ca.key")
    options = Config(
        signing_files={CLIENT_SIGNER: files, SERVING_SIGNER: files}, cluster_signing_duration=10 * DAY
    )
    context = cluster.context(options=options)
    cluster.start(context.queue.run(CSRSigningController(context).reconcile))
    yield cluster


async def decide(cluster: FakeCluster, kind: str = "Approved") -> None:
    """Decide on every request that waits."""
    for request in cluster.list(SigningRequest):
        if not request.status.conditions:
            condition = {"type": kind, "status": "True", "reason": "Test", "message": "so it is"}
            body = {"status": {"conditions": [condition]}}
            await cluster.client().patch(
                SigningRequest, request.metadata.name, "", body, subresource="approval"
            )
    await cluster.settle()


def rotation(cluster: FakeCluster, folder: Path, wanted: Wanted = CLIENT) -> Store:
    """A rotation that runs, and what it keeps."""
    store = Store(folder, "kubelet-client")
    cluster.start(Rotation(cluster.client(), wanted, store, cluster.clock, Entropy(1)).run())
    return store


def private_key(path: Path) -> object:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    return key.public_key()


async def test_the_first_certificate_arrives_once_it_is_approved(signed: FakeCluster, tmp_path: Path) -> None:
    store = rotation(signed, tmp_path / "pki")
    await signed.settle()
    assert store.certificate() is None

    await decide(signed)

    made = store.certificate()
    assert made is not None
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:worker"
    assert private_key(store.current) == made.public_key()
    assert stat.S_IMODE(store.current.stat().st_mode) == 0o600


async def test_it_is_renewed_at_some_eighty_percent_of_its_life(signed: FakeCluster, tmp_path: Path) -> None:
    store = rotation(signed, tmp_path / "pki")
    await signed.settle()
    await decide(signed)
    first = store.certificate()

    await signed.advance(6.9 * DAY)
    assert len(signed.list(SigningRequest)) == 1
    await signed.advance(2.2 * DAY)
    assert len(signed.list(SigningRequest)) == 2
    assert store.certificate() == first
    await decide(signed)

    second = store.certificate()
    assert first is not None
    assert second is not None
    assert second.not_valid_after_utc - first.not_valid_after_utc > timedelta(days=6.9)
    assert second.public_key() != first.public_key()
    assert private_key(store.current) == second.public_key()


@pytest.mark.slow
async def test_a_year_of_renewals_leaves_two_certificates(signed: FakeCluster, tmp_path: Path) -> None:
    store = rotation(signed, tmp_path / "pki")
    await signed.settle()
    for _ in range(45):
        await decide(signed)
        assert usable(store.certificate(), signed.clock.now())
        await signed.advance(9 * DAY)

    assert len(list(store.folder.glob("kubelet-client-2*.pem"))) == 2


async def test_a_denied_request_is_made_again(signed: FakeCluster, tmp_path: Path) -> None:
    store = rotation(signed, tmp_path / "pki")
    await signed.settle()
    await decide(signed, "Denied")
    assert store.certificate() is None

    await signed.advance(5)
    await decide(signed)

    assert store.certificate() is not None
    assert len(signed.list(SigningRequest)) == 2


async def test_a_serving_certificate_replaces_the_self_signed_one(
    signed: FakeCluster, tmp_path: Path
) -> None:
    store = Store(tmp_path / "pki", "kubelet-client")
    store.save(self_signed([NODE], ["192.0.2.7"], signed.clock.now()), signed.clock.now())
    wanted = Wanted(NODE, SERVING_SIGNER, [NODE], ["192.0.2.7"])
    rotation(signed, store.folder, wanted)
    await signed.settle()
    assert not usable(store.certificate(), signed.clock.now())

    await decide(signed)

    made = store.certificate()
    assert usable(made, signed.clock.now())
    assert made is not None
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NODE]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]


def joining(folder: Path) -> Bootstrap:
    return Bootstrap(folder / "given", folder / "made", NODE, Store(folder / "pki", "kubelet-client"))


CREDENTIALS = kubeconfig.Credentials("https://192.0.2.1:6443", ca=b"authority", token="abcdef.secret")


async def ask(cluster: FakeCluster, what: Bootstrap) -> None:
    await request_identity(cluster.client(), what, CREDENTIALS, cluster.clock, Entropy(1))


async def test_a_joining_node_gets_a_kubeconfig_without_the_token(
    signed: FakeCluster, tmp_path: Path
) -> None:
    what = joining(tmp_path)
    signed.start(ask(signed, what))
    await signed.settle()
    await decide(signed)

    made = kubeconfig.load(what.made)
    assert (made.server, made.ca, made.token) == (CREDENTIALS.server, CREDENTIALS.ca, "")
    assert made.certificate_file == what.store.current
    assert "secret" not in what.made.read_text()
    assert has_identity(what.made, signed.clock)
    await signed.advance(11 * DAY)
    assert not has_identity(what.made, signed.clock)


async def test_a_restarted_node_takes_up_its_request(signed: FakeCluster, tmp_path: Path) -> None:
    what = joining(tmp_path)
    first = asyncio.create_task(ask(signed, what))
    await signed.settle()
    first.cancel()
    await asyncio.wait([first])

    signed.start(ask(signed, what))
    await signed.settle()
    await decide(signed)

    [request] = signed.list(SigningRequest)
    assert request.metadata.name.startswith("node-csr-")
    assert what.made.exists()


async def test_a_refused_token_ends_with_one_sentence(signed: FakeCluster, tmp_path: Path) -> None:
    signed.faults.fail_next(Unauthorized(), methods=("POST",), times=1)

    with pytest.raises(Fatal, match="is the bootstrap token right, and not expired"):
        await ask(signed, joining(tmp_path))


async def test_a_denied_node_ends_with_the_reason(signed: FakeCluster, tmp_path: Path) -> None:
    task = asyncio.create_task(ask(signed, joining(tmp_path)))
    await signed.settle()
    await decide(signed, "Denied")

    with pytest.raises(Fatal, match="is denied, reason: Test, message: so it is"):
        await task

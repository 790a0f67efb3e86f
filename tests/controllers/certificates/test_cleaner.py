"""Cleaning: how long requests stay, by what became of them."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from kplane.api.clock import rfc3339
from kplane.api.resource import Object
from kplane.controllers.certificates.cleaner import (
    POD_REQUESTS,
    CSRCleanerController,
    PodCertificateRequestCleaner,
)
from kplane.controllers.certificates.request import SigningRequest
from kplane.runtime import pki
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object

from .requests import make_request

HOUR = 3600
CERTIFICATE = base64.b64encode(b"issued").decode()


def start(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(CSRCleanerController(context).reconcile))


def here(cluster: FakeCluster) -> bool:
    return bool(cluster.list(SigningRequest))


def decided(cluster: FakeCluster, kind: str, **status: str) -> Object:
    condition = {"type": kind, "status": "True", "lastUpdateTime": rfc3339(cluster.clock.now())}
    return {"conditions": [condition], **status}


@pytest.mark.parametrize(
    ("kind", "status", "hours"),
    [
        pytest.param("Approved", {"certificate": CERTIFICATE}, 1, id="issued"),
        pytest.param("Denied", {}, 1, id="denied"),
        pytest.param("Failed", {}, 1, id="failed"),
        pytest.param("", {}, 24, id="pending"),
        pytest.param("Approved", {}, 24, id="approved-and-signed-by-nobody"),
    ],
)
async def test_a_request_goes_after_its_time(
    cluster: FakeCluster, kind: str, status: dict[str, str], hours: int
) -> None:
    request = make_request(status=decided(cluster, kind, **status) if kind else {})
    request["metadata"]["creationTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(request)
    start(cluster)

    await cluster.advance(hours * HOUR - 10)
    assert here(cluster)
    await cluster.advance(20)

    assert not here(cluster)


async def test_one_whose_certificate_has_expired_goes_at_once(cluster: FakeCluster, tmp_path: Path) -> None:
    pki.ensure(tmp_path, server_names=[], server_ips=[], clock=cluster.clock)
    certificate = base64.b64encode((tmp_path / "admin.crt").read_bytes()).decode()
    await cluster.clock.advance(timedelta(days=366).total_seconds())
    cluster.load(make_request(status=decided(cluster, "Approved", certificate=certificate)))
    start(cluster)

    await cluster.advance(2)

    assert not here(cluster)


async def test_a_request_of_a_pod_goes_after_a_quarter_of_an_hour(cluster: FakeCluster) -> None:
    made = make_object(POD_REQUESTS.api_version, POD_REQUESTS.kind, "one", "default", spec={})
    cluster.load(made | {"metadata": made["metadata"] | {"creationTimestamp": rfc3339(cluster.clock.now())}})
    context = cluster.context()
    cluster.start(context.queue.run(PodCertificateRequestCleaner(context).reconcile))

    await cluster.advance(14 * 60)
    kept = len(cluster.list(POD_REQUESTS))
    await cluster.advance(61)

    assert kept == 1
    assert not cluster.list(POD_REQUESTS)

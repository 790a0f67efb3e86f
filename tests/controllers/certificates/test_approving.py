"""Approval: who may have a node's client certificate without being asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import pytest

from kplane.api.resource import Key, Object
from kplane.client.codec import encode
from kplane.client.transport import Response
from kplane.controllers.certificates.approving import CSRApprovingController
from kplane.controllers.certificates.request import SigningRequest
from kplane.controllers.certificates.signing import CLIENT
from kplane.testing.cluster import FakeCluster

from .requests import make_request

KEY = Key("", "req")


class Permitting(FakeCluster):
    """A cluster in which these subresources of requests may be created."""

    allowed: Collection[str] = ()

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Object] = []

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None, body: bytes = b"", timeout: float | None = None,
    ) -> Response:  # fmt: skip
        if not path.endswith("/subjectaccessreviews"):
            return await super().request(
                method, path, query=query, headers=headers, body=body, timeout=timeout
            )
        review: Object = msgspec.json.decode(body)
        self.asked.append(review["spec"])
        subresource = review["spec"]["resourceAttributes"]["subresource"]
        return Response(201, {}, encode(review | {"status": {"allowed": subresource in self.allowed}}))


async def approve(allowed: Collection[str], request: Object) -> tuple[SigningRequest, list[Object]]:
    async with Permitting() as cluster:
        cluster.allowed = allowed
        cluster.load(request)
        await CSRApprovingController(cluster.context()).reconcile(KEY)
        found = cluster.get(SigningRequest, KEY)
        assert found is not None
        return found, cluster.asked


async def test_a_bootstrapping_node_is_approved_if_it_may_ask() -> None:
    request, asked = await approve(["nodeclient"], make_request())

    [condition] = request.status.conditions
    assert (condition.type, condition.status, condition.reason) == ("Approved", "True", "AutoApproved")
    assert condition.message == ("Auto approving kubelet client certificate after SubjectAccessReview.")
    assert asked == [
        {
            "user": "system:bootstrap:abcdef",
            "uid": "",
            "groups": ["system:bootstrappers", "system:authenticated"],
            "extra": {},
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "resource": "certificatesigningrequests",
                "verb": "create",
                "subresource": "nodeclient",
                "version": "*",
            },
        }
    ]


async def test_a_node_renews_its_own_certificate() -> None:
    request, _ = await approve(["selfnodeclient"], make_request(username="system:node:worker"))

    assert request.status.conditions[0].message == (
        "Auto approving self kubelet client certificate after SubjectAccessReview."
    )


async def test_a_node_does_not_get_another_nodes_certificate() -> None:
    request, asked = await approve(["selfnodeclient"], make_request(username="system:node:other"))

    assert request.status.conditions == ()
    assert [spec["resourceAttributes"]["subresource"] for spec in asked] == ["nodeclient"]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"signer": CLIENT}, id="another signer"),
        pytest.param({"organizations": ["system:masters"]}, id="another group"),
        pytest.param({"common_name": "admin"}, id="no node"),
        pytest.param({"dns_names": ["worker"]}, id="names"),
        pytest.param({"usages": ["server auth"]}, id="usages"),
    ],
)
async def test_nothing_else_is_looked_at(parts: dict[str, Any]) -> None:
    request, asked = await approve(["nodeclient", "selfnodeclient"], make_request(**parts))

    assert (request.status.conditions, asked) == ((), [])


async def test_a_right_given_later_counts() -> None:
    async with Permitting() as cluster:
        context = cluster.context()
        cluster.start(context.queue.run(CSRApprovingController(context).reconcile))
        cluster.load(make_request())
        await cluster.advance(1)
        cluster.allowed = ["nodeclient"]

        await cluster.advance(10)

        found = cluster.get(SigningRequest, KEY)
        assert found is not None
        assert found.has("Approved")

"""A webhook about everything that is down: the server starts, and the webhook can be removed."""

from __future__ import annotations

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api, configmap
from .conftest import VALIDATING, rule

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


async def test_a_cluster_recovers_from_a_webhook_that_blocks_everything(lasting: ApiServerConfig) -> None:
    blocking = {
        "name": "down.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1"},
        "rules": [rule("*/*")],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    async with ApiServer(lasting) as server:
        await Api(server.app).make(VALIDATING, {"metadata": {"name": "down"}, "webhooks": [blocking]})

    async with ApiServer(lasting) as server:
        api = Api(server.app)
        refused = await api("POST", CONFIGMAPS, configmap())
        removed = await api("DELETE", f"{VALIDATING}/down")
        await api("GET", VALIDATING)
        made = await api("POST", CONFIGMAPS, configmap())

    assert refused.code == 500
    assert "dial tcp 127.0.0.1:1: connect: connection refused" in refused.body["message"]
    assert (removed.code, made.code) == (200, 201)

"""What the audit log says of answers in protobuf: the same as of others."""

from __future__ import annotations

import pytest

from ..conftest import configmap
from .conftest import Serve

PROTOBUF = "application/vnd.kubernetes.protobuf"
MAPS = "/api/v1/namespaces/default/configmaps"


async def test_the_object_is_recorded_as_json(serve: Serve) -> None:
    async with serve({"rules": [{"level": "RequestResponse"}]}) as audited:
        await audited.api("POST", MAPS, configmap(color="red"), accept=PROTOBUF)

        event = audited.complete("configmaps")

    assert event["responseObject"]["kind"] == "ConfigMap"
    assert event["responseObject"]["data"] == {"color": "red"}


@pytest.mark.parametrize("level", ["Metadata", "RequestResponse"])
async def test_why_a_request_failed_is_recorded(serve: Serve, level: str) -> None:
    async with serve({"rules": [{"level": level}]}) as audited:
        await audited.api("GET", f"{MAPS}/nothing", accept=PROTOBUF)

        event = audited.complete("configmaps")

    assert (event["responseStatus"]["code"], event["responseStatus"]["reason"]) == (404, "NotFound")

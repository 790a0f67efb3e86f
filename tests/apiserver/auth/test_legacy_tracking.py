"""The note since when uses of tokens out of Secrets are noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.legacytracking import LOOK_SECONDS, PLACE
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.testing.clock import VirtualClock
from kplane.testing.waiting import eventually

from ..conftest import Api

MAPS = f"/api/v1/namespaces/{PLACE.namespace}/configmaps"
PATH = f"{MAPS}/{PLACE.name}"
START = datetime(2026, 3, 1, 23, 50, tzinfo=UTC)


@pytest.mark.slow
@pytest.mark.parametrize("spoiled", [{"since": "soon"}, {"since": None}, None])
async def test_the_note_is_there_from_the_start_and_mended(
    config: ApiServerConfig, tmp_path: Path, spoiled: dict[str, str] | None
) -> None:
    clock = VirtualClock(START)
    pki.ensure(tmp_path / "pki", server_names=["localhost"], server_ips=["127.0.0.1"])
    accounts = ServiceAccountSettings(key_files=(tmp_path / "pki" / "sa.pub",))
    settings = AuthenticationSettings(service_accounts=accounts)
    async with ApiServer(replace(config, authentication=settings), clock) as server:
        api = Api(server.app)
        assert (await api("GET", PATH)).body["data"] == {"since": "2026-03-01"}
        if spoiled is None:
            await api("DELETE", PATH)
        else:
            await api("PATCH", PATH, {"data": spoiled}, content_type="application/merge-patch+json")
        await clock.advance(LOOK_SECONDS + 1)

        async def mended() -> bool:
            return bool((await api("GET", PATH)).body.get("data") == {"since": "2026-03-02"})

        assert await eventually(mended)


async def test_a_server_that_takes_no_such_tokens_notes_nothing(config: ApiServerConfig) -> None:
    async with ApiServer(config) as server:
        assert (await Api(server.app)("GET", PATH)).code == 404

"""Requests for the groups of an extension server."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

from ..conftest import Api
from .conftest import SERVICES, apiservice, because, condition, join
from .extension import ROOT, extension


async def test_requests_pass_with_the_users_identity_and_our_certificate(
    api: Api, front: Path, tmp_path: Path
) -> None:
    async with extension(tmp_path / "ext", front / "front-proxy-ca.crt") as server:
        await join(api, server)

        got = await api("GET", f"{ROOT}/flowers", limit="5")

        assert (got.code, got.body["items"][0]["metadata"]["name"]) == (200, "rose")
        asked = server.asked(f"{ROOT}/flowers")[-1]
        assert (asked.query, asked.certificate) == ("limit=5", True)
        assert asked.all("x-remote-user") == ["admin"]
        assert asked.all("x-remote-uid") == ["1"]
        assert asked.all("x-remote-group") == ["system:masters", "system:authenticated"]
        assert asked.all("authorization") == []
        assert asked.all("x-forwarded-uri") == [f"{ROOT}/flowers"]


async def test_nobody_can_claim_to_be_somebody_else(server: ApiServer, api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as remote:
        await join(api, remote)
        headers = {"x-remote-user": "root", "x-remote-group": "system:masters", "x-remote-extra-a": "b"}
        await Api(server.app, "plain").transport.request("GET", f"{ROOT}/flowers", headers=headers)

        asked = remote.asked(f"{ROOT}/flowers")[-1]

    assert asked.all("x-remote-user") == ["someone"]
    assert asked.all("x-remote-group") == ["system:authenticated"]
    assert asked.all("x-remote-extra-a") == []


async def test_errors_of_the_server_pass_unchanged(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server)
        got = await api("GET", f"{ROOT}/weeds")

    assert (got.code, got.body["message"]) == (404, "no such flower")


async def test_unavailable_service(api: Api) -> None:
    await api.make(SERVICES, apiservice())
    await condition(api, because("ServiceNotFound"))

    got = await api("GET", f"{ROOT}/flowers")

    assert (got.code, got.body) == (503, b"service unavailable\n")
    assert got.headers["content-type"] == "text/plain; charset=utf-8"


async def test_certificate_of_another_authority(api: Api, tmp_path: Path, front: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server, caBundle=base64.b64encode((front / "ca.crt").read_bytes()).decode())
        got = await api("GET", f"{ROOT}/flowers")

    assert got.code == 503
    assert got.body == (
        b"error trying to reach service: tls: failed to verify certificate: "
        b"x509: certificate signed by unknown authority\n"
    )


async def test_verification_can_be_left_out(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server, caBundle=None, insecureSkipTLSVerify=True)
        got = await api("GET", f"{ROOT}/flowers")

    assert got.code == 200


@pytest.mark.parametrize("insecure", [True, False])
async def test_a_renewed_proxy_certificate_is_shown_without_a_restart(
    api: Api, tmp_path: Path, front: Path, insecure: bool
) -> None:
    other, trusted = tmp_path / "other", tmp_path / "trusted.crt"
    pki.ensure(other, server_names=["localhost"], server_ips=["127.0.0.1"])
    trusted.write_bytes((front / "front-proxy-ca.crt").read_bytes())
    spec: dict[str, Any] = {"caBundle": None, "insecureSkipTLSVerify": True} if insecure else {}
    async with extension(tmp_path / "ext", ca=trusted) as server:
        await join(api, server, **spec)
        before = await api("GET", f"{ROOT}/flowers")
        pki.write_private(trusted, (other / "front-proxy-ca.crt").read_bytes())
        for suffix in ("crt", "key"):
            renewed = (other / f"front-proxy-client.{suffix}").read_bytes()
            pki.write_private(front / f"front-proxy-client.{suffix}", renewed)
        after = await api("GET", f"{ROOT}/flowers")

    assert (before.code, after.code) == (200, 200)
    assert all(seen.certificate for seen in server.seen)


async def test_redirects_are_refused(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server)
        got = await api("GET", f"{ROOT}/moved")

    assert got.code == 502
    assert got.body == b"the backend attempted to redirect this request, which is not permitted"


async def test_watches_stream(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server)
        assert await api.events(f"{ROOT}/flowers", 1) == [{"type": "ADDED"}]


async def test_watches_of_other_servers_take_no_seat_here(
    server: ApiServer, api: Api, tmp_path: Path
) -> None:
    async with extension(tmp_path / "ext") as remote:
        await join(api, remote)
        async with api.transport.stream("GET", f"{ROOT}/flowers", query={"watch": "1"}) as stream:
            await anext(stream.lines())
            path = "/debug/api_priority_and_fairness/dump_requests"
            dump = await api("GET", path, includeRequestDetails="1")

    _, own = dump.body.decode().splitlines()
    assert path in own


async def shout(serving: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that left HTTP, and has answered once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    lines = [f"GET {ROOT}/shout HTTP/1.1", "Host: x", "Authorization: Bearer secret"]
    writer.write("\r\n".join([*lines, "Connection: Upgrade", "Upgrade: shout", "", "hi"]).encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await reader.readexactly(2) == b"HI"
    return reader, writer


async def test_upgrades_carry_the_identity(server: ApiServer, api: Api, tmp_path: Path) -> None:
    async with (
        extension(tmp_path / "ext") as remote,
        Serving(server.app, ServingConfig(address="127.0.0.1", port=0)) as serving,
        asyncio.timeout(10),
    ):
        await join(api, remote)
        _, writer = await shout(serving)

        assert remote.asked(f"{ROOT}/shout")[-1].all("x-remote-user") == ["admin"]
        writer.close()


@pytest.mark.slow
async def test_upgraded_connections_outlive_the_request_timeout(
    config: ApiServerConfig, tmp_path: Path
) -> None:
    async with (
        ApiServer(replace(config, request_timeout=0.5)) as server,
        extension(tmp_path / "ext") as remote,
        Serving(server.app, ServingConfig(address="127.0.0.1", port=0)) as serving,
    ):
        await join(Api(server.app), remote)
        reader, writer = await shout(serving)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.7)

        writer.write(b"still there")
        assert await reader.readexactly(11) == b"STILL THERE"
        writer.close()


async def test_bodies_arrive_whole(server: ApiServer, api: Api, tmp_path: Path) -> None:
    async with (
        extension(tmp_path / "ext") as remote,
        Serving(server.app, ServingConfig(address="127.0.0.1", port=0)) as serving,
        aiohttp.ClientSession(headers={"Authorization": "Bearer secret"}) as session,
    ):
        await join(api, remote)
        url = f"http://127.0.0.1:{serving.port}{ROOT}/flowers"
        async with session.post(url, data=b"x" * 5_000_000) as got:
            assert got.status == 200

        assert remote.asked(f"{ROOT}/flowers")[-1].all("content-length") == ["5000000"]


async def test_a_deleted_service_leaves_nothing_behind(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server)
        await api("DELETE", f"{SERVICES}/v1.flowers.example.com")
        got = await api("GET", f"{ROOT}/flowers")

    assert got.code == 404


async def test_the_endpoint_moves(api: Api, tmp_path: Path) -> None:
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/flowers-1"
    async with extension(tmp_path / "ext") as one, extension(tmp_path / "ext") as two:
        await join(api, one)
        moved = {"ports": [{"name": "https", "port": two.port, "protocol": "TCP"}]}
        answer = await api(
            "PATCH", slices, json.dumps(moved).encode(), content_type="application/merge-patch+json"
        )
        assert answer.code == 200, answer.body

        got = await api("GET", f"{ROOT}/flowers")

    assert got.code == 200
    assert (len(one.asked(f"{ROOT}/flowers")), len(two.asked(f"{ROOT}/flowers"))) == (0, 1)

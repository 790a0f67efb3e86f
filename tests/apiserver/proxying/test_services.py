"""`services/proxy`: ports by name and number, and only to pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..conftest import Api
from .backend import HOST, echo, running
from .conftest import SERVICES, make_pod, make_service


@pytest.mark.parametrize(
    "name", ["web:plain", "web:80", "http:web:plain", "https:web:secure", "https:web:81"]
)
async def test_ports_by_name_and_number(api: Api, tmp_path: Path, name: str) -> None:
    async with running(echo) as plain, running(echo, tmp_path / "backend") as secure:
        await make_pod(api, plain)
        await make_service(api, {"plain": plain, "secure": secure})

        got = await api("PATCH", f"{SERVICES}/{name}/proxy/x", b"{}")

    assert (got.code, got.body["method"], got.body["path"]) == (200, "PATCH", "/x")


async def test_the_only_port_needs_no_name(api: Api) -> None:
    async with running(echo) as port:
        await make_pod(api, port)
        await make_service(api, {"": port})

        got = await api("POST", f"{SERVICES}/web/proxy")

    assert (got.code, got.body["path"]) == (200, "/")


def target(**change: Any) -> dict[str, Any]:
    return {"ip": HOST, "targetRef": {"kind": "Pod", "name": "web", "namespace": "default"}} | change


@pytest.mark.parametrize(
    "address",
    [
        pytest.param({"ip": HOST}, id="no-pod"),
        pytest.param(target(ip="192.0.2.99"), id="not-the-pods-address"),
        pytest.param(
            target(targetRef={"kind": "Pod", "name": "web", "namespace": "kube-system"}), id="foreign-pod"
        ),
        pytest.param(
            target(targetRef={"kind": "Pod", "name": "gone", "namespace": "default"}), id="pod-is-gone"
        ),
    ],
)
async def test_endpoints_that_are_no_pods_of_the_namespace_are_not_used(
    api: Api, address: dict[str, Any]
) -> None:
    async with running(echo) as port:
        await make_pod(api, port)
        await make_service(api, {"": port}, [address])

        got = await api("GET", f"{SERVICES}/web/proxy/")

    assert got.code == 503
    assert got.body["reason"] == "ServiceUnavailable"
    assert got.body["message"] == 'no endpoints available for service "web"'


async def test_service_without_endpoints(api: Api) -> None:
    await make_service(api, {"": 80}, [])

    got = await api("GET", f"{SERVICES}/web:80/proxy/")

    assert (got.code, got.body["message"]) == (503, 'no endpoints available for service "web"')


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        pytest.param("gone", 404, 'endpoints "gone" not found', id="no-endpoints"),
        pytest.param("gone:80", 404, 'services "gone" not found', id="no-service"),
        pytest.param("web:99", 503, 'no service port 99 found for service "web"', id="no-port"),
        pytest.param("web:x", 503, 'no endpoints available for service "web:x"', id="no-name"),
        pytest.param("ftp:web:80", 400, 'invalid service request "ftp:web:80"', id="scheme"),
    ],
)
async def test_names_that_lead_nowhere(api: Api, name: str, code: int, message: str) -> None:
    await make_pod(api, 80)
    await make_service(api, {"http": 80})

    got = await api("GET", f"{SERVICES}/{name}/proxy/")

    assert (got.code, got.body["message"]) == (code, message)

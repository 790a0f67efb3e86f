"""Health, version, metrics, discovery: everything that is no resource."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.server import ApiServer

from ..conftest import Api, configmap

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize("endpoint", ["livez", "readyz", "healthz"])
async def test_health_is_ok_and_tells_more_when_asked(api: Api, endpoint: str) -> None:
    short = await api("GET", f"/{endpoint}")
    long = await api("GET", f"/{endpoint}", verbose="")
    single = await api("GET", f"/{endpoint}/ping")

    assert (short.code, short.body, single.body) == (200, b"ok", b"ok")
    assert b"[+]ping ok\n" in long.body
    assert long.body.endswith(f"{endpoint} check passed\n".encode())


async def test_checks_can_be_left_out(api: Api) -> None:
    answer = await api("GET", "/readyz", verbose="", exclude="storage")

    assert b"[+]storage excluded: ok" in answer.body


async def test_an_unknown_check_is_not_found(api: Api) -> None:
    assert (await api("GET", "/readyz/luck")).code == 404


async def test_the_version_is_kubernetes(api: Api) -> None:
    body = (await api("GET", "/version")).body

    assert (body["major"], body["minor"]) == ("1", "37")


async def test_requests_are_counted_under_upstreams_labels(api: Api) -> None:
    await api("GET", "/api/v1/namespaces/default/configmaps")
    await api("GET", "/api/v1/namespaces/default/no-such-things")

    lines = (await api("GET", "/metrics")).body.decode().splitlines()

    counted = [line for line in lines if line.startswith("apiserver_request_total{") and '"LIST"' in line]
    assert counted == [
        'apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",'
        'scope="namespace",subresource="",verb="LIST",version="v1"} 1.0'
    ]
    assert not any("no-such-things" in line for line in lines)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/apis/apps", "APIGroup"),
        ("/apis/apps/v1", "APIResourceList"),
        ("/api/v1", "APIResourceList"),
        ("/api/v1/", "APIResourceList"),
        ("/apis/apps/v1/", "APIResourceList"),
    ],
)
async def test_discovery_has_a_document_per_level(api: Api, path: str, kind: str) -> None:
    assert (await api("GET", path)).body["kind"] == kind


@pytest.mark.parametrize("others", ["", ",application/json"])
async def test_aggregated_discovery_is_chosen_by_accept(api: Api, others: str) -> None:
    answer = await api("GET", "/apis", accept=f"{AGGREGATED}{others}")

    assert answer.body["kind"] == "APIGroupDiscoveryList"
    assert answer.headers["content-type"] == AGGREGATED


async def test_documents_that_the_client_has_are_not_sent_again(api: Api) -> None:
    first = await api.transport.request("GET", "/openapi/v3")
    headers = {"if-none-match": first.headers["etag"]}

    again = await api.transport.request("GET", "/openapi/v3", headers=headers)

    assert (again.status, again.body) == (304, b"")


async def test_the_root_lists_paths(api: Api) -> None:
    paths = (await api("GET", "/")).body["paths"]

    assert {"/api/v1", "/apis/apps/v1", "/healthz", "/livez/ping", "/metrics", "/openapi/v2"} <= set(paths)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/gadgets", 404),
        ("GET", "/api/v1/pods/web", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/a/status", 404),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", 404),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("POST", "/api/v1/namespaces/default/configmaps/a", 405),
        ("DELETE", "/api/v1/namespaces", 405),
    ],
)
async def test_paths_and_methods_that_do_not_exist(api: Api, method: str, path: str, code: int) -> None:
    answer = await api(method, path)

    assert (answer.code, answer.body["kind"], answer.body["code"]) == (code, "Status", code)
    # kubectl looks into the details of such an answer without asking whether there are any.
    assert answer.body["details"] == {}


@pytest.mark.parametrize(
    "path", ["/nothing", "/apis/apps/v9/deployments", "/apis/nothing/v1/things", "/livez/nothing", "/api/v9"]
)
async def test_what_is_no_part_of_the_api_is_a_page_that_is_not_there(api: Api, path: str) -> None:
    answer = await api("GET", path)

    assert (answer.code, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_fault_of_ours_is_an_internal_error_and_the_server_goes_on(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(server.app)

    def broken(self: Any, obj: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("kplane.apiserver.registry.configmaps.ConfigMapStrategy.default", broken)
        answer = await api("POST", "/api/v1/namespaces/default/configmaps", configmap())

    assert (answer.code, answer.body["reason"]) == (500, "InternalError")
    assert "a bug" not in answer.body["message"]
    assert (await api("POST", "/api/v1/namespaces/default/configmaps", configmap())).code == 201

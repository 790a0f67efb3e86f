"""Reviews and component statuses: answered on the spot, never stored."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api

AUTHN = "/apis/authentication.k8s.io/v1"
AUTHZ = "/apis/authorization.k8s.io/v1"
ADMIN = {"username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]}


async def test_one_can_ask_who_one_is(api: Api) -> None:
    review = await api.make(f"{AUTHN}/selfsubjectreviews", {})

    assert review["status"]["userInfo"] == ADMIN


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param("secret", {"authenticated": True, "user": ADMIN}, id="good"),
        pytest.param("nonsense", {"user": {}, "error": "invalid bearer token"}, id="bad"),
    ],
)
async def test_tokens_are_reviewed(api: Api, token: str, status: dict[str, Any]) -> None:
    review = await api.make(f"{AUTHN}/tokenreviews", {"spec": {"token": token}})

    assert review["status"] == status


@pytest.mark.parametrize(
    ("path", "spec", "allowed"),
    [
        ("selfsubjectaccessreviews", {}, True),
        ("subjectaccessreviews", {"user": "ann", "groups": ["system:authenticated"]}, True),
        ("subjectaccessreviews", {"user": "ann"}, False),
    ],
)
async def test_access_is_reviewed(api: Api, path: str, spec: dict[str, Any], allowed: bool) -> None:
    asked = spec | {"resourceAttributes": {"verb": "list", "resource": "pods"}}

    review = await api.make(f"{AUTHZ}/{path}", {"spec": asked})

    assert review["status"]["allowed"] is allowed


async def test_reviews_cannot_be_read(api: Api) -> None:
    assert (await api("GET", f"{AUTHN}/tokenreviews")).code == 405


async def test_component_statuses_show_the_store_and_nothing_else(api: Api) -> None:
    listed = (await api("GET", "/api/v1/componentstatuses")).body

    assert listed["kind"] == "ComponentStatusList"
    assert [item["metadata"]["name"] for item in listed["items"]] == ["etcd-0"]
    assert (await api("GET", "/api/v1/componentstatuses/scheduler")).code == 404

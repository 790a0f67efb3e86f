"""APIServices of our own groups and versions, kept in step with what is served."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from kplane.api.scheme import builtin
from kplane.apiserver.aggregation.registration import plan, wanted_services
from kplane.apiserver.server import ApiServer

from ..conftest import Api
from .conftest import SERVICES, because, condition

LABEL = "kube-aggregator.kubernetes.io/automanaged"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_every_group_version_has_a_local_service(api: Api) -> None:
    await condition(api, because("Local"), "v1.storagemigration.k8s.io")
    items = (await api("GET", SERVICES)).body["items"]
    found = {obj["metadata"]["name"]: obj for obj in items}

    served = {f"{version}.{group}" for group, version in builtin().group_versions()}
    assert set(found) == served - {"v1.apiregistration.k8s.io"}
    assert found["v1."]["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    apps = found["v1.apps"]
    assert apps["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    assert apps["metadata"]["labels"] == {LABEL: "onstart"}
    (available,) = apps["status"]["conditions"]
    assert (available["type"], available["status"], available["message"]) == (
        "Available",
        "True",
        "Local APIServices are always available",
    )


async def test_versions_that_come_and_go_while_running(api: Api, server: ApiServer) -> None:
    scheme = server._scheme
    deployments = scheme.by_path("apps", "v1", "deployments")
    assert deployments
    row = replace(deployments, group="shop.example.com", version="v1beta1")
    scheme.add(row)
    await condition(api, because("Local"), "v1beta1.shop.example.com")

    made = (await api("GET", f"{SERVICES}/v1beta1.shop.example.com")).body
    assert made["spec"]["groupPriorityMinimum"] == 1000
    assert made["spec"]["versionPriority"] == 100
    assert made["metadata"]["labels"] == {LABEL: "true"}

    scheme.remove(row)
    async with asyncio.timeout(30):
        while (await api("GET", f"{SERVICES}/v1beta1.shop.example.com")).code != 404:
            await asyncio.sleep(0)


def stored(name: str, label: str | None, **spec: Any) -> dict[str, Any]:
    labels = {} if label is None else {"labels": {LABEL: label}}
    return {"metadata": {"name": name} | labels, "spec": spec}


@pytest.mark.parametrize(
    ("label", "first", "steps"),
    [
        pytest.param("onstart", True, [("v1.gone", None), ("v1.apps", "spec")], id="at-the-start"),
        pytest.param("onstart", False, [], id="built-in-later"),
        pytest.param("true", False, [("v1.gone", None), ("v1.apps", "spec")], id="custom-later"),
        pytest.param(None, True, [], id="somebody-elses"),
    ],
)
def test_whose_service_is_changed(label: str | None, first: bool, steps: list[Any]) -> None:
    wanted = {"v1.apps": wanted_services(builtin(), frozenset(builtin().group_versions()))["v1.apps"]}
    present = {name: stored(name, label, version="v0") for name in ("v1.apps", "v1.gone")}

    found = list(plan(wanted, present, first=first))

    assert sorted((step.name, step.wanted and "spec") for step in found) == sorted(steps, key=lambda s: s[0])


def test_a_deleted_built_in_service_comes_back_at_the_next_start_only() -> None:
    own = frozenset(builtin().group_versions())
    wanted = wanted_services(builtin(), own)

    assert not list(plan(wanted, {}, first=False))
    assert len(list(plan(wanted, {}, first=True))) == len(wanted)
    assert len(list(plan(wanted_services(builtin(), frozenset()), {}, first=False))) == len(wanted)

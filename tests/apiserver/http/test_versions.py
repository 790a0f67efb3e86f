"""Resources that are served at two versions: each client sees its own, one is stored."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api

CORE = "/api/v1/namespaces/default/events"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
TARGET = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}


def autoscaler(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3} | spec}


def event() -> dict[str, Any]:
    return {
        "metadata": {"name": "started"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "note": "Started it",
        "reason": "Started",
        "action": "Start",
        "type": "Normal",
        "reportingController": "kubelet",
        "reportingInstance": "kubelet-1",
    }


async def test_an_autoscaler_is_written_and_read_in_either_version(api: Api) -> None:
    made = await api.make(V1, autoscaler(targetCPUUtilizationPercentage=70))

    assert (made["apiVersion"], made["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 70)
    second = (await api("GET", f"{V2}/web")).body
    assert second["apiVersion"] == "autoscaling/v2"
    assert second["spec"]["metrics"][0]["resource"]["target"] == {
        "type": "Utilization",
        "averageUtilization": 70,
    }
    assert (await api("GET", f"{V1}/web")).body == made


async def test_an_update_in_one_version_shows_in_the_other(api: Api) -> None:
    made = await api.make(V2, autoscaler())
    made["spec"]["maxReplicas"] = 9

    assert (await api("PUT", f"{V2}/web", made)).code == 200

    assert (await api("GET", f"{V1}/web")).body["spec"]["maxReplicas"] == 9


@pytest.mark.parametrize(
    ("path", "own", "foreign"),
    [(CORE, "involvedObject", "regarding"), (EVENTS, "regarding", "involvedObject")],
)
async def test_lists_and_watches_show_events_of_both_groups(
    api: Api, path: str, own: str, foreign: str
) -> None:
    await api.make(EVENTS, event())

    listed = (await api("GET", path)).body
    watched = await api.events(path, 1)

    shown = [*listed["items"], *(line["object"] for line in watched)]
    assert len(shown) == 2
    assert all(own in entry and foreign not in entry for entry in shown)


async def test_deleting_a_collection_shows_the_version_that_was_asked_for(api: Api) -> None:
    await api.make(EVENTS, event())

    deleted = (await api("DELETE", CORE)).body

    assert [entry["involvedObject"]["name"] for entry in deleted["items"]] == ["p"]

"""Bound pods are resized where their node declares that it can do that, through HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, pod
from .test_further_plugins import node

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"
STRATEGIC = "application/strategic-merge-patch+json"
CPU, WHOLE = "GuaranteedQoSPodCPUResize", "InPlacePodLevelResourcesVerticalScaling"


def sized(cpu: str = "1", memory: str = "1Mi") -> dict[str, Any]:
    """Requests and limits."""
    return {name: {"cpu": cpu, "memory": memory} for name in ("requests", "limits")}


def resized(cpu: str = "1", memory: str = "1Mi") -> dict[str, Any]:
    return {"containers": [{"name": "c", "resources": sized(cpu, memory)}]}


async def give_node(api: Api, *features: str) -> None:
    there = node(**{"kubernetes.io_os": "linux"})
    status = there.pop("status") | {"declaredFeatures": list(features)}
    made = await api.make(NODES, there)
    await api("PUT", f"{NODES}/n/status", made | {"status": made["status"] | status})


async def make_pod(api: Api, size: dict[str, Any], **spec: Any) -> None:
    container = {"name": "c", "image": "web", "resources": size}
    await api.make(PODS, pod(containers=[container], nodeName="n", **spec))


@pytest.mark.parametrize(
    ("before", "after", "needed"),
    [
        pytest.param(sized(), resized(cpu="2"), [CPU], id="cpu of a guaranteed pod"),
        pytest.param(sized(), resized(cpu="1000m"), [], id="the same amount"),
        pytest.param(sized(), resized(memory="2Mi"), [], id="memory of a guaranteed pod"),
        pytest.param(
            {"requests": {"cpu": "1"}},
            {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]},
            [],
            id="cpu of a burstable pod",
        ),
    ],
)
@pytest.mark.parametrize("declared", [True, False])
async def test_the_cpu_of_a_guaranteed_pod_changes_where_the_node_knows_how(
    api: Api, before: dict[str, Any], after: dict[str, Any], needed: list[str], declared: bool
) -> None:
    await give_node(api, *([CPU] if declared else []))
    await make_pod(api, before)

    answer = await api("PATCH", f"{PODS}/web/resize", {"spec": after}, content_type=STRATEGIC)

    refused = bool(needed) and not declared
    assert answer.code == (403 if refused else 200), answer.body
    if refused:
        assert answer.body["message"] == (
            'pods "web" is forbidden: pod update requires features GuaranteedQoSPodCPUResize which are not '
            'available on node "n"'
        )


async def test_a_pod_as_a_whole_is_resized_where_the_node_knows_how(api: Api) -> None:
    await give_node(api, CPU)
    await make_pod(api, sized(), resources=sized("2", "4Mi"))
    change = {"spec": {"resources": sized("3", "4Mi")} | resized(cpu="2")}

    refused = await api("PATCH", f"{PODS}/web/resize", change, content_type=STRATEGIC)
    await api(
        "PATCH", f"{NODES}/n/status", {"status": {"declaredFeatures": [CPU, WHOLE]}}, content_type=STRATEGIC
    )
    await api("GET", f"{NODES}/n")
    allowed = await api("PATCH", f"{PODS}/web/resize", change, content_type=STRATEGIC)

    assert (refused.code, allowed.code) == (403, 200), (refused.body, allowed.body)
    assert refused.body["message"].endswith(f'requires features {WHOLE} which are not available on node "n"')


async def test_every_feature_that_is_missing_is_named(api: Api) -> None:
    await give_node(api)
    await make_pod(api, sized(), resources=sized("2", "4Mi"))
    change = {"spec": {"resources": sized("3", "4Mi")} | resized(cpu="2")}

    answer = await api("PATCH", f"{PODS}/web/resize", change, content_type=STRATEGIC)

    assert f"requires features {CPU}, {WHOLE} which" in answer.body["message"]


async def test_what_does_not_change_its_size_needs_nothing_of_the_node(api: Api) -> None:
    await make_pod(api, sized())

    labelled = await api("PATCH", f"{PODS}/web", {"metadata": {"labels": {"a": "b"}}}, content_type=STRATEGIC)
    lost = await api("PATCH", f"{PODS}/web/resize", {"spec": resized(cpu="2")}, content_type=STRATEGIC)

    assert labelled.code == 200
    assert (lost.code, lost.body["message"]) == (403, 'pods "web" is forbidden: node "n" not found')

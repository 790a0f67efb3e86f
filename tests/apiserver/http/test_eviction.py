"""Eviction: budgets are asked, charged exactly once, and answer in upstream's words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kplane.apiserver.registry.evictions import matching

from ..conftest import Answer, Api, pod

PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
MERGE = "application/merge-patch+json"
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."


async def make_pod(api: Api, name: str = "web", *, ready: bool = True, phase: str = "Running") -> None:
    """On a node, with the status that its kubelet would have given it."""
    await api.make(PODS, pod(name, nodeName="n1") | {"metadata": {"name": name, "labels": {"app": "web"}}})
    ready_condition = {"type": "Ready", "status": "True" if ready else "False"}
    await set_status(api, f"{PODS}/{name}", {"phase": phase, "conditions": [ready_condition]})


async def make_budget(api: Api, name: str = "budget", *, policy: str = "", **status: Any) -> None:
    spec: dict[str, Any] = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    await api.make(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    counts = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
    await set_status(api, f"{BUDGETS}/{name}", counts | {"observedGeneration": 1} | status)


async def set_status(api: Api, path: str, status: Any) -> None:
    answer = await api("PATCH", f"{path}/status", {"status": status}, content_type=MERGE)
    assert answer.code == 200, answer.body


async def evict(api: Api, name: str = "web", **fields: Any) -> Answer:
    return await api("POST", f"{PODS}/{name}/eviction", {"metadata": {"name": name}, **fields})


async def is_going(api: Api, name: str = "web") -> bool:
    answer = await api("GET", f"{PODS}/{name}")
    return answer.code == 404 or "deletionTimestamp" in answer.body["metadata"]


async def status_of(api: Api, name: str = "budget") -> Any:
    return (await api("GET", f"{BUDGETS}/{name}")).body["status"]


def causes(answer: Answer) -> list[Any]:
    found: list[Any] = answer.body["details"]["causes"]
    return found


async def test_a_pod_without_a_budget_goes_and_says_why(api: Api) -> None:
    await make_pod(api)

    answer = await evict(api)

    assert (answer.code, answer.body["status"]) == (201, "Success")
    going = (await api("GET", f"{PODS}/web")).body
    assert going["metadata"]["deletionGracePeriodSeconds"] == 30
    (target,) = [entry for entry in going["status"]["conditions"] if entry["type"] == "DisruptionTarget"]
    assert (target["status"], target["reason"], target["message"]) == (
        "True", "EvictionByEvictionAPI", "Eviction API: evicting",
    )  # fmt: skip


async def test_an_allowed_eviction_is_charged(api: Api) -> None:
    await make_pod(api)
    await make_budget(api, disruptionsAllowed=1, currentHealthy=2)

    answer = await evict(api)

    assert answer.code == 201
    assert await is_going(api)
    status = await status_of(api)
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["web"])
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed", "False", "InsufficientPods",
    )  # fmt: skip


async def test_an_exhausted_budget_refuses(api: Api) -> None:
    await make_pod(api)
    await make_budget(api)

    answer = await evict(api)

    assert (answer.code, answer.body["reason"], answer.body["message"]) == (429, "TooManyRequests", VIOLATES)
    assert causes(answer) == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget budget needs 1 healthy pods and has 1 currently",
        }
    ]
    assert "retryAfterSeconds" not in answer.body["details"]
    assert not await is_going(api)


async def test_a_budget_that_is_not_computed_yet_asks_to_come_back(api: Api) -> None:
    await make_pod(api)
    await make_budget(api, disruptionsAllowed=1, observedGeneration=0)

    answer = await evict(api)

    assert (answer.code, answer.body["message"]) == (429, VIOLATES)
    assert answer.headers["retry-after"] == "10"
    assert causes(answer)[0]["message"] == (
        "The disruption budget budget is still being processed by the server."
    )


async def test_a_budget_that_failed_says_so(api: Api) -> None:
    await make_pod(api)
    failed = {
        "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no owner",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    await make_budget(api, conditions=[failed])

    assert causes(await evict(api))[0]["message"] == (
        "The disruption budget budget does not allow evicting pods currently because it failed sync: no owner"
    )


async def test_two_budgets_for_a_pod_are_an_error(api: Api) -> None:
    await make_pod(api)
    await make_budget(api, "a", disruptionsAllowed=1)
    await make_budget(api, "b", disruptionsAllowed=1)

    answer = await evict(api)

    assert (answer.code, answer.body["message"]) == (
        500,
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    )
    assert not await is_going(api)


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_pods_that_do_not_run_need_no_budget(api: Api, phase: str) -> None:
    await make_pod(api, phase=phase, ready=False)
    await make_budget(api)

    assert (await evict(api)).code == 201
    assert await is_going(api)
    assert "disruptedPods" not in await status_of(api)


@pytest.mark.parametrize(
    ("policy", "healthy", "code"),
    [
        ("", 0, 429),
        ("", 1, 201),
        ("IfHealthyBudget", 0, 429),
        ("IfHealthyBudget", 1, 201),
        ("AlwaysAllow", 0, 201),
    ],
)
async def test_unhealthy_pods_follow_the_policy(api: Api, policy: str, healthy: int, code: int) -> None:
    await make_pod(api, ready=False)
    await make_budget(api, policy=policy, currentHealthy=healthy)

    assert (await evict(api)).code == code
    assert await is_going(api) is (code == 201)
    assert "disruptedPods" not in await status_of(api)


async def test_a_dry_run_changes_nothing(api: Api) -> None:
    await make_pod(api)
    await make_budget(api, disruptionsAllowed=1)
    before = (await api("GET", f"{PODS}/web")).body, await status_of(api)

    allowed = await evict(api, deleteOptions={"dryRun": ["All"]})

    assert allowed.code == 201
    assert ((await api("GET", f"{PODS}/web")).body, await status_of(api)) == before


async def test_preconditions_are_kept(api: Api) -> None:
    await make_pod(api)
    current = (await api("GET", f"{PODS}/web")).body["metadata"]

    stale = await evict(api, deleteOptions={"preconditions": {"resourceVersion": "1"}})
    other = await evict(api, deleteOptions={"preconditions": {"uid": "other"}})
    remaining = not await is_going(api)
    right = {"uid": current["uid"], "resourceVersion": current["resourceVersion"]}
    fresh = await evict(api, deleteOptions={"preconditions": right})

    assert (stale.code, other.code, fresh.code) == (409, 409, 201)
    assert remaining
    assert await is_going(api)


async def test_a_pod_that_does_not_exist_cannot_be_evicted(api: Api) -> None:
    answer = await evict(api, "nobody")

    assert (answer.code, answer.body["message"]) == (404, 'pods "nobody" not found')


async def test_of_many_evictions_at_once_only_the_allowed_ones_happen(api: Api) -> None:
    names = [f"web-{number}" for number in range(8)]
    for name in names:
        await make_pod(api, name)
    await make_budget(api, disruptionsAllowed=3, currentHealthy=8, desiredHealthy=5)

    answers = await asyncio.gather(*(evict(api, name) for name in names))

    codes = [answer.code for answer in answers]
    assert (codes.count(201), codes.count(429)) == (3, 5)
    assert [await is_going(api, name) for name in names].count(True) == 3
    status = await status_of(api)
    assert (status["disruptionsAllowed"], len(status["disruptedPods"])) == (0, 3)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        pytest.param({}, "name in URL does not match name in Eviction object", id="no-name"),
        pytest.param({"name": "x"}, "name in URL does not match name in Eviction object", id="another-name"),
        pytest.param(
            {"name": "web", "namespace": "other"},
            "the namespace of the provided object does not match the namespace sent on the request",
            id="another-namespace",
        ),
    ],
)
async def test_an_eviction_names_its_pod(api: Api, metadata: dict[str, str], why: str) -> None:
    await make_pod(api)
    answer = await api("POST", f"{PODS}/web/eviction", {"metadata": metadata})
    assert (answer.code, answer.body["message"]) == (400, why)
    assert not await is_going(api)


def test_a_budget_whose_selector_makes_no_sense_guards_nothing() -> None:
    """It can not be made, but may be there from before."""
    broken = {"matchExpressions": [{"key": "app", "operator": "Resembles", "values": ["x"]}]}
    budgets = [
        {"metadata": {"name": name}, "spec": {"selector": selector}}
        for name, selector in (("broken", broken), ("good", {"matchLabels": {"app": "web"}}))
    ]
    pod = {"metadata": {"name": "web", "labels": {"app": "web"}}}
    assert matching(pod, budgets) == budgets[1]

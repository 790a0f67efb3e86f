"""Disruption budgets: what they count, and which evictions they forbid."""

from __future__ import annotations

from typing import Any

from .api import MERGE, Api, ready, template

LABELS = {"foo": "bar"}


def budgets(namespace: str) -> str:
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def budget(least: int | str = 1, name: str = "foo") -> dict[str, Any]:
    spec = {"selector": {"matchLabels": LABELS}, "minAvailable": least}
    return {"metadata": {"name": name, "labels": LABELS}, "spec": spec}


def processed(found: Any) -> bool:
    return found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]


async def pods(api: Api, core: str, count: int) -> None:
    for number in range(count):
        made = template(LABELS)
        made["metadata"]["name"] = f"pod-{number}"
        await api.make(f"{core}/pods", made)
    await api.until_listed(f"{core}/pods", lambda found: sum(map(ready, found)) == count)


async def evict(api: Api, core: str, name: str) -> Any:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return await api("POST", f"{core}/pods/{name}/eviction", body)


async def test_budget_is_processed_after_each_change(api: Api, namespace: str) -> None:
    path = f"{budgets(namespace)}/foo"
    await api.make(budgets(namespace), budget())
    await api.until(path, processed)
    await api.change(path, lambda found: found["spec"].update(minAvailable=2))
    await api.until(path, processed)
    await api.patch(path, {"spec": {"minAvailable": "1%"}})
    assert (await api.until(path, processed))["spec"]["minAvailable"] == "1%"
    await api.delete(path)
    await api.until_gone(path)


async def test_budgets_of_all_namespaces_are_listed_and_a_collection_deleted(
    api: Api, namespace: str
) -> None:
    for name in ("one", "two"):
        await api.make(budgets(namespace), budget(name=name))
    query = {"labelSelector": "foo=bar"}

    assert await api.names("/apis/policy/v1/poddisruptionbudgets", **query) == {"one", "two"}
    await api.delete(budgets(namespace), query)
    assert not await api.items(budgets(namespace))


async def test_status_counts_pods(api: Api, core: str, namespace: str) -> None:
    await api.make(budgets(namespace), budget())
    await pods(api, core, 3)
    found = await api.until(
        f"{budgets(namespace)}/foo", lambda found: found["status"]["disruptionsAllowed"] == 2
    )
    status = found["status"]
    assert (status["currentHealthy"], status["desiredHealthy"], status["expectedPods"]) == (3, 1, 3)


async def test_status_is_written_and_patched(api: Api, core: str, namespace: str) -> None:
    path = f"{budgets(namespace)}/foo"
    await api.make(budgets(namespace), budget())
    await pods(api, core, 1)
    await api.until(path, lambda found: found["status"]["currentHealthy"] == 1)
    moment = (await api.get(f"{core}/pods/pod-0"))["metadata"]["creationTimestamp"]

    updated = await api.change(
        f"{path}/status", lambda found: found["status"].update(disruptedPods={"pod-0": moment})
    )
    assert updated["status"]["disruptedPods"] == {"pod-0": moment}
    patched = await api.patch(f"{path}/status", {"status": {"disruptedPods": None}}, MERGE)
    assert not patched["status"].get("disruptedPods")


async def test_eviction_waits_for_the_budget(api: Api, core: str, namespace: str) -> None:
    path = f"{budgets(namespace)}/foo"
    await api.make(budgets(namespace), budget(3))
    await pods(api, core, 3)
    await api.until(path, lambda found: found["status"]["currentHealthy"] == 3)

    refused = await evict(api, core, "pod-0")
    assert refused.code == 429
    assert refused.body["reason"] == "TooManyRequests"
    (cause,) = refused.body["details"]["causes"]
    assert cause["reason"] == "DisruptionBudget"
    assert refused.body["message"] == "Cannot evict pod as it would violate the pod's disruption budget."

    await api.patch(path, {"spec": {"minAvailable": 2}})
    await api.until(path, lambda found: found["status"]["disruptionsAllowed"] == 1)
    assert (await evict(api, core, "pod-0")).code == 201
    await api.until_gone(f"{core}/pods/pod-0")

    await api.until(path, lambda found: found["status"]["currentHealthy"] == 2)
    assert (await evict(api, core, "pod-1")).code == 429
    await api.delete(path)
    assert (await evict(api, core, "pod-1")).code == 201

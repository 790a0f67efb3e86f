"""Namespaces: their own changes, and what goes with them, in which order."""

from __future__ import annotations

from typing import Any

import pytest

from .api import MERGE, Api, ready, template

NAMESPACES = "/api/v1/namespaces"


def types(found: Any) -> list[str]:
    return [each["type"] for each in found.get("status", {}).get("conditions", ())]


async def test_a_namespace_is_patched_and_updated(api: Api, namespace: str, core: str) -> None:
    before = await api.get(core)
    patched = await api.patch(core, {"metadata": {"labels": {"testLabel": "testValue"}}})
    assert int(patched["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    updated = await api.change(core, lambda found: found["metadata"]["labels"].update({namespace: "updated"}))
    labels = updated["metadata"]["labels"]
    assert (labels["testLabel"], labels[namespace]) == ("testValue", "updated")
    assert labels["kubernetes.io/metadata.name"] == namespace


async def test_status_is_read_patched_and_written(api: Api, namespace: str, core: str) -> None:
    assert (await api.get(f"{core}/status"))["status"]["phase"] == "Active"
    # As Go prints a condition: with a time that is not set.
    made = {"status": "True", "reason": "E2E", "lastTransitionTime": None}
    one = {**made, "type": "StatusPatch", "message": "Patched by an e2e test"}
    patch = {
        "metadata": {"annotations": {"e2e-patched-ns-status": namespace}},
        "status": {"conditions": [one]},
    }
    patched = await api.patch(f"{core}/status", patch, MERGE)
    assert patched["metadata"]["annotations"]["e2e-patched-ns-status"] == namespace
    assert patched["status"]["conditions"][-1]["message"] == "Patched by an e2e test"

    two = {**made, "type": "StatusUpdate", "message": "Updated by an e2e test"}
    updated = await api.change(f"{core}/status", lambda found: found["status"]["conditions"].append(two))
    assert types(updated) == ["StatusPatch", "StatusUpdate"]
    assert updated["status"]["phase"] == "Active"


async def test_finalizers_are_set_through_their_subresource(api: Api, core: str) -> None:
    fake = "e2e.example.com/fakeFinalizer"
    added = await api.change(f"{core}", lambda found: None)
    added["spec"]["finalizers"].append(fake)
    assert (await api.put(f"{core}/finalize", added))["spec"]["finalizers"] == ["kubernetes", fake]
    left = await api.get(core)
    left["spec"]["finalizers"].remove(fake)
    assert (await api.put(f"{core}/finalize", left))["spec"]["finalizers"] == ["kubernetes"]


@pytest.fixture
async def doomed(api: Api, namespace: str) -> str:
    """The path of a namespace of this test, with a Pod that runs, a Service and a ConfigMap."""
    name = f"{namespace}-doomed"
    path = f"{NAMESPACES}/{name}"
    await api.make(NAMESPACES, {"metadata": {"name": name}})
    await api.until(f"{path}/serviceaccounts/default")
    await api.make(
        f"{path}/pods",
        {"metadata": {"name": "test-pod"}, "spec": template({}, terminationGracePeriodSeconds=0)["spec"]},
    )
    await api.make(f"{path}/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    await api.make(f"{path}/configmaps", {"metadata": {"name": "m"}, "data": {"key": "value"}})
    await api.until(f"{path}/pods/test-pod", ready)
    return path


async def test_pods_go_first_and_a_namespace_made_again_is_empty(api: Api, doomed: str) -> None:
    pod = f"{doomed}/pods/test-pod"
    await api.patch(pod, {"metadata": {"finalizers": ["e2e.example.com/finalizer"]}})
    await api.delete(doomed)

    waiting = await api.until(doomed, lambda found: "NamespaceDeletionContentFailure" in types(found))
    assert waiting["status"]["phase"] == "Terminating"
    assert (await api.until(pod, lambda found: found["metadata"].get("deletionTimestamp")))["metadata"]
    assert not await api.gone(f"{doomed}/configmaps/m")
    refused = await api("POST", f"{doomed}/configmaps", {"metadata": {"name": "late"}})
    assert (refused.code, refused.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    await api.change(pod, lambda found: found["metadata"].update(finalizers=[]))
    await api.until_gone(pod)
    await api.until_gone(doomed)

    await api.make(NAMESPACES, {"metadata": {"name": doomed.rpartition("/")[2]}})
    assert not await api.items(f"{doomed}/pods")
    assert not await api.items(f"{doomed}/services")
    await api.delete(doomed)

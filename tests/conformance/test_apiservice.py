"""APIServices: their life as objects, whatever becomes of the server that they name."""

from __future__ import annotations

from typing import Any

from .api import MERGE, Api, condition

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


async def test_an_api_service_lives_beside_the_controller_of_its_condition(api: Api, namespace: str) -> None:
    group = f"{namespace}.example.com"
    path, label = f"{SERVICES}/v1alpha1.{group}", {"labelSelector": "apiservice=patched"}
    service = {"namespace": namespace, "name": "sample-api", "port": 7443}
    spec = {"group": group, "version": "v1alpha1", "service": service, "insecureSkipTLSVerify": True}
    spec |= {"groupPriorityMinimum": 2000, "versionPriority": 200}
    await api.make(SERVICES, {"metadata": {"name": f"v1alpha1.{group}"}, "spec": spec})
    missing = await api.until(path, lambda found: condition(found, "Available") == "False")
    assert missing["status"]["conditions"][0]["reason"] == "ServiceNotFound"
    # Such a group is not there yet; who asks is told so and asks again.
    assert (await api("GET", f"/apis/{group}/v1alpha1/flunders")).code == 503

    assert condition(await api.get(f"{path}/status"), "Available") == "False"
    patched = await api.patch(path, {"spec": {"versionPriority": 400}}, MERGE)
    assert patched["spec"]["versionPriority"] == 400
    labels = {"metadata": {"labels": {"apiservice": "patched"}}}
    await api.patch(path, labels)
    added = {"type": "StatusUpdated", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def add(found: Any) -> None:
        found["status"]["conditions"].append(added)

    updated = await api.change(f"{path}/status", add)
    assert condition(updated, "StatusUpdated") == "True"
    # The server's own condition changes beside it.
    await api.make(
        f"/api/v1/namespaces/{namespace}/services",
        {"metadata": {"name": "sample-api"}, "spec": {"ports": [{"port": 7443}], "selector": {"a": "b"}}},
    )
    found = await api.until(
        path, lambda found: found["status"]["conditions"][0]["reason"] != "ServiceNotFound"
    )
    assert condition(found, "StatusUpdated") == "True"

    assert await api.names(SERVICES, **label) == {f"v1alpha1.{group}"}
    await api.delete(SERVICES, label)
    await api.until_gone(path)
    assert (await api("GET", f"/apis/{group}/v1alpha1/flunders")).code == 404

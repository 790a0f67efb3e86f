"""Quotas: what they count, what they forbid, and when they give it back."""

from __future__ import annotations

from typing import Any

from .api import Api, template

HARD = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "configmaps": "10",
    "secrets": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "cpu": "1",
    "memory": "500Mi",
    "ephemeral-storage": "50Gi",
    "requests.example.com/dongle": "3",
    "count/replicasets.apps": "5",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
}


def quota(name: str = "test-quota", scope: str = "", **hard: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"hard": hard or HARD}
    if scope:
        spec["scopes"] = [scope]
    return {"metadata": {"name": name}, "spec": spec}


def pod(name: str, requests: Any = None, limits: Any = None, **spec: Any) -> dict[str, Any]:
    made = template({}, **spec)
    made["metadata"]["name"] = name
    made["spec"]["containers"][0]["resources"] = {"requests": requests or {}, "limits": limits or {}}
    return made


def scoped(name: str, scope: str) -> dict[str, Any]:
    return quota(name, scope, pods="5")


async def used(api: Api, core: str, wanted: dict[str, str], name: str = "test-quota") -> None:
    def holds(found: Any) -> bool:
        counted = found.get("status", {}).get("used", {})
        return all(counted.get(key) == value for key, value in wanted.items())

    await api.until(f"{core}/resourcequotas/{name}", holds)


async def test_status_is_calculated_at_once(api: Api, core: str) -> None:
    await api.make(f"{core}/resourcequotas", quota())
    found = await api.until(f"{core}/resourcequotas/test-quota", lambda found: found["status"].get("used"))
    assert found["status"]["hard"] == found["spec"]["hard"]
    assert set(found["status"]["used"]) == set(HARD)
    assert found["status"]["used"]["resourcequotas"] == "1"


async def test_services_are_counted_by_their_type(api: Api, core: str) -> None:
    ports = [{"port": 80}]
    await api.make(f"{core}/resourcequotas", quota())
    await used(api, core, {"services": "0"})
    balanced = {"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": False}
    for name, spec in (
        ("plain", {"ports": ports}),
        ("node", {"type": "NodePort", "ports": ports}),
        ("balanced", balanced),
    ):
        await api.make(f"{core}/services", {"metadata": {"name": name}, "spec": spec})
    await used(api, core, {"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"})

    over = {"type": "LoadBalancer", "ports": ports}
    refused = await api("POST", f"{core}/services", {"metadata": {"name": "over"}, "spec": over})
    assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
    assert "exceeded quota: test-quota" in refused.body["message"]
    await api.delete(f"{core}/services")
    await used(api, core, {"services": "0", "services.nodeports": "0", "services.loadbalancers": "0"})


async def test_what_comes_is_counted_and_what_goes_is_given_back(api: Api, core: str, apps: str) -> None:
    maps = len(await api.items(f"{core}/configmaps"))
    await api.make(f"{core}/resourcequotas", quota())
    nothing = {"configmaps": str(maps), "secrets": "0", "replicationcontrollers": "0"}
    nothing |= {"count/replicasets.apps": "0"}
    await used(api, core, nothing)
    selector = {"matchLabels": {"a": "b"}}
    spec = {"replicas": 0, "template": template({"a": "b"})}
    meta = {"metadata": {"name": "x"}}
    await api.make(f"{core}/configmaps", meta)
    await api.make(f"{core}/secrets", {**meta, "stringData": {"a": "b"}})
    await api.make(f"{core}/replicationcontrollers", {**meta, "spec": {**spec, "selector": {"a": "b"}}})
    await api.make(f"{apps}/replicasets", {**meta, "spec": {**spec, "selector": selector}})
    one = {"configmaps": str(maps + 1), "secrets": "1", "replicationcontrollers": "1"}
    await used(api, core, {**one, "count/replicasets.apps": "1"})

    for kind in ("configmaps", "secrets", "replicationcontrollers"):
        await api.delete(f"{core}/{kind}/x")
    await api.delete(f"{apps}/replicasets/x")

    await used(api, core, {key: value for key, value in nothing.items() if "replicasets" not in key})


async def test_a_pod_uses_what_it_asks_for_until_it_goes(api: Api, core: str) -> None:
    await api.make(f"{core}/resourcequotas", quota())
    await used(api, core, {"pods": "0"})
    dongles = {"example.com/dongle": "2"}
    asks = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", **dongles}
    await api.make(f"{core}/pods", pod("test-pod", asks, dongles))
    taken = {"pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi"}
    taken["requests.example.com/dongle"] = "2"
    await used(api, core, taken)

    for more in ({"cpu": "600m", "memory": "100Mi"}, {"cpu": "500m", "memory": "100Mi", **dongles}):
        over = pod("fail-pod", {**more, "ephemeral-storage": "1Gi"}, dongles if len(more) == 3 else {})
        assert (await api("POST", f"{core}/pods", over)).code == 403
    found = await api.get(f"{core}/pods/test-pod")
    found["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "100m"
    # Whatever the kubelet writes meanwhile.
    del found["metadata"]["resourceVersion"]
    assert (await api("PUT", f"{core}/pods/test-pod", found)).code == 422
    await used(api, core, taken)

    await api.delete(f"{core}/pods/test-pod", gracePeriodSeconds=0)
    await used(api, core, dict.fromkeys(taken, "0"))


async def test_quotas_of_scopes_count_only_their_pods(api: Api, core: str) -> None:
    scopes = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort")
    for scope in scopes:
        await api.make(f"{core}/resourcequotas", scoped(scope.lower(), scope))
        await used(api, core, {"pods": "0"}, scope.lower())

    asks, limits = {"cpu": "500m", "memory": "200Mi"}, {"cpu": "1", "memory": "400Mi"}
    for made, counts in (
        (pod("test-pod", asks, limits), ("NotTerminating", "NotBestEffort")),
        (pod("terminating-pod", asks, limits, activeDeadlineSeconds=3600), ("Terminating", "NotBestEffort")),
        (pod("besteffort-pod"), ("NotTerminating", "BestEffort")),
    ):
        await api.make(f"{core}/pods", made)
        for scope in scopes:
            await used(api, core, {"pods": "1" if scope in counts else "0"}, scope.lower())
        await api.delete(f"{core}/pods/{made['metadata']['name']}", gracePeriodSeconds=0)
        for scope in scopes:
            await used(api, core, {"pods": "0"}, scope.lower())


async def test_terminating_scope_counts_requests_and_limits(api: Api, core: str) -> None:
    keys = ("pods", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
    hard = dict(zip(keys, ("5", "1", "500Mi", "2", "1Gi"), strict=True))
    await api.make(f"{core}/resourcequotas", quota("q", "NotTerminating", **hard))
    await used(api, core, dict.fromkeys(keys, "0"), "q")
    asks, limits = {"cpu": "500m", "memory": "200Mi"}, {"cpu": "1", "memory": "400Mi"}
    await api.make(f"{core}/pods", pod("test-pod", asks, limits))
    await used(api, core, dict(zip(keys, ("1", "500m", "200Mi", "1", "400Mi"), strict=True)), "q")


async def test_a_quota_lives(api: Api, core: str) -> None:
    path, label = f"{core}/resourcequotas/q", {"labelSelector": "rq=q"}
    made = quota("q", cpu="1", memory="500Mi")
    made["metadata"]["labels"] = {"rq": "q"}
    await api.make(f"{core}/resourcequotas", made)
    made["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}
    # Without a revision, as the suite replaces it.
    assert (await api.put(path, made))["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    patch = {"metadata": {"labels": {"q": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = await api.patch(path, patch)
    assert patched["spec"]["hard"] == {"cpu": "2", "memory": "750Mi"}
    assert await api.names("/api/v1/resourcequotas", **label) == {"q"}
    await api.delete(f"{core}/resourcequotas", label)
    assert await api.gone(path)


async def test_status_is_written_and_patched_and_the_spec_stays(api: Api, core: str) -> None:
    path = f"{core}/resourcequotas/q"
    await api.make(f"{core}/resourcequotas", quota("q", cpu="500m", memory="500Mi"))
    async with api.watch(f"{core}/resourcequotas") as watch:
        await api.change(f"{path}/status", lambda found: found.update(status={"hard": found["spec"]["hard"]}))
        await watch.until("MODIFIED", lambda found: found["status"].get("hard") == found["spec"]["hard"])
        hard = {"cpu": "1", "memory": "1Gi"}
        await api.patch(path, {"spec": {"hard": hard}})
        await api.patch(f"{path}/status", {"status": {"hard": hard}})
        await watch.until("MODIFIED", lambda found: found["status"].get("hard") == hard)
        assert (await api.get(f"{path}/status"))["status"]["hard"] == hard
        more = {"cpu": "2", "memory": "2Gi"}
        again = await api.patch(f"{path}/status", {"status": {"hard": more}})
        assert (again["status"]["hard"], again["spec"]["hard"]) == (more, hard)
        await watch.until("MODIFIED", lambda found: found["status"].get("hard") == more)

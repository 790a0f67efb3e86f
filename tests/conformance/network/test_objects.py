"""Services, their endpoints and addresses through the API and the controllers."""

from __future__ import annotations

from typing import Any

from ..api import MERGE, Api

NETWORKING = "/apis/networking.k8s.io/v1"


async def test_status_of_a_service_is_patched_and_updated(api: Api, core: str) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80}]}
    await api.make(f"{core}/services", {"metadata": {"name": "s"}, "spec": spec})
    ingress = [{"ip": "203.0.113.1"}]
    patch = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"loadBalancer": {"ingress": ingress}},
    }

    patched = await api.patch(f"{core}/services/s/status", patch, MERGE)
    assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"

    def update(found: Any) -> None:
        found["status"]["conditions"] = [
            {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
            | {"lastTransitionTime": None}
        ]

    changed = await api.change(f"{core}/services/s/status", update)
    assert changed["status"]["conditions"][0]["reason"] == "E2E"


async def test_service_changes_its_type_and_gives_up_what_the_other_has_not(api: Api, core: str) -> None:
    await api.make(
        f"{core}/services",
        {"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "a.b"}},
    )

    def internal(kind: str) -> Any:
        def change(found: Any) -> None:
            found["spec"] |= {"type": kind, "externalName": "", "ports": [{"name": "http", "port": 80}]}

        return change

    def external(found: Any) -> None:
        found["spec"] |= {"type": "ExternalName", "externalName": "c.d"}

    path = f"{core}/services/s"
    found = await api.change(path, internal("ClusterIP"))
    assert found["spec"]["clusterIP"]
    found = await api.change(path, external)
    assert "clusterIP" not in found["spec"] or not found["spec"]["clusterIP"]
    found = await api.change(path, internal("NodePort"))
    assert found["spec"]["ports"][0]["nodePort"]
    found = await api.change(path, external)
    assert "nodePort" not in found["spec"]["ports"][0]


async def test_endpoints_are_patched_as_a_whole(api: Api, core: str) -> None:
    subset = {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    metadata = {"name": "e", "labels": {"test-endpoint-static": "true"}}
    await api.make(f"{core}/endpoints", {"metadata": metadata, "subsets": [subset]})
    other = {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "x", "port": 8080, "protocol": "TCP"}]}

    patched = await api.patch(f"{core}/endpoints/e", {"subsets": [other]})
    assert patched["subsets"] == [other]
    await api("DELETE", f"{core}/endpoints", labelSelector="test-endpoint-static=true")
    assert await api.gone(f"{core}/endpoints/e")


async def test_custom_endpoints_are_mirrored_changed_and_gone(api: Api, core: str, namespace: str) -> None:
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    mine = {"labelSelector": "kubernetes.io/service-name=custom"}
    await api.make(f"{core}/services", {"metadata": {"name": "custom"}, "spec": {"ports": [{"port": 80}]}})

    def subsets(ip: str, port: int) -> list[Any]:
        return [{"addresses": [{"ip": ip}], "ports": [{"name": "e", "port": port}]}]

    def shows(ip: str, port: int) -> Any:
        def holds(found: list[Any]) -> bool:
            return [
                (entry["endpoints"][0]["addresses"], entry["ports"][0]["port"])
                for entry in found
                if entry["endpoints"]
            ] == [([ip], port)]

        return holds

    await api.make(f"{core}/endpoints", {"metadata": {"name": "custom"}, "subsets": subsets("10.1.2.3", 80)})
    await api.until_listed(slices, shows("10.1.2.3", 80), **mine)
    await api.patch(f"{core}/endpoints/custom", {"subsets": subsets("10.2.3.4", 8080)}, MERGE)
    await api.until_listed(slices, shows("10.2.3.4", 8080), **mine)
    await api.delete(f"{core}/endpoints/custom")
    await api.until_listed(slices, lambda found: not found, **mine)


async def test_addresses_are_objects_of_both_families(api: Api) -> None:
    addresses = f"{NETWORKING}/ipaddresses"
    parent = {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}
    for name, label in (("255.255.255.255", "broadcast"), ("fe80::42:1dff:fe84:f9e2", "link-local")):
        body = {"metadata": {"name": name, "labels": {"type": label}}, "spec": {"parentRef": parent}}
        await api.make(addresses, body)

    patch = {"metadata": {"annotations": {"patched": "true"}}}
    patched = await api.patch(f"{addresses}/255.255.255.255", patch, MERGE)
    assert patched["metadata"]["annotations"] == {"patched": "true"}
    await api.delete(f"{addresses}/255.255.255.255")
    await api("DELETE", addresses, labelSelector="type=link-local")
    assert await api.items(addresses, labelSelector="type in (broadcast,link-local)") == []


async def test_default_range_of_services_shows_its_status(api: Api) -> None:
    found = await api.until(
        f"{NETWORKING}/servicecidrs/kubernetes", lambda found: found.get("status", {}).get("conditions")
    )
    shown = await api.get(f"{NETWORKING}/servicecidrs/kubernetes/status")
    assert (shown["kind"], shown["metadata"]["uid"]) == ("ServiceCIDR", found["metadata"]["uid"])

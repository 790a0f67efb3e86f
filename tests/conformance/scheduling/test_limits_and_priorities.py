"""LimitRanges and PriorityClasses, and pods that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from ..api import JSON_PATCH, Api, condition


def amounts(cpu: str, memory: str, disk: str) -> dict[str, str]:
    return {"cpu": cpu, "memory": memory, "ephemeral-storage": disk}


RANGE = {
    "type": "Container",
    "min": amounts("50m", "100Mi", "100Gi"),
    "max": amounts("500m", "500Mi", "500Gi"),
    "default": amounts("500m", "500Mi", "500Gi"),
    "defaultRequest": amounts("100m", "200Mi", "200Gi"),
}


def pod(name: str, requests: Any = None, limits: Any = None, **spec: Any) -> dict[str, Any]:
    resources = {"requests": requests or {}, "limits": limits or {}}
    container = {"name": "c", "image": "web:1", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def test_limit_range_gives_defaults_and_refuses_what_is_out_of_range(api: Api, core: str) -> None:
    await api.make(f"{core}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [RANGE]}})

    made = await api.make(f"{core}/pods", pod("plain"))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": RANGE["defaultRequest"], "limits": RANGE["default"],
    }  # fmt: skip
    partial = await api.make(f"{core}/pods", pod("partial", {"memory": "150Mi"}, {"cpu": "300m"}))
    assert partial["spec"]["containers"][0]["resources"] == {
        "requests": amounts("300m", "150Mi", "200Gi"), "limits": amounts("300m", "500Mi", "500Gi"),
    }  # fmt: skip
    small, large = amounts("10m", "50Mi", "50Gi"), amounts("600m", "600Mi", "600Gi")
    assert (await api("POST", f"{core}/pods", pod("small", small))).code == 403
    assert (await api("POST", f"{core}/pods", pod("large", None, large))).code == 403

    def lower(found: Any) -> None:
        found["spec"]["limits"][0]["min"] = amounts("9m", "49Mi", "49Gi")

    await api.change(f"{core}/limitranges/l", lower)
    await api.make(f"{core}/pods", pod("small", small))


async def test_limit_ranges_are_patched_listed_everywhere_and_deleted_by_label(api: Api, core: str) -> None:
    body = {"metadata": {"name": "l"}, "spec": {"limits": [RANGE]}}
    await api.make(f"{core}/limitranges", body)
    patch = {
        "metadata": {"labels": {"l": "patched"}},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "40m"}}]},
    }

    await api.patch(f"{core}/limitranges/l", patch)
    [found] = await api.items("/api/v1/limitranges", labelSelector="l=patched")
    assert found["spec"]["limits"][0]["min"]["cpu"] == "40m"
    await api("DELETE", f"{core}/limitranges", labelSelector="l=patched")
    assert await api.items("/api/v1/limitranges", labelSelector="l=patched") == []


async def test_value_of_a_priority_class_is_fixed_and_its_description_is_not(api: Api) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    made = await api.make(path, {"metadata": {"name": "p1"}, "value": 1})

    assert (await api("PUT", f"{path}/p1", made | {"value": 10})).code == 422
    patch = [{"op": "replace", "path": "/value", "value": 0}]
    assert (await api("PATCH", f"{path}/p1", patch, type=JSON_PATCH)).code == 422
    changed = await api.put(f"{path}/p1", made | {"description": "new"})
    assert (changed["description"], changed["value"]) == ("new", 1)
    await api.delete(f"{path}/p1")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(pod("p", {"cpu": "1000"}), "Insufficient cpu", id="too-large"),
        pytest.param(
            pod("p", nodeSelector={"label": "nonempty"}),
            "didn't match Pod's node affinity/selector",
            id="no-such-node",
        ),
    ],
)
async def test_pod_that_fits_nowhere_says_why(api: Api, core: str, body: Any, why: str) -> None:
    await api.make(f"{core}/pods", body)

    found = await api.until(f"{core}/pods/p", lambda found: condition(found, "PodScheduled") == "False")
    [told] = [entry for entry in found["status"]["conditions"] if entry["type"] == "PodScheduled"]
    assert told["reason"] == "Unschedulable"
    assert why in told["message"]


async def test_pod_goes_where_its_selector_points(api: Api, core: str) -> None:
    node = (await api.items("/api/v1/nodes"))[0]["metadata"]["name"]
    await api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"e2e-selected": "42"}}})
    await api.make(f"{core}/pods", pod("p", nodeSelector={"e2e-selected": "42"}))

    found = await api.until(f"{core}/pods/p", lambda found: condition(found, "PodScheduled") == "True")
    assert found["spec"]["nodeName"] == node
    await api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"e2e-selected": None}}})


async def test_host_port_of_every_address_conflicts_with_one_of_any(api: Api, core: str) -> None:
    node = (await api.items("/api/v1/nodes"))[0]["metadata"]["name"]

    def with_port(name: str, address: str) -> dict[str, Any]:
        body = pod(name, nodeSelector={"kubernetes.io/hostname": node})
        port = {"containerPort": 8080, "hostPort": 54322, "hostIP": address, "protocol": "TCP"}
        body["spec"]["containers"][0]["ports"] = [port]
        return body

    await api.make(f"{core}/pods", with_port("a", ""))
    await api.until(f"{core}/pods/a", lambda found: condition(found, "PodScheduled") == "True")
    await api.make(f"{core}/pods", with_port("b", "127.0.0.1"))

    await api.until(f"{core}/pods/b", lambda found: condition(found, "PodScheduled") == "False")

"""Pods through the API: class, generation, status, collections, debugging and resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..api import Api, ready


def pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "web:1"} | spec.pop("container", {})
    metadata = {"name": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


async def test_equal_requests_and_limits_make_a_guaranteed_pod(api: Api, core: str) -> None:
    amounts = {"cpu": "100m", "memory": "100Mi"}
    resources = {"requests": amounts, "limits": amounts}

    made = await api.make(f"{core}/pods", pod("p", container={"resources": resources}))
    assert made["status"]["qosClass"] == "Guaranteed"


async def test_generation_begins_at_one_and_graceful_deletion_counts(api: Api, core: str) -> None:
    body = pod("p")
    body["metadata"]["generation"] = 100
    assert (await api.make(f"{core}/pods", body))["metadata"]["generation"] == 1
    await api.until(f"{core}/pods/p", ready)

    deleted = await api.delete(f"{core}/pods/p", {"gracePeriodSeconds": "60"})
    assert deleted["metadata"]["generation"] == 2


def tolerate(found: Any) -> None:
    found["spec"]["tolerations"] = [{"key": "foo", "operator": "Equal", "value": "b", "effect": "NoSchedule"}]


def limit(found: Any) -> None:
    found["spec"]["activeDeadlineSeconds"] = 5000


def other_image(found: Any) -> None:
    found["spec"]["containers"][0]["image"] = "web:2"


def other_init_image(found: Any) -> None:
    found["spec"]["initContainers"][0]["image"] = "web:2"


def annotate(found: Any) -> None:
    found["metadata"]["annotations"] = {"key": "value"}


def claim_generation(found: Any) -> None:
    found["metadata"]["generation"] = 7


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (tolerate, True),
        (limit, True),
        (other_image, True),
        (other_init_image, True),
        (annotate, False),
        (claim_generation, False),
    ],
)
async def test_generation_counts_changes_of_the_spec_only(
    api: Api, core: str, change: Callable[[Any], None], counts: bool
) -> None:
    await api.make(f"{core}/pods", pod("p", initContainers=[{"name": "i", "image": "web:1"}]))

    changed = await api.change(f"{core}/pods/p", change)

    assert changed["metadata"]["generation"] == (2 if counts else 1)


async def test_kubelet_catches_up_with_many_updates(api: Api, core: str) -> None:
    await api.make(f"{core}/pods", pod("p"))
    for number in range(60):
        toleration = {"key": f"k{number}", "operator": "Exists", "effect": "NoSchedule"}
        patch = [{"op": "add", "path": "/spec/tolerations/-", "value": toleration}]
        last = await api.patch(f"{core}/pods/p", patch, "application/json-patch+json")

    assert last["metadata"]["generation"] == 61
    await api.until(f"{core}/pods/p", lambda found: found["status"].get("observedGeneration") == 61)


async def test_status_is_patched_beside_its_kubelet(api: Api, core: str) -> None:
    # No scheduler knows of it, so that no kubelet writes.
    await api.make(f"{core}/pods", pod("p", schedulerName="nobody"))
    patch = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"message": "Patched by e2e test", "reason": "E2E"},
    }

    patched = await api.patch(f"{core}/pods/p/status", patch)

    assert (patched["status"]["message"], patched["status"]["reason"]) == ("Patched by e2e test", "E2E")
    assert patched["metadata"]["annotations"] == {"patchedstatus": "true"}


async def test_collection_of_pods_goes_by_label(api: Api, core: str) -> None:
    for number in range(3):
        await api.make(f"{core}/pods", pod(f"p{number}", labels={"type": "Testing"}))
    await api("DELETE", f"{core}/pods", labelSelector="type=Testing")

    await api.until_listed(f"{core}/pods", lambda found: not found, labelSelector="type=Testing")


async def test_ephemeral_containers_are_added_and_not_replaced(api: Api, core: str) -> None:
    await api.make(f"{core}/pods", pod("p"))
    path = f"{core}/pods/p/ephemeralcontainers"
    first = {"name": "debugger", "image": "web:1", "command": ["/bin/sh"], "stdin": True, "tty": True}
    await api.patch(path, {"spec": {"ephemeralContainers": [first]}})
    second = {"name": "debugger-2", "image": "web:1", "terminationMessagePolicy": "File"}

    def add(found: Any) -> None:
        found["spec"]["ephemeralContainers"].append(second)

    changed = await api.change(path, add)
    assert [entry["name"] for entry in changed["spec"]["ephemeralContainers"]] == ["debugger", "debugger-2"]


async def test_resize_changes_resources_and_nothing_else(api: Api, core: str) -> None:
    small = {"requests": {"cpu": "10m"}}
    await api.make(f"{core}/pods", pod("p", container={"resources": small}))
    path = f"{core}/pods/p/resize"
    more = {"requests": {"cpu": "20m", "memory": "20Mi"}, "limits": {"cpu": "100m"}}

    patched = await api.patch(path, {"spec": {"containers": [{"name": "c", "resources": more}]}})
    assert patched["spec"]["containers"][0]["resources"] == more
    assert patched["metadata"]["generation"] == 2
    taken = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": None}}}]}}
    assert (await api("PATCH", path, taken, type="application/strategic-merge-patch+json")).code == 422


async def test_pod_is_resized_without_a_new_start(api: Api, core: str) -> None:
    small, large = {"requests": {"cpu": "10m"}}, {"requests": {"cpu": "20m"}}
    await api.make(f"{core}/pods", pod("p", container={"resources": small}))
    await api.until(f"{core}/pods/p", ready)

    await api.patch(f"{core}/pods/p/resize", {"spec": {"containers": [{"name": "c", "resources": large}]}})

    def settled(found: Any) -> bool:
        resized = found["status"]["containerStatuses"][0].get("resources") == large
        return resized and not any(
            entry["type"].startswith("PodResize") for entry in found["status"]["conditions"]
        )

    found = await api.until(f"{core}/pods/p", settled)
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_resize_waits_for_room_and_says_so(api: Api, core: str) -> None:
    small, large = {"requests": {"cpu": "10m"}}, {"requests": {"cpu": "15"}}
    await api.make(f"{core}/pods", pod("p", container={"resources": small}))
    node = (await api.until(f"{core}/pods/p", ready))["spec"]["nodeName"]
    greedy = {"resources": {"requests": {"cpu": "20"}}}
    await api.make(f"{core}/pods", pod("greedy", container=greedy, nodeName=node))
    await api.until(f"{core}/pods/greedy", ready)

    await api.patch(f"{core}/pods/p/resize", {"spec": {"containers": [{"name": "c", "resources": large}]}})

    def pending(found: Any) -> bool:
        return any(
            (entry["type"], entry.get("reason")) == ("PodResizePending", "Deferred")
            for entry in found["status"]["conditions"]
        )

    found = await api.until(f"{core}/pods/p", pending)
    assert found["status"]["containerStatuses"][0]["resources"] == small
    await api.patch(f"{core}/pods/p/resize", {"spec": {"containers": [{"name": "c", "resources": small}]}})
    await api.until(f"{core}/pods/p", lambda found: not pending(found))


async def test_unsafe_sysctl_is_refused_by_the_node(api: Api, core: str) -> None:
    context = {"sysctls": [{"name": "kernel.msgmax", "value": "1000"}]}
    await api.make(f"{core}/pods", pod("p", securityContext=context))

    found = await api.until(f"{core}/pods/p", lambda found: found["status"]["phase"] == "Failed")
    assert found["status"]["reason"] == "SysctlForbidden"


async def test_invalid_sysctls_are_refused_by_the_api(api: Api, core: str) -> None:
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")
    context = {"sysctls": [{"name": name, "value": "1"} for name in names]}

    answer = await api("POST", f"{core}/pods", pod("p", securityContext=context))
    assert answer.code == 422
    for name in ("foo-", "bar.."):
        assert f'Invalid value: "{name}": must have at most 253 characters' in answer.body["message"]

"""Ephemeral containers and resizing of Pods."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..conftest import Answer, Api, pod
from ..kubectl import Kubectl

PODS = "/api/v1/namespaces/default/pods"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
DEBUG = {"name": "debug", "image": "busybox:1"}


async def add(api: Api, *containers: Any, **more: Any) -> Answer:
    body = {"spec": {"ephemeralContainers": list(containers)}} | more
    return await api("PATCH", f"{PODS}/web/ephemeralcontainers", body, content_type=MERGE)


async def test_an_ephemeral_container_joins_the_pod(api: Api) -> None:
    made = await api.make(PODS, pod())

    answer = await add(api, DEBUG)

    assert answer.code == 200, answer.body
    added = answer.body["spec"]["ephemeralContainers"][0]
    assert (added["name"], added["imagePullPolicy"], added["terminationMessagePolicy"]) == (
        "debug",
        "IfNotPresent",
        "File",
    )
    assert answer.body["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert (await api("GET", f"{PODS}/web/ephemeralcontainers")).body == answer.body


async def test_a_put_takes_ephemeral_containers_alone(api: Api) -> None:
    made = await api.make(PODS, pod())
    made["spec"] |= {"ephemeralContainers": [DEBUG], "activeDeadlineSeconds": 5}
    made["metadata"]["labels"] = {"app": "other"}

    answer = await api("PUT", f"{PODS}/web/ephemeralcontainers", made)

    assert answer.code == 200, answer.body
    assert "activeDeadlineSeconds" not in answer.body["spec"]
    assert answer.body["metadata"]["labels"] == {"app": "web"}
    assert len(answer.body["spec"]["ephemeralContainers"]) == 1


@pytest.mark.parametrize(
    ("containers", "text"),
    [
        pytest.param([], 'existing ephemeral containers "debug" may not be removed', id="removed"),
        pytest.param(
            [DEBUG | {"image": "other:1"}],
            'existing ephemeral containers "debug" may not be changed',
            id="changed",
        ),
        pytest.param([DEBUG, DEBUG | {"name": "c"}], "Duplicate value", id="name"),
        *(
            pytest.param(
                [DEBUG, {"name": "two", "image": "i:1", field: value}],
                f"spec.ephemeralContainers[1].{field}: Forbidden: cannot be set for an Ephemeral Container",
                id=field,
            )
            for field, value in (
                ("ports", [{"containerPort": 80}]),
                ("resources", {"limits": {"cpu": "1"}}),
                ("livenessProbe", {"exec": {"command": ["x"]}}),
                ("lifecycle", {"preStop": {"exec": {"command": ["x"]}}}),
            )
        ),
        pytest.param(
            [DEBUG, {"name": "two", "image": "i:1", "targetContainerName": "no"}],
            'Not found: "no"',
            id="target",
        ),
    ],
)
async def test_ephemeral_containers_that_are_refused(api: Api, containers: list[Any], text: str) -> None:
    await api.make(PODS, pod())
    await add(api, DEBUG)

    answer = await add(api, *containers)

    assert answer.code == 422
    assert text in answer.body["message"]


async def test_the_pod_itself_takes_no_ephemeral_containers(api: Api) -> None:
    await api.make(PODS, pod())
    body = {"spec": {"ephemeralContainers": [DEBUG]}}

    assert (await api("PATCH", f"{PODS}/web", body, content_type=MERGE)).code == 422


@pytest.mark.slow
async def test_kubectl_debug_adds_a_container(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod"} | pod()))

    await kubectl("debug", "web", "--image=busybox:1", "--target=c", "--container=look", "--attach=false")

    assert "look" in await kubectl("get", "pod", "web", "-o", "jsonpath={.spec.ephemeralContainers[*].name}")


def sized(cpu: str = "1", memory: str = "1Gi", **more: Any) -> dict[str, Any]:
    return {
        "name": "c",
        "image": "web:1",
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": "2Gi"}},
    } | more


async def resize(api: Api, *containers: Any, kind: str = STRATEGIC, **spec: Any) -> Answer:
    body = {"spec": {"containers": list(containers)} | spec}
    return await api("PATCH", f"{PODS}/web/resize", body, content_type=kind)


async def test_cpu_memory_and_policy_can_be_resized(api: Api) -> None:
    made = await api.make(PODS, pod(containers=[sized()]))
    policy = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]

    answer = await resize(api, {"name": "c", "resources": {"requests": {"cpu": "2"}}, "resizePolicy": policy})

    assert answer.code == 200, answer.body
    container = answer.body["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}
    assert container["resizePolicy"] == policy
    assert answer.body["metadata"]["generation"] == made["metadata"]["generation"] + 1


async def test_a_resize_changes_nothing_else(api: Api) -> None:
    await api.make(PODS, pod(containers=[sized()]))

    answer = await resize(api, {"name": "c", "image": "other:1"}, activeDeadlineSeconds=5)

    assert answer.code == 200
    assert answer.body["spec"]["containers"][0]["image"] == "web:1"
    assert "activeDeadlineSeconds" not in answer.body["spec"]


@pytest.mark.parametrize(
    ("container", "text"),
    [
        pytest.param(
            {
                "resources": {
                    "requests": {"cpu": "1", "memory": "2Gi"},
                    "limits": {"cpu": "1", "memory": "2Gi"},
                }
            },
            "Pod QOS Class may not change as a result of resizing",
            id="qos",
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": None}}}, "resource requests cannot be removed", id="request"
        ),
        pytest.param(
            {"resources": {"limits": {"memory": None}}}, "resource limits cannot be removed", id="limit"
        ),
        pytest.param(
            {"resources": {"limits": {"ephemeral-storage": "1Gi"}}},
            "spec: Forbidden: only cpu and memory resources are mutable",
            id="other resource",
        ),
        pytest.param(
            {"resources": {"requests": {"memory": "3Gi"}}},
            "must be less than or equal to memory limit of 2Gi",
            id="above limit",
        ),
    ],
)
async def test_resizes_that_are_refused(api: Api, container: dict[str, Any], text: str) -> None:
    await api.make(PODS, pod(containers=[sized()]))

    answer = await resize(api, {"name": "c"} | container)

    assert answer.code == 422
    assert text in answer.body["message"]


@pytest.mark.parametrize(
    ("own", "text"),
    [
        pytest.param({"requests": {"cpu": "3"}}, "", id="cpu"),
        pytest.param({"limits": {"memory": "6Gi"}}, "", id="a limit more"),
        pytest.param(
            {"requests": {"memory": None}},
            "spec.resources.requests: Forbidden: pod-level resource requests cannot be removed",
            id="removed",
        ),
        pytest.param(
            {"requests": {"hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "2Mi"}},
            "spec: Forbidden: only cpu and memory resources are mutable at pod-level",
            id="other resource",
        ),
    ],
)
async def test_a_pod_as_a_whole_can_be_resized(api: Api, own: dict[str, Any], text: str) -> None:
    whole = {"requests": {"cpu": "2", "memory": "4Gi"}}
    await api.make(PODS, pod(containers=[sized()], resources=whole))

    answer = await resize(api, sized(), resources=own)

    assert answer.code == (422 if text else 200), answer.body
    if text:
        assert text in answer.body["message"]
    else:
        changed = {part: whole.get(part, {}) | amounts for part, amounts in own.items()}
        assert answer.body["spec"]["resources"] == whole | changed


async def test_containers_keep_their_names_and_order(api: Api) -> None:
    await api.make(PODS, pod(containers=[sized(), sized(name="d")]))

    answer = await resize(api, sized(name="d"), sized(), kind=MERGE)

    assert answer.code == 422
    for index in range(2):
        fault = (
            f"spec.containers[{index}].name: Forbidden: containers may not be renamed or reordered on resize"
        )
        assert fault in answer.body["message"]


async def test_init_containers_that_end_keep_their_size(api: Api) -> None:
    await api.make(PODS, pod(containers=[sized()], initContainers=[sized(name="first")]))

    answer = await resize(
        api, sized(), initContainers=[{"name": "first", "resources": {"requests": {"cpu": "2"}}}]
    )

    assert "resources for non-sidecar init containers are immutable" in answer.body["message"]


async def test_a_node_that_cannot_resize_is_respected(api: Api) -> None:
    await api.make(PODS, pod(containers=[sized()]))
    running = {
        "name": "c",
        "image": "",
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {}},
    }
    status = {"status": {"containerStatuses": [running]}}
    assert (await api("PATCH", f"{PODS}/web/status", status, content_type=MERGE)).code == 200

    answer = await resize(api, {"name": "c", "resources": {"requests": {"cpu": "2"}}})

    assert "Pod running on node without support for resize" in answer.body["message"]

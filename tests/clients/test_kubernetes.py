"""`kubernetes`, the official Python client: typed calls, the dynamic client, watches."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError
from kubernetes.stream import stream

from .cluster import Cluster
from .shapes import DEPLOYMENT, configmap, pod


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    made = config.new_client_from_config(str(cluster.kubeconfig))
    yield made
    made.close()


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def apps(api: client.ApiClient) -> client.AppsV1Api:
    return client.AppsV1Api(api)


@pytest.fixture(scope="module")
def dyn(api: client.ApiClient) -> dynamic.DynamicClient:
    return dynamic.DynamicClient(api)


def reason_of(error: pytest.ExceptionInfo[ApiException]) -> tuple[int, str, str]:
    said = json.loads(error.value.body)
    return error.value.status, said["reason"], said["message"]


def test_a_typed_object_is_created_read_patched_replaced_and_deleted(
    core: client.CoreV1Api, namespace: str
) -> None:
    meta = client.V1ObjectMeta(name="settings", labels={"app": "web"})
    made = core.create_namespaced_config_map(
        namespace, client.V1ConfigMap(metadata=meta, data={"color": "blue"})
    )
    patched = core.patch_namespaced_config_map("settings", namespace, {"data": {"size": "1"}})
    patched.data["color"] = "red"
    replaced = core.replace_namespaced_config_map("settings", namespace, patched)
    deleted = core.delete_namespaced_config_map("settings", namespace)

    assert made.metadata.creation_timestamp.tzinfo is not None
    assert replaced.data == {"color": "red", "size": "1"}
    assert int(replaced.metadata.resource_version) > int(made.metadata.resource_version)
    assert (deleted["status"], deleted["details"]["uid"]) == ("Success", made.metadata.uid)
    assert core.list_namespaced_config_map(namespace, label_selector="app=web").items == []


def test_a_deployment_rolls_out_and_scales(
    apps: client.AppsV1Api, core: client.CoreV1Api, namespace: str
) -> None:
    apps.create_namespaced_deployment(namespace, DEPLOYMENT)

    ready = wait_for(
        apps.list_namespaced_deployment, namespace, lambda found: found.status.ready_replicas == 2
    )
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}})
    scaled = wait_for(
        apps.list_namespaced_deployment, namespace, lambda found: found.status.ready_replicas == 3
    )
    pods = core.list_namespaced_pod(namespace, label_selector="app in (web),tier notin (back)").items
    running = core.list_namespaced_pod(namespace, field_selector="status.phase=Running").items

    assert {condition.type for condition in ready.status.conditions} == {"Available", "Progressing"}
    assert scaled.spec.replicas == apps.read_namespaced_deployment_scale("web", namespace).status.replicas
    assert {one.metadata.name for one in pods} == {one.metadata.name for one in running}
    assert len(pods) == 3


def wait_for(call: Any, namespace: str, holds: Any) -> Any:
    """The first object of a watch for which `holds` holds, as users of this client wait."""
    watching = watch.Watch()
    for event in watching.stream(call, namespace, timeout_seconds=30):
        if holds(event["object"]):
            watching.stop()
            return event["object"]
    raise AssertionError("the watch ended first")


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(
            lambda core, ns: core.read_namespaced_config_map("none", ns),
            (404, "NotFound", 'configmaps "none" not found'),
            id="404",
        ),
        pytest.param(
            lambda core, ns: [core.create_namespaced_config_map(ns, configmap()) for _ in range(2)],
            (409, "AlreadyExists", 'configmaps "settings" already exists'),
            id="409-exists",
        ),
        pytest.param(
            lambda core, ns: core.create_namespaced_config_map(ns, configmap("Upper")),
            (422, "Invalid", 'ConfigMap "Upper" is invalid: metadata.name: Invalid value: "Upper"'),
            id="422",
        ),
        pytest.param(
            lambda core, ns: core.list_namespaced_pod(ns, field_selector="spec.color=blue"),
            (400, "BadRequest", "field label not supported: spec.color"),
            id="400",
        ),
    ],
)
def test_refusals_are_exceptions_with_a_status(
    core: client.CoreV1Api, namespace: str, act: Any, expected: tuple[int, str, str]
) -> None:
    with pytest.raises(ApiException) as error:
        act(core, namespace)

    code, reason, message = reason_of(error)
    assert (code, reason) == expected[:2]
    assert expected[2] in message


def test_a_stale_write_conflicts(core: client.CoreV1Api, namespace: str) -> None:
    old = core.create_namespaced_config_map(namespace, configmap())
    core.patch_namespaced_config_map("settings", namespace, {"data": {"color": "red"}})

    with pytest.raises(ApiException) as error:
        core.replace_namespaced_config_map("settings", namespace, old)

    code, reason, message = reason_of(error)
    assert (code, reason) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in message


def test_a_list_comes_in_pages(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_config_map(namespace, configmap(f"page-{number}", labels={"paged": "yes"}))

    pages, token = [], None
    while True:
        page = core.list_namespaced_config_map(
            namespace, label_selector="paged=yes", limit=2, _continue=token
        )
        pages.append([one.metadata.name for one in page.items])
        token = page.metadata._continue
        if not token:
            break

    assert pages == [["page-0", "page-1"], ["page-2", "page-3"], ["page-4"]]


def test_a_watch_delivers_what_happens_after_a_revision(core: client.CoreV1Api, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, configmap("seen"))
    core.patch_namespaced_config_map("seen", namespace, {"data": {"color": "red"}})
    core.delete_namespaced_config_map("seen", namespace)

    events = []
    watching = watch.Watch()
    # The controller's own ConfigMap of every namespace may come in between.
    seen = "metadata.name=seen"
    for event in watching.stream(
        core.list_namespaced_config_map,
        namespace,
        field_selector=seen,
        resource_version=start,
        timeout_seconds=10,
    ):
        events.append((event["type"], event["object"].data["color"]))
        if event["type"] == "DELETED":
            watching.stop()

    assert events == [("ADDED", "blue"), ("MODIFIED", "red"), ("DELETED", "red")]


def test_a_watch_ends_at_its_own_timeout(core: client.CoreV1Api, namespace: str) -> None:
    events = watch.Watch().stream(
        core.list_namespaced_config_map,
        namespace,
        field_selector="metadata.name=none",
        timeout_seconds=1,
        resource_version="0",
    )

    assert list(events) == []


def test_objects_of_a_watch_by_several_threads_are_the_same(core: client.CoreV1Api, namespace: str) -> None:
    found: list[str] = []

    def look() -> None:
        event = next(
            watch.Watch().stream(
                core.list_namespaced_config_map,
                namespace,
                field_selector="metadata.name=late",
                timeout_seconds=20,
            )
        )
        found.append(event["object"].metadata.uid)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    made = core.create_namespaced_config_map(namespace, configmap("late"))
    for thread in threads:
        thread.join(30)

    assert found == [made.metadata.uid] * 4


def test_the_dynamic_client_serves_any_resource(dyn: dynamic.DynamicClient, namespace: str) -> None:
    deployments = dyn.resources.get(api_version="apps/v1", kind="Deployment")
    deployments.create(body=DEPLOYMENT, namespace=namespace)
    patched = deployments.patch(
        body={"metadata": {"labels": {"tier": "front"}}},
        name="web",
        namespace=namespace,
        content_type="application/merge-patch+json",
    )
    listed = deployments.get(namespace=namespace, label_selector="tier=front")
    scale = deployments.scale.get(name="web", namespace=namespace)
    deployments.delete(name="web", namespace=namespace)

    assert patched.metadata.labels.tier == "front"
    assert [one.metadata.name for one in listed.items] == ["web"]
    assert (scale.kind, scale.spec.replicas) == ("Scale", 2)


def test_the_dynamic_client_applies_and_tells_of_conflicts(
    dyn: dynamic.DynamicClient, namespace: str
) -> None:
    maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
    body = configmap("settings", color="blue") | {"apiVersion": "v1", "kind": "ConfigMap"}
    maps.server_side_apply(body=body, namespace=namespace, field_manager="one")

    with pytest.raises(ConflictError) as error:
        maps.server_side_apply(
            body=body | {"data": {"color": "red"}}, namespace=namespace, field_manager="two"
        )
    forced = maps.server_side_apply(
        body=body | {"data": {"color": "red"}},
        namespace=namespace,
        field_manager="two",
        force_conflicts=True,
    )

    assert 'conflict with \\"one\\": .data.color' in error.value.body
    assert forced.data.color == "red"


def test_the_dynamic_client_has_an_exception_per_code(dyn: dynamic.DynamicClient, namespace: str) -> None:
    maps = dyn.resources.get(api_version="v1", kind="ConfigMap")

    with pytest.raises(NotFoundError) as missing:
        maps.get(name="none", namespace=namespace)
    with pytest.raises(UnprocessibleEntityError):
        maps.create(body=configmap("Upper"), namespace=namespace)

    assert missing.value.summary() == 'configmaps "none" not found'


def test_the_dynamic_client_watches(dyn: dynamic.DynamicClient, namespace: str) -> None:
    maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
    maps.create(body=configmap("seen"), namespace=namespace)

    event = next(maps.watch(namespace=namespace, field_selector="metadata.name=seen", timeout=10))

    assert (event["type"], event["object"].metadata.name) == ("ADDED", "seen")


def test_manifests_of_several_kinds_are_created(api: client.ApiClient, namespace: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80}]},
    }

    made = utils.create_from_dict(
        api, {"kind": "List", "apiVersion": "v1", "items": [DEPLOYMENT, service]}, namespace=namespace
    )

    assert client.CoreV1Api(api).read_namespaced_service("web", namespace).spec.cluster_ip
    assert len(made) >= 1


def test_pods_are_bound_evicted_and_have_a_status(
    core: client.CoreV1Api, api: client.ApiClient, namespace: str
) -> None:
    core.create_namespaced_pod(namespace, pod())
    running = wait_for(core.list_namespaced_pod, namespace, lambda found: found.status.phase == "Running")
    core.create_namespaced_pod_eviction(
        "web", namespace, client.V1Eviction(metadata=client.V1ObjectMeta(name="web"))
    )

    assert running.spec.node_name
    assert running.status.container_statuses[0].ready
    assert running.status.start_time is not None


def test_exec_into_a_simulated_node_is_refused_with_a_reason(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod())
    wait_for(core.list_namespaced_pod, namespace, lambda found: found.status.phase == "Running")

    with pytest.raises(ApiException) as error:
        stream(core.connect_get_namespaced_pod_exec, "web", namespace, command=["true"], stdout=True)

    assert "exec is not supported by the hollow runtime" in str(error.value)


def test_the_server_tells_its_version_groups_and_rights(api: client.ApiClient) -> None:
    version = client.VersionApi(api).get_code()
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    spec = client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="create", resource="pods")
    )
    review = client.AuthorizationV1Api(api).create_self_subject_access_review(
        client.V1SelfSubjectAccessReview(spec=spec)
    )

    assert version.git_version.startswith("v1.37.")
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups
    assert review.status.allowed

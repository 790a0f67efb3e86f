"""`lightkube`: models of 1.37, typed errors, apply, waiting, watches."""

from __future__ import annotations

import httpx
import pytest
from lightkube import AsyncClient, Client, KubeConfig, codecs
from lightkube.core.exceptions import ApiError, ConditionError
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod
from lightkube.types import PatchType

from .cluster import Cluster


@pytest.fixture
def light(cluster: Cluster, namespace: str) -> Client:
    loaded = KubeConfig.from_file(str(cluster.kubeconfig))
    return Client(config=loaded, namespace=namespace, field_manager="light")


def deployment(replicas: int = 2) -> Deployment:
    labels = {"app": "web"}
    containers = [Container(name="web", image="web:1")]
    template = PodTemplateSpec(spec=PodSpec(containers=containers), metadata=ObjectMeta(labels=labels))
    spec = DeploymentSpec(replicas=replicas, selector=LabelSelector(matchLabels=labels), template=template)
    return Deployment(metadata=ObjectMeta(name="web"), spec=spec)


def settings(name: str = "settings", **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"app": "web"}), data=data or {"color": "blue"})


def test_an_object_lives_its_life(light: Client) -> None:
    made = light.create(settings())
    made.data["color"] = "red"  # type: ignore[index]
    light.replace(made)
    patched = light.patch(ConfigMap, "settings", {"data": {"size": "1"}})
    removed = light.patch(
        ConfigMap, "settings", [{"op": "remove", "path": "/data/size"}], patch_type=PatchType.JSON
    )
    listed = list(light.list(ConfigMap, labels={"app": "web"}))
    light.delete(ConfigMap, "settings")

    assert patched.data == {"color": "red", "size": "1"}
    assert removed.data == {"color": "red"}
    assert [one.metadata.name for one in listed if one.metadata] == ["settings"]
    assert list(light.list(ConfigMap, labels={"app": "web"})) == []


def test_waiting_for_a_condition(light: Client) -> None:
    light.create(deployment())

    ready = light.wait(Deployment, "web", for_conditions=["Available"])

    assert ready.status
    assert ready.status.readyReplicas == 2


def test_waiting_gives_up_on_a_condition_that_rules_it_out(light: Client) -> None:
    light.create(deployment())

    with pytest.raises(ConditionError):
        light.wait(Deployment, "web", for_conditions=["Never"], raise_for_conditions=["Available"])


def test_apply_owns_fields_and_conflicts_with_others(light: Client) -> None:
    light.apply(settings(color="blue"))
    with pytest.raises(ApiError) as error:
        light.apply(settings(color="red"), field_manager="other")
    forced = light.apply(settings(color="red"), field_manager="other", force=True)

    assert error.value.status.code == 409
    assert error.value.status.message == ('Apply failed with 1 conflict: conflict with "light": .data.color')
    assert forced.data == {"color": "red"}


@pytest.mark.parametrize(
    ("act", "code", "reason", "message"),
    [
        pytest.param(lambda light: light.get(ConfigMap, "none"), 404, "NotFound",
                     'configmaps "none" not found', id="404"),
        pytest.param(lambda light: [light.create(settings()), light.create(settings())], 409, "AlreadyExists",
                     'configmaps "settings" already exists', id="409"),
        pytest.param(lambda light: light.create(settings("Upper")), 422, "Invalid",
                     'ConfigMap "Upper" is invalid: metadata.name: ', id="422"),
    ],
)  # fmt: skip
def test_refusals_are_api_errors(light: Client, act: object, code: int, reason: str, message: str) -> None:
    with pytest.raises(ApiError) as error:
        act(light)  # type: ignore[operator]

    status = error.value.status
    assert (status.code, status.reason) == (code, reason)
    assert status.message
    assert status.message.startswith(message)


def test_scale_and_status_subresources(light: Client) -> None:
    light.create(deployment())

    light.patch(Deployment.Scale, "web", {"spec": {"replicas": 4}})
    scale = light.get(Deployment.Scale, "web")

    assert scale.spec
    assert scale.spec.replicas == 4
    assert light.get(Deployment.Status, "web").status is not None


def test_a_list_in_chunks_and_by_field(light: Client) -> None:
    for number in range(5):
        light.create(settings(f"s{number}"))

    chunked = [
        one.metadata.name
        for one in light.list(ConfigMap, chunk_size=2, labels={"app": "web"})
        if one.metadata
    ]
    named = list(light.list(ConfigMap, fields={"metadata.name": "s3"}))

    assert chunked == [f"s{number}" for number in range(5)]
    assert len(named) == 1


def test_generic_objects_from_yaml(light: Client) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n" + (
        "apiVersion: v1\nkind: Service\nmetadata: {name: two}\nspec: {ports: [{port: 80}]}\n"
    )

    for obj in codecs.load_all_yaml(text):
        light.create(obj)

    assert light.get(ConfigMap, "one").metadata


async def test_a_watch_and_an_async_client(cluster: Cluster, namespace: str) -> None:
    loaded = KubeConfig.from_file(str(cluster.kubeconfig))
    light = AsyncClient(config=loaded, namespace=namespace)
    await light.create(settings())

    seen = []
    async for kind, obj in light.watch(ConfigMap, labels={"app": "web"}):
        seen.append((kind, (obj.data or {})["color"]))
        if kind == "ADDED":
            await light.patch(ConfigMap, "settings", {"data": {"color": "red"}})
        elif kind == "MODIFIED":
            await light.delete(ConfigMap, "settings")
        else:
            break
    await light.close()

    assert seen == [("ADDED", "blue"), ("MODIFIED", "red"), ("DELETED", "red")]


def test_logs_of_a_simulated_container_are_refused_with_a_reason(light: Client) -> None:
    light.create(
        Pod(metadata=ObjectMeta(name="one"), spec=PodSpec(containers=[Container(name="c", image="c:1")]))
    )
    light.wait(Pod, "one", for_conditions=["Ready"])

    with pytest.raises((ApiError, httpx.HTTPStatusError)) as error:
        list(light.log("one"))

    assert error.value.response.status_code == 400


def test_nodes_are_ready(light: Client) -> None:
    nodes = list(light.list(Node))

    ready = [
        condition.status
        for node in nodes
        if node.status
        for condition in node.status.conditions or []
        if condition.type == "Ready"
    ]
    assert ready == ["True"] * 3

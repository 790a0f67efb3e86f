"""Reading and writing objects: the same answers from the fake and from the real API server."""

from __future__ import annotations

import pytest

from kplane.api.errors import AlreadyExists, BadRequest, Conflict, Invalid, NotFound
from kplane.api.resource import Object
from kplane.api.types import ConfigMap, Namespace, Node, Pod, ReplicaSet
from kplane.client.rest import Client, PatchType

CONTAINERS = [{"name": "web", "image": "web:1"}]


def configmap(name: str = "settings", **data: str) -> Object:
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(name: str = "web") -> Object:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": CONTAINERS}}


def replicaset(replicas: int = 2) -> Object:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": CONTAINERS}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


async def test_created_object_has_identity_and_can_be_read(client: Client) -> None:
    made = await client.create(ConfigMap, configmap(colour="red"))

    read = await client.get(ConfigMap, "settings", "default")
    assert read == made
    assert read.data == {"colour": "red"}
    assert read.metadata.uid
    assert read.metadata.resource_version
    assert read.metadata.creation_timestamp is not None


async def test_generated_names_differ(client: Client) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "part-"}}

    names = {(await client.create(ConfigMap, body, "default")).metadata.name for _ in range(3)}

    assert len(names) == 3
    assert all(name.startswith("part-") and len(name) == 10 for name in names)


async def test_missing_object_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        await client.get(Pod, "absent", "default")

    assert caught.value.message == 'pods "absent" not found'
    assert caught.value.details == {"name": "absent", "kind": "pods"}


async def test_second_create_already_exists(client: Client) -> None:
    await client.create(ConfigMap, configmap())

    with pytest.raises(AlreadyExists) as caught:
        await client.create(ConfigMap, configmap())

    assert caught.value.message == 'configmaps "settings" already exists'


async def test_create_without_a_name_is_invalid(client: Client) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(ConfigMap, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, "default")

    assert "name or generateName is required" in caught.value.message


async def test_create_with_a_revision_is_refused(client: Client) -> None:
    body = configmap()
    body["metadata"]["resourceVersion"] = "1"

    with pytest.raises(
        BadRequest, match="resourceVersion should not be set on objects to be created"
    ) as caught:
        await client.create(ConfigMap, body)

    assert caught.value.http_code == 400


async def test_update_replaces_and_keeps_identity(client: Client) -> None:
    made = await client.create(ConfigMap, configmap(colour="red"))

    changed = await client.update(ConfigMap, configmap(size="big"))

    assert changed.data == {"size": "big"}
    assert changed.metadata.uid == made.metadata.uid
    assert int(changed.metadata.resource_version) > int(made.metadata.resource_version)


async def test_update_that_changes_nothing_keeps_the_revision(client: Client) -> None:
    made = await client.create(ConfigMap, configmap(colour="red"))

    again = await client.update(ConfigMap, configmap(colour="red"))

    assert again.metadata.resource_version == made.metadata.resource_version


async def test_update_from_an_old_revision_conflicts(client: Client) -> None:
    made = await client.create(ConfigMap, configmap())
    await client.update(ConfigMap, configmap(colour="red"))
    stale = configmap(colour="blue")
    stale["metadata"]["resourceVersion"] = made.metadata.resource_version

    with pytest.raises(Conflict) as caught:
        await client.update(ConfigMap, stale)

    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "settings": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_update_of_nothing_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.update(ConfigMap, configmap())


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        pytest.param(PatchType.MERGE, {"data": {"a": None, "b": "2"}}, id="merge"),
        pytest.param(PatchType.STRATEGIC, {"data": {"a": None, "b": "2"}}, id="strategic"),
        pytest.param(
            PatchType.JSON,
            [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}],
            id="json",
        ),
    ],
)
async def test_patches_change_what_they_name(client: Client, kind: PatchType, patch: Object) -> None:
    await client.create(ConfigMap, configmap(a="1", c="3"))

    changed = await client.patch(ConfigMap, "settings", "default", patch, kind=kind)

    assert changed.data == {"b": "2", "c": "3"}


async def test_strategic_patch_merges_lists_by_key(client: Client) -> None:
    await client.create(Pod, pod())
    patch = {"metadata": {"ownerReferences": [owner("a")]}}
    await client.patch(Pod, "web", "default", patch, kind=PatchType.STRATEGIC)

    patch = {"metadata": {"ownerReferences": [owner("b")]}}
    changed = await client.patch(Pod, "web", "default", patch, kind=PatchType.STRATEGIC)

    assert sorted(found.uid for found in changed.metadata.owner_references) == ["a", "b"]


def owner(uid: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid}


async def test_patch_with_an_old_revision_conflicts(client: Client) -> None:
    made = await client.create(ConfigMap, configmap())
    await client.update(ConfigMap, configmap(colour="red"))
    metadata = {"resourceVersion": made.metadata.resource_version}

    with pytest.raises(Conflict):
        await client.patch(ConfigMap, "settings", "default", {"metadata": metadata, "data": {"a": "b"}})


async def test_status_is_written_apart_from_the_rest(client: Client) -> None:
    body = replicaset() | {"status": {"replicas": 7}}
    made = await client.create(ReplicaSet, body)
    assert made.status.replicas == 0

    patch = {"status": {"replicas": 2}, "spec": {"replicas": 9}}
    through_status = await client.patch(ReplicaSet, "web", "default", patch, subresource="status")
    assert (through_status.spec.replicas, through_status.status.replicas) == (2, 2)
    assert through_status.metadata.generation == 1

    patch = {"status": {"replicas": 5}, "spec": {"replicas": 3}}
    through_spec = await client.patch(ReplicaSet, "web", "default", patch)
    assert (through_spec.spec.replicas, through_spec.status.replicas) == (3, 2)
    assert through_spec.metadata.generation == 2


async def test_new_pod_is_pending(client: Client) -> None:
    made = await client.create(Pod, pod())

    assert made.status.phase == "Pending"


async def test_binding_assigns_the_node_once(client: Client) -> None:
    await client.create(Pod, pod())
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "web", "namespace": "default"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"},
    }
    path = "/api/v1/namespaces/default/pods/web/binding"

    await client.raw("POST", path, body=binding)

    bound = await client.get(Pod, "web", "default")
    assert bound.spec.node_name == "node-1"
    assert [(c.type, c.status) for c in bound.status.conditions] == [("PodScheduled", "True")]
    with pytest.raises(Conflict, match='pod web is already assigned to node "node-1"'):
        await client.raw("POST", path, body=binding)


async def test_deleted_object_is_gone(client: Client) -> None:
    await client.create(ConfigMap, configmap())

    await client.delete(ConfigMap, "settings", "default")

    with pytest.raises(NotFound):
        await client.get(ConfigMap, "settings", "default")
    with pytest.raises(NotFound):
        await client.delete(ConfigMap, "settings", "default")


async def test_delete_holds_its_preconditions(client: Client) -> None:
    made = await client.create(ConfigMap, configmap())

    with pytest.raises(Conflict):
        await client.delete(ConfigMap, "settings", "default", uid="another")
    with pytest.raises(Conflict):
        await client.delete(ConfigMap, "settings", "default", resource_version="1")
    await client.delete(ConfigMap, "settings", "default", uid=made.metadata.uid)

    assert not (await client.list(ConfigMap, "default", label_selector="app=settings")).items


async def test_finalizers_hold_an_object_until_the_last_is_removed(client: Client) -> None:
    body = configmap()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(ConfigMap, body)

    await client.delete(ConfigMap, "settings", "default")

    held = await client.get(ConfigMap, "settings", "default")
    assert held.metadata.deletion_timestamp is not None
    await client.patch(ConfigMap, "settings", "default", {"metadata": {"finalizers": None}})
    with pytest.raises(NotFound):
        await client.get(ConfigMap, "settings", "default")


@pytest.mark.parametrize(
    ("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
async def test_propagation_becomes_a_finalizer(client: Client, propagation: str, finalizer: str) -> None:
    await client.create(ReplicaSet, replicaset())

    await client.delete(ReplicaSet, "web", "default", propagation=propagation)  # type: ignore[arg-type]

    assert (await client.get(ReplicaSet, "web", "default")).metadata.finalizers == (finalizer,)


async def test_bound_pod_keeps_running_for_its_grace_period(client: Client) -> None:
    body = pod()
    body["spec"] |= {"nodeName": "node-1", "terminationGracePeriodSeconds": 7}
    await client.create(Pod, body)

    await client.delete(Pod, "web", "default")

    left = await client.get(Pod, "web", "default")
    assert left.metadata.deletion_grace_period_seconds == 7
    await client.delete(Pod, "web", "default", grace_seconds=0)
    with pytest.raises(NotFound):
        await client.get(Pod, "web", "default")


async def test_deleted_namespace_terminates_until_it_is_finalized(client: Client) -> None:
    name = {"name": "team"}
    await client.create(Namespace, {"apiVersion": "v1", "kind": "Namespace", "metadata": name})

    await client.delete(Namespace, "team")

    left = await client.get(Namespace, "team")
    assert left.status.phase == "Terminating"
    assert left.spec.finalizers == ("kubernetes",)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": name, "spec": {"finalizers": []}}
    await client.update(Namespace, body, subresource="finalize")
    with pytest.raises(NotFound):
        await client.get(Namespace, "team")


async def test_cluster_scoped_objects_have_no_namespace(client: Client) -> None:
    made = await client.create(Node, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})

    assert made.key == ("", "node-1")

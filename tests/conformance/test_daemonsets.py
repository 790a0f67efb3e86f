"""DaemonSets: a Pod on every node that wants one, their history, and what is said about them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from .api import GO_ACCEPT, MERGE, Api, ready, template

COLOR = "daemonset-color"
NODES = "/api/v1/nodes"
HASH = "controller-revision-hash"


def daemonset(name: str = "set", **spec: Any) -> dict[str, Any]:
    labels = {"daemonset-name": name}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template(labels, **spec)},
    }


def of(name: str = "set") -> str:
    return f"daemonset-name={name}"


async def on_every_node(api: Api, core: str, name: str = "set", image: str = "web:1") -> list[Any]:
    """The Pods, as soon as one of this image is ready on each node and nothing else is there."""
    nodes = await api.names(NODES)

    def spread(pods: list[Any]) -> bool:
        fit = [pod for pod in pods if ready(pod) and pod["spec"]["containers"][0]["image"] == image]
        return len(fit) == len(pods) and sorted(pod["spec"].get("nodeName") for pod in fit) == sorted(nodes)

    return await api.until_listed(f"{core}/pods", spread, labelSelector=of(name))


async def current(api: Api, apps: str, name: str = "set") -> Any:
    """The revision whose data are the set's template, compared byte by byte as Go's controller does."""
    found = await api.get(f"{apps}/daemonsets/{name}")
    wanted = as_go_writes_it(found["spec"]["template"])
    path = f"{apps}/controllerrevisions"
    query = {"labelSelector": of(name)}
    answer = await api.transport.request("GET", path, query=query, headers={"Accept": GO_ACCEPT})
    listed = json.loads(answer.body)["items"]
    (match,) = [revision for revision in listed if revision["data"] == json.loads(wanted)]
    assert wanted.encode() in answer.body
    return match


def as_go_writes_it(pod_template: Any) -> str:
    """The patch that sets this template, as Go's encoder prints it: sorted, without spaces."""
    data = {"spec": {"template": {**pod_template, "$patch": "replace"}}}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


async def test_pod_on_every_node_comes_back_when_deleted(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/daemonsets", daemonset())
    first, _ = await on_every_node(api, core)
    await api.until(f"{apps}/daemonsets/set", lambda found: found["status"]["numberReady"] == 2)

    await api.delete(f"{core}/pods/{first['metadata']['name']}", gracePeriodSeconds=0)

    await api.until_gone(f"{core}/pods/{first['metadata']['name']}")
    await on_every_node(api, core)


@pytest_asyncio.fixture
async def node(api: Api) -> AsyncIterator[str]:
    """The path of a node, which loses its colour after the test."""
    path = f"{NODES}/{min(await api.names(NODES))}"
    yield path
    await api.patch(path, {"metadata": {"labels": {COLOR: None}}})


async def test_pods_follow_the_labels_of_nodes(api: Api, core: str, apps: str, node: str) -> None:
    pods, query = f"{core}/pods", {"labelSelector": of()}
    await api.make(f"{apps}/daemonsets", daemonset(nodeSelector={COLOR: "blue"}))
    await api.until(
        f"{apps}/daemonsets/set", lambda found: found.get("status", {}).get("observedGeneration") == 1
    )
    assert not await api.items(pods, **query)

    await api.patch(node, {"metadata": {"labels": {COLOR: "blue"}}})
    await api.until_listed(pods, lambda found: len(found) == 1 and ready(found[0]), **query)
    await api.patch(node, {"metadata": {"labels": {COLOR: "green"}}})
    await api.until_listed(pods, lambda found: not found, **query)
    template = {"spec": {"nodeSelector": {COLOR: "green"}}}
    await api.patch(
        f"{apps}/daemonsets/set",
        {"spec": {"updateStrategy": {"type": "RollingUpdate"}, "template": template}},
    )
    await api.until_listed(pods, lambda found: len(found) == 1 and ready(found[0]), **query)


async def test_failed_pod_is_replaced(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/daemonsets", daemonset())
    victim, _ = await on_every_node(api, core)
    path = f"{core}/pods/{victim['metadata']['name']}"

    victim = await api.get(path)
    del victim["metadata"]["resourceVersion"]
    victim["status"]["phase"] = "Failed"
    await api.put(f"{path}/status", victim)

    await api.until_gone(path)
    await on_every_node(api, core)


async def test_new_template_rolls_and_leaves_its_revision(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/daemonsets", daemonset())
    await on_every_node(api, core)
    first = await current(api, apps)
    assert first["revision"] == 1

    image = {"name": "app", "image": "web:2", "command": ["sh", "-c", "first && second <in >out"]}
    await api.patch(f"{apps}/daemonsets/set", {"spec": {"template": {"spec": {"containers": [image]}}}})
    pods = await on_every_node(api, core, image="web:2")

    second = await current(api, apps)
    assert second["revision"] == 2
    assert {pod["metadata"]["labels"][HASH] for pod in pods} == {second["metadata"]["labels"][HASH]}
    assert len(await api.items(f"{apps}/controllerrevisions", labelSelector=of())) == 2


async def test_going_back_restarts_only_what_had_moved(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/daemonsets", daemonset())
    before = {pod["metadata"]["name"] for pod in await on_every_node(api, core)}

    def stuck(found: Any) -> None:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "foo:non-existent"
        found["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "9999"}}

    def back(found: Any) -> None:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "web:1"
        found["spec"]["template"]["spec"]["containers"][0]["resources"] = {}

    await api.change(f"{apps}/daemonsets/set", stuck)
    moved = await api.until_listed(
        f"{core}/pods",
        lambda pods: any(pod["spec"]["containers"][0]["image"] == "foo:non-existent" for pod in pods),
        labelSelector=of(),
    )
    await api.change(f"{apps}/daemonsets/set", back)

    after = {pod["metadata"]["name"] for pod in await on_every_node(api, core)}
    # One that has ended may still be going when its successor is there.
    kept = before & {pod["metadata"]["name"] for pod in moved if "deletionTimestamp" not in pod["metadata"]}
    assert len(kept) == 1
    assert kept < after
    assert (await current(api, apps))["revision"] == 3


async def test_status_is_written_and_patched(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/daemonsets/set"
    await api.make(f"{apps}/daemonsets", daemonset())
    await on_every_node(api, core)
    assert (await api.get(f"{path}/status"))["kind"] == "DaemonSet"
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    patched = {"conditions": [{"type": "StatusPatched", "status": "True"}]}

    def add(found: Any) -> None:
        found["status"].setdefault("conditions", []).append(update)

    async with api.watch(f"{apps}/daemonsets", labelSelector=of()) as watch:
        await api.change(f"{path}/status", add)
        await watch.until("MODIFIED", lambda found: types(found) == ["StatusUpdate"])
        await api.patch(f"{path}/status", {"status": patched}, MERGE)
        await watch.until("MODIFIED", lambda found: types(found) == ["StatusPatched"])


def types(found: Any) -> list[str]:
    return [each["type"] for each in found["status"].get("conditions", ())]


async def test_a_collection_is_listed_everywhere_and_deleted(api: Api, core: str, apps: str) -> None:
    await api.make(f"{apps}/daemonsets", daemonset("listed"))
    await on_every_node(api, core, "listed")

    assert await api.names("/apis/apps/v1/daemonsets", labelSelector=of("listed")) == {"listed"}
    await api.delete(f"{apps}/daemonsets", {"labelSelector": of("listed")}, gracePeriodSeconds=1)
    await api.until_listed(f"{apps}/daemonsets", lambda found: not found)
    await api.until_listed(f"{core}/pods", lambda found: not found, labelSelector=of("listed"))


async def test_revisions_are_objects_that_the_controller_takes_as_it_finds_them(
    api: Api, core: str, apps: str
) -> None:
    revisions = f"{apps}/controllerrevisions"
    query = {"labelSelector": of()}
    await api.make(f"{apps}/daemonsets", daemonset())
    await on_every_node(api, core)
    (initial,) = await api.items(revisions, **query)
    everywhere = await api.names("/apis/apps/v1/controllerrevisions", **query)
    assert initial["metadata"]["name"] in everywhere
    name = initial["metadata"]["name"]
    patched = await api.patch(f"{revisions}/{name}", {"metadata": {"labels": {name: "patched"}}})
    assert patched["metadata"]["labels"][name] == "patched"

    copy = {
        "metadata": {
            "generateName": "set-",
            "labels": initial["metadata"]["labels"],
            "ownerReferences": initial["metadata"]["ownerReferences"],
        },
        "data": initial["data"],
        "revision": initial["revision"] + 1,
    }
    made = (await api.make(revisions, copy))["metadata"]["name"]
    await api.delete(f"{revisions}/{name}")
    assert await api.names(revisions, **query) == {made}
    await api.change(
        f"{revisions}/{made}", lambda found: found["metadata"]["labels"].update({made: "updated"})
    )
    await api.patch(
        f"{apps}/daemonsets/set", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
    )
    await api.until_listed(revisions, lambda found: len(found) == 2, **query)
    await on_every_node(api, core)
    await api.delete(revisions, {"labelSelector": f"{made}=updated"})
    (left,) = await api.until_listed(revisions, lambda found: len(found) == 1, **query)
    assert left["revision"] == 3

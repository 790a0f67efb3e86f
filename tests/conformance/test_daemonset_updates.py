"""DaemonSets in the suite's tests beyond conformance: affinity, updates by hand, and Pods that surge."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .api import Api, ready
from .test_daemonsets import COLOR, HASH, NODES, daemonset, node, of, on_every_node

__all__ = ["node"]  # A fixture.

IMAGE = {"spec": {"containers": [{"name": "app", "image": "web:2"}]}}
GATE = "conformance.example.com/ready"


async def test_pods_go_where_the_affinity_says(api: Api, core: str, apps: str, node: str) -> None:
    blue = {"matchExpressions": [{"key": COLOR, "operator": "In", "values": ["blue"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [blue]}}
    await api.make(f"{apps}/daemonsets", daemonset(affinity={"nodeAffinity": required}))
    status = await api.until(
        f"{apps}/daemonsets/set", lambda found: found.get("status", {}).get("observedGeneration") == 1
    )
    assert status["status"]["desiredNumberScheduled"] == 0

    await api.patch(node, {"metadata": {"labels": {COLOR: "blue"}}})
    (pod,) = await api.until_listed(
        f"{core}/pods", lambda pods: len(pods) == 1 and ready(pods[0]), labelSelector=of()
    )
    assert pod["spec"]["nodeName"] == node.rpartition("/")[2]

    await api.patch(node, {"metadata": {"labels": {COLOR: None}}})
    await api.until_listed(f"{core}/pods", lambda pods: not pods, labelSelector=of())


async def test_on_delete_updates_the_pods_that_are_deleted(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/daemonsets/set"
    made = daemonset()
    made["spec"]["updateStrategy"] = {"type": "OnDelete"}
    await api.make(f"{apps}/daemonsets", made)
    pods = await on_every_node(api, core)
    assert {pod["metadata"]["labels"]["pod-template-generation"] for pod in pods} == {"1"}
    old = pods[0]["metadata"]["labels"][HASH]

    await api.patch(path, {"spec": {"template": IMAGE}})
    await api.until_listed(f"{apps}/controllerrevisions", lambda found: len(found) == 2, labelSelector=of())
    await api.until(path, lambda found: found["status"]["observedGeneration"] == 2)
    assert {pod["metadata"]["labels"][HASH] for pod in await on_every_node(api, core)} == {old}

    for pod in pods:
        await api.delete(f"{core}/pods/{pod['metadata']['name']}")
    fresh = await on_every_node(api, core, image="web:2")
    assert old not in {pod["metadata"]["labels"][HASH] for pod in fresh}


async def test_new_pods_come_beside_old_ones_which_go_when_they_are_available(
    api: Api, core: str, apps: str
) -> None:
    path = f"{apps}/daemonsets/set"
    made = daemonset(readinessGates=[{"conditionType": GATE}])
    rolling = {"maxUnavailable": 0, "maxSurge": "100%"}
    made["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    nodes = await api.names(NODES)
    await api.make(f"{apps}/daemonsets", made)
    for pod in await _pods(api, core, {"web:1": len(nodes)}):
        await _open(api, core, pod)
    await api.until(path, lambda found: found["status"].get("numberAvailable") == len(nodes))

    await api.patch(path, {"spec": {"template": IMAGE}})
    both = await _pods(api, core, {"web:1": len(nodes), "web:2": len(nodes)})
    status = (await api.until(path, lambda found: found["status"]["observedGeneration"] == 2))["status"]
    assert (status["numberAvailable"], status["desiredNumberScheduled"]) == (len(nodes), len(nodes))

    for pod in both:
        if _image(pod) == "web:2":
            await _open(api, core, pod)
    await _pods(api, core, {"web:2": len(nodes)})
    await api.until(path, lambda found: found["status"].get("updatedNumberScheduled") == len(nodes))


def _image(pod: Any) -> str:
    image: str = pod["spec"]["containers"][0]["image"]
    return image


async def _pods(api: Api, core: str, images: dict[str, int]) -> list[Any]:
    """The Pods, as soon as they are of these images and on nodes."""

    def there(pods: list[Any]) -> bool:
        bound = all(pod["spec"].get("nodeName") for pod in pods)
        return bound and Counter(_image(pod) for pod in pods) == images

    return await api.until_listed(f"{core}/pods", there, labelSelector=of())


async def _open(api: Api, core: str, pod: Any) -> None:
    opened = {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
    await api.patch(f"{core}/pods/{pod['metadata']['name']}/status", opened)

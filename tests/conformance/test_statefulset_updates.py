"""StatefulSets in the suite's tests beyond conformance: orphans, ordinals, how many Pods may be down."""

from __future__ import annotations

from typing import Any

import pytest

from .api import MERGE, Api, ready
from .test_statefulsets import GATE, HASH, LABELS, hold, image, images, running, settled, statefulset

GATED = {"readinessGates": [{"conditionType": GATE}]}


def names(pods: list[Any]) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in pods)


async def all_named(api: Api, core: str, *wanted: str) -> None:
    """Waits until these Pods, ready, are all that there are."""
    await api.until_listed(f"{core}/pods", lambda pods: names(pods) == list(wanted) and all(map(ready, pods)))


async def test_orphans_are_adopted_and_pods_without_its_labels_released(
    api: Api, core: str, apps: str
) -> None:
    pod = f"{core}/pods/ss-0"
    await api.make(f"{apps}/statefulsets", statefulset(replicas=1))
    await running(api, core, 1)
    uid = (await api.get(pod))["metadata"]["uid"]

    await api.patch(pod, {"metadata": {"ownerReferences": None}}, MERGE)
    adopted = await api.until(pod, lambda found: found["metadata"].get("ownerReferences"))
    assert (adopted["metadata"]["uid"], adopted["metadata"]["ownerReferences"][0]["controller"]) == (
        uid,
        True,
    )

    await api.patch(pod, {"metadata": {"labels": dict.fromkeys(LABELS)}}, MERGE)
    await api.until(pod, lambda found: not found["metadata"].get("ownerReferences"))
    await api.patch(pod, {"metadata": {"labels": LABELS}}, MERGE)
    again = await api.until(pod, lambda found: found["metadata"].get("ownerReferences"))
    assert again["metadata"]["uid"] == uid


async def test_pods_follow_the_first_ordinal(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/statefulsets/ss"
    await api.make(f"{apps}/statefulsets", statefulset(replicas=2, ordinals={"start": 2}))
    await all_named(api, core, "ss-2", "ss-3")

    await api.patch(path, {"spec": {"ordinals": {"start": 3}}}, MERGE)
    await all_named(api, core, "ss-3", "ss-4")
    await api.patch(path, {"spec": {"ordinals": {"start": 2}}}, MERGE)
    await all_named(api, core, "ss-2", "ss-3")
    await api.patch(path, {"spec": {"ordinals": None}}, MERGE)
    await all_named(api, core, "ss-0", "ss-1")


async def test_pods_are_available_when_they_have_been_ready_long_enough(
    api: Api, core: str, apps: str
) -> None:
    path = f"{apps}/statefulsets/ss"
    lasting = statefulset(replicas=2, minReadySeconds=3600, podManagementPolicy="Parallel")
    await api.make(f"{apps}/statefulsets", lasting)
    await api.until(path, lambda found: found["status"].get("readyReplicas") == 2)
    assert (await api.get(path))["status"]["availableReplicas"] == 0

    await api.patch(path, {"spec": {"minReadySeconds": 1}}, MERGE)
    await api.until(path, lambda found: found["status"]["availableReplicas"] == 2)
    await api.patch(path, {"spec": {"minReadySeconds": 3600}}, MERGE)
    await api.until(path, lambda found: found["status"]["availableReplicas"] == 0)


async def test_on_delete_updates_the_pods_that_are_deleted(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/statefulsets/ss"
    by_hand = statefulset(replicas=3, updateStrategy={"type": "OnDelete"})
    await api.make(f"{apps}/statefulsets", by_hand)
    await running(api, core, 3)
    old = (await api.until(path, lambda found: found["status"].get("currentRevision")))["status"]

    await api.patch(path, image("web:2"))
    moved = await api.until(path, lambda found: found["status"]["updateRevision"] != old["updateRevision"])
    assert moved["status"]["currentRevision"] == old["currentRevision"]
    await api.delete(f"{core}/pods/ss-0")
    await api.until(
        f"{core}/pods/ss-0",
        lambda pod: ready(pod) and pod["metadata"]["labels"][HASH] != old["updateRevision"],
    )
    assert await images(api, core) == ["web:2", "web:1", "web:1"]
    for name in ("ss-1", "ss-2"):
        await api.delete(f"{core}/pods/{name}")
    await running(api, core, 3, "web:2")


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
async def test_as_many_pods_are_updated_at_once_as_may_be_unavailable(
    api: Api, core: str, apps: str, policy: str
) -> None:
    path = f"{apps}/statefulsets/ss"
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    made = statefulset(replicas=4, podManagementPolicy=policy, updateStrategy=rolling, pod=GATED)
    await api.make(f"{apps}/statefulsets", made)
    for ordinal in range(4):
        await hold(api, core, f"ss-{ordinal}", "True")
    await running(api, core, 4)

    await api.patch(path, image("web:2"))
    # Ordered Pods come back one after the other, parallel ones together.
    back = [2] if policy == "OrderedReady" else [2, 3]
    for ordinal in back:
        await api.until(f"{core}/pods/ss-{ordinal}", lambda pod: new(pod))
    assert [found for found in await images(api, core) if found == "web:1"] == ["web:1"] * 2

    for ordinal in (2, 3, 0, 1):
        await api.until(f"{core}/pods/ss-{ordinal}", lambda pod: new(pod))
        await hold(api, core, f"ss-{ordinal}", "True")
    await api.until(path, settled)


def new(pod: Any) -> bool:
    return bool(pod["spec"]["containers"][0]["image"] == "web:2")


async def test_a_parallel_set_replaces_a_revision_that_never_works_at_once(
    api: Api, core: str, apps: str
) -> None:
    path = f"{apps}/statefulsets/ss"
    await api.make(f"{apps}/statefulsets", statefulset(podManagementPolicy="Parallel", pod=GATED))
    await api.until_listed(f"{core}/pods", lambda pods: len(pods) == 3)

    await api.patch(path, image("web:2"))

    await api.until_listed(f"{core}/pods", lambda pods: [new(pod) for pod in pods] == [True] * 3)
    assert (await api.get(path))["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 1


async def test_a_revision_has_the_name_that_upstreams_controller_gives_it(
    api: Api, core: str, apps: str
) -> None:
    """A manager of upstream's that takes over must find its own revision, and roll nothing out.

    The name is from upstream's test data of 1.34, where a set with this template has it."""
    labels = {"app": "foo"}
    template = {
        "metadata": {"labels": labels, "annotations": {"test": "value"}},
        "spec": {"containers": [{"name": "test", "image": "test"}]},
    }
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    await api.make(f"{apps}/statefulsets", {"metadata": {"name": "test"}, "spec": spec})

    found = await api.until(f"{apps}/statefulsets/test", lambda found: found["status"].get("updateRevision"))
    assert found["status"]["updateRevision"] == "test-776999688b"


def with_claims(when_deleted: str = "Retain", when_scaled: str = "Retain") -> dict[str, Any]:
    """Three Pods that wait for claims which nobody binds."""
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none"}
    claim |= {"resources": {"requests": {"storage": "1"}}}
    return statefulset(
        podManagementPolicy="Parallel",
        volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": claim}],
        persistentVolumeClaimRetentionPolicy={"whenDeleted": when_deleted, "whenScaled": when_scaled},
    )


def owners(claims: list[Any]) -> dict[str, list[str]]:
    """Which kinds own which claims."""
    return {
        claim["metadata"]["name"].removeprefix("data-"): [
            owner["kind"] for owner in claim["metadata"].get("ownerReferences", ())
        ]
        for claim in claims
    }


async def until_owned(api: Api, core: str, **wanted: list[str]) -> None:
    expected = {name.replace("_", "-"): kinds for name, kinds in wanted.items()}
    await api.until_listed(f"{core}/persistentvolumeclaims", lambda claims: owners(claims) == expected)


async def test_claims_go_with_the_set_as_the_policy_says(api: Api, core: str, apps: str) -> None:
    path = f"{apps}/statefulsets/ss"
    await api.make(f"{apps}/statefulsets", with_claims(when_deleted="Delete"))
    owned = ["StatefulSet"]
    await until_owned(api, core, ss_0=owned, ss_1=owned, ss_2=owned)

    retain = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}
    await api.patch(path, {"spec": retain}, MERGE)
    await until_owned(api, core, ss_0=[], ss_1=[], ss_2=[])
    delete = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}
    await api.patch(path, {"spec": delete}, MERGE)
    await until_owned(api, core, ss_0=owned, ss_1=owned, ss_2=owned)

    await api.delete(path)
    await api.until_listed(f"{core}/persistentvolumeclaims", lambda claims: not claims)


async def test_claims_go_with_pods_that_are_scaled_away(api: Api, core: str, apps: str) -> None:
    path, mine = f"{apps}/statefulsets/ss", f"{core}/persistentvolumeclaims/data-ss-2"
    owner = await api.make(f"{core}/configmaps", {"metadata": {"name": "owner"}})
    await api.make(f"{apps}/statefulsets", with_claims(when_scaled="Delete"))
    await until_owned(api, core, ss_0=[], ss_1=[], ss_2=[])
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "controller": True}
    reference["uid"] = owner["metadata"]["uid"]
    await api.patch(mine, {"metadata": {"ownerReferences": [reference]}}, MERGE)

    await api.patch(path, {"spec": {"replicas": 1}}, MERGE)

    # One belongs to somebody else by now, and stays.
    await until_owned(api, core, ss_0=[], ss_2=["ConfigMap"])
    await api.until_listed(f"{core}/pods", lambda pods: names(pods) == ["ss-0"])
    await api.delete(path)
    await api.until_listed(f"{core}/pods", lambda pods: not pods)
    assert owners(await api.items(f"{core}/persistentvolumeclaims")) == {"ss-0": [], "ss-2": ["ConfigMap"]}

"""Volumes as containers see them: content, modes, owners, updates, parts, and what lies behind claims."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from kplane.testing.waiting import eventually

from ..api import Api, condition
from .pods import FOREVER, Pods, waiting

BYTES = bytes.fromhex("decafebad0feff")


def mounted(*volumes: dict[str, Any], **mount: Any) -> dict[str, Any]:
    """A pod's volumes, and its container's mounts of them at /v, /v1 and so on."""
    named = [{"name": f"v{number}", **source} for number, source in enumerate(volumes)]
    mounts = [
        {"name": f"v{number}", "mountPath": f"/v{number or ''}", **mount} for number in range(len(volumes))
    ]
    return {"volumes": named, "container": {"volumeMounts": mounts}}


@pytest.mark.parametrize("medium", ["", "Memory"])
async def test_empty_folder_is_everybodys_and_keeps_modes(pods: Pods, medium: str) -> None:
    script = "stat -c %a /v; umask 0; for m in 644 666 777; do echo x > /v/$m; chmod $m /v/$m; done;"
    script += "stat -c '%a %u' /v/*; grep ' /v ' /proc/mounts"
    spec = mounted({"emptyDir": {"medium": medium, "sizeLimit": "10Mi"}})

    async def seen_by(user: int) -> list[str]:
        container = spec["container"] | {"securityContext": {"runAsUser": user}}
        ended = await pods.run(f"u{user}", script, volumes=spec["volumes"], container=container)
        return ended.log.splitlines()

    for user, found in zip((0, 1001), await asyncio.gather(seen_by(0), seen_by(1001)), strict=True):
        assert found[:4] == ["777", f"644 {user}", f"666 {user}", f"777 {user}"]
        assert ("tmpfs" in found[4]) == bool(medium)
        assert ("size=10240k" in found[4]) == bool(medium)


async def test_containers_share_a_folder(pods: Pods) -> None:
    volume = {"name": "v", "emptyDir": {}}
    mounts = [{"name": "v", "mountPath": "/v"}]
    base = {"image": "localhost/busybox:1", "volumeMounts": mounts}
    writer = base | {"name": "writer", "command": ["sh", "-c", f"echo hello > /v/f; {FOREVER}"]}
    reader = base | {"name": "reader", "command": ["sh", "-c", FOREVER]}
    await pods.make("p", volumes=[volume], containers=[reader, writer])
    await pods.running("p")

    assert (await pods.exec("p", "cat", "/v/f", container="reader")).out == "hello\n"


@pytest.fixture
async def objects(api: Api, core: str) -> None:
    data = {"data-1": "value-1"}
    binary = {"dump.bin": base64.b64encode(BYTES).decode()}
    body = {"metadata": {"name": "o"}, "data": data, "binaryData": binary}
    await api.make(f"{core}/configmaps", body)
    await api.make(f"{core}/secrets", {"metadata": {"name": "o"}, "stringData": data})


def sources(*, items: Any = None, mode: int | None = None) -> dict[str, dict[str, Any]]:
    """The same key as a file in four ways."""
    parts: dict[str, Any] = {} if items is None else {"items": items}
    modes = {} if mode is None else {"defaultMode": mode}
    return {
        "configmap": {"configMap": {"name": "o", **parts, **modes}},
        "secret": {"secret": {"secretName": "o", **parts, **modes}},
        "projected-configmap": {"projected": {"sources": [{"configMap": {"name": "o", **parts}}], **modes}},
        "projected-secret": {"projected": {"sources": [{"secret": {"name": "o", **parts}}], **modes}},
    }


@pytest.mark.parametrize("kind", sources())
@pytest.mark.usefixtures("objects")
async def test_keys_are_files_with_modes_paths_and_owners(pods: Pods, kind: str) -> None:
    item = {"key": "data-1", "path": "path/to/data"}
    look = (
        "for f in /v/data-1 /v1/data-1 /v2/path/to/data /v3/path/to/data; do stat -L -c %a $f; cat $f; done"
    )
    everyday = mounted(
        sources()[kind],
        sources(mode=0o400)[kind],
        sources(items=[item])[kind],
        sources(items=[{**item, "mode": 0o400}])[kind],
    )
    group = mounted(sources(mode=0o440)[kind])
    group["container"]["securityContext"] = {"runAsUser": 1000}

    mine, theirs = await asyncio.gather(
        pods.run("mine", look, **everyday),
        pods.run("theirs", "stat -L -c '%a %g' /v/data-1; cat /v/data-1", securityContext={"fsGroup": 1001},
            **group),
    )  # fmt: skip
    assert mine.log == "644\nvalue-1400\nvalue-1644\nvalue-1400\nvalue-1"
    assert theirs.log == "440 1001\nvalue-1"


@pytest.mark.usefixtures("objects")
async def test_binary_data_stays_as_it_is_and_parts_combine(pods: Pods) -> None:
    named = {"items": [{"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}]}
    parts = [{"downwardAPI": named}, {"secret": {"name": "o"}}, {"configMap": {"name": "o"}}]

    ended = await pods.run(
        "p", "hexdump -ve '1/1 \"%02x\"' /v/dump.bin; cat /v1/podname /v1/data-1",
        **mounted({"configMap": {"name": "o"}}, {"projected": {"sources": parts}}),
    )  # fmt: skip
    assert ended.log == f"{BYTES.hex()}pvalue-1"


@pytest.mark.parametrize("projected", [False, True])
async def test_downward_files(pods: Pods, projected: bool) -> None:
    def of(name: str, resource: str, **more: Any) -> dict[str, Any]:
        return {"path": name, "resourceFieldRef": {"containerName": "c", "resource": resource, **more}}

    items = [
        {"path": "name", "mode": 0o400, "fieldRef": {"fieldPath": "metadata.name"}},
        of("cpu", "limits.cpu"),
        of("milli", "requests.cpu", divisor="1m"),
        of("memory", "requests.memory"),
        of("all", "limits.memory"),
    ]
    source: dict[str, Any] = {"downwardAPI": {"items": items}}
    spec = mounted({"projected": {"sources": [source]}} if projected else source)
    spec["container"]["resources"] = {
        "requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m"},
    }  # fmt: skip

    script = "stat -L -c %a /v/name; for f in name cpu milli memory all; do cat /v/$f; echo; done"
    ended = await pods.run("p", script, **spec)
    mode, name, cpu, milli, memory, everything = ended.log.split()
    assert (mode, name, cpu, milli, memory) == ("400", "p", "2", "250", "33554432")
    assert int(everything) > 1 << 30


@pytest.mark.usefixtures("objects")
async def test_files_follow_their_objects(api: Api, pods: Pods, core: str) -> None:
    labels = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}
    spec = mounted(
        {"configMap": {"name": "o", "optional": True}},
        {"secret": {"secretName": "o", "optional": True}},
        {"projected": {"sources": [{"configMap": {"name": "later", "optional": True}}]}},
        {"downwardAPI": labels},
        readOnly=True,
    )
    await pods.make("p", **spec)
    await pods.running("p")

    await api.patch(f"{core}/configmaps/o", {"data": {"data-1": "changed"}})
    await api.delete(f"{core}/secrets/o")
    await api.make(f"{core}/configmaps", {"metadata": {"name": "later"}, "data": {"data-2": "there"}})
    await api.patch(pods.path("p"), {"metadata": {"labels": {"new": "label"}}})

    async def seen() -> bool:
        looked = await pods.exec("p", "sh", "-c", "cat /v/data-1 /v2/data-2 /v3/labels; ls /v1", check=False)
        return looked.out == 'changedtherenew="label"'

    await eventually(seen, what="the files as their objects are now")


@pytest.mark.usefixtures("objects")
async def test_parts_of_volumes_survive_a_restart_and_replace_files(pods: Pods) -> None:
    volumes = [{"name": "v", "configMap": {"name": "o"}}, {"name": "state", "emptyDir": {}}]
    mounts = [
        {"name": "v", "mountPath": "/etc/passwd", "subPath": "data-1"},
        {"name": "state", "mountPath": "/state"},
    ]
    script = "cat /etc/passwd; [ -e /state/again ] && exit 0; touch /state/again; exit 1"

    ended = await pods.run(
        "p", script, volumes=volumes, restartPolicy="OnFailure", container={"volumeMounts": mounts}
    )
    assert (ended.phase, ended.log) == ("Succeeded", "value-1")
    assert ended.pod["status"]["containerStatuses"][0]["restartCount"] == 1


def expanded(value: str) -> dict[str, Any]:
    mount = {"name": "w", "mountPath": "/part", "subPathExpr": "$(PART)"}
    return {
        "volumes": [{"name": "w", "emptyDir": {}}],
        "container": {
            "env": [{"name": "PART", "value": value}],
            "volumeMounts": [mount, {"name": "w", "mountPath": "/whole"}],
        },
    }


async def test_variables_choose_the_part_but_never_lead_outside(pods: Pods) -> None:
    for name, value in (("up", ".."), ("absolute", "/tmp")):
        await pods.make(name, **expanded(value))
    good = await pods.run("good", "touch /part/f; ls /whole/$PART", **expanded("good"))

    assert good.log == "f\n"
    for name in ("up", "absolute"):
        await pods.until(name, lambda found: waiting(found) == "CreateContainerConfigError")


async def test_part_that_cannot_be_chosen_can_after_a_change_of_the_pod(api: Api, pods: Pods) -> None:
    spec = expanded("")
    spec["container"]["env"] = [
        {"name": "PART", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['part']"}}}
    ]
    spec["container"]["volumeMounts"][0]["subPathExpr"] = "$(PART)/deeper"
    await pods.make("p", **spec)
    await pods.until("p", lambda found: waiting(found) == "CreateContainerConfigError")

    await api.patch(pods.path("p"), {"metadata": {"annotations": {"part": "mine"}}})
    await pods.running("p")


async def test_path_of_the_node_is_checked_as_its_type_says(pods: Pods, node: Any) -> None:
    root = node.folder / "host"
    made = await pods.run(
        "made", "touch /v/f; ls -l /v1", **mounted(
            {"hostPath": {"path": str(root / "new"), "type": "DirectoryOrCreate"}},
            {"hostPath": {"path": str(root / "file"), "type": "FileOrCreate"}},
        )
    )  # fmt: skip
    assert made.phase == "Succeeded"
    assert (root / "new" / "f").exists()
    async with pods.api.watch(f"{pods.core}/events") as told:
        missing = {"hostPath": {"path": str(root / "none"), "type": "Directory"}}
        await pods.make("missing", **mounted(missing))
        event = await told.until("ADDED", lambda found: found["reason"] == "FailedMount")
    assert event["message"].endswith(f"hostPath type check failed: {root / 'none'} is not a directory")


@pytest.mark.parametrize("kind", ["hostPath", "local"])
async def test_claim_brings_the_folder_behind_it(
    api: Api, pods: Pods, core: str, namespace: str, node: Any, kind: str
) -> None:
    folder = node.folder / kind
    folder.mkdir()
    (folder / "hello").write_text("from the volume")
    [name] = await api.names("/api/v1/nodes")
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": namespace}
    spec = {"capacity": {"storage": "1Gi"}, kind: {"path": str(folder)}, "nodeAffinity": affinity, **common}
    await api.make(
        "/api/v1/persistentvolumes", {"metadata": {"name": f"{namespace}-{kind.lower()}"}, "spec": spec}
    )
    claim = common | {"resources": {"requests": {"storage": "1Gi"}}}
    await api.make(f"{core}/persistentvolumeclaims", {"metadata": {"name": "mine"}, "spec": claim})
    await api.until(
        f"{core}/persistentvolumeclaims/mine", lambda found: found["status"].get("phase") == "Bound"
    )

    def source(**more: Any) -> dict[str, Any]:
        return {"persistentVolumeClaim": {"claimName": "mine", **more}}

    writes, reads = await asyncio.gather(
        pods.run("writes", "cat /v/hello; touch /v/written", **mounted(source())),
        pods.run("reads", "touch /v/f 2>&1 || true", **mounted(source(readOnly=True))),
    )
    assert (writes.log, (folder / "written").exists()) == ("from the volume", True)
    assert "Read-only file system" in reads.log


async def test_many_configmaps_in_many_pods_at_once(api: Api, pods: Pods, core: str) -> None:
    count = 20
    for number in range(count):
        await api.make(f"{core}/configmaps", {"metadata": {"name": f"m{number}"}, "data": {"k": "v"}})
    spec = mounted(*({"configMap": {"name": f"m{number}"}} for number in range(count)))
    for name in ("a", "b", "c"):
        await pods.make(name, **spec)

    for name in ("a", "b", "c"):
        assert condition(await pods.running(name), "Ready") == "True"

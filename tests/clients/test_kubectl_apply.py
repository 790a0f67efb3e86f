"""kubectl apply: diff, prune, server-side conflicts, kustomize, replace."""

from __future__ import annotations

import json
from pathlib import Path

from .cluster import Kubectl
from .shapes import DEPLOYMENT, configmap, pod

MANIFEST = json.dumps(DEPLOYMENT)
MORE = MANIFEST.replace('"replicas": 2', '"replicas": 4')


def several(*objects: object) -> str:
    return "\n---\n".join(json.dumps(obj) for obj in objects)


async def test_diff_exits_with_one_where_there_is_a_difference(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)

    same = await kubectl("diff", "-f", "-", stdin=MANIFEST, code=0)
    shown = await kubectl("diff", "-f", "-", stdin=MORE, code=1)

    assert same == ""
    assert "-  replicas: 2" in shown
    assert "+  replicas: 4" in shown


async def test_a_conflict_names_the_manager_and_the_ways_out(kubectl: Kubectl) -> None:
    await kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    await kubectl("scale", "deployment/web", "--replicas=3")

    refusal = await kubectl("apply", "--server-side", "-f", "-", stdin=MORE, fails=True)
    await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=MORE)

    assert 'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale"' in refusal
    assert "--force-conflicts" in refusal
    assert await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "4"


async def test_prune_removes_what_the_manifest_no_longer_has(kubectl: Kubectl) -> None:
    labels = {"set": "one"}
    both = several(configmap("first", labels=labels), configmap("second", labels=labels))
    prune = ("apply", "--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap", "-f", "-")
    await kubectl(*prune, stdin=both)

    told = await kubectl(*prune, stdin=several(configmap("first", labels=labels)))

    assert told == "configmap/first unchanged\nconfigmap/second pruned\n"
    assert "NotFound" in await kubectl("get", "configmap", "second", fails=True)


async def test_an_applyset_prunes_by_its_members(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "--prune", "--applyset=secrets/mine", "-f", "-")
    await kubectl(*apply, stdin=several(configmap("first"), configmap("second")), KUBECTL_APPLYSET="true")

    told = await kubectl(*apply, stdin=several(configmap("first")), KUBECTL_APPLYSET="true")

    parent = await kubectl.json("get", "secret", "mine")
    assert "configmap/second pruned" in told
    assert parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"


async def test_kustomizations_are_applied(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "deployment.yaml").write_text(MANIFEST)
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [deployment.yaml]\nnamePrefix: my-\n"
        "labels: [{pairs: {team: one}}]\n"
        "images: [{name: web, newTag: '9'}]\n"
        "configMapGenerator: [{name: settings, literals: [color=blue]}]\n"
    )

    told = await kubectl("apply", "-k", str(tmp_path))
    web = await kubectl.json("get", "deployment", "my-web")
    gone = await kubectl("delete", "-k", str(tmp_path))

    assert told.splitlines()[1] == "deployment.apps/my-web created"
    assert told.startswith("configmap/my-settings-")
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "web:9"
    assert web["metadata"]["labels"]["team"] == "one"
    assert len(gone.splitlines()) == 2


async def test_an_immutable_field_is_refused_and_replaced_by_force(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=json.dumps(pod(nodeSelector={"no": "where"})))
    changed = json.dumps(pod(restartPolicy="Never"))

    refusal = await kubectl("replace", "-f", "-", stdin=changed, fails=True)
    told = await kubectl("replace", "--force", "-f", "-", stdin=changed)

    assert (
        'The Pod "web" is invalid: spec: Forbidden: pod updates may not change fields other than' in refusal
    )
    assert told == 'pod "web" deleted from NAME namespace\npod/web replaced\n'.replace(
        "NAME", kubectl.namespace
    )


async def test_edit_apply_and_view_the_last_applied_configuration(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=json.dumps(configmap()))
    await kubectl("edit", "configmap", "settings", KUBE_EDITOR="sed -i 's/^  color: blue/  color: green/'")

    shown = json.loads(await kubectl("apply", "view-last-applied", "configmap", "settings", "-o", "json"))
    await kubectl("apply", "-f", "-", stdin=json.dumps(configmap()))

    assert shown["data"] == {"color": "blue"}
    assert await kubectl("get", "cm", "settings", "-o", "jsonpath={.data.color}") == "blue"

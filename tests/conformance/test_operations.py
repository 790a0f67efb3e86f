"""Kinds that the running cluster's own parts work with, too: every operation of their API all the same."""

from __future__ import annotations

from typing import Any

import pytest

from .api import MERGE, Api, condition

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
EXPRESSION = 'Object{metadata: Object.metadata{annotations: {"my-foo-annotation": "myAnnotationValue"}}}'
SELECTED = {"resourceRules": [RULE], "namespaceSelector": {"matchLabels": {"no": "namespace"}}}
LIMITED = {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}

KINDS: list[tuple[str, str, Any, bool]] = [
    (FLOW, "flowschemas", {"matchingPrecedence": 10000,
        "priorityLevelConfiguration": {"name": "global-default"}, "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}, True),
    (FLOW, "prioritylevelconfigurations", {"type": "Limited", "limited": LIMITED}, True),
    (ADMISSION, "validatingadmissionpolicies", {"matchConstraints": SELECTED,
        "validations": [{"expression": "object.spec.replicas <= 100"}]}, True),
    (ADMISSION, "validatingadmissionpolicybindings", {"policyName": "replicalimit-policy.example.com",
        "validationActions": ["Deny"]}, False),
    (ADMISSION, "mutatingadmissionpolicies", {"reinvocationPolicy": "Never", "matchConstraints": SELECTED,
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": EXPRESSION}}]},
        False),
    (ADMISSION, "mutatingadmissionpolicybindings", {"policyName": "replicalimit-policy.example.com"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("group", "plural", "spec", "has_status"), KINDS, ids=[kind[1] for kind in KINDS])
async def test_every_operation_works(
    api: Api, namespace: str, group: str, plural: str, spec: Any, has_status: bool
) -> None:
    path, label = f"{group}/{plural}", {"labelSelector": f"e2e={namespace}"}
    names = {each["name"] for each in (await api.get(group))["resources"]}
    assert {plural, f"{plural}/status"} if has_status else {plural} <= names
    body = {"metadata": {"generateName": "e2e-example-", "labels": {"e2e": namespace}}, "spec": spec}
    *_, made = [await api.make(path, body) for _ in range(3)]
    one = f"{path}/{made['metadata']['name']}"
    listed = await api.get(path, **label)
    assert len(listed["items"]) == 3
    async with api.watch(path, **label, resourceVersion=listed["metadata"]["resourceVersion"]) as watch:
        patched = await api.patch(one, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        await api.change(one, lambda found: found["metadata"]["annotations"].update(updated="true"))
        while True:
            # Nothing but changes is told, however many of them are the cluster's own.
            event = await watch.next()
            assert event.type == "MODIFIED"
            if event.object["metadata"].get("annotations", {}).get("updated"):
                break
    if has_status:
        await status_is_written(api, one, made["metadata"]["uid"])
    await api.delete(one)
    assert await api.gone(one)
    assert len(await api.items(path, **label)) == 2
    await api.delete(path, label)
    assert not await api.items(path, **label)


async def status_is_written(api: Api, one: str, uid: str) -> None:
    assert (await api.get(f"{one}/status"))["metadata"]["uid"] == uid
    moment = {"message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    first = {"type": "PatchStatusFailed", "status": "False", "reason": "e2e"}
    if "flowcontrol" not in one:
        first |= moment
    patched = await api.patch(f"{one}/status", {"status": {"conditions": [first]}}, MERGE)
    assert condition(patched, "PatchStatusFailed") == "False"
    second = {"type": "StatusUpdateFailed", "status": "False", "reason": "E2E", **moment}
    if "flowcontrol" in one:
        second["lastTransitionTime"] = None
    updated = await api.change(f"{one}/status", lambda found: found["status"]["conditions"].append(second))
    assert condition(updated, "StatusUpdateFailed") == "False"

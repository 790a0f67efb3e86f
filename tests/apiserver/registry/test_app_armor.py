"""AppArmor in annotations of Pods, as before 1.30: fields, warnings, refusals."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ..conftest import Answer, Api
from .rules import FORBIDDEN, INVALID, one, refused_creations, refused_updates

PODS = "/api/v1/namespaces/default/pods"
KEY = "container.apparmor.security.beta.kubernetes.io/c"
TOLD = [f'metadata.annotations[{KEY}]: deprecated since v1.30; use the "appArmorProfile" field instead']
LOCAL = {"type": "Localhost", "localhostProfile": "mine"}


def pod(annotation: str | None = None, own: Any = None, pods: Any = None, **spec: Any) -> dict[str, Any]:
    """`own`: the container's profile; `pods`: the whole pod's."""
    container: dict[str, Any] = {"name": "c", "image": "web:1"}
    if own:
        container["securityContext"] = {"appArmorProfile": own}
    if pods:
        spec["securityContext"] = {"appArmorProfile": pods}
    metadata = {"name": "one", "annotations": {} if annotation is None else {KEY: annotation}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def warned(answer: Answer) -> list[str]:
    header = answer.headers.get("warning", "")
    return [text.replace('\\"', '"') for text in re.findall(r'299 - "((?:[^"\\]|\\.)*)"', header)]


@pytest.mark.parametrize(
    ("body", "made", "told"),
    [
        pytest.param(pod("runtime/default"), {"type": "RuntimeDefault"}, TOLD, id="default"),
        pytest.param(pod("unconfined"), {"type": "Unconfined"}, TOLD, id="unconfined"),
        pytest.param(pod("localhost/mine"), LOCAL, TOLD, id="local"),
        pytest.param(pod("localhost/"), None, TOLD, id="nameless"),
        pytest.param(pod("localhost/ a"), None, TOLD, id="padded"),
        pytest.param(pod(""), None, TOLD, id="empty"),
        pytest.param(pod("localhost/mine", own=LOCAL), LOCAL, [], id="said twice"),
        pytest.param(pod("localhost/mine", pods=LOCAL), None, [], id="of the pod"),
        pytest.param(pod("runtime/default", pods=LOCAL), {"type": "RuntimeDefault"}, TOLD, id="other"),
        pytest.param(pod("runtime/default", os={"name": "windows"}), None, [], id="windows"),
        pytest.param(pod(own=LOCAL), LOCAL, [], id="field"),
    ],
)
async def test_annotations_become_fields(api: Api, body: Any, made: Any, told: list[str]) -> None:
    answer = await api("POST", PODS, body, dryRun="All")

    assert answer.code == 201, answer.body
    container = answer.body["spec"]["containers"][0]
    assert (container.get("securityContext") or {}).get("appArmorProfile") == made
    assert warned(answer) == told
    assert answer.body["metadata"].get("annotations") == (body["metadata"]["annotations"] or None)


async def test_annotations_name_containers_and_profiles_and_agree_with_fields(api: Api) -> None:
    other = KEY[:-1] + "d"
    here = "spec.containers[0].securityContext.appArmorProfile"

    found = await refused_creations(api, PODS, pod(), {
        "stranger": {"metadata": {"annotations": {other: "unconfined"}}},
        "profile": {"metadata": {"annotations": {KEY: "complain"}}},
        "type": pod("unconfined", own=LOCAL),
        "name": pod("localhost/yours", own=LOCAL),
        "padded": pod(own=LOCAL | {"localhostProfile": " mine"}),
        "long": pod(own=LOCAL | {"localhostProfile": "m" * 4096}),
    })  # fmt: skip

    assert found["stranger"] == one(f"metadata.annotations[{other}]", INVALID,
        'Invalid value: "d": container not found')  # fmt: skip
    assert found["profile"] == one(f"metadata.annotations[{KEY}]", INVALID,
        'Invalid value: "complain": invalid AppArmor profile name: "complain"')  # fmt: skip
    assert found["type"] == one(f"{here}.type", FORBIDDEN,
        "Forbidden: apparmor type in annotation and field must match")  # fmt: skip
    assert found["name"] == one(f"{here}.localhostProfile", FORBIDDEN,
        "Forbidden: apparmor profile in annotation and field must match")  # fmt: skip
    assert found["padded"] == one(f"{here}.localhostProfile", INVALID,
        'Invalid value: " mine": must not be padded with whitespace')  # fmt: skip
    assert found["long"] == one(f"{here}.localhostProfile", "FieldValueTooLong",
        "Too long: may not be more than 4095 bytes")  # fmt: skip


async def test_annotations_of_a_pod_stay(api: Api) -> None:
    added = KEY[:-1] + "d"
    annotations = {"update": {KEY: "unconfined"}, "removal": {KEY: None}, "addition": {added: "unconfined"}}
    changes = {name: {"metadata": {"annotations": given}} for name, given in annotations.items()}

    found = await refused_updates(api, PODS, pod("runtime/default"), changes)

    stays = one(f"metadata.annotations[{KEY}]", FORBIDDEN,
        "Forbidden: may not remove or update AppArmor annotations")  # fmt: skip
    assert found["update"] == found["removal"] == stays
    assert (f"metadata.annotations[{added}]", FORBIDDEN,
        "Forbidden: may not add AppArmor annotations") in found["addition"]  # fmt: skip


async def test_templates_keep_annotations_and_are_warned_of(api: Api) -> None:
    template = {"metadata": {"name": "one"}, "template": pod("unconfined") | {"metadata": {
        "annotations": {KEY: "unconfined"}}}}  # fmt: skip

    answer = await api("POST", "/api/v1/namespaces/default/podtemplates", template)

    assert "securityContext" not in answer.body["template"]["spec"]["containers"][0]
    assert [text.replace("template.", "", 1) for text in warned(answer)] == TOLD

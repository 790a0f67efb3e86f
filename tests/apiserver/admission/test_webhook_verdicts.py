"""What webhooks may answer: changes, refusals, warnings, and every kind of failure."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

import pytest

from ..conftest import Api, configmap, pod
from ..webhookserver import Received, Reply
from .conftest import MUTATING, Answer, Hooks, allow, denied, labelled, patched, rule

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def marked(name: str = "settings") -> dict[str, Any]:
    return configmap(name) | {"metadata": {"name": name, "labels": {"app": "x"}}}


async def test_mutating_webhooks_run_in_order_and_see_each_others_work(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook("c"), name="z-last")
    await hooks.mutating(hooks.webhook("a"), hooks.webhook("b"), name="first")
    for path in "abc":
        hooks.answer(path, labelled(path))

    made = await api.make(CONFIGMAPS, marked())

    assert [path for path, _ in hooks.asked] == ["a", "b", "c"]
    assert hooks.requests("c")[0]["object"]["metadata"]["labels"] == {"app": "x", "a": "yes", "b": "yes"}
    assert made["metadata"]["labels"] == {"app": "x", "a": "yes", "b": "yes", "c": "yes"}


async def test_what_a_webhook_adds_is_defaulted_and_validated(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook(rules=[rule("pods")]))
    sidecar = {"name": "sidecar", "image": "side:1"}
    hooks.answer("hook", patched({"op": "add", "path": "/spec/containers/-", "value": sidecar}))

    made = await api.make(PODS, pod())
    assert made["spec"]["containers"][1]["terminationMessagePath"] == "/dev/termination-log"

    hooks.answer("hook", patched({"op": "add", "path": "/spec/containers/-", "value": {"name": "NO"}}))
    answer = await api("POST", PODS, pod("second"))
    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert "spec.containers[1].name" in answer.body["message"]


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        pytest.param(
            {"op": "replace", "path": "/data", "value": 7}, "json: cannot unmarshal number", id="type"
        ),
        pytest.param({"op": "remove", "path": "/nothing"}, "can't remove a non-existent object", id="path"),
    ],
)
async def test_a_patch_that_makes_no_sound_object_is_the_servers_error(
    api: Api, hooks: Hooks, operation: dict[str, Any], text: str
) -> None:
    await hooks.mutating(hooks.webhook(failurePolicy="Ignore"))
    hooks.answer("hook", patched(operation))

    answer = await api("POST", CONFIGMAPS, marked())

    assert (answer.code, answer.body["reason"]) == (500, "InternalError")
    assert answer.body["message"].startswith("Internal error occurred: ")
    assert text in answer.body["message"]


async def test_a_deletion_cannot_be_changed(api: Api, hooks: Hooks) -> None:
    await api.make(CONFIGMAPS, marked())
    await hooks.mutating(hooks.webhook())
    hooks.answer("hook", labelled("a"))

    answer = await api("DELETE", f"{CONFIGMAPS}/settings")

    assert answer.body["message"] == (
        'Internal error occurred: admission webhook "hook.example.com" attempted to modify the object, which '
        "is not supported for this operation"
    )


async def test_those_who_ask_for_it_are_called_again_after_a_later_change(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(
        hooks.webhook("again", reinvocationPolicy="IfNeeded"),
        hooks.webhook("once"),
        hooks.webhook("changes"),
        hooks.webhook("late", reinvocationPolicy="IfNeeded"),
    )
    hooks.answer("changes", labelled("changed"))

    await api.make(CONFIGMAPS, marked())

    assert [path for path, _ in hooks.asked] == ["again", "once", "changes", "late", "again"]
    assert hooks.asked[-1][1]["object"]["metadata"]["labels"]["changed"] == "yes"


async def test_a_change_of_its_own_does_not_call_a_webhook_again(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook("again", reinvocationPolicy="IfNeeded"))
    hooks.answer("again", labelled("changed"))

    await api.make(CONFIGMAPS, marked())

    assert len(hooks.asked) == 1


async def test_validating_webhooks_are_asked_at_the_same_time(api: Api, hooks: Hooks) -> None:
    await hooks.validating(*(hooks.webhook(path) for path in "abc"))
    together = asyncio.Barrier(3)
    plain = hooks.handle

    async def all_at_once(received: Received) -> Reply:
        await together.wait()
        return await plain(received)

    hooks.server.handler = all_at_once

    await api.make(CONFIGMAPS, marked())

    assert sorted(path for path, _ in hooks.asked) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("status", "code", "reason", "text"),
    [
        pytest.param({}, 400, None, " without explanation", id="nothing"),
        pytest.param({"message": "no red"}, 400, None, ": no red", id="message"),
        pytest.param({"reason": "Forbidden", "code": 403}, 403, "Forbidden", ": Forbidden", id="reason"),
        pytest.param(
            {"message": "slow", "reason": "TooManyRequests", "code": 429},
            429,
            "TooManyRequests",
            ": slow",
            id="all",
        ),
        pytest.param({"message": "fine?", "code": 200}, 400, None, ": fine?", id="no-code-of-a-refusal"),
    ],
)
@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_a_refusal_says_what_the_webhook_said(
    api: Api, hooks: Hooks, kind: str, status: Any, code: int, reason: str | None, text: str
) -> None:
    await getattr(hooks, kind)(hooks.webhook())
    hooks.answer("hook", denied(**status))

    answer = await api("POST", CONFIGMAPS, marked())

    denial = f'admission webhook "hook.example.com" denied the request{text}'
    assert (answer.code, answer.body.get("reason"), answer.body["message"]) == (code, reason, denial)
    assert answer.body["code"] == code
    assert (await api("GET", f"{CONFIGMAPS}/settings")).code == 404


async def test_warnings_reach_the_client(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook())
    hooks.answer("hook", lambda request: {"allowed": True, "warnings": ["mind the gap"]})

    answer = await api("POST", CONFIGMAPS, marked())

    assert answer.headers["warning"] == '299 - "mind the gap"'


async def test_a_dry_run_is_shown_only_to_those_without_side_effects(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook())
    answer = await api("POST", CONFIGMAPS, marked(), dryRun="All")

    assert answer.code == 201
    [asked] = hooks.requests("hook")
    assert (asked["dryRun"], asked["options"]["dryRun"]) == (True, ["All"])


def wrong(**response: Any) -> Answer:
    return lambda request: {"allowed": True} | response


PATCH = base64.b64encode(b"[]").decode()
FAILURES = {
    "uid": (
        "mutating",
        wrong(uid="x"),
        r'received invalid webhook response: expected response.uid=".{36}", got "x"',
    ),
    "patch-alone": (
        "mutating",
        wrong(patch=PATCH),
        "webhook returned response.patch but not response.patchType",
    ),
    "type-alone": (
        "mutating",
        wrong(patchType="JSONPatch"),
        "webhook returned response.patchType but not response.patch",
    ),
    "patch-type": (
        "mutating",
        wrong(patch=base64.b64encode(b'[{"op":"remove","path":"/data"}]').decode(), patchType="Merge"),
        'unsupported patch type "Merge"',
    ),
    "undecodable": (
        "mutating",
        wrong(patch=base64.b64encode(b"{").decode(), patchType="JSONPatch"),
        "received undecodable patch in webhook response",
    ),
    "bottomless": (
        "mutating",
        wrong(
            patch=base64.b64encode(b'[{"op":"add","path":"/x","value":' + b"[" * 100_000).decode(),
            patchType="JSONPatch",
        ),
        "received undecodable patch in webhook response: exceeded max depth",
    ),
    "validating-patch": (
        "validating",
        wrong(patch=PATCH, patchType="JSONPatch"),
        "validating webhook may not return response.patch",
    ),
}


@pytest.mark.parametrize(
    ("kind", "answer", "text"), [pytest.param(*row, id=name) for name, row in FAILURES.items()]
)
async def test_an_answer_that_breaks_the_protocol_is_a_failure(
    api: Api, hooks: Hooks, kind: str, answer: Answer, text: str
) -> None:
    await getattr(hooks, kind)(hooks.webhook())
    hooks.answer("hook", answer)

    refused = await api("POST", CONFIGMAPS, marked())

    assert (refused.code, refused.body["reason"]) == (500, "InternalError")
    prefix = 'Internal error occurred: failed calling webhook "hook.example.com": '
    assert re.match(
        re.escape(prefix) + f"(received invalid webhook response: )?{text}", refused.body["message"]
    )


async def _hangs(received: Received) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def _fails(received: Received) -> Reply:
    return Reply(500, b"broke", {"content-type": "text/plain"})


async def _foreign(received: Received) -> Reply:
    return Reply(body=json.dumps({"kind": "Pod", "apiVersion": "v1"}).encode())


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        pytest.param(
            _fails,
            'failed to call webhook: an error on the server ("broke") has prevented the request from '
            "succeeding",
            id="500",
        ),
        pytest.param(
            _foreign, "received invalid webhook response: webhook response was absent", id="foreign"
        ),
    ],
)
@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_the_failure_policy_decides_on_failures(
    api: Api, hooks: Hooks, kind: str, handler: Any, text: str
) -> None:
    await getattr(hooks, kind)(hooks.webhook(failurePolicy="Fail"), name="x")
    hooks.server.handler = handler

    closed = await api("POST", CONFIGMAPS, marked())
    assert closed.code == 500
    assert (
        closed.body["message"]
        == f'Internal error occurred: failed calling webhook "hook.example.com": {text}'
    )

    path = MUTATING.replace("mutating", kind)
    change = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    await api("PATCH", f"{path}/x", change, content_type="application/json-patch+json")
    await hooks.settled(path, "x")
    assert (await api("POST", CONFIGMAPS, marked())).code == 201


@pytest.mark.slow
async def test_a_webhook_that_hangs_costs_its_timeout(api: Api, hooks: Hooks) -> None:
    await hooks.validating(hooks.webhook(timeoutSeconds=1))
    hooks.server.handler = _hangs

    answer = await api("POST", CONFIGMAPS, marked())

    url = f"https://127.0.0.1:{hooks.server.port}/hook?timeout=1s"
    why = f'failed to call webhook: Post "{url}": context deadline exceeded'
    assert (
        answer.body["message"] == f'Internal error occurred: failed calling webhook "hook.example.com": {why}'
    )


async def test_a_service_without_endpoints_is_a_failure(api: Api, hooks: Hooks) -> None:
    service = {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}], "selector": {"app": "hook"}}}
    await api.make("/api/v1/namespaces/default/services", service)
    config = {"service": {"name": "hook", "namespace": "default", "path": "/hook"}}
    await hooks.validating(hooks.webhook(clientConfig=config | {"caBundle": hooks.server.bundle}))

    lonely = await api("POST", CONFIGMAPS, marked())
    assert lonely.body["message"].endswith(
        'Post "https://hook.default.svc:443/hook?timeout=10s": no endpoints available for service "hook"'
    )


async def test_metrics_count_calls_refusals_and_failures(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook("closed"), hooks.webhook("open", failurePolicy="Ignore"))
    hooks.answer("open", wrong(uid="x"))
    await api.make(CONFIGMAPS, marked())
    hooks.answer("closed", denied(code=403))
    await api("POST", CONFIGMAPS, marked("second"))

    text = (await api("GET", "/metrics")).body.decode()

    admit = 'type="admit"} 1.0\n'
    called = 'name="closed.example.com",operation="CREATE"'
    failed = 'name="open.example.com"'
    for line in (
        f'webhook_request_total{{code="200",{called},rejected="false",{admit}',
        f'webhook_rejection_count{{error_type="no_error",{called},rejection_code="403",{admit}',
        f"webhook_fail_open_count{{{failed},{admit}",
        f'webhook_admission_duration_seconds_count{{{failed},operation="CREATE",rejected="false",{admit}',
    ):
        assert f"apiserver_admission_{line}" in text


async def test_without_webhooks_nobody_is_asked(api: Api, hooks: Hooks) -> None:
    hooks.answer("hook", allow)

    await api.make(CONFIGMAPS, marked())

    assert not hooks.asked


async def test_managed_fields_that_a_webhook_spoils_are_kept_as_they_were(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook())
    spoilt = [{"manager": "x", "operation": "Guess", "apiVersion": "v1", "fieldsType": "FieldsV1"}]
    hooks.answer("hook", patched({"op": "replace", "path": "/metadata/managedFields", "value": spoilt}))

    answer = await api("POST", CONFIGMAPS, marked(), fieldManager="me")

    assert [entry["manager"] for entry in answer.body["metadata"]["managedFields"]] == ["me"]
    assert "managedFields was in an invalid state after admission" in answer.headers["warning"]


@pytest.mark.parametrize("name", ["name", "namespace"])
async def test_a_webhook_cannot_move_an_object(api: Api, hooks: Hooks, name: str) -> None:
    await api.make(CONFIGMAPS, marked())
    await hooks.mutating(hooks.webhook())
    hooks.answer("hook", patched({"op": "replace", "path": f"/metadata/{name}", "value": "elsewhere"}))

    answer = await api("PUT", f"{CONFIGMAPS}/settings", marked())

    assert answer.code in (400, 422)
    assert (await api("GET", f"{CONFIGMAPS}/elsewhere")).code == 404


async def test_a_new_object_stays_in_the_namespace_of_the_request(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook())
    hooks.answer("hook", patched({"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}))

    answer = await api("POST", CONFIGMAPS, marked())

    assert answer.code == 400
    assert (await api("GET", "/api/v1/namespaces/kube-system/configmaps/settings")).code == 404

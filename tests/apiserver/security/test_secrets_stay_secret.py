"""The value of a Secret is in answers to those who may read it, and nowhere else."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Answer, Api
from ..webhookserver import Received, Reply, WebhookServer

SECRETS = "/api/v1/namespaces/default/secrets"
PLAIN = "correct-horse-battery"
VALUE = base64.b64encode(PLAIN.encode()).decode()
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"


def hidden(text: str) -> bool:
    return PLAIN not in text and VALUE not in text and VALUE[4:-4] not in text


def secret(name: str = "s", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"password": VALUE}} | more


def refused(answer: Answer) -> bool:
    """Whether it is a refusal, and one without the value."""
    return answer.code >= 400 and hidden(json.dumps(answer.body)) and hidden(str(answer.headers))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(secret("Bad Name"), id="name"),
        pytest.param(secret(data={"bad key!": VALUE}), id="key"),
        pytest.param(secret(data={"k": f"{VALUE}!"}), id="no base64"),
        pytest.param(secret(data=VALUE), id="data is a string"),
        pytest.param(secret(data={"k": {"nested": VALUE}}), id="a value is an object"),
        pytest.param(secret(data={"k": [VALUE]}), id="a value is a list"),
        pytest.param(secret(stringData=PLAIN), id="stringData is a string"),
        pytest.param(secret(stringData={"k": {"v": PLAIN}}), id="a string is an object"),
        pytest.param(secret(type="kubernetes.io/dockerconfigjson"), id="no docker configuration"),
        pytest.param(
            secret(type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": VALUE}),
            id="docker configuration that is no JSON",
        ),
        pytest.param(secret(type="kubernetes.io/tls", data={"tls.crt": VALUE}), id="half a key pair"),
        pytest.param(secret(type="kubernetes.io/basic-auth", data={"x": VALUE}), id="no user"),
        pytest.param(secret(type="kubernetes.io/ssh-auth", data={"x": VALUE}), id="no key"),
        pytest.param(
            secret(type="kubernetes.io/service-account-token", data={"token": VALUE}), id="no account"
        ),
        pytest.param(secret(immutable=VALUE), id="a boolean"),
        pytest.param(secret(data={"k": VALUE * 100_000}), id="too large"),
        pytest.param(secret(kind="ConfigMap"), id="another kind"),
    ],
)
async def test_refusals_do_not_hold_it(api: Api, body: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    assert refused(await api("POST", SECRETS, body, fieldValidation="Strict"))

    assert hidden(caplog.text)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param({"data": VALUE}, MERGE, id="merge"),
        pytest.param({"data": {"k": [VALUE]}}, STRATEGIC, id="strategic"),
        pytest.param([{"op": "test", "path": "/data/password", "value": VALUE + "x"}], JSON_PATCH, id="test"),
        pytest.param([{"op": "add", "path": "/data", "value": VALUE}], JSON_PATCH, id="json"),
        pytest.param([{"op": "add", "path": f"/data/{VALUE}", "value": VALUE}], JSON_PATCH, id="key"),
        pytest.param({"data": {"password": VALUE}, "type": "Other"}, MERGE, id="type"),
        pytest.param({"apiVersion": "v1", "kind": "Secret", "data": VALUE}, APPLY, id="apply"),
    ],
)
async def test_refused_patches_do_not_hold_it(
    api: Api, body: Any, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    await api.make(SECRETS, secret())
    caplog.set_level(logging.DEBUG)

    query = {"fieldManager": "m"} if content_type == APPLY else {}
    answer = await api("PATCH", f"{SECRETS}/s", body, content_type=content_type, **query)

    if body != [{"op": "add", "path": f"/data/{VALUE}", "value": VALUE}]:
        assert refused(answer)
    assert hidden(caplog.text)


async def test_conflicts_of_managers_name_fields_and_no_values(api: Api) -> None:
    body = secret() | {"apiVersion": "v1", "kind": "Secret"}
    await api("PATCH", f"{SECRETS}/s", body, content_type=APPLY, fieldManager="one")
    changed = body | {"data": {"password": base64.b64encode(b"other").decode()}}

    answer = await api("PATCH", f"{SECRETS}/s", changed, content_type=APPLY, fieldManager="two")

    assert answer.code == 409
    assert ".data.password" in answer.body["message"]
    assert refused(answer)


async def test_managed_fields_hold_names_alone(api: Api) -> None:
    made = await api.make(SECRETS, secret())

    assert hidden(json.dumps(made["metadata"]))


async def test_an_immutable_secret_is_refused_without_its_value(api: Api) -> None:
    await api.make(SECRETS, secret(immutable=True))

    assert refused(await api("PUT", f"{SECRETS}/s", secret(data={"password": ""}, immutable=True)))


async def test_tables_show_how_much_there_is_and_not_what(api: Api) -> None:
    await api.make(SECRETS, secret())

    table = await api("GET", SECRETS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")

    assert table.code == 200
    assert hidden(json.dumps(table.body))


@asynccontextmanager
async def hooked(
    config: ApiServerConfig, folder: Path, reply: Any, policy: str
) -> AsyncIterator[tuple[Api, WebhookServer]]:
    async def answering(received: Received) -> Reply:
        found: Reply = reply(received)
        return found

    async with WebhookServer(folder / "pki", answering) as server, ApiServer(config) as running:
        api = Api(running.app)
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["secrets"]}
        webhook = {
            "name": "hook.example.com",
            "clientConfig": server.by_url(),
            "rules": [rule],
            "failurePolicy": policy,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        await api.make(path, {"metadata": {"name": "v"}, "webhooks": [webhook]})
        await api("GET", f"{path}/v")
        yield api, server


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda received: Reply(500, b"broken"), id="fails"),
        pytest.param(lambda received: Reply(200, b"nonsense"), id="babbles"),
        pytest.param(lambda received: Reply(200, json.dumps(received.body).encode()), id="sends it back"),
    ],
)
@pytest.mark.parametrize("policy", ["Ignore", "Fail"])
async def test_webhooks_that_fail_do_not_spill_it(
    config: ApiServerConfig, tmp_path: Path, reply: Any, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with hooked(config, tmp_path, reply, policy) as (api, _):
        answer = await api("POST", SECRETS, secret())
        text = (await api("GET", "/metrics")).body.decode()

    assert answer.code == 201 if policy == "Ignore" else refused(answer)
    assert hidden(caplog.text)
    assert hidden(text)


async def test_policies_that_fail_do_not_spill_it(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    group = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "int(object.data['password']) > 1"}],
    }
    await api.make(f"{group}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    binding = {"policyName": "p", "validationActions": ["Deny"]}
    bindings = f"{group}/validatingadmissionpolicybindings"
    await api.make(bindings, {"metadata": {"name": "b"}, "spec": binding})
    await api("GET", f"{bindings}/b")

    answer = await api("POST", SECRETS, secret())

    assert answer.code == 422
    assert hidden(caplog.text)


async def test_a_server_that_breaks_down_tells_the_client_nothing(
    config: ApiServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: Any) -> None:
        raise ValueError(PLAIN)

    async with ApiServer(replace(config)) as server:
        monkeypatch.setattr(server.admission, "validate", break_down)

        assert refused(await Api(server.app)("POST", SECRETS, secret()))


@pytest.mark.parametrize(("plural", "shown"), [("secrets", False), ("configmaps", True)])
async def test_the_log_tells_where_a_server_broke_down_and_no_secret(
    config: ApiServerConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    plural: str,
    shown: bool,
) -> None:
    async def break_down(*_: Any) -> None:
        try:
            raise KeyError(PLAIN)
        except KeyError as error:
            raise ValueError(PLAIN) from error

    async with ApiServer(config) as server:
        monkeypatch.setattr(server.admission, "validate", break_down)
        await Api(server.app)("POST", f"/api/v1/namespaces/default/{plural}", {"metadata": {"name": "s"}})

    assert "break_down" in caplog.text
    assert "ValueError" in caplog.text
    assert hidden(caplog.text) is not shown


async def test_tokens_are_in_no_log_and_no_refusal(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = api.transport
    answers = [
        await transport.request("GET", path, headers={"authorization": f"{scheme} {PLAIN}"})
        for scheme in ("Bearer", "Basic", "bearer ", "Nonsense")
        for path in ("/api", f"{SECRETS}/{'s'}")
    ]

    assert all(hidden(answer.body.decode()) for answer in answers)
    assert hidden(caplog.text)

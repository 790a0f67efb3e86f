"""The second round of mutating admission, and what is written into the audit log."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kplane.api.clock import Entropy, SystemClock
from kplane.api.errors import BadRequest
from kplane.api.scheme import builtin
from kplane.api.selectors import EVERYTHING
from kplane.apiserver.admission.chain import Attributes, Chain, Operation, on
from kplane.apiserver.admission.matching import Selectors
from kplane.apiserver.admission.webhooks.calls import Surroundings
from kplane.apiserver.admission.webhooks.configuration import Candidate, Webhook
from kplane.apiserver.admission.webhooks.metrics import WebhookMetrics
from kplane.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from kplane.apiserver.admission.webhooks.review import Denied
from kplane.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from kplane.apiserver.auth.user import authenticated
from kplane.apiserver.webhooks.errors import DialError

ROW = builtin().rows["", "v1", "configmaps"]


def webhook(name: str, **fields: Any) -> Webhook:
    base: dict[str, Any] = {
        "uid": name,
        "configuration": "conf",
        "name": name,
        "client": {"url": name},
        "rules": (),
        "equivalent": False,
        "selectors": Selectors(EVERYTHING, EVERYTHING),
        "ignores_failures": False,
        "timeout": 10,
        "review_versions": ("v1",),
        "dry_runs": True,
        "reinvocable": False,
        "conditions": None,
    }
    return Webhook(**base | fields)


class Configured:
    """A fixed list of webhooks that are all about everything."""

    idle = False

    def __init__(self, *webhooks: Webhook) -> None:
        self._found = [Candidate(entry, ROW, index) for index, entry in enumerate(webhooks)]

    async def candidates(self, attributes: Attributes) -> list[Candidate]:
        return self._found


class FakeClient:
    """Answers by the URL of the webhook; remembers whom it asked."""

    def __init__(self, **responses: dict[str, Any]) -> None:
        self.responses = responses
        self.asked: list[str] = []

    async def call(self, config: Any, body: Any, timeout: float, *, limit: int) -> dict[str, Any]:
        self.asked.append(config["url"])
        response = self.responses.get(config["url"], {"allowed": True})
        if response is DOWN:
            raise DialError("no")
        uid = body["request"]["uid"]
        return {
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "response": {"uid": uid} | response,
        }


DOWN: dict[str, Any] = {}


class Counts:
    """A plug-in of the server itself, which changes the object each time it runs."""

    name = "Counts"
    handles = on()

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        attributes.object["data"]["runs"] += "x"


def surroundings(client: Any) -> Surroundings:
    async def no_namespace(name: str) -> None:
        return None

    async def allows(user: Any, info: Any) -> bool:
        return True

    metrics = WebhookMetrics(CollectorRegistry())
    return Surroundings(client, metrics, SystemClock(), Entropy(1), no_namespace, allows)


def creation(annotate: Callable[[str, str], None] = lambda key, value: None) -> Attributes:
    return Attributes(
        operation=Operation.CREATE,
        info=ROW,
        subresource="",
        namespace="default",
        name="x",
        object={"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"runs": ""}},
        old=None,
        user=authenticated("someone"),
        dry_run=False,
        warn=lambda text: None,
        annotate=annotate,
    )


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    body = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patch": body, "patchType": "JSONPatch"}


ADDS = patch({"op": "add", "path": "/data/added", "value": "yes"})


async def test_plug_ins_of_the_server_run_again_after_a_webhook_changed_something() -> None:
    client = FakeClient(changes=ADDS)
    mutating = MutatingAdmissionWebhook(Configured(webhook("changes")), surroundings(client))
    attributes = creation()

    await Chain([Counts(), mutating]).admit(attributes)

    assert attributes.object is not None
    assert attributes.object["data"] == {"runs": "xx", "added": "yes"}
    assert client.asked == ["changes"]


async def test_their_changes_call_every_webhook_again_that_wants_it() -> None:
    client = FakeClient(changes=ADDS)
    hooks = Configured(webhook("changes", reinvocable=True), webhook("once"))
    mutating = MutatingAdmissionWebhook(hooks, surroundings(client))

    await Chain([Counts(), mutating]).admit(creation())

    assert client.asked == ["changes", "once", "changes"]


async def test_the_audit_log_is_told_who_changed_what_and_who_failed() -> None:
    noted: dict[str, str] = {}
    client = FakeClient(changes=ADDS | {"auditAnnotations": {"why": "because"}}, down=DOWN)
    hooks = Configured(webhook("changes"), webhook("down", ignores_failures=True))
    chain = Chain(
        [
            MutatingAdmissionWebhook(hooks, surroundings(client)),
            ValidatingAdmissionWebhook(hooks, surroundings(client)),
        ]
    )
    attributes = creation(noted.__setitem__)

    await chain.admit(attributes)
    client.responses["changes"] = {"allowed": True}
    await chain.validate(attributes)

    mutation = "mutation.webhook.admission.k8s.io/round_0_index_"
    assert noted == {
        "changes/why": "because",
        "patch.webhook.admission.k8s.io/round_0_index_0": (
            '{"configuration":"conf","webhook":"changes","patch":[{"op":"add","path":"/data/added",'
            '"value":"yes"}],"patchType":"JSONPatch"}'
        ),
        f"{mutation}0": '{"configuration":"conf","webhook":"changes","mutated":true}',
        f"{mutation}1": '{"configuration":"conf","webhook":"down","mutated":false}',
        f"failed-open.{mutation}1": "down",
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_1": "down",
    }


@pytest.mark.parametrize("plugin", [MutatingAdmissionWebhook, ValidatingAdmissionWebhook])
async def test_a_dry_run_fails_where_a_webhook_has_side_effects(plugin: Any) -> None:
    client = FakeClient()
    hooks = Configured(webhook("acts.example.com", dry_runs=False, ignores_failures=True))
    attributes = creation()
    attributes.dry_run = True
    asked = Chain([plugin(hooks, surroundings(client))])

    async def decide() -> None:
        await asked.admit(attributes)
        await asked.validate(attributes)

    with pytest.raises(BadRequest) as refusal:
        await decide()

    assert refusal.value.message == 'admission webhook "acts.example.com" does not support dry run'
    assert not client.asked


async def test_every_validating_webhook_is_heard_though_one_refuses() -> None:
    client = FakeClient(no={"allowed": False, "status": {"message": "never"}})
    hooks = Configured(webhook("no"), webhook("yes"))

    with pytest.raises(Denied, match=r'^admission webhook "no" denied the request: never$'):
        await Chain([ValidatingAdmissionWebhook(hooks, surroundings(client))]).validate(creation())

    assert sorted(client.asked) == ["no", "yes"]

"""Decisions of a webhook: what it is asked, what its answers mean, and for how long they hold."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kplane.api.clock import Entropy
from kplane.apiserver.auth.authorization import AuthorizationSettings, Configured, Makers, settings
from kplane.apiserver.auth.authorizationconfig import load_configuration
from kplane.apiserver.auth.authorizationmetrics import AuthorizationMetrics
from kplane.apiserver.auth.authorizer import AlwaysAllow, Attributes, Decision, Term, Verdict
from kplane.apiserver.auth.oidc.metrics import hashed
from kplane.apiserver.auth.user import User
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock

from ..conftest import Api
from ..webhookserver import Received, Reply, WebhookServer

ANN = User("ann", "2", ("dev", "system:authenticated"), {"scopes": ("a",)})
LIST = Attributes(ANN, "list", group="apps", version="v1", resource="deployments", namespace="default")


@dataclass
class Hook:
    """A webhook whose next answers a test sets."""

    server: WebhookServer
    folder: Path
    clock: VirtualClock
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def value(self, metric: str, /, **labels: str) -> float | None:
        """Of a metric."""
        return self.registry.get_sample_value(f"apiserver_authorization_{metric}", labels)

    def kubeconfig(self) -> Path:
        path = self.folder / "hook.kubeconfig"
        config = {
            "clusters": [
                {
                    "name": "hook",
                    "cluster": {
                        "server": f"https://localhost:{self.server.port}/authorize",
                        "certificate-authority": str(self.folder / "pki" / "ca.crt"),
                    },
                }
            ],
            "users": [{"name": "me", "user": {"token": "t0k3n"}}],
            "contexts": [{"name": "c", "context": {"cluster": "hook", "user": "me"}}],
            "current-context": "c",
        }
        path.write_text(json.dumps(config))
        return path

    def config(self, *conditions: str, failure: str = "NoOpinion", **webhook: Any) -> Path:
        """An AuthorizationConfiguration with this webhook before AlwaysAllow."""
        path = self.folder / "authorization.yaml"
        hook = {
            "timeout": "3s",
            "subjectAccessReviewVersion": "v1",
            "matchConditionSubjectAccessReviewVersion": "v1",
            "failurePolicy": failure,
            "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(self.kubeconfig())},
            "matchConditions": [{"expression": each} for each in conditions],
        }
        authorizers = [
            {"type": "Webhook", "name": "hook", "webhook": hook | webhook},
            {"type": "AlwaysAllow", "name": "rest"},
        ]
        path.write_text(json.dumps(configuration(authorizers)))
        return path

    def authorizer(self, *conditions: str, **more: Any) -> Configured:
        config = AuthorizationSettings(config=self.config(*conditions, **more))
        self.registry = CollectorRegistry()
        metrics = AuthorizationMetrics(self.registry, "server")
        return Configured(config, Makers(AlwaysAllow, AlwaysAllow), self.clock, Entropy(1), metrics)


def configuration(authorizers: list[Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": authorizers,
    }


class Answers:
    """What the webhook says."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"allowed": False}
        self.code = 200

    async def __call__(self, received: Received) -> Reply:
        body = {
            "apiVersion": received.body["apiVersion"],
            "kind": "SubjectAccessReview",
            "status": self.status,
        }
        return Reply(self.code, json.dumps(body).encode())


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
async def hook(tmp_path: Path, answers: Answers) -> AsyncIterator[Hook]:
    async with WebhookServer(tmp_path / "pki", answers) as server:
        yield Hook(server, tmp_path, VirtualClock())


async def ask(authorizer: Configured, attributes: Attributes = LIST) -> Verdict:
    return await authorizer.authorize(attributes)


async def test_it_is_asked_with_all_that_is_known(hook: Hook, answers: Answers) -> None:
    authorizer = hook.authorizer()
    answers.status = {"allowed": True, "reason": "because"}
    selected = Attributes(
        ANN,
        "list",
        resource="pods",
        subresource="log",
        name="x",
        fields=(Term("spec.nodeName", "In", ("n1",)),),
    )

    assert await ask(authorizer) == Verdict(Decision.ALLOW, "because")
    await ask(authorizer, selected)
    await ask(authorizer, Attributes(ANN, "get", False, path="/metrics"))
    await authorizer.close()

    first, second, third = (received.body for received in hook.server.received)
    assert first["apiVersion"] == "authorization.k8s.io/v1"
    assert first["spec"] == {
        "user": "ann",
        "uid": "2",
        "groups": ["dev", "system:authenticated"],
        "extra": {"scopes": ["a"]},
        "resourceAttributes": {
            "namespace": "default",
            "verb": "list",
            "group": "apps",
            "version": "v1",
            "resource": "deployments",
        },
    }
    terms = [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]
    assert second["spec"]["resourceAttributes"]["fieldSelector"] == {"requirements": terms}
    assert third["spec"]["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
    assert hook.server.received[0].headers["authorization"] == "Bearer t0k3n"


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        ({"allowed": True}, Decision.ALLOW),
        ({"allowed": False}, Decision.ALLOW),  # No opinion: the next one allows.
        ({"allowed": False, "denied": True}, Decision.DENY),
        ({"allowed": True, "denied": True}, Decision.DENY),
    ],
)
async def test_what_it_says_counts(
    hook: Hook, answers: Answers, status: dict[str, Any], decision: Decision
) -> None:
    authorizer = hook.authorizer()
    answers.status = status

    verdict = await ask(authorizer)

    assert verdict.decision is decision
    assert bool(verdict.error) is (status.keys() == {"allowed", "denied"} and all(status.values()))
    await authorizer.close()


@pytest.mark.parametrize(("allowed", "seconds"), [(True, 300), (False, 30)])
async def test_answers_are_kept_for_a_while(
    hook: Hook, answers: Answers, allowed: bool, seconds: float
) -> None:
    authorizer = hook.authorizer()
    answers.status = {"allowed": allowed}

    async def asked() -> int:
        await ask(authorizer)
        return len(hook.server.received)

    assert [await asked(), await asked()] == [1, 1]
    await hook.clock.advance(seconds - 1)
    assert await asked() == 1
    await hook.clock.advance(2)
    assert await asked() == 2
    await authorizer.close()


async def test_long_questions_are_not_kept(hook: Hook, answers: Answers) -> None:
    authorizer = hook.authorizer()
    long = Attributes(ANN, "get", resource="pods", name="x" * 10_000)

    await ask(authorizer, long)
    await ask(authorizer, long)

    assert len(hook.server.received) == 2
    await authorizer.close()


@pytest.mark.parametrize(("failure", "decision"), [("NoOpinion", Decision.ALLOW), ("Deny", Decision.DENY)])
async def test_the_failure_policy_decides_on_failures(
    hook: Hook, answers: Answers, failure: str, decision: Decision
) -> None:
    authorizer = hook.authorizer(failure=failure)
    answers.code = 403

    assert (await ask(authorizer)).decision is decision
    assert len(hook.server.received) == 1
    await authorizer.close()


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ("has(request.resourceAttributes)", 1),
        ("!has(request.resourceAttributes)", 0),
        ("request.user == 'ann' && 'dev' in request.groups", 1),
        ("request.resourceAttributes.namespace == 'kube-system'", 0),
        ("request.resourceAttributes.name == ''", 1),
    ],
)
async def test_conditions_say_what_it_is_asked_about(hook: Hook, condition: str, asked: int) -> None:
    authorizer = hook.authorizer(condition)

    await ask(authorizer)

    assert len(hook.server.received) == asked
    await authorizer.close()


async def test_a_condition_that_fails_is_a_failure(hook: Hook) -> None:
    denies = hook.authorizer("request.nonResourceAttributes.path == '/'", failure="Deny")

    assert (await ask(denies)).decision is Decision.DENY
    settled = hook.authorizer("request.nonResourceAttributes.path == '/'", "false", failure="Deny")
    assert (await ask(settled)).decision is Decision.ALLOW
    assert hook.server.received == []


async def test_the_file_is_followed(hook: Hook, answers: Answers) -> None:
    authorizer = hook.authorizer("false")
    answers.status = {"denied": True}
    assert (await ask(authorizer)).allowed

    path = hook.config("true")
    await hook.clock.advance(2)
    assert not (await ask(authorizer)).allowed

    path.write_text("nonsense: [")
    await hook.clock.advance(2)
    assert not (await ask(authorizer)).allowed

    path.write_text(json.dumps(configuration([{"type": "AlwaysDeny", "name": "no"}])))
    await hook.clock.advance(2)
    assert (await ask(authorizer)).decision is Decision.DENY  # Still the webhook, not the other type.
    await authorizer.close()


@pytest.mark.parametrize(
    ("authorizers", "fault"),
    [
        ([], "authorizers: Required value: at least one authorization mode must be defined"),
        ([{"type": "Magic", "name": "a"}], 'authorizers[0].type: Unsupported value: "Magic"'),
        (
            [{"type": "RBAC", "name": "a"}, {"type": "RBAC", "name": "b"}],
            'authorizers[1].type: Duplicate value: "RBAC"',
        ),
        (
            [{"type": "RBAC", "name": "a"}, {"type": "Node", "name": "a"}],
            'authorizers[1].name: Duplicate value: "a"',
        ),
        ([{"type": "RBAC"}], "authorizers[0].name: Required value"),
        (
            [{"type": "Webhook", "name": "a"}],
            "authorizers[0].webhook: Required value: required when type=Webhook",
        ),
        (
            [{"type": "Webhook", "name": "a", "webhook": {"timeout": "31s"}}],
            'authorizers[0].webhook.timeout: Invalid value: "31s": must be > 0s and <= 30s',
        ),
        (
            [{"type": "Webhook", "name": "a", "webhook": {"matchConditions": [{"expression": "1 +"}]}}],
            'authorizers[0].webhook.matchConditions[0].expression: Invalid value: "1 +": compilation failed',
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, authorizers: list[Any], fault: str) -> None:
    path = tmp_path / "authorization.yaml"
    path.write_text(json.dumps(configuration(authorizers)))

    with pytest.raises(Fatal) as refused:
        load_configuration(path)
    assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ({"modes": ["Magic"]}, '"Magic" is not a valid mode'),
        ({"modes": ["ABAC"]}, "ABAC's authorization policy file not passed"),
        ({"policy_file": Path("x")}, "without mode ABAC"),
        ({"modes": ["RBAC", "RBAC"]}, "more than once"),
        ({"modes": ["Webhook"]}, "authorization config file not passed"),
        ({"webhook_config_file": Path("x")}, "without mode Webhook"),
        ({"config": Path("x"), "modes": ["RBAC"]}, "can not be specified when"),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags: dict[str, Any], fault: str) -> None:
    with pytest.raises(Fatal, match=fault):
        settings({f"auth.authorization.{name}": value for name, value in flags.items()})


async def test_a_refusal_has_the_webhooks_reason(
    hook: Hook, answers: Answers, config: ApiServerConfig
) -> None:
    answers.status = {"denied": True, "reason": "not on sundays"}
    modes = AuthorizationSettings(modes=("Webhook",), webhook_config_file=hook.kubeconfig())
    async with ApiServer(replace(config, authorization=modes)) as server:
        answer = await Api(server.app, "plain")("GET", "/api/v1/pods")
        review = await Api(server.app)(
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {"spec": {"user": "x", "resourceAttributes": {"verb": "get", "resource": "pods"}}},
        )
        assert (await Api(server.app)("GET", "/api/v1/pods")).code == 200
        answers.code = 418
        broken = await Api(server.app, "plain")("GET", "/api/v1/nodes")

    assert answer.code == 403
    assert answer.body["message"].endswith("at the cluster scope: not on sundays")
    assert review.body["status"] == {"allowed": False, "denied": True, "reason": "not on sundays"}
    assert (broken.code, broken.body["reason"]) == (500, "InternalError")
    assert hook.server.received[0].body["apiVersion"] == "authorization.k8s.io/v1beta1"


async def test_what_webhooks_say_and_fail_to_say_is_counted(hook: Hook, answers: Answers) -> None:
    authorizer = hook.authorizer("request.user != 'bob'")
    answers.status = {"allowed": True}
    await ask(authorizer)
    answers.status = {"denied": True}
    await ask(authorizer, Attributes(ANN, "get", resource="pods"))
    answers.code = 418
    await ask(authorizer, Attributes(ANN, "get", resource="nodes"))
    await ask(authorizer, Attributes(User("bob", groups=("system:authenticated",)), "get", resource="pods"))

    hooks, rest = {"type": "Webhook", "name": "hook"}, {"type": "AlwaysAllow", "name": "rest"}
    assert hook.value("decisions_total", **hooks, decision="allowed") == 1
    assert hook.value("decisions_total", **hooks, decision="denied") == 1
    assert hook.value("decisions_total", **rest, decision="allowed") == 2
    assert hook.value("webhook_evaluations_total", name="hook", result="success") == 2
    assert hook.value("webhook_evaluations_total", name="hook", result="error") == 1
    assert hook.value("webhook_duration_seconds_count", name="hook", result="success") == 2
    assert hook.value("webhook_evaluations_fail_open_total", name="hook", result="error") == 1
    assert hook.value("match_condition_exclusions_total", **hooks) == 1
    assert hook.value("match_condition_evaluation_seconds_count", **hooks) == 4
    assert hook.value("match_condition_evaluation_errors_total", **hooks) == 0
    await authorizer.close()


async def test_reloads_of_the_file_are_counted(hook: Hook, answers: Answers) -> None:
    authorizer = hook.authorizer()
    ids = {"apiserver_id_hash": hashed("server")}
    controller = "config_controller_{}".format
    path = hook.config()
    first = hashed(path.read_bytes())
    assert hook.value(controller("last_config_info"), **ids, hash=first) == 1

    for content, status in ((b"nonsense", "failure"), (path.read_bytes() + b" ", "success")):
        path.write_bytes(content)
        await hook.clock.advance(2)
        await ask(authorizer)
        assert hook.value(controller("automatic_reloads_total"), **ids, status=status) == 1
        seconds = hook.value(controller("automatic_reload_last_timestamp_seconds"), **ids, status=status)
        assert seconds == pytest.approx(hook.clock.now().timestamp())
    assert hook.value(controller("last_config_info"), **ids, hash=first) is None
    await authorizer.close()


async def test_each_request_is_an_attempt(config: ApiServerConfig) -> None:
    modes = AuthorizationSettings(modes=("RBAC",))
    async with ApiServer(replace(config, authorization=modes)) as server:
        assert (await Api(server.app, "plain")("GET", "/api/v1/pods")).code == 403
        assert (await Api(server.app, "plain")("GET", "/version")).code == 200
        text = (await Api(server.app)("GET", "/metrics")).body.decode()

    assert 'authorization_attempts_total{result="no-opinion"} 1.0' in text
    assert 'authorization_duration_seconds_count{result="allowed"}' in text
    assert 'apiserver_authorization_decisions_total{decision="allowed",name="rbac",type="RBAC"} 1.0' in text

"""Attribute-based authorisation: what policies of each version allow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.auth.abac import load
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.auth.authorizer import Attributes
from kplane.apiserver.auth.user import ANONYMOUS, User, authenticated
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime.process import Fatal

from ..conftest import Api

ANN: User = authenticated("ann", groups=("makers",))
BOB: User = authenticated("bob")


def v1beta1(**spec: Any) -> str:
    return json.dumps(
        {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": spec}
    )


def pods(user: User, verb: str = "get", *, group: str = "", namespace: str = "a") -> Attributes:
    return Attributes(user, verb, group=group, resource="pods", namespace=namespace)


def path(user: User, path: str, verb: str = "get") -> Attributes:
    return Attributes(user, verb, False, path=path)


EVERYTHING = {"apiGroup": "*", "resource": "*", "namespace": "*", "nonResourcePath": "*"}


@pytest.mark.parametrize(
    ("policy", "allowed", "refused"),
    [
        pytest.param(
            v1beta1(user="ann", **EVERYTHING),
            [pods(ANN, "delete"), path(ANN, "/logs", "post")],
            [pods(BOB), path(ANONYMOUS, "/healthz")],
            id="user",
        ),
        pytest.param(v1beta1(group="makers", **EVERYTHING), [pods(ANN)], [pods(BOB)], id="group"),
        pytest.param(
            v1beta1(user="bob", group="makers", **EVERYTHING), [], [pods(ANN), pods(BOB)], id="user-and-group"
        ),
        pytest.param(
            v1beta1(user="*", **EVERYTHING), [pods(ANN), pods(BOB)], [pods(ANONYMOUS)], id="anybody-known"
        ),
        pytest.param(
            v1beta1(user="ann", readonly=True, **EVERYTHING),
            [pods(ANN, verb) for verb in ("get", "list", "watch")],
            [pods(ANN, "create"), pods(ANN, "deletecollection"), path(ANN, "/x", "post")],
            id="readonly",
        ),
        pytest.param(
            v1beta1(user="ann", resource="pods", namespace="a"),
            [pods(ANN)],
            [pods(ANN, namespace="b"), pods(ANN, group="metrics.k8s.io"), path(ANN, "/version")],
            id="core-pods-of-a-namespace",
        ),
        pytest.param(
            v1beta1(user="ann", nonResourcePath="/logs/*"),
            [path(ANN, "/logs/a")],
            [path(ANN, "/log"), pods(ANN)],
            id="path-prefix",
        ),
        pytest.param(v1beta1(**EVERYTHING), [], [pods(ANN)], id="nobody-named"),
        pytest.param("{}", [pods(ANN), path(BOB, "/x", "post")], [pods(ANONYMOUS)], id="v0-everything"),
        pytest.param(
            '{"user": "ann", "readonly": true, "resource": "pods"}',
            [pods(ANN), pods(ANN, group="any")],
            [pods(BOB), pods(ANN, "create"), path(ANN, "/version")],
            id="v0-reading-pods",
        ),
        pytest.param(
            '{"group": "*", "namespace": "a"}', [pods(BOB)], [pods(BOB, namespace="b")], id="v0-namespace"
        ),
        pytest.param("# nothing\n\n   ", [], [pods(ANN)], id="comments"),
    ],
)
async def test_policies_allow_what_they_name(
    tmp_path: Path, policy: str, allowed: list[Attributes], refused: list[Attributes]
) -> None:
    file = tmp_path / "policies"
    file.write_text(policy)
    abac = load(file)

    assert [(await abac.authorize(each)).allowed for each in allowed] == [True] * len(allowed)
    verdicts = [await abac.authorize(each) for each in refused]
    assert [(verdict.allowed, verdict.reason) for verdict in verdicts] == [
        (False, "No policy matched.")
    ] * len(refused)


async def test_any_line_is_enough_and_rules_are_told(tmp_path: Path) -> None:
    file = tmp_path / "policies"
    file.write_text(
        "# people\n"
        + v1beta1(user="ann", resource="pods", namespace="a", readonly=True)
        + "\n"
        + v1beta1(user="ann", nonResourcePath="/version", namespace="*")
        + "\n"
        + v1beta1(user="bob", **EVERYTHING)
    )
    abac = load(file)

    assert (await abac.authorize(path(ANN, "/version", "post"))).allowed
    rules = await abac.rules(ANN, "a")
    assert rules.resources == [{"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}]
    assert rules.paths == [{"verbs": ["*"], "nonResourceURLs": ["/version"]}]
    assert not rules.incomplete


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("{}\n{nonsense", "line 2: {nonsense", id="json"),
        pytest.param("[1]", "line 1", id="list"),
        pytest.param(
            '{"apiVersion": "abac.authorization.kubernetes.io/v9", "kind": "Policy"}', "v9", id="version"
        ),
        pytest.param('{"apiVersion": "v1", "kind": "Pod"}', "Pod", id="kind"),
        pytest.param('{"user": 1}', "Expected `str`", id="type"),
    ],
)
def test_a_line_that_is_no_policy_is_named(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "policies"
    file.write_text(text)

    with pytest.raises(Fatal) as refused:
        load(file)
    assert fault in str(refused.value)
    assert str(file) in str(refused.value)


async def test_a_server_asks_its_policies(config: ApiServerConfig, tmp_path: Path) -> None:
    file = tmp_path / "policies"
    file.write_text(v1beta1(user="someone", resource="pods", apiGroup="*", namespace="*", readonly=True))
    modes = AuthorizationSettings(modes=("ABAC",), policy_file=file)
    async with ApiServer(replace(config, authorization=modes)) as server:
        someone = Api(server.app, "plain")
        assert (await someone("GET", "/api/v1/pods")).code == 200
        refused = await someone("GET", "/api/v1/secrets")

    assert refused.code == 403
    assert refused.body["message"].endswith("at the cluster scope: No policy matched.")

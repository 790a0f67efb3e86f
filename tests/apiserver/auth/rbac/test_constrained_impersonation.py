"""Acting as certain others, for certain requests: constrained impersonation (KEP-5284)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from kplane.api.clock import SystemClock
from kplane.apiserver.auth.authorizer import ALLOW, Attributes, Verdict
from kplane.apiserver.auth.impersonation import Impersonation
from kplane.apiserver.auth.impersonationmetrics import ImpersonationMetrics
from kplane.apiserver.auth.impersonationmodes import Wanted
from kplane.apiserver.auth.user import User

from ...conftest import Answer, Api
from .conftest import Guarded, message, rule, user

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PODS = "/api/v1/namespaces/default/pods"
AUTHN = "authentication.k8s.io"
NODE = "system:node:n1"
ROBOT = "system:serviceaccount:default:robot"


async def acting(api: Api, method: str = "GET", path: str = PODS, body: Any = None, **who: str) -> Answer:
    """As whom: the headers' names without their prefix."""
    headers = {f"Impersonate-{name}": value for name, value in who.items()}
    sent = json.dumps(body).encode() if body is not None else b""
    answer = await api.transport.request(
        method, path, headers={"content-type": "application/json"} | headers, body=sent
    )
    return Answer(answer.status, json.loads(answer.body), answer.headers)


async def whoami(api: Api, **who: str) -> Any:
    body = {"apiVersion": f"{AUTHN}/v1", "kind": "SelfSubjectReview"}
    answer = await acting(api, "POST", REVIEWS, body, **who)
    assert answer.code == 201, answer.body
    return answer.body["status"]["userInfo"]


async def let(guarded: Guarded, *rules: dict[str, Any], name: str = "acting") -> None:
    """Bob may do this everywhere."""
    await guarded.role(name, *rules)
    await guarded.bind(name, user("bob"))


SAYS_WHO = rule("impersonate-on:user-info:create", AUTHN, "selfsubjectreviews")


async def test_a_user_is_taken_on_for_the_requests_that_are_named(guarded: Guarded) -> None:
    await let(
        guarded, rule("impersonate:user-info", AUTHN, "users", "ann"), SAYS_WHO,
        rule("impersonate-on:user-info:list", "core", "pods"),
    )  # fmt: skip

    assert (await whoami(guarded.bob, User="ann"))["username"] == "ann"
    # It is Ann who may not.
    assert message(await acting(guarded.bob, User="ann")).startswith(
        'pods is forbidden: User "ann" cannot list resource "pods"'
    )
    assert message(await acting(guarded.bob, path=f"{PODS}/p", User="ann")).startswith(
        'pods "p" is forbidden: User "bob" cannot impersonate-on:user-info:get resource "pods"'
    )
    assert message(await acting(guarded.bob, User="eve")).startswith(
        'users.authentication.k8s.io "eve" is forbidden: User "bob" cannot impersonate:user-info resource'
        ' "users" in API group "authentication.k8s.io" at the cluster scope'
    )


async def test_groups_uid_and_extra_are_allowed_one_by_one(guarded: Guarded) -> None:
    await let(
        guarded, SAYS_WHO, rule("impersonate:user-info", AUTHN, "users", "ann"),
        rule("impersonate:user-info", AUTHN, "groups", "dev"),
        rule("impersonate:user-info", AUTHN, "uids", "7"),
        rule("impersonate:user-info", AUTHN, "userextras/acme.io/scope", "view"),
    )  # fmt: skip
    who = {"User": "ann", "Group": "dev", "Uid": "7", "Extra-acme.io%2fscope": "view"}

    assert await whoami(guarded.bob, **who) == {
        "username": "ann",
        "uid": "7",
        "groups": ["dev", "system:authenticated"],
        "extra": {"acme.io/scope": ["view"]},
    }
    for part, value in (("Group", "ops"), ("Uid", "8"), ("Extra-acme.io%2fscope", "edit")):
        answer = await acting(guarded.bob, "POST", REVIEWS, {}, **who | {part: value})
        assert f'"{value}" is forbidden: User "bob" cannot impersonate:user-info resource' in message(answer)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        pytest.param(
            {"Group": "system:masters"}, "impersonating the system:masters group is not allowed", id="masters"
        ),
        pytest.param({"Group": ""}, "impersonating the empty string group is not allowed", id="empty group"),
        pytest.param(
            {"Extra-scope": "x"},
            'impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "scope": must be'
            ' a domain-prefixed path (such as "acme.io/foo")',
            id="key",
        ),
        pytest.param(
            {"Extra-acme.io%2f%41": "x"},
            'impersonating a non-lowercase key in extra is not allowed: "acme.io/A"',
            id="upper case",
        ),
        pytest.param(
            {"Extra-acme.io%2fa": ""},
            "impersonating the empty string value in extra is not allowed",
            id="value",
        ),
    ],
)
async def test_what_nobody_becomes_by_a_constrained_right(
    guarded: Guarded, who: dict[str, str], said: str
) -> None:
    await let(guarded, SAYS_WHO, rule("impersonate:user-info", AUTHN, "*"))

    assert message(await acting(guarded.bob, "POST", REVIEWS, {}, User="ann", **who)).endswith(f": {said}")


async def test_the_former_right_allows_every_request_and_every_part(guarded: Guarded) -> None:
    await let(
        guarded,
        rule("impersonate", "core", "users", "ann"),
        rule("impersonate", "core", "groups", "system:masters"),
    )

    assert (await acting(guarded.bob, User="ann", Group="system:masters")).code == 200
    # Who was let through by it is told what it lacks.
    assert message(await acting(guarded.bob, User="eve")).startswith(
        'users "eve" is forbidden: User "bob" cannot impersonate resource "users" in API group ""'
    )


async def test_nodes_and_accounts_have_modes_of_their_own(guarded: Guarded) -> None:
    await let(guarded, SAYS_WHO, rule("impersonate:user-info", AUTHN, "*"))

    for name, mode in ((NODE, "arbitrary-node"), (ROBOT, "serviceaccount")):
        answer = await acting(guarded.bob, "POST", REVIEWS, {}, User=name)
        assert f'User "bob" cannot impersonate-on:{mode}:create resource "selfsubjectreviews"' in message(
            answer
        )

    await let(
        guarded, rule("impersonate-on:arbitrary-node:create", AUTHN, "selfsubjectreviews"),
        rule("impersonate-on:serviceaccount:create", AUTHN, "selfsubjectreviews"),
        rule("impersonate:arbitrary-node", AUTHN, "nodes", "n1"),
        rule("impersonate:serviceaccount", AUTHN, "serviceaccounts", "robot"), name="others",
    )  # fmt: skip

    assert (await whoami(guarded.bob, User=NODE))["groups"] == ["system:nodes", "system:authenticated"]
    assert (await whoami(guarded.bob, User=ROBOT))["groups"] == [
        "system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated",
    ]  # fmt: skip
    # A node's groups are its own: who asks for others asks for the former right.
    answer = await acting(guarded.bob, "POST", REVIEWS, {}, User=NODE, Group="dev")
    assert 'User "bob" cannot impersonate resource "users" in API group ""' in message(answer)


async def test_an_administrator_who_acts_as_a_node_is_one(guarded: Guarded) -> None:
    assert (await whoami(guarded.admin, User=NODE))["groups"] == ["system:nodes", "system:authenticated"]


async def test_attempts_are_counted_by_the_mode_that_allowed_them(guarded: Guarded) -> None:
    await whoami(guarded.admin, User="ann")
    assert (await acting(guarded.bob, User="eve")).code == 403

    text = (await guarded.admin("GET", "/metrics")).body.decode()
    assert 'apiserver_impersonation_attempts_total{status="user-info"} 1.0' in text
    assert 'apiserver_impersonation_attempts_total{status="failed"} 1.0' in text
    name = "apiserver_impersonation_authorization_attempts_total"
    assert f'{name}{{decision="allowed",mode="user-info"}} 2.0' in text
    assert f'{name}{{decision="denied",mode="user-info"}} 1.0' in text
    assert f'{name}{{decision="denied",mode="legacy"}} 1.0' in text


class Recording:
    """Allows everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Attributes] = []

    async def authorize(self, attributes: Attributes) -> Verdict:
        self.asked.append(attributes)
        return ALLOW

    async def rules(self, user: User, namespace: str) -> Any:
        raise NotImplementedError

    async def catch_up(self) -> bool:
        return False


async def test_a_pods_account_acts_as_its_own_node_whichever_that_is() -> None:
    """Authorisers see the same for every node."""
    extra = {
        "authentication.kubernetes.io/node-name": ("n1",),
        "authentication.kubernetes.io/pod-name": ("p",),
    }
    agent = User("system:serviceaccount:kube-system:agent", extra=extra)
    authorizer = Recording()
    made = Impersonation(authorizer, ImpersonationMetrics(CollectorRegistry()), SystemClock())
    request = Attributes(agent, "get", resource="pods", namespace="default", name="p")

    own = await made.impersonated(Wanted(NODE, "", (), {}), request)
    asked, authorizer.asked = authorizer.asked, []
    other = await made.impersonated(Wanted("system:node:n2", "", (), {}), request)

    assert own.user == User(NODE, groups=("system:nodes", "system:authenticated"))
    assert own.constraint == "impersonate:associated-node"
    keys = {"authentication.kubernetes.io/associated-node-keys": tuple(sorted(extra))}
    seen = msgspec.structs.replace(request, user=User(agent.name, extra=keys))
    assert asked == [
        msgspec.structs.replace(seen, verb="impersonate-on:associated-node:get"),
        Attributes(
            seen.user, "impersonate:associated-node", group=AUTHN, version="v1", resource="nodes", name="*"
        ),
    ]
    assert other.constraint == "impersonate:arbitrary-node"

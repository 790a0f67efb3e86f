"""Acting as somebody else: who may, and who one is then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kplane.api.clock import SystemClock
from kplane.api.errors import Forbidden
from kplane.apiserver.auth.authorizer import ALLOW, NO_OPINION, Attributes, Verdict
from kplane.apiserver.auth.impersonation import Impersonation, wanted
from kplane.apiserver.auth.impersonationmetrics import ImpersonationMetrics
from kplane.apiserver.auth.impersonationmodes import Wanted
from kplane.apiserver.auth.user import User

from ..conftest import Api

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'

BOB = User("bob")


class Only:
    """Lets through what it names: resource, name."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self._allowed = allowed

    async def authorize(self, attributes: Attributes) -> Verdict:
        asked = (attributes.resource, attributes.name)
        return ALLOW if attributes.verb == "impersonate" and asked in self._allowed else NO_OPINION

    async def rules(self, user: User, namespace: str) -> Any:
        raise NotImplementedError

    async def catch_up(self) -> bool:
        return True


async def impersonated(user: User, asked: Wanted, authorizer: Any) -> User:
    """By the mode of before: nobody holds a constrained right, and the last mode that worked was this one."""
    made = Impersonation(authorizer, ImpersonationMetrics(CollectorRegistry()), SystemClock())
    acting = await made.impersonated(asked, Attributes(user, "get", resource="pods"))
    assert acting.constraint == ""
    return acting.user


async def refused_by_the_former_mode(user: User, asked: Wanted, allowed: Only, then: Only) -> str:
    """What a user is told who was let through before."""
    authorizer = Changing(allowed)
    made = Impersonation(authorizer, ImpersonationMetrics(CollectorRegistry()), SystemClock())
    await made.impersonated(asked, Attributes(user, "get", resource="pods"))
    authorizer.now = then
    with pytest.raises(Forbidden) as refused:
        await made.impersonated(asked, Attributes(user, "get", resource="pods"))
    return refused.value.message


class Changing:
    """An authorizer whose policy is replaced."""

    def __init__(self, now: Only) -> None:
        self.now = now

    async def authorize(self, attributes: Attributes) -> Verdict:
        return await self.now.authorize(attributes)

    async def rules(self, user: User, namespace: str) -> Any:
        raise NotImplementedError

    async def catch_up(self) -> bool:
        return True


async def whoami(api: Api, headers: dict[str, str]) -> Any:
    sent = {"content-type": "application/json", **headers}
    response = await api.transport.request("POST", REVIEWS, headers=sent, body=REVIEW)
    return response.status, json.loads(response.body)


async def test_one_becomes_who_one_acts_as(api: Api) -> None:
    headers = {
        "Impersonate-User": "ann",
        "Impersonate-Group": "dev",
        "Impersonate-Uid": "7",
        "Impersonate-Extra-Acme%2Fscope": "view",
    }

    code, body = await whoami(api, headers)

    assert code == 201
    assert body["status"]["userInfo"] == {
        "username": "ann",
        "uid": "7",
        "groups": ["dev", "system:authenticated"],
        "extra": {"acme/scope": ["view"]},
    }


async def acting(*headers: tuple[bytes, bytes], authorizer: Any = None) -> User:
    asked = wanted(headers)
    assert asked is not None
    everyone = Only(*((kind, value.decode().rsplit(":")[-1]) for _, value in headers for kind in KINDS))
    return await impersonated(BOB, asked, authorizer or everyone)


KINDS = ("users", "groups", "uids", "userextras", "serviceaccounts")


@pytest.mark.parametrize(
    ("headers", "groups"),
    [
        pytest.param([(b"impersonate-user", b"ann")], ("system:authenticated",), id="user"),
        pytest.param(
            [(b"impersonate-user", b"ann"), (b"impersonate-group", b"a"), (b"impersonate-group", b"b")],
            ("a", "b", "system:authenticated"),
            id="groups",
        ),
        pytest.param(
            [(b"impersonate-user", b"system:serviceaccount:ns:robot")],
            ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            id="service account",
        ),
    ],
)
async def test_groups_follow_from_the_name_unless_they_are_given(
    headers: list[tuple[bytes, bytes]], groups: tuple[str, ...]
) -> None:
    assert (await acting(*headers)).groups == groups


async def test_the_anonymous_user_stays_unauthenticated() -> None:
    asked = wanted([(b"impersonate-user", b"system:anonymous")])
    assert asked is not None

    assert (await impersonated(BOB, asked, Only(("users", "system:anonymous")))).groups == (
        "system:unauthenticated",
    )


async def test_a_given_special_group_is_the_only_one() -> None:
    asked = wanted([(b"impersonate-user", b"x"), (b"impersonate-group", b"system:unauthenticated")])
    assert asked is not None
    allowed = Only(("users", "x"), ("groups", "system:unauthenticated"))

    assert (await impersonated(BOB, asked, allowed)).groups == ("system:unauthenticated",)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            ("users", "ann"),
            'users "ann" is forbidden: User "bob" cannot impersonate resource "users" in API group ""'
            " at the cluster scope",
        ),
        (
            ("groups", "dev"),
            'groups "dev" is forbidden: User "bob" cannot impersonate resource "groups" in API group ""'
            " at the cluster scope",
        ),
        (
            ("uids", "7"),
            'uids.authentication.k8s.io "7" is forbidden: User "bob" cannot impersonate resource "uids" in'
            ' API group "authentication.k8s.io" at the cluster scope',
        ),
        (
            ("userextras", "view"),
            'userextras.authentication.k8s.io "view" is forbidden: User "bob" cannot impersonate resource'
            ' "userextras/scope" in API group "authentication.k8s.io" at the cluster scope',
        ),
    ],
)
async def test_each_part_must_be_allowed(missing: tuple[str, str], message: str) -> None:
    parts = {("users", "ann"), ("groups", "dev"), ("uids", "7"), ("userextras", "view")}
    asked = wanted(
        [
            (b"impersonate-user", b"ann"),
            (b"impersonate-group", b"dev"),
            (b"impersonate-uid", b"7"),
            (b"impersonate-extra-scope", b"view"),
        ]
    )
    assert asked is not None

    assert (await impersonated(BOB, asked, Only(*parts))).name == "ann"
    assert await refused_by_the_former_mode(BOB, asked, Only(*parts), Only(*(parts - {missing}))) == message


async def test_a_service_account_is_asked_for_in_its_namespace() -> None:
    asked = wanted([(b"impersonate-user", b"system:serviceaccount:ns:robot")])
    assert asked is not None

    said = await refused_by_the_former_mode(
        BOB, asked, Only(("serviceaccounts", "robot")), Only(("users", "system:serviceaccount:ns:robot"))
    )
    assert 'resource "serviceaccounts" in API group "" in the namespace "ns"' in said


@pytest.mark.parametrize(
    ("header", "printed"),
    [
        ("Impersonate-Group", 'Name:"", UID:"", Groups:[]string{"x"}, Extra:map[string][]string(nil)'),
        ("Impersonate-Uid", 'Name:"", UID:"x", Groups:[]string(nil), Extra:map[string][]string(nil)'),
        (
            "Impersonate-Extra-A",
            'Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"a":[]string{"x"}}',
        ),
    ],
)
async def test_parts_without_a_user_are_an_error(api: Api, header: str, printed: str) -> None:
    code, body = await whoami(api, {header: "x"})

    assert (code, body["reason"]) == (400, "BadRequest")
    assert body["message"] == f"requested &user.DefaultInfo{{{printed}}} without impersonating a user name"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"impersonate-extra-Acme.io%2fScope", "acme.io/scope"),
        (b"impersonate-extra-%41", "A"),
        (b"impersonate-extra-a%2", "a%2"),
        (b"impersonate-extra-a%2f%zz", "a%2f%zz"),
    ],
)
def test_keys_of_extra_are_in_percent_encoding(header: bytes, key: str) -> None:
    asked = wanted([(b"impersonate-user", b"ann"), (header, b"x")])

    assert asked is not None
    assert asked.extra == {key: ("x",)}


async def test_a_stranger_cannot_act_as_anybody(api: Api, server: Any) -> None:
    code, body = await whoami(Api(server.app, ""), {"Impersonate-User": "ann"})

    assert code == 403
    assert body["message"] == (
        'selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" cannot'
        ' impersonate-on:user-info:create resource "selfsubjectreviews" in API group "authentication.k8s.io"'
        " at the cluster scope"
    )


async def test_who_is_acted_as_is_judged_and_not_who_acts(api: Api) -> None:
    response = await api.transport.request(
        "GET", "/api/v1/namespaces", headers={"Impersonate-User": "system:anonymous"}
    )

    assert response.status == 403

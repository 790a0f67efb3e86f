"""Impersonation through HTTP: each part of an identity is a right of its own."""

from __future__ import annotations

from typing import Any

import pytest

from ..auth.rbac.conftest import Guarded, rule, user
from .conftest import REVIEW, WHOAMI

USERS = rule("impersonate", "core", "users", "bob")
PARTS = {
    "groups": (rule("impersonate", "core", "groups", "dev"), {"Impersonate-Group": "dev"}),
    "uids": (rule("impersonate", "authentication.k8s.io", "uids", "7"), {"Impersonate-Uid": "7"}),
    "userextras": (
        rule("impersonate", "authentication.k8s.io", "userextras/scope", "view"),
        {"Impersonate-Extra-Scope": "view"},
    ),
}


async def whoami(guarded: Guarded, headers: dict[str, str]) -> tuple[int, Any]:
    sent = headers | {"content-type": "application/json", "accept": "application/json"}
    answer = await guarded.ann.transport.request("POST", WHOAMI, headers=sent, body=REVIEW)
    return answer.status, answer.body


@pytest.mark.parametrize("part", [*PARTS])
async def test_a_right_to_the_name_is_none_to_the_rest(guarded: Guarded, part: str) -> None:
    right, headers = PARTS[part]
    await guarded.role("act", USERS)
    await guarded.bind("act", user("ann"))
    as_bob = {"Impersonate-User": "bob"}
    assert (await whoami(guarded, as_bob))[0] == 201
    assert (await whoami(guarded, as_bob | headers))[0] == 403

    await guarded.role("more", right)
    await guarded.bind("more", user("ann"))

    assert (await whoami(guarded, as_bob | headers))[0] == 201
    changed = {name: f"{value}x" for name, value in headers.items()}
    assert (await whoami(guarded, as_bob | changed))[0] == 403


async def test_without_the_right_to_a_name_nothing_else_helps(guarded: Guarded) -> None:
    await guarded.role("act", rule("impersonate", "core", "groups"))
    await guarded.bind("act", user("ann"))

    code, _ = await whoami(guarded, {"Impersonate-User": "bob", "Impersonate-Group": "system:masters"})
    alone, _ = await whoami(guarded, {"Impersonate-Group": "system:masters"})

    assert (code, alone) == (403, 400)


async def test_masters_are_not_reached_through_a_wildcard_of_users(guarded: Guarded) -> None:
    """Groups are never implied by the right to act as any user."""
    await guarded.role("act", rule("impersonate", "core", "users"))
    await guarded.bind("act", user("ann"))

    code, _ = await whoami(guarded, {"Impersonate-User": "admin", "Impersonate-Group": "system:masters"})

    assert code == 403


async def test_accounts_are_acted_as_in_their_namespace_alone(guarded: Guarded) -> None:
    await guarded.role("act", rule("impersonate", "core", "serviceaccounts"), namespace="default")
    await guarded.bind("act", user("ann"), namespace="default", kind="Role")
    name = "system:serviceaccount:{}:robot".format

    assert (await whoami(guarded, {"Impersonate-User": name("default")}))[0] == 201
    assert (await whoami(guarded, {"Impersonate-User": name("kube-system")}))[0] == 403

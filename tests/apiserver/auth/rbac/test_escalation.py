"""Nobody grants what they do not hold."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import RBAC, Guarded, binding, message, path_of, rule, user

WRITE_POLICY = rule(
    "get create update patch delete",
    "rbac.authorization.k8s.io",
    "roles rolebindings clusterroles clusterrolebindings",
)
SECRETS = rule("get list", "core", "secrets")
ROLES, BINDINGS = f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings"
HELD = (
    'user "ann" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently'
    " held:\n"
)


@pytest.fixture
async def policy(guarded: Guarded) -> Guarded:
    """Ann may write policy and read ConfigMaps."""
    await guarded.role("policy", WRITE_POLICY)
    await guarded.bind("policy", user("ann"))
    await guarded.role("maps", rule("get", "core", "configmaps"))
    await guarded.bind("maps", user("ann"))
    return guarded


def role(*rules: dict[str, Any], name: str = "mine", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)} | more


async def test_a_role_holds_no_more_than_its_author(policy: Guarded) -> None:
    answer = await policy.ann("POST", ROLES, role(SECRETS, rule("get list", "core", "configmaps")))

    assert message(answer) == (
        f'clusterroles.rbac.authorization.k8s.io "mine" is forbidden: {HELD}'
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )
    assert answer.body["details"] == {
        "name": "mine",
        "group": "rbac.authorization.k8s.io",
        "kind": "clusterroles",
    }
    assert (await policy.ann("POST", ROLES, role(rule("get", "core", "configmaps", "one")))).code == 201


async def test_what_one_holds_in_a_namespace_counts_there(policy: Guarded) -> None:
    await policy.role("secrets", SECRETS)
    await policy.bind("secrets", user("ann"), namespace="default")

    assert (await policy.ann("POST", path_of("roles", "default"), role(SECRETS))).code == 201
    assert (await policy.ann("POST", path_of("roles", "kube-public"), role(SECRETS))).code == 403
    assert (await policy.ann("POST", ROLES, role(SECRETS))).code == 403


@pytest.mark.parametrize("how", ["put", "merge", "json", "strategic", "apply"])
async def test_no_kind_of_change_escalates(policy: Guarded, how: str) -> None:
    await policy.ann.make(ROLES, role())
    path, rules = f"{ROLES}/mine", [SECRETS]
    patch = {
        "merge": ("application/merge-patch+json", {"rules": rules}),
        "json": ("application/json-patch+json", [{"op": "add", "path": "/rules", "value": rules}]),
        "strategic": ("application/strategic-merge-patch+json", {"rules": rules}),
        "apply": (
            "application/apply-patch+yaml",
            role(SECRETS) | {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"},
        ),
    }

    if how == "put":
        answer = await policy.ann("PUT", path, role(SECRETS))
    else:
        kind, body = patch[how]
        query = {"fieldManager": "ann", "force": "true"} if how == "apply" else {}
        answer = await policy.ann("PATCH", path, body, content_type=kind, **query)

    assert HELD in message(answer)
    assert not (await policy.admin("GET", path)).body.get("rules")


async def test_creation_by_update_and_by_apply_is_creation(policy: Guarded) -> None:
    body = role(SECRETS) | {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}

    assert (await policy.ann("PUT", f"{ROLES}/mine", body)).code == 403
    applied = await policy.ann(
        "PATCH", f"{ROLES}/mine", body, content_type="application/apply-patch+yaml", fieldManager="ann"
    )
    assert applied.code == 403
    assert (await policy.ann("POST", ROLES, body, dryRun="All")).code == 403
    assert (await policy.admin("GET", f"{ROLES}/mine")).code == 404


async def test_who_may_not_do_everything_gathers_nothing(policy: Guarded) -> None:
    gather = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}

    answer = await policy.ann("POST", ROLES, role(**gather))

    assert message(answer) == (
        'clusterroles.rbac.authorization.k8s.io "mine" is forbidden:'
        " must have cluster-admin privileges to use the aggregationRule"
    )
    await policy.admin.make(ROLES, role(**gather))
    # Nor may they take the rule away and keep what it gathered.
    assert (await policy.ann("PUT", f"{ROLES}/mine", role())).code == 403


async def test_a_binding_grants_no_more_than_its_author_holds(policy: Guarded) -> None:
    await policy.role("secrets", SECRETS)

    answer = await policy.ann("POST", BINDINGS, binding("secrets", user("ann")))

    assert message(answer) == (
        f'clusterrolebindings.rbac.authorization.k8s.io "secrets" is forbidden: {HELD}'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )
    assert (await policy.ann("POST", BINDINGS, binding("maps", user("bob")))).code == 409
    copy = binding("maps", user("bob")) | {"metadata": {"name": "copy"}}
    assert (await policy.ann("POST", BINDINGS, copy)).code == 201


async def test_a_binding_in_a_namespace_is_judged_by_what_is_held_there(policy: Guarded) -> None:
    await policy.role("secrets", SECRETS)
    await policy.bind("secrets", user("ann"), namespace="default")
    copy = binding("secrets", user("bob")) | {"metadata": {"name": "copy"}}

    assert (await policy.ann("POST", path_of("rolebindings", "default"), copy)).code == 201
    assert (await policy.ann("POST", path_of("rolebindings", "kube-public"), copy)).code == 403


async def test_subjects_are_not_added_to_a_strong_binding(policy: Guarded) -> None:
    await policy.role("secrets", SECRETS)
    await policy.bind("secrets", user("bob"))
    patch = [{"op": "add", "path": "/subjects/-", "value": user("ann")}]

    answer = await policy.ann(
        "PATCH", f"{BINDINGS}/secrets", patch, content_type="application/json-patch+json"
    )

    assert HELD in message(answer)


async def test_a_role_is_bound_when_it_exists(policy: Guarded) -> None:
    answer = await policy.ann("POST", BINDINGS, binding("ghost", user("bob")))

    assert (answer.code, answer.body["message"]) == (
        404,
        'clusterrole.rbac.authorization.k8s.io "ghost" not found',
    )
    await policy.admin.make(BINDINGS, binding("ghost", user("bob")))


@pytest.mark.parametrize("verb", ["escalate", "bind"])
async def test_who_may_escalate_or_bind_may_grant_anything(policy: Guarded, verb: str) -> None:
    await policy.role("secrets", SECRETS)
    await policy.role("strong", rule(verb, "rbac.authorization.k8s.io", "clusterroles", "secrets", "mine"))
    await policy.bind("strong", user("ann"))

    made = await policy.ann("POST", ROLES, role(SECRETS))
    bound = await policy.ann("POST", BINDINGS, binding("secrets", user("bob")))

    # The name of what is created is not yet known when rights are asked for.
    assert made.code == 403
    assert bound.code == (201 if verb == "bind" else 403)
    await policy.admin.make(ROLES, role())
    changed = await policy.ann("PUT", f"{ROLES}/mine", role(SECRETS))
    assert changed.code == (200 if verb == "escalate" else 403)


async def test_masters_may_grant_anything(guarded: Guarded) -> None:
    assert (await guarded.admin("POST", ROLES, role(rule("*", "*", "*")))).code == 201


async def test_owners_and_finalizers_are_nobodys_permissions(policy: Guarded) -> None:
    await policy.role("secrets", SECRETS)
    patch = {"metadata": {"finalizers": ["example.com/wait"]}}
    kind = "application/merge-patch+json"

    assert (await policy.ann("PATCH", f"{ROLES}/secrets", patch, content_type=kind)).code == 200
    patch = {"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}}
    # A label may make the role part of another one.
    assert (await policy.ann("PATCH", f"{ROLES}/secrets", patch, content_type=kind)).code == 403


async def test_a_wrong_reference_is_invalid_rather_than_forbidden(policy: Guarded) -> None:
    body = binding("maps", user("bob"), kind="Wizard") | {"metadata": {"name": "odd"}}

    assert (await policy.ann("POST", BINDINGS, body)).code == 422

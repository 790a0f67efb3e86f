"""Who may do what by roles and bindings, through HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ...conftest import Answer, configmap
from .conftest import RBAC, Guarded, binding, group, message, path_of, rule, user

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
OTHER = "/api/v1/namespaces/kube-public/configmaps"
READ_MAPS = rule("get list", "core", "configmaps")


async def test_who_holds_nothing_is_refused_in_upstreams_words(guarded: Guarded) -> None:
    assert message(await guarded.ann("GET", PODS)) == (
        'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    assert message(await guarded.ann("GET", "/apis/apps/v1/deployments")) == (
        'deployments.apps is forbidden: User "ann" cannot list resource "deployments" in API group "apps"'
        " at the cluster scope"
    )
    answer = await guarded.ann("PUT", f"{PODS}/web/status", {})
    assert message(answer) == (
        'pods "web" is forbidden: User "ann" cannot update resource "pods/status" in API group ""'
        ' in the namespace "default"'
    )
    assert answer.body["details"] == {"name": "web", "kind": "pods"}
    assert message(await guarded.ann("GET", "/metrics")) == 'forbidden: User "ann" cannot get path "/metrics"'


async def test_a_cluster_binding_holds_everywhere(guarded: Guarded) -> None:
    await guarded.role("reader", READ_MAPS)
    await guarded.bind("reader", user("ann"))

    assert (await guarded.ann("GET", MAPS)).code == 200
    assert (await guarded.ann("GET", OTHER)).code == 200
    assert (await guarded.ann("GET", "/api/v1/configmaps")).code == 200
    assert (await guarded.ann("POST", MAPS, configmap())).code == 403
    assert (await guarded.bob("GET", MAPS)).code == 403


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
async def test_a_binding_holds_in_its_namespace(guarded: Guarded, kind: str) -> None:
    await guarded.role("reader", READ_MAPS, namespace="default" if kind == "Role" else "")
    await guarded.bind("reader", user("ann"), namespace="default", kind=kind)

    assert (await guarded.ann("GET", MAPS)).code == 200
    assert (await guarded.ann("GET", OTHER)).code == 403
    assert (await guarded.ann("GET", "/api/v1/configmaps")).code == 403


@pytest.mark.parametrize(
    ("subject", "ann", "robot"),
    [
        pytest.param(group("dev"), 200, 403, id="group"),
        pytest.param(group("system:authenticated"), 200, 200, id="everybody"),
        pytest.param(user("dev"), 403, 403, id="a user who is named like a group"),
        pytest.param(user("system:serviceaccount:default:robot"), 403, 200, id="account as user"),
        pytest.param(
            {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}, 403, 200, id="account"
        ),
        pytest.param(
            {"kind": "ServiceAccount", "name": "robot", "namespace": "other"}, 403, 403, id="elsewhere"
        ),
    ],
)
async def test_subjects(guarded: Guarded, subject: dict[str, Any], ann: int, robot: int) -> None:
    await guarded.role("reader", READ_MAPS)
    await guarded.bind("reader", subject)

    assert (await guarded.ann("GET", MAPS)).code == ann
    assert (await guarded.robot("GET", MAPS)).code == robot


async def test_an_account_without_a_namespace_is_that_of_the_binding(guarded: Guarded) -> None:
    await guarded.role("reader", READ_MAPS)
    await guarded.bind("reader", {"kind": "ServiceAccount", "name": "robot"}, namespace="default")

    assert (await guarded.robot("GET", MAPS)).code == 200


async def test_what_is_revoked_is_revoked_at_once(guarded: Guarded) -> None:
    await guarded.role("reader", READ_MAPS)
    await guarded.bind("reader", user("ann"))
    assert (await guarded.ann("GET", MAPS)).code == 200

    await guarded.admin("DELETE", f"{path_of('rolebindings', '')}/reader")

    await until_refused(guarded)
    await guarded.bind("reader", user("ann"))
    assert (await guarded.ann("GET", MAPS)).code == 200
    await guarded.admin(
        "PUT", f"{path_of('roles', '')}/reader", {"metadata": {"name": "reader"}, "rules": []}
    )
    await until_refused(guarded)


async def until_refused(guarded: Guarded) -> None:
    """The caches follow the store without being waited for: a consistent read shows that they have."""
    await guarded.admin("GET", path_of("rolebindings", ""))
    await guarded.admin("GET", path_of("roles", ""))
    assert (await guarded.ann("GET", MAPS)).code == 403


async def test_a_binding_to_a_role_that_is_missing_is_told(guarded: Guarded) -> None:
    await guarded.bind("ghost", user("ann"))

    assert message(await guarded.ann("GET", MAPS)) == (
        'configmaps is forbidden: User "ann" cannot list resource "configmaps" in API group "" in the'
        ' namespace "default": RBAC: clusterrole.rbac.authorization.k8s.io "ghost" not found'
    )
    await guarded.bind("gone", user("ann"), namespace="default", kind="Role")
    assert message(await guarded.ann("GET", MAPS)).endswith(
        ': RBAC: [clusterrole.rbac.authorization.k8s.io "ghost" not found,'
        ' role.rbac.authorization.k8s.io "gone" not found]'
    )


async def test_a_list_of_one_name_is_about_that_object(guarded: Guarded) -> None:
    await guarded.role("one", rule("get list watch", "core", "configmaps", "settings"))
    await guarded.bind("one", user("ann"))

    async def listed(**query: str) -> int:
        return (await guarded.ann("GET", MAPS, **query)).code

    assert await listed(fieldSelector="metadata.name=settings") == 200
    assert await listed(fieldSelector="metadata.name=other") == 403
    assert await listed(fieldSelector="metadata.name!=settings") == 403
    assert await listed() == 403


@pytest.mark.parametrize(
    ("path", "ann", "stranger"),
    [
        ("/healthz", 200, 200),
        ("/livez", 200, 200),
        ("/readyz", 200, 200),
        ("/version", 200, 200),
        ("/livez/ping", 403, 403),
        ("/api", 200, 403),
        ("/apis", 200, 403),
        ("/apis/apps/v1", 200, 403),
        ("/openapi/v2", 200, 403),
        ("/metrics", 403, 403),
        ("/", 403, 403),
        ("/no/such/path", 403, 403),
    ],
)
async def test_paths_that_everybody_may_see(guarded: Guarded, path: str, ann: int, stranger: int) -> None:
    assert (await guarded.ann("GET", path)).code == ann
    assert (await guarded.stranger("GET", path)).code == stranger


@pytest.mark.parametrize(
    "path",
    [
        "/openapi/../metrics",
        "/openapi/%2e%2e/metrics",
        "/%6detrics",
        "//metrics",
        "/metrics/",
        "/api/v1/namespaces/default%2Fsecrets",
        "/api/v1//secrets",
        "/api/v1/%73ecrets",
        "/api/v1/namespaces/default/secrets/",
        "/api/v1/watch/secrets",
        "/api/v1/watch/namespaces/default/secrets/x",
        "/api/v1/namespaces/default/configmaps/../secrets",
        "/api/v1/namespaces/default/configmaps/%2e%2e/secrets",
        "/api/v1/namespaces/default/configmaps/..%2fsecrets",
    ],
)
async def test_no_spelling_of_a_path_gets_around_its_rule(guarded: Guarded, path: str) -> None:
    await guarded.role("maps", rule("get", "core", "configmaps", "x"))
    await guarded.bind("maps", user("ann"))

    assert (await guarded.ann("GET", path)).code in (403, 404)
    assert (await guarded.stranger("GET", path)).code in (403, 404)


async def test_strangers_are_forbidden_and_bad_credentials_unauthorized(guarded: Guarded) -> None:
    answer = await guarded.stranger("GET", PODS)

    assert message(answer).startswith('pods is forbidden: User "system:anonymous" cannot list')
    assert await code_of_bad_token(guarded) == 401


async def code_of_bad_token(guarded: Guarded) -> int:
    response = await guarded.stranger.transport.request(
        "GET", PODS, headers={"authorization": "Bearer nonsense"}
    )
    return response.status


async def test_markup_in_a_refusal_is_harmless(guarded: Guarded) -> None:
    text = message(await guarded.ann("GET", "/<script>&"))

    assert text == 'forbidden: User "ann" cannot get path "/&lt;script&gt;&amp;"'


async def test_impersonation_needs_the_right_to_it(guarded: Guarded) -> None:
    async def as_admin(*names: str) -> Answer:
        response = await guarded.ann.transport.request(
            "GET", PODS, headers={"Impersonate-User": "admin", "Impersonate-Group": "system:masters"}
        )
        return Answer(response.status, response.body, response.headers)

    assert b'cannot impersonate-on:user-info:list resource \\"pods\\"' in (await as_admin()).body
    await guarded.role("user", rule("impersonate", "core", "users", "admin"))
    await guarded.bind("user", user("ann"))
    assert (await as_admin()).code == 403
    await guarded.role("masters", rule("impersonate", "core", "groups", "system:masters"))
    await guarded.bind("masters", user("ann"))
    assert (await as_admin()).code == 200


async def test_admin_edit_and_view_are_bound_by_name(guarded: Guarded) -> None:
    """Without the controller manager the aggregated roles are empty; their parts are there."""
    answer = await guarded.admin.make(
        path_of("rolebindings", "default"), binding("system:aggregate-to-view", user("ann"))
    )

    assert answer["roleRef"]["name"] == "system:aggregate-to-view"
    assert (await guarded.ann("GET", PODS)).code == 200
    assert (await guarded.ann("GET", "/api/v1/namespaces/default/secrets")).code == 403
    assert (await guarded.ann("GET", f"{RBAC}/namespaces/default/roles")).code == 403

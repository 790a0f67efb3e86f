"""A Pod whose account holds nothing: it may look around, and that is all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.scheme import builtin
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..auth.conftest import pem
from ..auth.rbac.conftest import Guarded, rule
from ..conftest import Api, pod

ROBOT = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
SELF = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.fixture
async def people(rbac_config: ApiServerConfig, tmp_path: Path) -> AsyncIterator[Guarded]:
    """A server that issues tokens, with an account robot in the namespaces default and other."""
    path = tmp_path / "sa.key"
    path.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=path)
    authentication = AuthenticationSettings(service_accounts=accounts)
    async with ApiServer(replace(rbac_config, authentication=authentication)) as server:
        found = Guarded(server)
        await found.admin.make("/api/v1/namespaces", {"metadata": {"name": "other"}})
        for namespace in ("default", "other"):
            accounts_path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
            await found.admin.make(accounts_path, {"metadata": {"name": "robot"}})
        yield found


async def token_of(people: Guarded, namespace: str = "default", **reference: str) -> str:
    spec = {"boundObjectRef": reference} if reference else {}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/robot/token"
    answer = await people.admin("POST", path, body)
    assert answer.code == 201, answer.body
    text: str = answer.body["status"]["token"]
    return text


async def bound(people: Guarded) -> Api:
    """The API as a Pod that runs as the robot."""
    await people.admin.make("/api/v1/namespaces/default/pods", pod("p", serviceAccountName="robot"))
    token = await token_of(people, apiVersion="v1", kind="Pod", name="p")
    return Api(people.server.app, token)


@pytest.mark.parametrize(
    "path",
    ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/version", "/healthz"],
)
async def test_it_sees_what_there_is(people: Guarded, path: str) -> None:
    assert (await (await bound(people))("GET", path)).code == 200


async def test_it_reads_and_writes_nothing(people: Guarded) -> None:
    robot = await bound(people)
    codes = set()
    for row in builtin().rows.values():
        if not row.storage_prefix or "list" not in row.verbs:
            continue
        base = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
        space = "/namespaces/default" if row.namespaced else ""
        for method, path in (
            ("GET", f"{base}/{row.plural}"),
            ("GET", f"{base}{space}/{row.plural}"),
            ("GET", f"{base}{space}/{row.plural}/x"),
            ("DELETE", f"{base}{space}/{row.plural}/x"),
            ("DELETE", f"{base}{space}/{row.plural}"),
        ):
            # Every account reads the authorities that everybody is meant to trust.
            if method != "GET" or row.plural != "clustertrustbundles":
                codes.add((await robot(method, path)).code)
        for method in ("POST", "PUT", "PATCH"):
            name = "" if method == "POST" else "/x"
            codes.add((await robot(method, f"{base}{space}/{row.plural}{name}", {})).code)

    assert codes == {403}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/logs"),
        ("GET", "/api/v1/namespaces/default/pods/p/log"),
        ("POST", "/api/v1/namespaces/default/pods/p/exec"),
        ("POST", "/api/v1/namespaces/default/pods/p/eviction"),
        ("POST", "/api/v1/namespaces/default/pods/p/binding"),
        ("PATCH", "/api/v1/namespaces/default/pods/p/status"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token"),
        ("GET", "/api/v1/nodes/n/proxy/pods"),
        ("GET", "/api/v1/namespaces/default/services/s/proxy/"),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ],
)
async def test_it_reaches_nothing_through_the_side(people: Guarded, method: str, path: str) -> None:
    assert (await (await bound(people))(method, path, {} if method != "GET" else None)).code == 403


async def test_it_may_ask_what_it_may_do(people: Guarded) -> None:
    attributes = {"verb": "get", "resource": "secrets", "namespace": "default"}
    answer = await (await bound(people))("POST", SELF, {"spec": {"resourceAttributes": attributes}})

    assert (answer.code, answer.body["status"]["allowed"]) == (201, False)


async def test_a_right_in_one_namespace_is_none_in_another(people: Guarded) -> None:
    await people.role("reader", rule("get list", "core", "configmaps"), namespace="default")
    await people.bind("reader", ROBOT, namespace="default", kind="Role")
    here, there = [Api(people.server.app, await token_of(people, name)) for name in ("default", "other")]

    codes = [
        (await robot("GET", f"/api/v1/namespaces/{namespace}/configmaps")).code
        for robot in (here, there)
        for namespace in ("default", "other")
    ]
    assert codes == [200, 403, 403, 403]


async def test_tokens_of_another_namespaces_accounts_are_not_had(people: Guarded) -> None:
    await people.role("issuer", rule("create", "core", "serviceaccounts/token"), namespace="default")
    await people.bind("issuer", ROBOT, namespace="default", kind="Role")
    robot = await bound(people)
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = "/api/v1/namespaces/{}/serviceaccounts/robot/token".format

    assert (await robot("POST", path("default"), body)).code == 201
    assert (await robot("POST", path("other"), body)).code == 403
    foreign = body | {"metadata": {"name": "robot", "namespace": "other"}}
    assert (await robot("POST", path("default"), foreign)).code in (400, 422)


async def test_it_dies_with_its_pod(people: Guarded) -> None:
    robot = await bound(people)
    assert (await robot("GET", "/api")).code == 200
    await people.admin("DELETE", "/api/v1/namespaces/default/pods/p", {"gracePeriodSeconds": 0})
    await people.admin("GET", "/api/v1/namespaces/default/pods")

    assert (await robot("GET", "/api")).code == 401

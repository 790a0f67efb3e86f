"""The policy that a cluster starts with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.auth.rbac.bootstrap.reconcile import POLICY, reconciled
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ...conftest import Api
from .conftest import RBAC, Guarded, rule, user

ROLES, BINDINGS = f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


@pytest.fixture
def rbac_config(rbac_config: ApiServerConfig, tmp_path: Path) -> ApiServerConfig:
    """Its servers find what an earlier one has left."""
    return replace(rbac_config, storage_dir=tmp_path / "data")


async def test_every_object_of_the_policy_is_there_and_marked(guarded: Guarded) -> None:
    for plural, wanted in POLICY:
        listed = (await guarded.admin("GET", f"{RBAC}/{plural}")).body["items"]
        assert len(listed) == len(wanted)
        for obj in listed:
            assert obj["metadata"]["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
            assert obj["metadata"]["annotations"][AUTOUPDATE] == "true"


@pytest.mark.parametrize(
    "name",
    [
        "cluster-admin", "admin", "edit", "view", "system:discovery", "system:basic-user",
        "system:public-info-viewer", "system:node", "system:node-proxier", "system:kube-scheduler",
        "system:kube-controller-manager", "system:volume-scheduler", "system:auth-delegator",
        "system:monitoring", "system:service-account-issuer-discovery", "system:node-bootstrapper",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        "system:certificates.k8s.io:legacy-unknown-approver", "system:controller:namespace-controller",
        "system:controller:clusterrole-aggregation-controller", "system:kubelet-api-admin",
    ],
)  # fmt: skip
async def test_roles_have_upstreams_names(guarded: Guarded, name: str) -> None:
    assert (await guarded.admin("GET", f"{ROLES}/{name}")).code == 200


async def test_each_controller_role_is_bound_to_its_account(guarded: Guarded) -> None:
    bound = (await guarded.admin("GET", f"{BINDINGS}/system:controller:job-controller")).body

    assert bound["roleRef"]["name"] == "system:controller:job-controller"
    assert bound["subjects"] == [
        {"kind": "ServiceAccount", "name": "job-controller", "namespace": "kube-system"}
    ]


async def test_the_node_role_is_bound_to_nobody(guarded: Guarded) -> None:
    assert not (await guarded.admin("GET", f"{BINDINGS}/system:node")).body.get("subjects")


async def change(api: Api, path: str, patch: Any) -> None:
    answer = await api("PATCH", path, patch, content_type="application/merge-patch+json")
    assert answer.code == 200, answer.body


async def test_a_restart_adds_what_is_missing_and_keeps_what_was_added(rbac_config: ApiServerConfig) -> None:
    extra = rule("get", "example.com", "kites")
    async with ApiServer(rbac_config) as server:
        api = Api(server.app)
        await change(api, f"{ROLES}/system:kube-dns", {"rules": [extra]})
        await change(api, f"{BINDINGS}/system:kube-dns", {"subjects": [user("ann")]})
        await change(api, f"{ROLES}/system:heapster", {"metadata": {"labels": {"mine": "yes"}}})
        await change(
            api,
            f"{ROLES}/system:discovery",
            {"metadata": {"annotations": {AUTOUPDATE: "false"}}, "rules": []},
        )
        await api("DELETE", f"{ROLES}/view")
    async with ApiServer(rbac_config) as server:
        api = Api(server.app)
        dns = (await api("GET", f"{ROLES}/system:kube-dns")).body
        subjects = (await api("GET", f"{BINDINGS}/system:kube-dns")).body["subjects"]
        assert dns["rules"][0] == extra
        assert {"apiGroups": [""], "resources": ["services"], "verbs": ["watch"]} in dns["rules"]
        assert [subject["name"] for subject in subjects] == ["ann", "kube-dns"]
        labels = (await api("GET", f"{ROLES}/system:heapster")).body["metadata"]["labels"]
        assert labels == {"kubernetes.io/bootstrapping": "rbac-defaults", "mine": "yes"}
        assert not (await api("GET", f"{ROLES}/system:discovery")).body.get("rules")
        assert (await api("GET", f"{ROLES}/view")).code == 200


async def test_a_restart_that_finds_everything_writes_nothing(rbac_config: ApiServerConfig) -> None:
    async def revisions() -> list[str]:
        async with ApiServer(rbac_config) as server:
            listed = [await Api(server.app)("GET", f"{RBAC}/{plural}") for plural, _ in POLICY]
            return [item["metadata"]["resourceVersion"] for answer in listed for item in answer.body["items"]]

    assert await revisions() == await revisions()


async def test_a_binding_that_leads_elsewhere_is_made_anew(rbac_config: ApiServerConfig) -> None:
    path = f"{BINDINGS}/system:monitoring"
    async with ApiServer(rbac_config) as server:
        api = Api(server.app)
        made = (await api("GET", path)).body
        await api("DELETE", path)
        wrong = {**made, "roleRef": {**made["roleRef"], "name": "cluster-admin"}}
        wrong["metadata"] = {"name": "system:monitoring"}
        await api.make(BINDINGS, wrong)
    async with ApiServer(rbac_config) as server:
        assert (await Api(server.app)("GET", path)).body["roleRef"]["name"] == "system:monitoring"


def test_aggregated_roles_keep_what_was_gathered() -> None:
    view = next(role for role in POLICY[0][1] if role["metadata"]["name"] == "view")

    assert reconciled({**view, "rules": [rule("get", "core", "pods")]}, view) is None


async def test_without_rbac_nothing_is_written(server: ApiServer) -> None:
    assert (await Api(server.app)("GET", ROLES)).body["items"] == []

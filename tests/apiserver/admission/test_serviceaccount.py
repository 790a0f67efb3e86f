"""Pods get an account and its token, through HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api, pod

PODS = "/api/v1/namespaces/default/pods"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


@pytest.fixture
async def server(config: ApiServerConfig) -> AsyncIterator[ApiServer]:
    async with ApiServer(replace(config, disable_admission_plugins=())) as server:
        yield server


async def test_pods_mount_the_token_of_their_account(api: Api) -> None:
    await api.make(ACCOUNTS, {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "pull"}]})
    spec = (await api.make(PODS, pod()))["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert volume["projected"]["sources"][0] == {
        "serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}
    }
    mount = {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    assert spec["containers"][0]["volumeMounts"] == [mount]


async def test_accounts_and_pods_may_do_without_the_token(api: Api) -> None:
    await api.make(ACCOUNTS, {"metadata": {"name": "bare"}, "automountServiceAccountToken": False})
    plain = await api.make(PODS, pod("plain", serviceAccountName="bare"))
    assert "volumes" not in plain["spec"]
    wanting = pod("wanting", serviceAccountName="bare", automountServiceAccountToken=True)
    assert (await api.make(PODS, wanting))["spec"]["volumes"]


async def test_pods_of_a_missing_account_are_refused(api: Api) -> None:
    answer = await api("POST", PODS, pod(serviceAccountName="x"))
    assert (answer.code, answer.body["message"]) == (
        403,
        'pods "web" is forbidden: error looking up service account default/x: serviceaccount "x" not found',
    )


async def test_an_account_that_was_there_a_moment_ago_is_not_remembered(api: Api) -> None:
    await api.make(ACCOUNTS, {"metadata": {"name": "x"}})
    await api.make(PODS, pod("first", serviceAccountName="x"))
    await api("DELETE", f"{ACCOUNTS}/x")
    # A consistent read: the watch cache has what was deleted.
    await api("GET", f"{ACCOUNTS}/x")

    assert (await api("POST", PODS, pod("second", serviceAccountName="x"))).code == 403


async def test_a_changed_account_counts_at_once(api: Api) -> None:
    await api.make(ACCOUNTS, {"metadata": {"name": "x"}, "automountServiceAccountToken": False})
    assert "volumes" not in (await api.make(PODS, pod("first", serviceAccountName="x")))["spec"]
    await api(
        "PATCH",
        f"{ACCOUNTS}/x",
        {"automountServiceAccountToken": True},
        content_type="application/merge-patch+json",
    )
    await api("GET", f"{ACCOUNTS}/x")

    assert (await api.make(PODS, pod("second", serviceAccountName="x")))["spec"]["volumes"]

"""Who may use a port of health and metrics: over HTTPS, with an API server that asks RBAC."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kplane.api.types import ConfigMap
from kplane.runtime.delegation.authorization import LONGEST_KEPT
from kplane.runtime.delegation.settings import DelegationSettings
from kplane.runtime.process import Fatal
from kplane.testing.waiting import eventually

from .conftest import RBAC, Cluster, Port

pytestmark = pytest.mark.slow

TRUST = "extension-apiserver-authentication"


async def test_health_is_for_everybody_and_the_rest_for_nobody_who_proves_nothing(cluster: Cluster) -> None:
    async with cluster.open(cluster.settings()) as port:
        for path in ("/healthz", "/livez", "/readyz"):
            assert await port.get(path) == (200, "ok")
        assert cluster.requests == []
        status, body = await port.get("/metrics")
        assert (status, json.loads(body)) == (
            403,
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": 'forbidden: User "system:anonymous" cannot get path "/metrics"',
                "reason": "Forbidden",
                "details": {},
                "code": 403,
            },
        )
        for path in ("/configz", "/debug/pprof/", "/nowhere", "/healthz/ping", "//metrics", "/%6detrics"):
            assert await port.status(path) == 403, path
        _, body = await port.get('/<b>"', method="POST")
        said = 'forbidden: User "system:anonymous" cannot post path "/&lt;b&gt;\\""'
        assert json.loads(body)["message"] == said


async def test_tokens_have_the_rights_of_their_account(cluster: Cluster) -> None:
    scraper, other = await cluster.account("scraper"), await cluster.account("other")
    await cluster.allow("scraper", "/metrics")

    async with cluster.open(cluster.settings()) as port:
        status, text = await port.get("/metrics", token=scraper)
        assert (status, "# TYPE" in text) == (200, True)
        assert await port.status("/configz", token=scraper) == 403
        assert await port.status("/metrics", token=scraper, method="POST") == 403
        status, text = await port.get("/metrics", token=other)
        assert (status, 'User \\"system:serviceaccount:default:other\\" cannot get' in text) == (403, True)


async def test_a_token_that_is_no_good_is_refused_everywhere(cluster: Cluster) -> None:
    async with cluster.open(cluster.settings()) as port:
        for path in ("/metrics", "/healthz"):
            status, text = await port.get(path, token="made-up")
            assert (status, json.loads(text)["reason"]) == (401, "Unauthorized")
    assert cluster.requests == ["tokenreviews"]


async def test_certificates_have_the_rights_of_their_user(cluster: Cluster) -> None:
    async with cluster.open(cluster.settings()) as port:
        assert await port.status("/metrics", certificate="super-admin") == 200
        assert cluster.requests == []  # system:masters may do everything
        assert await port.status("/nowhere", certificate="super-admin") == 404
        status, text = await port.get("/metrics", certificate="kube-controller-manager")
        said = 'User \\"system:kube-controller-manager\\" cannot get path'
        assert (status, said in text) == (403, True)
        assert cluster.requests == ["subjectaccessreviews"]


async def test_certificates_of_another_authority_do_not_pass_the_handshake(cluster: Cluster) -> None:
    async with cluster.open(cluster.settings()) as port:
        with pytest.raises(OSError):  # noqa: PT011 the alert arrives with the first bytes, or the reset does
            await port.get("/healthz", certificate="stranger")
    assert cluster.requests == []


async def test_a_certificate_that_has_ended_is_refused_everywhere(cluster: Cluster) -> None:
    async with cluster.open(cluster.settings()) as port:
        await cluster.clock.advance(400 * 86_400)

        for path in ("/metrics", "/healthz"):
            assert await port.status(path, certificate="super-admin") == 401


async def test_answers_are_kept_for_their_time(cluster: Cluster) -> None:
    token = await cluster.account("scraper")
    async with cluster.open(cluster.settings(authorization_webhook_cache_unauthorized_ttl=5.0)) as port:
        assert await port.status("/metrics", token=token) == 403
        await cluster.allow("scraper", "/metrics")
        await cluster.clock.advance(4)
        assert await port.status("/metrics", token=token) == 403
        await cluster.clock.advance(2)
        assert await port.status("/metrics", token=token) == 200

        await cluster.admin.raw("DELETE", f"{RBAC}/clusterrolebindings/scraper")
        await cluster.clock.advance(9)
        assert await port.status("/metrics", token=token) == 200
        await cluster.clock.advance(2)
        assert await port.status("/metrics", token=token) == 403

    assert cluster.requests.count("tokenreviews") == 2
    assert cluster.requests.count("subjectaccessreviews") == 3


async def test_long_paths_are_asked_for_each_time(cluster: Cluster) -> None:
    path = "/" + "x" * LONGEST_KEPT
    async with cluster.open(cluster.settings()) as port:
        assert await port.status(path) == 403
        assert await port.status(path) == 403
    assert cluster.requests == ["subjectaccessreviews"] * 2


async def test_without_the_api_server_only_health_and_masters_are_served(cluster: Cluster) -> None:
    async with cluster.open(cluster.settings()) as port:
        await cluster.stop()

        assert await port.get("/healthz") == (200, "ok")
        assert await port.status("/metrics", certificate="super-admin") == 200
        assert await port.status("/healthz", token="any") == 401
        status, text = await port.get("/metrics")
        assert (status, text.startswith('Internal Server Error: "/metrics": ')) == (500, True)


async def test_without_flags_masters_by_certificate_are_served_and_nobody_else(cluster: Cluster) -> None:
    token = await cluster.account("scraper")
    await cluster.allow("scraper", "/metrics")
    async with cluster.open(DelegationSettings(client_ca_file=cluster.keys / "ca.crt")) as port:
        for path in ("/healthz", "/livez", "/readyz"):
            assert await port.status(path) == 200
        assert await port.status("/metrics") == 403
        assert await port.status("/metrics", token=token) == 403
        assert await port.status("/metrics", certificate="kube-scheduler") == 403
        assert await port.status("/metrics", certificate="super-admin") == 200

    async with cluster.open(DelegationSettings()) as port:
        assert await port.status("/healthz") == 200
        assert await port.status("/metrics") == 403
        # Nobody asks for it.
        assert await port.status("/metrics", certificate="super-admin") == 403
    assert cluster.requests == []


async def test_open_paths_are_chosen(cluster: Cluster) -> None:
    chosen = replace(DelegationSettings(), authorization_always_allow_paths=("metrics", "/livez*"))
    async with cluster.open(chosen) as port:
        assert await port.status("/metrics") == 200
        assert await port.status("/livez/ping") == 200
        assert await port.status("/metrics/more") == 403
        assert await port.status("/healthz") == 403


async def test_the_authority_that_no_flag_names_is_looked_up_and_followed(cluster: Cluster) -> None:
    async with cluster.open(cluster.settings(client_ca_file=None)) as port:
        assert await port.status("/metrics", certificate="super-admin") == 200
        with pytest.raises(OSError):  # noqa: PT011
            await port.get("/metrics", certificate="stranger")

        await publish(cluster, "no certificates")
        await publish(cluster, (cluster.keys / "stranger-ca.crt").read_text())

        await eventually(lambda: is_let_in(port, "stranger"))
        with pytest.raises(OSError):  # noqa: PT011
            await port.get("/metrics", certificate="super-admin")


async def test_an_authority_that_is_published_later_is_found_then(cluster: Cluster) -> None:
    authority = (cluster.keys / "ca.crt").read_text()
    await publish(cluster, "")
    async with cluster.open(cluster.settings(client_ca_file=None)) as port:
        assert await port.status("/healthz") == 200
        assert not await is_let_in(port, "super-admin")

        await publish(cluster, f"# Ours: é\n{authority}")

        await eventually(lambda: is_let_in(port, "super-admin"))


async def is_let_in(port: Port, certificate: str) -> bool:
    try:
        return await port.status("/metrics", certificate=certificate) == 200
    except OSError:
        return False


async def publish(cluster: Cluster, authority: str) -> None:
    change = {"data": {"client-ca-file": authority}}
    await cluster.admin.patch(ConfigMap, TRUST, "kube-system", change)


async def test_nothing_is_looked_up_where_that_is_not_wanted(cluster: Cluster) -> None:
    settings = cluster.settings(client_ca_file=None, authentication_skip_lookup=True)
    async with cluster.open(settings) as port:
        assert await port.status("/healthz", certificate="super-admin") == 200
    assert cluster.requests == []


async def test_a_lookup_that_fails_is_fatal_unless_it_is_tolerated(cluster: Cluster) -> None:
    settings = cluster.settings(client_ca_file=None)
    await cluster.stop()

    with pytest.raises(Fatal, match="cannot look up client-ca-file in configmap kube-system/extension"):
        async with cluster.open(settings):
            pass

    tolerant = replace(settings, authentication_tolerate_lookup_failure=True)
    async with cluster.open(tolerant) as port:
        assert await port.status("/healthz") == 200


async def test_who_may_not_look_it_up_is_told_of_the_role(cluster: Cluster) -> None:
    settings = cluster.settings("apiserver-kubelet-client", client_ca_file=None)

    with pytest.raises(Fatal, match="needs the role extension-apiserver-authentication-reader"):
        async with cluster.open(settings):
            pass


@pytest.mark.parametrize("flag", ["authentication_kubeconfig", "authorization_kubeconfig", "client_ca_file"])
async def test_files_that_are_not_there_are_fatal(cluster: Cluster, flag: str) -> None:
    with pytest.raises(Fatal, match="/nowhere"):
        async with cluster.open(cluster.settings(**{flag: Path("/nowhere")})):
            pass


async def test_requests_at_the_same_time_share_one_review(cluster: Cluster) -> None:
    token = await cluster.account("scraper")
    async with cluster.open(cluster.settings()) as port, asyncio.TaskGroup() as group:
        asking = [group.create_task(port.status("/metrics", token=token)) for _ in range(8)]

    assert {task.result() for task in asking} == {403}
    assert cluster.requests == ["tokenreviews", "subjectaccessreviews"]

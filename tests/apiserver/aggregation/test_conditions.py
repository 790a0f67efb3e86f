"""The Available condition, in upstream's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.aggregation.conditions import Verdict, judge
from kplane.apiserver.aggregation.remotes import Remote

from ..conftest import Api
from .conftest import SERVICES, apiservice, because, condition, make_service, make_slice
from .extension import HOST, ROOT, extension

REMOTE = Remote("v1.g", "1", "g", "v1", 1, 1, "ns", "svc", 443, "", insecure=False, available=False)
SERVICE = {"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": 443}]}}
WHERE = 'service/svc in "ns"'


def a_slice(ready: bool | None = True, port: str = "https") -> dict[str, Any]:
    conditions = {} if ready is None else {"ready": ready}
    return {
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": conditions}],
        "ports": [{"name": port, "port": 8443}],
    }


@pytest.mark.parametrize(
    ("service", "slices", "reason", "message"),
    [
        pytest.param(None, [], "ServiceNotFound", f"{WHERE} is not present", id="no-service"),
        pytest.param(
            {"spec": {"ports": [{"port": 80}]}},
            [a_slice()],
            "ServicePortError",
            f"{WHERE} is not listening on port 443",
            id="no-port",
        ),
        pytest.param(
            SERVICE, [], "EndpointsNotFound", f"cannot find endpointslices for {WHERE}", id="no-slices"
        ),
        pytest.param(
            SERVICE,
            [a_slice(ready=False), a_slice(port="other")],
            "MissingEndpoints",
            f'endpointslices for {WHERE} have no addresses with port name "https"',
            id="none-ready",
        ),
    ],
)
def test_what_stands_in_the_way(service: Any, slices: Any, reason: str, message: str) -> None:
    assert judge(REMOTE, service, slices) == Verdict("False", reason, message)


@pytest.mark.parametrize(
    ("service", "slices"),
    [
        pytest.param(SERVICE, [a_slice()], id="ready"),
        pytest.param(SERVICE, [a_slice(ready=None)], id="unknown-is-ready"),
        pytest.param({"spec": {"type": "ExternalName", "externalName": "x"}}, [], id="external-name"),
    ],
)
def test_only_asking_can_tell(service: Any, slices: Any) -> None:
    assert judge(REMOTE, service, slices) is None


async def test_a_service_on_its_way_to_being_available(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await api.make(SERVICES, apiservice(server))
        absent = await condition(api, because("ServiceNotFound"))
        spec = {"ports": [{"name": "https", "port": 443}]}
        await api.make("/api/v1/namespaces/default/services", {"metadata": {"name": "flowers"}, "spec": spec})
        without = await condition(api, because("EndpointsNotFound"))
        await make_slice(api, server.port)
        passed = await condition(api, because("Passed"))
        asked = server.asked(ROOT)[0]

    assert (absent["status"], without["status"], passed["status"]) == ("False", "False", "True")
    assert passed["message"] == "all checks passed"
    # The moment is that of the change of status, not of the reason.
    assert absent["lastTransitionTime"] == without["lastTransitionTime"]
    assert (asked.all("x-remote-user"), asked.all("x-remote-group")) == (
        ["system:kube-aggregator"],
        ["system:masters"],
    )


async def test_a_server_that_answers_badly(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext", healthy=False) as server:
        await make_service(api, server.port)
        await api.make(SERVICES, apiservice(server))
        found = await condition(api, because("FailedDiscoveryCheck"))
        url = f"https://{HOST}:{server.port}{ROOT}"

    assert found["message"] == f"failing or missing response from {url}: bad status from {url}: 500"


async def test_a_server_that_is_not_there(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        pass
    await make_service(api, server.port)
    await api.make(SERVICES, apiservice(server))
    found = await condition(api, because("FailedDiscoveryCheck"))
    url = f"https://{HOST}:{server.port}{ROOT}"

    refused = f'Get "{url}": dial tcp {HOST}:{server.port}: connect: connection refused'
    assert found["message"] == f"failing or missing response from {url}: {refused}"


async def test_a_service_taken_away_becomes_local(api: Api) -> None:
    await api.make(SERVICES, apiservice())
    await condition(api, because("ServiceNotFound"))
    path = f"{SERVICES}/v1.flowers.example.com"
    wanted = apiservice(service=None)
    wanted["metadata"]["resourceVersion"] = (await api("GET", path)).body["metadata"]["resourceVersion"]
    assert (await api("PUT", path, wanted)).code == 200

    found = await condition(api, because("Local"))

    assert (found["status"], found["message"]) == ("True", "Local APIServices are always available")


async def test_metrics_tell_what_is_unavailable(api: Api) -> None:
    await api.make(SERVICES, apiservice())
    await condition(api, because("ServiceNotFound"))

    text = (await api("GET", "/metrics", accept="*/*")).body.decode()

    name = 'name="v1.flowers.example.com"'
    assert f"aggregator_unavailable_apiservice{{{name}}} 1.0" in text
    assert f'aggregator_unavailable_apiservice_total{{{name},reason="ServiceNotFound"}} 1.0' in text

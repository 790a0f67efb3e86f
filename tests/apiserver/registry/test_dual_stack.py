"""Services of one and of both IP families: what is filled in, and how they go from one to the other."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig, parse
from kplane.apiserver.registry.families import settle
from kplane.apiserver.server import ApiServer
from kplane.runtime.process import Fatal

from ..conftest import Api

SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
MERGE = "application/merge-patch+json"
BOTH = ("IPv4", "IPv6")
TURNED = ["fd00:10::5", "10.96.5.5"]


@pytest.fixture
async def dual(config: ApiServerConfig) -> AsyncIterator[Api]:
    second = ipaddress.ip_network("fd00:10::/108")
    async with ApiServer(replace(config, secondary_service_cluster_ip_range=second)) as server:
        yield Api(server.app)


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}} | spec}


def versions(spec: dict[str, Any]) -> list[int]:
    return [ipaddress.ip_address(address).version for address in spec["clusterIPs"]]


async def test_the_flag_takes_one_range_of_each_family() -> None:
    asked = "--service-cluster-ip-range=fd00::/108,10.0.0.0/16"

    assert [str(network) for network in parse(["--storage-dir=x", asked]).service_cluster_ip_ranges] == [
        "fd00::/108",
        "10.0.0.0/16",
    ]
    with pytest.raises(Fatal, match="one of IPv4 and one of IPv6"):
        parse(["--storage-dir=x", "--service-cluster-ip-range=10.0.0.0/16,10.1.0.0/16"])


@pytest.mark.parametrize(
    ("spec", "policy", "families"),
    [
        pytest.param({}, "SingleStack", ["IPv4"], id="default"),
        pytest.param({"ipFamilies": ["IPv6"]}, "SingleStack", ["IPv6"], id="family"),
        pytest.param({"clusterIP": "fd00:10::99"}, "SingleStack", ["IPv6"], id="address"),
        pytest.param({"ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", [*BOTH], id="prefer"),
        pytest.param(
            {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]},
            "RequireDualStack",
            ["IPv6", "IPv4"],
            id="require",
        ),
    ],
)
async def test_a_cluster_of_both_families_gives_what_is_asked_for(
    dual: Api, spec: dict[str, Any], policy: str, families: list[str]
) -> None:
    made = (await dual.make(SERVICES, service(**spec)))["spec"]

    assert (made["ipFamilyPolicy"], made["ipFamilies"]) == (policy, families)
    assert [f"IPv{version}" for version in versions(made)] == families
    assert made["clusterIP"] == made["clusterIPs"][0]
    claim = (await dual("GET", f"{ADDRESSES}/{made['clusterIPs'][-1]}")).body
    assert claim["metadata"]["labels"]["ipaddress.kubernetes.io/ip-family"] == families[-1]
    assert claim["spec"]["parentRef"]["name"] == "web"


async def test_a_service_is_upgraded_and_downgraded(dual: Api) -> None:
    first = (await dual.make(SERVICES, service()))["spec"]["clusterIP"]

    up = await dual("PATCH", f"{SERVICES}/web", {"spec": {"ipFamilyPolicy": "RequireDualStack"}},
        content_type=MERGE)  # fmt: skip
    assert up.code == 200
    assert (up.body["spec"]["clusterIP"], versions(up.body["spec"])) == (first, [4, 6])

    down = await dual("PATCH", f"{SERVICES}/web", {"spec": {"ipFamilyPolicy": "SingleStack"}},
        content_type=MERGE)  # fmt: skip
    assert (down.body["spec"]["clusterIPs"], down.body["spec"]["ipFamilies"]) == ([first], ["IPv4"])
    second = up.body["spec"]["clusterIPs"][1]
    assert (await dual("GET", f"{ADDRESSES}/{second}")).code == 404


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param(
            {"clusterIPs": ["10.96.5.5"], "ipFamilies": ["IPv4"]},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be \'SingleStack\' to release the'
            " secondary cluster IP",
            id="second released",
        ),
        pytest.param(
            {"clusterIP": "10.96.5.6", "clusterIPs": ["10.96.5.6", "fd00:10::5"]},
            'spec.clusterIPs[0]: Invalid value: ["10.96.5.6","fd00:10::5"]: may not change once set',
            id="first changed",
        ),
        pytest.param(
            {"ipFamilies": ["IPv6", "IPv4"], "clusterIP": "fd00:10::5", "clusterIPs": TURNED},
            'spec.ipFamilies[0]: Invalid value: ["IPv6","IPv4"]: may not change once set',
            id="turned round",
        ),
    ],
)  # fmt: skip
async def test_changes_that_are_refused(dual: Api, spec: dict[str, Any], fault: str) -> None:
    addresses = ["10.96.5.5", "fd00:10::5"]
    await dual.make(
        SERVICES,
        service(ipFamilyPolicy="RequireDualStack", clusterIP=addresses[0], clusterIPs=addresses),
    )

    answer = await dual("PATCH", f"{SERVICES}/web", {"spec": spec}, content_type=MERGE)

    assert answer.code == 422
    assert fault in answer.body["message"]


async def test_a_service_without_addresses_gets_them_and_gives_them_back(dual: Api) -> None:
    external = {"type": "ExternalName", "externalName": "a.example", "ports": []}
    made = await dual.make(SERVICES, service(**external))
    assert not made["spec"].keys() & {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}

    inside = {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}
    up = await dual("PATCH", f"{SERVICES}/web", {"spec": inside}, content_type=MERGE)
    down = await dual("PATCH", f"{SERVICES}/web", {"spec": external}, content_type=MERGE)

    assert (up.code, versions(up.body["spec"])) == (200, [4])
    assert (down.code, "clusterIP" in down.body["spec"]) == (200, False)
    assert (await dual("GET", f"{ADDRESSES}/{up.body['spec']['clusterIP']}")).code == 404


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param(
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for'
            " dual-stack services",
            id="require",
        ),
        pytest.param(
            {"ipFamilies": ["IPv6"]},
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
            id="family",
        ),
        pytest.param(
            {"clusterIP": "fd00::1"},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
            id="address",
        ),
        pytest.param(
            {"ipFamilies": [*BOTH]},
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or"
            " 'PreferDualStack' when multiple IP families are specified",
            id="two",
        ),
    ],
)  # fmt: skip
async def test_a_cluster_of_one_family_refuses_the_other(api: Api, spec: dict[str, Any], fault: str) -> None:
    answer = await api("POST", SERVICES, service(**spec))

    assert (answer.code, answer.body["message"]) == (422, f'Service "web" is invalid: {fault}')


def test_headless_services_without_selector_may_have_families_that_the_cluster_has_not() -> None:
    spec: dict[str, Any] = {"clusterIP": "None", "clusterIPs": ["None"]}

    assert settle(spec, None, ["IPv4"]) == []
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", [*BOTH])


def test_a_service_that_prefers_both_stays_as_it_is_when_the_cluster_changes() -> None:
    old = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"], "clusterIPs": ["10.0.0.1"]}
    new = dict(old)

    assert settle(new, old, BOTH) == []
    assert new == old

"""Ingresses and their classes, IPAddresses, ServiceCIDRs: what is refused, and what may change."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api

NET = "networking.k8s.io"
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
PARENT = {"resource": "services", "namespace": "default", "name": "web"}
CIDRS = f"/apis/{NET}/v1/servicecidrs"


def ingress(annotations: Any = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "x", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"defaultBackend": BACKEND} | spec}


def parameters(**more: Any) -> dict[str, Any]:
    return {"spec": {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"} | more}}


def address(name: str, /, **parent: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"parentRef": PARENT | parent}}


def networks(*cidrs: str) -> dict[str, Any]:
    return {"spec": {"cidrs": [*cidrs]}}


@pytest.mark.parametrize(
    ("plural", "obj", "fault"),
    [
        ("ingresses", ingress(), ""),
        ("ingresses", ingress({"kubernetes.io/ingress.class": "a"}, ingressClassName="a"), ""),
        (
            "ingresses",
            ingress({"kubernetes.io/ingress.class": "b"}, ingressClassName="a"),
            'annotations.kubernetes.io/ingress.class: Invalid value: "b": must match `ingressClassName` when'
            " both are specified",
        ),
        (
            "ingresses",
            ingress(defaultBackend={"resource": {"apiGroup": "a.b", "name": "n"}}),
            "spec.defaultBackend.resource.kind: Required value: kind is required",
        ),
        ("ingressclasses", parameters(), ""),
        ("ingressclasses", parameters(scope="Namespace", namespace="a"), ""),
        (
            "ingressclasses",
            parameters(scope="Namespace"),
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ),
        (
            "ingressclasses",
            parameters(namespace="a"),
            "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
        ),
        (
            "ingressclasses",
            parameters(scope="Odd"),
            'spec.parameters.scope: Unsupported value: "Odd": supported values: "Cluster", "Namespace"',
        ),
        ("ipaddresses", address("10.0.0.1"), ""),
        ("ipaddresses", address("2001:db8::1"), ""),
        (
            "ipaddresses",
            address("2001:db8:0::1"),
            'metadata.name: Invalid value: "2001:db8:0::1": must be in canonical form ("2001:db8::1")',
        ),
        (
            "ipaddresses",
            address("web"),
            'metadata.name: Invalid value: "web": must be a valid IP address, (e.g. 10.9.8.7 or'
            ' 2001:db8::ffff)',
        ),
        ("ipaddresses", address("::1", resource=""), "spec.parentRef.resource: Required value"),
        (
            "ipaddresses",
            address("::1", name="a/b"),
            "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'",
        ),
        ("servicecidrs", networks("10.0.0.0/24", "fd00::/108"), ""),
        ("servicecidrs", networks(), "spec.cidrs: Required value: at least one CIDR required"),
        (
            "servicecidrs",
            networks("10.0.0.0/24", "10.1.0.0/24"),
            'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/24","10.1.0.0/24"]}: may specify no more than'
            ' one IP'
            " for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
        (
            "servicecidrs",
            networks("10.0.0.1/24"),
            'spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length',
        ),
        (
            "servicecidrs",
            networks("fd00:0::/108"),
            'spec.cidrs[0]: Invalid value: "fd00:0::/108": must be in canonical form ("fd00::/108")',
        ),
    ],
)  # fmt: skip
def test_faults_are_worded_as_upstream(judge: Any, plural: str, obj: dict[str, Any], fault: str) -> None:
    faults = judge(NET, plural).faults(obj)

    assert fault in faults if fault else faults == []


@pytest.mark.parametrize(
    ("new", "faults"),
    [
        pytest.param(["10.0.0.0/24", "fd00::/108"], [], id="second family"),
        pytest.param(["10.1.0.0/24"],
            ['spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable'], id="other"),
        pytest.param(["10.1.0.0/24", "fd00::/108"],
            ['spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable'], id="other and second"),
    ],
)  # fmt: skip
def test_a_range_may_get_a_second_family_and_nothing_else(
    judge: Any, new: list[str], faults: list[str]
) -> None:
    kind = judge(NET, "servicecidrs")
    old = kind.created(networks("10.0.0.0/24"))

    assert kind.update_faults({**old, **networks(*new)}, old) == faults


def test_the_status_of_an_ingress_has_addresses_and_names(judge: Any) -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "a"}, {"hostname": "10.0.0.1"}]}}

    faults = judge(NET, "ingresses").status_faults({"status": status}, {})

    assert len(faults) == 2
    assert faults[1] == (
        'status.loadBalancer.ingress[1].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP'
        " address"
    )


async def test_a_cluster_gets_its_second_family_at_a_later_start(lasting: ApiServerConfig) -> None:
    second = ipaddress.ip_network("fd00::/108")
    async with ApiServer(lasting) as server:
        before = (await Api(server.app)("GET", f"{CIDRS}/kubernetes")).body
    async with ApiServer(replace(lasting, secondary_service_cluster_ip_range=second)) as server:
        after = (await Api(server.app)("GET", f"{CIDRS}/kubernetes")).body

    assert before["spec"]["cidrs"] == ["10.96.0.0/12"]
    assert before["status"]["conditions"][0]["message"] == "Kubernetes default Service CIDR is ready"
    assert after["spec"]["cidrs"] == ["10.96.0.0/12", "fd00::/108"]

"""Services and what carries their traffic."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kplane.apiserver.registry.strategies import STRATEGIES

SERVICES = STRATEGIES["", "services"]


@pytest.fixture
def services(judge: Any) -> Any:
    return judge("", "services")


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], **spec}}


def test_a_plain_service_gets_upstreams_defaults(services: Any) -> None:
    created = services.created(service(selector={"app": "web"}))

    assert created["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "web"},
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
    }
    assert created["status"] == {"loadBalancer": {}}
    assert services.faults(service()) == []


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (
            {"sessionAffinity": "ClientIP"},
            {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}},
        ),
        ({"type": "NodePort"}, {"externalTrafficPolicy": "Cluster"}),
        (
            {"type": "LoadBalancer"},
            {"externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": True},
        ),
        ({"externalIPs": ["1.2.3.4"]}, {"externalTrafficPolicy": "Cluster"}),
        ({"clusterIP": "None"}, {"clusterIPs": ["None"]}),
    ],
)
def test_defaults_by_type(services: Any, spec: dict[str, Any], wanted: dict[str, Any]) -> None:
    created = services.created(service(**spec))["spec"]

    assert {name: created[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [], "clusterIP": "None"}, ""),
        ({"ports": [], "type": "ExternalName", "externalName": "a.b"}, ""),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        (
            {"type": "ExternalName", "externalName": "a", "clusterIPs": ["10.0.0.1"]},
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
        ),
        (
            {"type": "Odd"},
            'spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName",'
            ' "LoadBalancer", "NodePort"',
        ),
        (
            {"type": "NodePort", "clusterIP": "None"},
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
        ),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        (
            {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
            'spec.ports[1].name: Duplicate value: "a"',
        ),
        (
            {"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
            'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}',
        ),
        (
            {"ports": [{"port": 0}]},
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            {"ports": [{"port": 1, "nodePort": 30000}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            {"ports": [{"port": 1, "targetPort": "80"}]},
            'spec.ports[0].targetPort: Invalid value: "80": must contain at least one letter (a-z)',
        ),
        (
            {"clusterIPs": ["10.0.0.1"], "clusterIP": "10.0.0.2"},
            'spec.clusterIPs: Invalid value: ["10.0.0.1"]: first value must match `clusterIP`',
        ),
        (
            {"clusterIPs": ["10.0.0.9"]},
            'spec.clusterIPs: Invalid value: ["10.0.0.9"]: must be empty when `clusterIP` is not specified',
        ),
        (
            {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]},
            'spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for'
            " each IP family",
        ),
        (
            {"clusterIP": "10.0.0.1", "ipFamilies": ["IPv6"]},
            'spec.clusterIPs[0]: Invalid value: "10.0.0.1": expected an IPv6 value as indicated by'
            " `ipFamilies[0]`",
        ),
        ({"ipFamilies": ["IPv4", "IPv4"]}, 'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
        (
            {"ipFamilies": ["IPv5"]},
            'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
        ),
        (
            {"clusterIP": "None", "clusterIPs": ["None", "10.0.0.1"]},
            'spec.clusterIPs: Invalid value: ["None","10.0.0.1"]: \'None\' must be the first and only value',
        ),
        (
            {"clusterIP": "abc"},
            'spec.clusterIPs[0]: Invalid value: "abc": must be a valid IP address, (e.g. 10.9.8.7 or'
            " 2001:db8::ffff)",
        ),
        (
            {"externalIPs": ["127.0.0.1"]},
            'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8,'
            " ::1/128)",
        ),
        (
            {"externalTrafficPolicy": "Local"},
            'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible'
            " services",
        ),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and"
            " less than 86400",
        ),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
    ],
)
def test_faults_are_worded_as_upstream(services: Any, spec: dict[str, Any], fault: str) -> None:
    faults = services.faults(service(**spec))

    assert fault in faults if fault else not faults


def test_a_service_has_a_dns_1035_name(services: Any) -> None:
    (fault,) = services.faults({**service(), "metadata": {"name": "1web"}})

    assert fault.startswith('metadata.name: Invalid value: "1web": a DNS-1035 label must consist of')


def test_a_change_of_type_drops_what_the_new_one_has_not() -> None:
    ports = [{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30000}]
    old = service(type="NodePort", clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ports=ports)
    SERVICES.default(old)
    plain, external = copy.deepcopy(old), copy.deepcopy(old)
    plain["spec"]["type"] = "ClusterIP"
    external["spec"]["type"] = "ExternalName"

    SERVICES.prepare_update(plain, old)
    SERVICES.prepare_update(external, old)

    assert "nodePort" not in plain["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in plain["spec"]
    assert plain["spec"]["clusterIP"] == "10.0.0.1"
    assert not external["spec"].keys() & {"clusterIP", "clusterIPs"}


def test_services_are_selected_by_address_and_type() -> None:
    assert SERVICES.fields({"spec": {"clusterIP": "None", "type": "ClusterIP"}}) == {
        "spec.clusterIP": "None",
        "spec.type": "ClusterIP",
    }


@pytest.mark.parametrize(
    ("obj", "fault"),
    [
        ({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}, ""),
        ({"endpoints": []}, "addressType: Required value"),
        (
            {"addressType": "Odd"},
            'addressType: Unsupported value: "Odd": supported values: "FQDN", "IPv4", "IPv6"',
        ),
        (
            {"addressType": "IPv4", "endpoints": [{"addresses": []}]},
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ),
        (
            {"addressType": "IPv4", "endpoints": [{"addresses": ["::1"]}]},
            'endpoints[0].addresses[0]: Invalid value: "::1": must be an IPv4 address',
        ),
        (
            {"addressType": "IPv4", "endpoints": [{"addresses": ["169.254.0.1"]}]},
            'endpoints[0].addresses[0]: Invalid value: "169.254.0.1": may not be in the link-local range'
            " (169.254.0.0/16, fe80::/10)",
        ),
        (
            {"addressType": "IPv4", "ports": [{"name": "a"}, {"name": "a"}]},
            'ports[1].name: Duplicate value: "a"',
        ),
    ],
)
def test_endpoint_slices(judge: Any, obj: dict[str, Any], fault: str) -> None:
    faults = judge("discovery.k8s.io", "endpointslices").faults(obj)

    assert fault in faults if fault else not faults


def test_the_address_type_of_a_slice_may_not_change(judge: Any) -> None:
    kind = judge("discovery.k8s.io", "endpointslices")
    old = kind.created({"addressType": "IPv4"})

    assert kind.update_faults({**old, "addressType": "IPv6"}, old) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]


def test_endpoints_need_addresses(judge: Any) -> None:
    kind = judge("", "endpoints")

    assert kind.faults({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}) == []
    assert kind.faults({"subsets": [{}]}) == [
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"
    ]

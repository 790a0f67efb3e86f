"""The plan: which endpoints a Service port is spread over."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.resource import Object
from kplane.proxy.endpoints import Target
from kplane.proxy.plan import Ruleset, ServiceRules

from .support import NODE, endpoint, endpoint_slice, hints, ruleset, service


def only(rules: Ruleset) -> ServiceRules:
    (found,) = rules.services
    return found


def ips(targets: tuple[Target, ...]) -> list[str]:
    return [target.ip for target in targets]


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param([endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False)], ["10.0.0.1"], id="ready"),
        pytest.param([endpoint("10.0.0.1", ready=False)], [], id="none-ready"),
        pytest.param(
            [
                endpoint("10.0.0.1", ready=False, serving=True, terminating=True),
                endpoint("10.0.0.2", ready=False, serving=False, terminating=True),
            ],
            ["10.0.0.1"],
            id="terminating-but-serving-as-a-last-resort",
        ),
        pytest.param(
            [endpoint("10.0.0.1", ready=False, serving=True, terminating=True), endpoint("10.0.0.2")],
            ["10.0.0.2"],
            id="no-last-resort-beside-a-ready-one",
        ),
    ],
)
def test_ready_endpoints_or_those_that_still_serve(endpoints: list[Object], expected: list[str]) -> None:
    rules = only(ruleset([service()], [endpoint_slice(*endpoints)]))

    assert ips(rules.cluster) == expected


def test_local_targets_are_chosen_on_their_own() -> None:
    here = endpoint("10.0.0.1", ready=False, serving=True, terminating=True)
    there = endpoint("10.0.0.2", node="node-2")

    rules = only(ruleset([service()], [endpoint_slice(here, there)]))

    assert ips(rules.cluster) == ["10.0.0.2"]
    assert ips(rules.local) == ["10.0.0.1"]


NEAR, FAR = "10.0.0.1", "10.0.0.2"


@pytest.mark.parametrize(
    ("near", "far", "zone", "expected"),
    [
        pytest.param(hints(zones=["a"]), hints(zones=["b"]), "a", [NEAR], id="own-zone"),
        pytest.param(hints(zones=["a", "b"]), hints(zones=["b"]), "b", [NEAR, FAR], id="several-zones"),
        pytest.param(hints(zones=["a"]), None, "a", [NEAR, FAR], id="one-without-a-hint"),
        pytest.param(hints(zones=["a"]), hints(zones=["b"]), "c", [NEAR, FAR], id="none-for-this-zone"),
        pytest.param(hints(zones=["a"]), hints(zones=["b"]), "", [NEAR, FAR], id="zone-unknown"),
        pytest.param(hints(nodes=[NODE]), hints(nodes=["node-2"]), "", [NEAR], id="own-node"),
        pytest.param(hints(nodes=[NODE]), hints(zones=["a"]), "a", [NEAR, FAR], id="neither-is-complete"),
        pytest.param(
            hints(nodes=["node-3"], zones=["a"]), hints(nodes=["node-2"], zones=["b"]), "b", [FAR],
            id="own-zone-where-no-node-is-ours",
        ),
        pytest.param(
            hints(nodes=["node-2"], zones=["a"]), hints(nodes=[NODE], zones=["b"]), "a", [FAR],
            id="own-node-before-own-zone",
        ),
    ],
)  # fmt: skip
def test_hints_choose_among_ready_endpoints(
    near: Object | None, far: Object | None, zone: str, expected: list[str]
) -> None:
    endpoints = endpoint_slice(endpoint(NEAR, hints=near), endpoint(FAR, node="node-2", hints=far))

    assert ips(only(ruleset([service()], [endpoints], zone=zone)).cluster) == expected


def test_endpoints_that_are_not_ready_have_no_say_in_hints() -> None:
    unready = endpoint("10.0.0.3", ready=False)
    leaving = endpoint("10.0.0.4", ready=False, serving=True, terminating=True, hints=hints(zones=["a"]))
    found = endpoint_slice(
        endpoint(NEAR, hints=hints(zones=["a"])), endpoint(FAR, hints=hints(zones=["b"])), unready, leaving
    )

    assert ips(only(ruleset([service()], [found], zone="a")).cluster) == [NEAR]


def test_a_last_resort_is_taken_wherever_it_is() -> None:
    leaving = [
        endpoint(ip, ready=False, serving=True, terminating=True, hints=hints(zones=[zone]))
        for ip, zone in ((NEAR, "a"), (FAR, "b"))
    ]

    assert ips(only(ruleset([service()], [endpoint_slice(*leaving)], zone="a")).cluster) == [NEAR, FAR]


def test_policies_that_keep_traffic_local_ask_no_hints() -> None:
    here, there = (
        endpoint(NEAR, hints=hints(zones=["b"])),
        endpoint(FAR, node="node-2", hints=hints(zones=["a"])),
    )

    rules = only(ruleset([service(internalTrafficPolicy="Local")], [endpoint_slice(here, there)], zone="a"))

    assert (ips(rules.local), ips(rules.cluster)) == ([NEAR], [FAR])


def test_an_endpoint_in_two_slices_counts_once_and_as_ready() -> None:
    old = endpoint_slice(endpoint("10.0.0.1", ready=False), name="old")
    new = endpoint_slice(endpoint("10.0.0.1"), name="new")

    assert ips(only(ruleset([service()], [old, new])).cluster) == ["10.0.0.1"]


def test_ports_are_found_by_name_and_protocol() -> None:
    slices = [
        endpoint_slice(endpoint("10.0.0.1"), name="a", port={"name": "http", "port": 8080}),
        endpoint_slice(endpoint("10.0.0.1"), name="b", port={"name": "dns", "port": 53, "protocol": "UDP"}),
    ]

    rules = only(ruleset([service(port={"name": "dns", "port": 53, "protocol": "UDP"})], slices))

    assert (rules.protocol, rules.cluster) == ("udp", (Target("10.0.0.1", 53, local=True),))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"clusterIP": "None"}, id="headless"),
        pytest.param({"clusterIP": "", "clusterIPs": []}, id="without-address"),
        pytest.param({"type": "ExternalName", "clusterIP": ""}, id="external-name"),
    ],
)
def test_services_without_an_address_have_no_rules(spec: Object) -> None:
    assert list(ruleset([service(**spec)]).services) == []


def test_each_family_has_rules_of_its_own() -> None:
    both = service(clusterIPs=["10.96.0.10", "fd00::10"], externalIPs=["198.51.100.1", "2001:db8::1"])
    slices = [
        endpoint_slice(endpoint("10.0.0.1")),
        endpoint_slice(endpoint("fd00:1::1"), name="six", family="IPv6"),
    ]

    rules = ruleset([both], slices)

    (four,), (six,) = rules.ipv4.services, rules.ipv6.services
    assert (ips(four.cluster), four.external_ips) == (["10.0.0.1"], ("198.51.100.1",))
    assert (ips(six.cluster), six.external_ips) == (["fd00:1::1"], ("2001:db8::1",))


def test_affinity_lasts_three_hours_unless_told_otherwise() -> None:
    config = {"clientIP": {"timeoutSeconds": 60}}

    assert only(ruleset([service()])).affinity_seconds == 0
    assert only(ruleset([service(sessionAffinity="ClientIP")])).affinity_seconds == 10800
    told = service(sessionAffinity="ClientIP", sessionAffinityConfig=config)
    assert only(ruleset([told])).affinity_seconds == 60


def test_load_balancers_that_proxy_are_left_alone() -> None:
    spec = service(type="LoadBalancer")
    spec["status"] = {
        "loadBalancer": {"ingress": [{"ip": "198.51.100.1"}, {"ip": "198.51.100.2", "ipMode": "Proxy"}]}
    }

    assert only(ruleset([spec])).load_balancer_ips == ("198.51.100.1",)


def test_load_balancers_are_told_how_many_endpoints_are_ready_here() -> None:
    ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in (("a", 80), ("b", 443))]
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000}
    endpoints = [
        endpoint("10.0.0.1"),
        endpoint("10.0.0.2", node="node-2"),
        endpoint("10.0.0.3", ready=False, serving=True, terminating=True),
    ]
    slices = [endpoint_slice(*endpoints, name=name, port={"name": name, "port": 8080}) for name in ("a", "b")]

    def checks(**change: Any) -> list[tuple[str, int, int]]:
        rules = ruleset([service(ports=ports, **spec | change)], slices)
        return [(str(check.service), check.port, check.local_ready) for check in rules.ipv4.health_checks]

    assert checks() == [("default/web", 32000, 1)]
    assert checks(externalTrafficPolicy="Cluster") == []
    assert checks(type="NodePort") == []
    assert checks(healthCheckNodePort=0) == []
    assert ruleset([service(ports=ports, **spec)], slices).ipv6.health_checks == ()


def test_node_ports_answer_at_the_nodes_addresses_or_where_told() -> None:
    assert ruleset([]).ipv4.node_port_addresses == ("192.0.2.1",)
    assert ruleset([], node_port_addresses=("10.0.0.0/8", "fd00::/8")).ipv4.node_port_addresses == (
        "10.0.0.0/8",
    )


def test_overlapping_ranges_are_merged_and_what_is_no_address_is_left_out() -> None:
    ranges = ["10.0.0.0/8", "10.1.0.0/16", " 192.0.2.7/32", "2001:db8::/32"]
    spec = service(
        type="LoadBalancer", loadBalancerSourceRanges=ranges, externalIPs=["010.0.0.1", "10.0.0.1"]
    )

    rules = only(ruleset([spec]))

    assert rules.source_ranges == ("10.0.0.0/8", "192.0.2.7")
    assert rules.external_ips == ("10.0.0.1",)
    assert ruleset([], node_ip="not-an-address").ipv4.node_port_addresses == ()


def test_order_of_arrival_does_not_matter() -> None:
    services = [service("a"), service("b", clusterIP="10.96.0.11")]
    slices = [
        endpoint_slice(endpoint("10.0.0.1"), endpoint("10.0.0.2")),
        endpoint_slice(endpoint("10.0.0.3"), service="b", name="b-1"),
    ]

    assert ruleset(services, slices) == ruleset(services[::-1], slices[::-1])

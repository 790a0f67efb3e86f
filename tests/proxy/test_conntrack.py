"""UDP flows that must be forgotten."""

from __future__ import annotations

from kplane.proxy.conntrack import stale_flows
from kplane.proxy.plan import Ruleset

from .support import endpoint, endpoint_slice, hints, ruleset, service

UDP = {"protocol": "UDP"}
TO_SERVICE = ("--proto", "udp", "--orig-dst", "10.96.0.10", "--dport", "80")


def udp(*ips: str, protocol: str = "UDP") -> Ruleset:
    port = {"protocol": protocol}
    slices = [endpoint_slice(*(endpoint(ip) for ip in ips), port=port)]
    return ruleset([service(port=port)], slices)


def test_flows_to_a_removed_endpoint_are_forgotten() -> None:
    assert stale_flows(udp("10.0.0.1", "10.0.0.2"), udp("10.0.0.2")) == [
        (*TO_SERVICE, "--dst-nat", "10.0.0.1")
    ]


def test_flows_of_a_removed_service_are_forgotten() -> None:
    assert stale_flows(udp("10.0.0.1"), ruleset([])) == [(*TO_SERVICE, "--dst-nat", "10.0.0.1")]


def test_flows_that_found_nobody_are_forgotten_when_the_first_endpoint_comes() -> None:
    assert stale_flows(udp(), udp("10.0.0.1")) == [TO_SERVICE]


def test_what_an_endpoint_has_begun_it_may_end() -> None:
    def rules(zone: str, **conditions: bool) -> Ruleset:
        near = endpoint("10.0.0.1", hints=hints(zones=["a"]), **conditions)
        far = endpoint("10.0.0.2", hints=hints(zones=["b"]))
        return ruleset([service(port=UDP)], [endpoint_slice(near, far, port=UDP)], zone=zone)

    leaving = rules("b", ready=False, serving=True, terminating=True)
    gone = rules("b", ready=False, serving=False, terminating=True)

    assert stale_flows(rules("a"), rules("b")) == []
    assert stale_flows(rules("a"), leaving) == []
    assert stale_flows(leaving, gone) == [(*TO_SERVICE, "--dst-nat", "10.0.0.1")]


def test_flows_to_endpoints_that_are_published_unready_stay() -> None:
    published = endpoint_slice(endpoint("10.0.0.1", ready=True, serving=False), port=UDP)

    assert stale_flows(udp("10.0.0.1"), ruleset([service(port=UDP)], [published])) == []


def test_a_further_endpoint_and_tcp_leave_flows_alone() -> None:
    assert stale_flows(udp("10.0.0.1"), udp("10.0.0.1", "10.0.0.2")) == []
    assert stale_flows(udp("10.0.0.1", protocol="TCP"), udp(protocol="TCP")) == []

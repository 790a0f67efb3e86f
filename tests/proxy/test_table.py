"""Transactions between tables."""

from __future__ import annotations

from kplane.proxy.nftables import IPV4, Options, render
from kplane.proxy.table import Chain, Set, Table, transaction

from .support import endpoint, endpoint_slice, ruleset, service

SETS = {"ports": Set("map", "type inet_service : verdict ;")}


def table(chains: dict[str, Chain], elements: dict[str, str]) -> Table:
    return Table("ip", "t", SETS, chains, {"ports": elements})


def test_equal_tables_need_no_statement() -> None:
    same = table({"a": Chain(("drop",))}, {"80": "goto a"})

    assert list(transaction(same, same)) == []


def test_new_chains_come_before_and_old_ones_go_after_what_refers_to_them() -> None:
    old = table({"a": Chain(("drop",))}, {"80": "goto a"})
    new = table({"b": Chain(("accept",))}, {"80": "goto b"})

    assert list(transaction(old, new)) == [
        "add chain ip t b",
        "add rule ip t b accept",
        "delete element ip t ports { 80 }",
        "add element ip t ports { 80 : goto b }",
        "flush chain ip t a",
        "delete chain ip t a",
    ]


def test_a_table_in_unknown_state_is_replaced() -> None:
    statements = list(transaction(None, table({}, {})))

    assert statements[:3] == [
        "add table ip t",
        "delete table ip t",
        'add table ip t { comment "Services, by kplane" ; }',
    ]


def test_one_more_endpoint_changes_one_rule() -> None:
    def rules(*ips: str) -> Table:
        slices = [endpoint_slice(*(endpoint(ip) for ip in ips))]
        return render(ruleset([service()], slices).ipv4, IPV4, Options())

    statements = list(transaction(rules("10.0.0.1", "10.0.0.2"), rules("10.0.0.1", "10.0.0.2", "10.0.0.3")))

    assert [statement.split()[:2] for statement in statements] == [
        ["flush", "chain"],
        ["add", "rule"],
        ["add", "element"],
    ]


def test_the_first_service_to_claim_an_address_has_it() -> None:
    services = [service("a", externalIPs=["198.51.100.1"]), service("b", externalIPs=["198.51.100.1"])]
    services[1]["spec"]["clusterIP"], services[1]["spec"]["clusterIPs"] = "10.96.0.11", ["10.96.0.11"]
    slices = [endpoint_slice(endpoint("10.0.0.1"), service=name, name=name) for name in "ab"]

    rendered = render(ruleset(services, slices).ipv4, IPV4, Options())

    assert rendered.elements["service-ips"]["198.51.100.1 . tcp . 80"].endswith("-default/a/tcp/")

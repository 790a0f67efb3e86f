"""The proxy's flags."""

from __future__ import annotations

import pytest

from kplane.proxy.config import Address, parse
from kplane.runtime.process import Fatal


def test_flags_have_upstreams_names() -> None:
    config = parse(
        [
            "--hostname-override=n1",
            "--cluster-cidr=10.244.0.0/16,fd00::/64",
            "--nodeport-addresses=10.0.0.0/8,192.168.0.0/16",
            "--healthz-bind-address=[::1]:0",
            "--metrics-bind-address=127.0.0.1",
            "--nftables-min-sync-period=500ms",
        ]
    )

    assert config.node_name == "n1"
    assert config.node_port_addresses == ("10.0.0.0/8", "192.168.0.0/16")
    assert (config.healthz, config.metrics) == (Address("::1", 0), Address("127.0.0.1", 10249))
    assert config.min_sync_period == 0.5


def test_node_ports_answer_at_the_nodes_own_addresses_by_default() -> None:
    assert parse([]).node_port_addresses == ("primary",)
    assert parse([]).node_name


@pytest.mark.parametrize(
    "flag",
    [
        "--cluster-cidr=10.244",
        "--nodeport-addresses=everywhere",
        "--healthz-bind-address=localhost:1",
        "--nftables-min-sync-period=often",
        "--proxy-mode=ipvs",
    ],
)
def test_flags_that_make_no_sense_are_fatal(flag: str) -> None:
    with pytest.raises(Fatal):
        parse([flag])

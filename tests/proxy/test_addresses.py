"""Addresses of this machine, as the kernel lists them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from kplane.proxy.addresses import listening_at, local_addresses

TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/8 2 0 2
        |-- 10.0.0.0
           /24 link UNICAST
        |-- 10.0.0.7
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
Local:
     |-- 10.0.0.7
        /32 host LOCAL
"""
INET6 = """00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000007 02 40 00 80     eth0
"""
LOCAL = ("10.0.0.7", "127.0.0.1", "::1", "fd00::7")


def test_local_addresses_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(TRIE)
    (tmp_path / "if_inet6").write_text(INET6)

    assert tuple(local_addresses(tmp_path)) == LOCAL


def test_a_kernel_without_a_family_has_no_addresses_of_it(tmp_path: Path) -> None:
    assert local_addresses(tmp_path) == []


def test_this_machine_has_the_address_that_it_speaks_to_itself_from() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.1", 9))
        assert probe.getsockname()[0] in local_addresses()


@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [
        pytest.param(["192.0.2.1", "fd00::1"], 4, ["192.0.2.1"], id="an-address-whether-it-is-here-or-not"),
        pytest.param(["10.0.0.0/8", "fd00::/8"], 4, ["10.0.0.7"], id="those-in-a-network"),
        pytest.param(["10.0.0.0/8", "fd00::/8"], 6, ["fd00::7"], id="of-the-other-family"),
        pytest.param(["10.0.0.0/8", "0.0.0.0/0"], 4, ["0.0.0.0"], id="everywhere"),
        pytest.param(["::/0"], 6, ["::"], id="everywhere-of-the-other-family"),
        pytest.param(["172.16.0.0/12"], 4, [], id="nowhere"),
    ],
)
def test_networks_stand_for_the_addresses_in_them(
    wanted: Sequence[str], version: int, expected: Sequence[str]
) -> None:
    assert listening_at(wanted, version, LOCAL) == expected

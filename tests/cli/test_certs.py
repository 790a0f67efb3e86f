"""`kplane certs`: what is shown, and what a renewal changes."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kplane.cli import certs
from kplane.cli.layout import Layout
from kplane.cli.prepare import write_admin_kubeconfig
from kplane.client import kubeconfig
from kplane.runtime import pki
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock

SERVER = "https://127.0.0.1:6443"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def layout(tmp_path: Path, clock: VirtualClock) -> Layout:
    made = Layout(tmp_path)
    pki.ensure(made.pki, server_names=["kubernetes"], server_ips=[], clock=clock)
    write_admin_kubeconfig(made, SERVER)
    return made


def test_the_table_tells_what_is_left(
    layout: Layout, clock: VirtualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs.check(layout, clock, "")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("   ")[0].strip() == "CERTIFICATE"
    assert ["admin", "Jan 01, 2027 00:00 UTC", "1y", "ca"] in [
        [cell.strip() for cell in line.split("   ") if cell.strip()] for line in lines
    ]
    assert any(line.startswith("front-proxy-ca ") for line in lines)


async def test_a_certificate_that_has_ended_is_told(
    layout: Layout, clock: VirtualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await clock.advance(timedelta(days=366).total_seconds())

    assert not certs.check(layout, clock, "json")

    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["admin"]["residualTime"] == 0
    assert found["ca"]["residualTime"] > 0


async def test_renewal_of_all_reaches_the_administrators_kubeconfig(
    layout: Layout, clock: VirtualClock
) -> None:
    before = {path.name: path.read_bytes() for path in layout.pki.glob("*.crt")}
    await clock.advance(timedelta(days=366).total_seconds())

    certs.renew(layout, [], clock)

    assert certs.check(layout, clock, "")
    after = {path.name: path.read_bytes() for path in layout.pki.glob("*.crt")}
    assert {name for name in before if before[name] == after[name]} == {"ca.crt", "front-proxy-ca.crt"}
    credentials = kubeconfig.load(layout.admin_kubeconfig)
    assert credentials.server == SERVER
    assert credentials.certificate == after["admin.crt"]
    key = (layout.pki / "admin.key").read_bytes()
    assert credentials.key == key
    assert x509.load_pem_x509_certificate(after["admin.crt"]).not_valid_after_utc > clock.now()


def test_one_certificate_can_be_renewed_alone(layout: Layout, clock: VirtualClock) -> None:
    before = {path.name: path.read_bytes() for path in layout.pki.glob("*.crt")}

    certs.renew(layout, ["apiserver"], clock)

    after = {path.name: path.read_bytes() for path in layout.pki.glob("*.crt")}
    assert {name for name in before if before[name] != after[name]} == {"apiserver.crt"}


def test_a_folder_without_certificates_is_told(tmp_path: Path, clock: VirtualClock) -> None:
    with pytest.raises(Fatal, match="there are no certificates in"):
        certs.check(Layout(tmp_path), clock, "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "<invalid>"), (59, "59s"), (3600, "1h"), (86400 * 364, "364d"), (86400 * 800, "2y")],
)
def test_residual_times_are_kubeadms(seconds: int, text: str) -> None:
    assert certs.residual(timedelta(seconds=seconds)) == text

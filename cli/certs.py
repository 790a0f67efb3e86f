"""`kplane certs check|renew`: when a cluster's certificates end, and new ones before they do.

Reads and writes: the data folder's certificates, and the kubeconfigs that hold some of them. Works whether or
not the cluster runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import typer

from kplane.api.clock import Clock, rfc3339
from kplane.client import kubeconfig
from kplane.runtime import renewal
from kplane.runtime.process import Fatal
from kplane.runtime.renewal import Held

from .layout import Layout
from .prepare import KUBECONFIGS, write_admin_kubeconfig, write_kubeconfigs

ADMIN = "admin"


def check(layout: Layout, clock: Clock, output: str) -> bool:
    """Print when each certificate ends; False if one has ended. Raises Fatal."""
    found, now = _held(layout), clock.now()
    if output == "json":
        typer.echo(json.dumps([_entry(held, now) for held in found], indent=2))
        return all(held.expires > now for held in found)
    leaves = [("CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "CERTIFICATE AUTHORITY")]
    authorities = [("CERTIFICATE AUTHORITY", "EXPIRES", "RESIDUAL TIME")]
    for held in found:
        times = f"{held.expires:%b %d, %Y %H:%M UTC}", residual(held.expires - now)
        if held.is_authority:
            authorities.append((held.name, *times))
        else:
            leaves.append((held.name, *times, held.authority or "unknown"))
    typer.echo(f"{columns(leaves)}\n\n{columns(authorities)}")
    return all(held.expires > now for held in found)


def renew(layout: Layout, names: Sequence[str], clock: Clock) -> None:
    """Renew these certificates, or all that their authorities can. Raises Fatal."""
    found = _held(layout)
    chosen = names or [held.name for held in found if held.renewable]
    server = _server(layout)
    for name in chosen:
        renewal.renew(layout.pki, name, clock)
        typer.echo(f"renewed {name}")
    if ADMIN in chosen and layout.admin_kubeconfig.exists():
        write_admin_kubeconfig(layout, server)
    write_kubeconfigs(layout, [name for name in chosen if _embedded(layout, name)], server)


def residual(left: timedelta) -> str:
    """As kubeadm rounds it: the largest unit alone."""
    seconds = int(left.total_seconds())
    if seconds < 0:
        return "<invalid>"
    for size, unit in ((365 * 86400, "y"), (86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lines with the cells of each column below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _held(layout: Layout) -> Sequence[Held]:
    if not layout.pki.is_dir():
        raise Fatal(f"there are no certificates in {layout.pki}; is this the --data-dir of a cluster?")
    return renewal.held(layout.pki)


def _embedded(layout: Layout, name: str) -> bool:
    """Whether `kplane init` has put the certificate into a kubeconfig here."""
    return name in KUBECONFIGS and (layout.root / KUBECONFIGS[name]).exists()


def _server(layout: Layout) -> str:
    try:
        return kubeconfig.load(layout.administrator).server
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error


def _entry(held: Held, now: datetime) -> dict[str, object]:
    return {
        "name": held.name,
        "expirationDate": rfc3339(held.expires),
        "residualTime": max(int((held.expires - now).total_seconds()), 0),
        "caName": held.authority,
        "isAuthority": held.is_authority,
        "externallyManaged": not held.renewable and not held.is_authority,
    }

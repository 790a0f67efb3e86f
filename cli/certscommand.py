"""The command group `kplane certs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kplane.api.clock import SystemClock

from .layout import Layout, default_root

app = typer.Typer(no_args_is_help=True, help="When certificates end, and their renewal.")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the cluster keeps its files.")]


@app.command("check")
def check_command(
    data_dir: DataDir = None,
    output: Annotated[str, typer.Option("--output", "-o", help="json for machines.")] = "",
) -> None:
    """Show when each certificate ends; exit status 1 if one has ended."""
    from . import certs

    good = certs.check(_layout(data_dir), SystemClock(), output)
    raise typer.Exit(0 if good else 1)


@app.command("renew")
def renew_command(
    names: Annotated[list[str] | None, typer.Argument(help="Which ones; all by default.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make new certificates, signed by the cluster's authorities."""
    from . import certs

    certs.renew(_layout(data_dir), names or [], SystemClock())


def _layout(data_dir: Path | None) -> Layout:
    return Layout((data_dir or default_root()).resolve())

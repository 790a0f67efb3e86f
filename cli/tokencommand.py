"""The command group `kplane token`, with kubeadm's flags."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from kplane.api.clock import Entropy, SystemClock
from kplane.runtime.process import Fatal, flag_duration, run

from .layout import Layout, default_root

app = typer.Typer(no_args_is_help=True, help="Bootstrap tokens, by which nodes join.")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The cluster in this folder.")]
Kubeconfig = Annotated[Path | None, typer.Option("--kubeconfig", help="The kubeconfig to use.")]


@app.command("create")
def create_command(
    token: Annotated[str, typer.Argument(help="ID.SECRET; made up by default.")] = "",
    ttl: Annotated[str, typer.Option(help="How long it is good, such as 2h; 0: for ever.")] = "24h0m0s",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    groups: Annotated[str, typer.Option(help="As a member of which groups it authenticates.")] = "",
    usages: Annotated[str, typer.Option(help="What it may be used for.")] = "signing,authentication",
    print_join_command: Annotated[bool, typer.Option(help="Print how a node joins with it.")] = False,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token."""
    from kplane.client.rest import Client

    from . import tokens
    from .clusterinfo import BOOTSTRAPPERS

    wish = tokens.Wish(
        tokens.parse_token(token) if token else tokens.generate(Entropy()),
        seconds(ttl, "--ttl"),
        description,
        _listed(groups) or [BOOTSTRAPPERS],
        _listed(usages),
    )

    async def create(client: Client) -> None:
        await tokens.create(client, wish, SystemClock())
        typer.echo(await tokens.join_command(client, wish.token) if print_join_command else str(wish.token))

    _ask("create", kubeconfig, data_dir, create)


@app.command("list")
def list_command(kubeconfig: Kubeconfig = None, data_dir: DataDir = None) -> None:
    """Show all tokens."""
    from kplane.client.rest import Client

    from . import tokens

    async def show(client: Client) -> None:
        typer.echo(await tokens.listing(client, SystemClock().now()))

    _ask("list", kubeconfig, data_dir, show)


@app.command("delete")
def delete_command(
    names: Annotated[list[str], typer.Argument(help="Tokens, or their ids.")],
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
) -> None:
    """Delete tokens."""
    from kplane.client.rest import Client

    from . import tokens

    async def delete(client: Client) -> None:
        for name in names:
            typer.echo(f'bootstrap token "{await tokens.delete(client, name)}" deleted')

    _ask("delete", kubeconfig, data_dir, delete)


@app.command("generate")
def generate_command() -> None:
    """Make up a token and print it; no cluster learns of it."""
    from . import tokens

    typer.echo(str(tokens.generate(Entropy())))


def seconds(text: str, flag: str) -> float:
    """Of a duration. Raises Fatal."""
    try:
        return flag_duration(text)
    except argparse.ArgumentTypeError as error:
        raise Fatal(f"{flag}: {error}") from error


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _ask(verb: str, given: Path | None, data_dir: Path | None, work: Callable[..., Awaitable[None]]) -> None:
    """Do the work with a client of the cluster, and end the command."""
    from kplane.api.errors import ApiError
    from kplane.client import kubeconfig
    from kplane.client.rest import connect

    own = Layout((data_dir or default_root()).resolve()).administrator
    chosen = given or (own if data_dir is not None or own.exists() else None)

    async def ask() -> None:
        try:
            client = connect(kubeconfig.load(chosen))
        except kubeconfig.ConfigError as error:
            raise Fatal(str(error)) from error
        try:
            await work(client)
        except ApiError as error:
            raise Fatal(str(error)) from error
        finally:
            await client.close()

    raise typer.Exit(run(f"kplane token {verb}", ask))

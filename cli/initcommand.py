"""The command `kplane init` and its phases, with kubeadm's flags where it has them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from kplane.api.clock import Entropy, SystemClock
from kplane.runtime.process import Fatal, run

from .layout import Layout, default_root
from .options import reachable_at
from .tokencommand import seconds

ANY = "0.0.0.0"  # noqa: S104

app = typer.Typer(
    invoke_without_command=True, help="Prepare a control plane whose components run apart from each other."
)
phases = typer.Typer(no_args_is_help=True, help="One step of it.")
app.add_typer(phases, name="phase")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the files go.")]

SuperAdmin = Annotated[
    Path | None, typer.Option("--kubeconfig", help="The super-admin's; DATA-DIR/super-admin.conf.")
]


@app.callback()
def init_command(
    context: typer.Context,
    data_dir: DataDir = None,
    endpoint: Annotated[
        str, typer.Option("--control-plane-endpoint", help="HOST[:PORT] under which all reach the API.")
    ] = "",
    address: Annotated[
        str, typer.Option("--apiserver-advertise-address", help="The API server's own address.")
    ] = "",
    port: Annotated[int, typer.Option("--apiserver-bind-port", min=1, max=65535)] = 6443,
    names: Annotated[
        list[str] | None,
        typer.Option("--apiserver-cert-extra-sans", help="More names and addresses of it: A,B,…"),
    ] = None,
    service_cidr: Annotated[str, typer.Option(help="Range of the Services' addresses.")] = "10.96.0.0/16",
    etcd_servers: Annotated[
        str, typer.Option(help="Members of etcd, U,…; they get certificates.")
    ] = "https://127.0.0.1:2379",
) -> None:
    """Make certificates and kubeconfigs, and say how to start each component."""
    if context.invoked_subcommand is not None:
        return
    from . import init

    layout = Layout((data_dir or default_root()).resolve())
    wish = init.Wish(
        endpoint=endpoint,
        advertise_address=address if address or endpoint else reachable_at(ANY),
        port=port,
        extra_names=[name for text in names or () for name in _listed(text)],
        service_cidr=service_cidr,
        etcd_servers=_listed(etcd_servers),
    )
    made = init.init(layout, wish, SystemClock())
    typer.echo(
        f"Certificates and kubeconfigs are in {layout.root}. Start the components with what they name:\n"
    )
    for command in made:
        typer.echo(f"# {command.where}\n{shlex.join(command.words)}\n")


@phases.command("bootstrap-token")
def bootstrap_token_command(
    data_dir: DataDir = None,
    kubeconfig: SuperAdmin = None,
    token: Annotated[str, typer.Option(help="ID.SECRET; made up by default.")] = "",
    ttl: Annotated[str, typer.Option("--token-ttl", help="How long it is good; 0: for ever.")] = "24h0m0s",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Let nodes join: rights, cluster-info and a token. Prints the command by which they do."""
    from kplane.api.errors import ApiError

    from . import init, tokens
    from .prepare import KUBECONFIGS

    wish = tokens.Wish(
        tokens.parse_token(token) if token else tokens.generate(Entropy()),
        seconds(ttl, "--token-ttl"),
        description,
    )
    root = (data_dir or default_root()).resolve()

    async def prepare() -> None:
        try:
            path = kubeconfig or root / KUBECONFIGS["super-admin"]
            typer.echo(await init.let_nodes_join(path, wish, SystemClock()))
        except ApiError as error:
            raise Fatal(str(error)) from error

    raise typer.Exit(run("kplane init phase bootstrap-token", prepare))


@phases.command("metrics-server")
def metrics_server_command(
    address: Annotated[
        str, typer.Option("--metrics-server-address", help="HOST[:PORT] where the API server finds it.")
    ],
    data_dir: DataDir = None,
    kubeconfig: SuperAdmin = None,
) -> None:
    """Give the metrics server its rights, and its place behind the API server."""
    from kplane.api.errors import ApiError

    from . import init
    from .prepare import KUBECONFIGS

    path = kubeconfig or (data_dir or default_root()).resolve() / KUBECONFIGS["super-admin"]

    async def announce() -> None:
        try:
            await init.announce_metrics_server(path, address)
        except ApiError as error:
            raise Fatal(str(error)) from error

    raise typer.Exit(run("kplane init phase metrics-server", announce))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]

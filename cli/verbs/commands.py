"""The verbs' flags, named and written as kubectl's. Each verb is imported when it is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from .choices import Cascade, DryRun

BOOLEAN = frozenset(
    (
        "all", "all-namespaces", "follow", "force", "force-conflicts", "ignore-not-found", "no-headers",
        "now", "previous", "recursive", "server-side", "show-labels", "show-managed-fields", "stdin",
        "timestamps", "tty", "wait", "watch", "watch-only",
    )
)  # fmt: skip
"""Flags that kubectl's users also write as `--wait=false`."""

_BOOLEAN = re.compile(r"--([a-z-]+)=(true|false|t|f|1|0)", re.IGNORECASE)
_SHORT = re.compile(r"(-[A-Za-z])=(.*)", re.DOTALL)


Kubeconfig = Annotated[Path | None, typer.Option("--kubeconfig", help="The kubeconfig to use.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The cluster in this folder.")]
Context = Annotated[str | None, typer.Option("--context", help="The kubeconfig's context to use.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="The namespace to look in.")]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Look in every namespace.")]
Selector = Annotated[str, typer.Option("--selector", "-l", help="Labels to select by, such as app=web.")]
FieldSelector = Annotated[str, typer.Option("--field-selector", help="Fields to select by.")]
Files = Annotated[
    list[str] | None, typer.Option("--filename", "-f", help="A file, a folder, or - for stdin.")
]
Recursive = Annotated[bool, typer.Option("--recursive", "-R", help="Folders inside folders too.")]
IgnoreNotFound = Annotated[bool, typer.Option("--ignore-not-found", help="What is not there is no error.")]
DryRunFlag = Annotated[DryRun, typer.Option("--dry-run", help="Only say what would be done.")]
Container = Annotated[str, typer.Option("--container", "-c", help="The container; the first by default.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="TYPE [NAME…] | TYPE/NAME…", show_default=False)]
Pod = Annotated[str, typer.Argument(metavar="POD | TYPE/NAME", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add every verb to the command line, which then lists them in its help."""
    for name, verb in verbs().items():
        app.command(name)(verb)


def verb_app(name: str) -> typer.Typer:
    """One verb as a command line of its own. Flags cost time when they are declared to the parser: those of
    the other commands are left out."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name)(verbs()[name])
    return app


def verbs() -> Mapping[str, Callable[..., None]]:
    return {"get": get, "apply": apply, "delete": delete, "logs": logs, "exec": execute}


def normalised(words: Sequence[str]) -> list[str]:
    """A verb's arguments with kubectl's ways of writing flags turned into one: `--wait=false`, `-o=yaml`.
    What follows `--` stays as it is."""
    end = words.index("--") if "--" in words else len(words)
    return [*(part for word in words[:end] for part in _parts(word)), *words[end:]]


def _parts(word: str) -> Sequence[str]:
    if short := _SHORT.fullmatch(word):
        return short.groups()
    flag = _BOOLEAN.fullmatch(word)
    if flag is None or flag[1] not in BOOLEAN:
        return (word,)
    if flag[2].lower() in ("true", "t", "1"):
        return (f"--{flag[1]}",)
    return ("--no-wait",) if flag[1] == "wait" else ()


def get(
    words: Words = None,
    output: Annotated[str, typer.Option("--output", "-o", help="wide, yaml, json, name, jsonpath=….")] = "",
    selector: Selector = "",
    field_selector: FieldSelector = "",
    all_namespaces: AllNamespaces = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Then show every change.")] = False,
    watch_only: Annotated[bool, typer.Option("--watch-only", help="Show changes only.")] = False,
    no_headers: Annotated[bool, typer.Option("--no-headers", help="Rows without headers.")] = False,
    show_labels: Annotated[bool, typer.Option("--show-labels", help="Labels as the last column.")] = False,
    label_columns: Annotated[
        list[str] | None, typer.Option("--label-columns", "-L", help="Labels as columns.")
    ] = None,
    ignore_not_found: IgnoreNotFound = False,
    chunk_size: Annotated[int, typer.Option(min=0, help="How many objects to ask for at once.")] = 500,
    managed_fields: Annotated[
        bool, typer.Option("--show-managed-fields", help="With managedFields.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
) -> None:
    """Show objects."""
    from .get import Options
    from .get import get as verb
    from .session import Where, run

    options = Options(
        output=output,
        all_namespaces=all_namespaces,
        selector=selector,
        field_selector=field_selector,
        headers=not no_headers,
        show_labels=show_labels,
        label_columns=_split(label_columns),
        watch=watch,
        watch_only=watch_only,
        ignore_not_found=ignore_not_found,
        chunk_size=chunk_size,
        managed_fields=managed_fields,
    )
    where = Where(kubeconfig, data_dir, context, namespace)
    raise typer.Exit(run(where, lambda session: verb(session, words or (), options)))


def apply(
    files: Files = None,
    recursive: Recursive = False,
    dry_run: DryRunFlag = DryRun.NONE,
    server_side: Annotated[bool, typer.Option("--server-side", help="Let the server merge.")] = False,
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="Take fields from other managers.")
    ] = False,
    field_manager: Annotated[str, typer.Option("--field-manager", help="Whose the fields are.")] = "",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
) -> None:
    """Make the cluster hold what manifests say."""
    from .apply import Options
    from .apply import apply as verb
    from .session import Where, run

    options = Options(
        files=_split(files),
        recursive=recursive,
        dry_run=dry_run,
        server_side=server_side,
        force_conflicts=force_conflicts,
        field_manager=field_manager,
    )
    where = Where(kubeconfig, data_dir, context, namespace)
    raise typer.Exit(run(where, lambda session: verb(session, options)))


def delete(
    words: Words = None,
    files: Files = None,
    recursive: Recursive = False,
    selector: Selector = "",
    field_selector: FieldSelector = "",
    every: Annotated[bool, typer.Option("--all", help="All objects of the type.")] = False,
    all_namespaces: AllNamespaces = False,
    grace_period: Annotated[int, typer.Option(help="Seconds to end in; the object's own if negative.")] = -1,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for what runs to end.")] = False,
    now: Annotated[bool, typer.Option("--now", help="The same as --grace-period=1.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return once the objects are gone.")] = True,
    ignore_not_found: IgnoreNotFound = False,
    cascade: Annotated[Cascade, typer.Option(help="What becomes of dependents.")] = Cascade.BACKGROUND,
    dry_run: DryRunFlag = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
) -> None:
    """Delete objects, and wait until they are gone."""
    from .delete import Options
    from .delete import delete as verb
    from .session import Where, run

    options = Options(
        files=_split(files),
        recursive=recursive,
        selector=selector,
        field_selector=field_selector,
        all=every,
        all_namespaces=all_namespaces,
        grace_period=grace_period,
        force=force,
        now=now,
        wait=wait,
        ignore_not_found=ignore_not_found,
        cascade=cascade,
        dry_run=dry_run,
    )
    where = Where(kubeconfig, data_dir, context, namespace)
    raise typer.Exit(run(where, lambda session: verb(session, words or (), options)))


def logs(
    pod: Pod,
    container_word: Annotated[str, typer.Argument(metavar="[CONTAINER]", show_default=False)] = "",
    container: Container = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    tail: Annotated[int, typer.Option(help="Only so many of the last lines; all if -1.")] = -1,
    since: Annotated[str, typer.Option(help="Only what is newer than this, such as 5s, 2m or 3h.")] = "",
    since_time: Annotated[str, typer.Option(help="Only what is newer than this RFC 3339 time.")] = "",
    limit_bytes: Annotated[int, typer.Option(min=0, help="No more bytes than this.")] = 0,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="The time before each line.")] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the run before this one.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
) -> None:
    """Print what a container has written."""
    from .logs import Options
    from .logs import logs as verb
    from .session import Where, run

    options = Options(
        container=container or container_word,
        follow=follow,
        tail=tail,
        since=since,
        since_time=since_time,
        limit_bytes=limit_bytes,
        timestamps=timestamps,
        previous=previous,
    )
    where = Where(kubeconfig, data_dir, context, namespace)
    raise typer.Exit(run(where, lambda session: verb(session, pod, options)))


def execute(
    pod: Pod,
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND…", show_default=False)] = None,
    container: Container = "",
    stdin: Annotated[bool, typer.Option("--stdin", "-i", help="Pass our input to the command.")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Our terminal is the command's.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
) -> None:
    """Run a command in a container; its exit status becomes ours."""
    from .exec import Options, exec_command
    from .session import Where, run

    options = Options(container=container, stdin=stdin, tty=tty)
    where = Where(kubeconfig, data_dir, context, namespace)
    raise typer.Exit(run(where, lambda session: exec_command(session, pod, command or (), options)))


def _split(values: Sequence[str] | None) -> tuple[str, ...]:
    """A flag that may be repeated and may hold a comma list."""
    return tuple(part for value in values or () for part in value.split(",") if part)

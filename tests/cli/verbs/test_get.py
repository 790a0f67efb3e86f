"""`kplane get`: what is found, how it is shown, and what changes while it is watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from kplane.api.resource import Object
from kplane.api.types import ConfigMap, Namespace
from kplane.cli.verbs.failures import CommandError
from kplane.cli.verbs.get import Options, get
from kplane.cli.verbs.session import Session
from kplane.testing.waiting import eventually


def configmap(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


async def fill(session: Session, *names: str, namespace: str = "default") -> None:
    for name in names:
        await session.client.create(ConfigMap, configmap(name, app=name), namespace)


async def test_long_lists_come_page_by_page_and_print_as_one(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(session, *"abcde")

    assert await get(session, ["cm"], Options(chunk_size=2, headers=False)) == 0

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list("abcde")


async def test_namespaces_are_named_when_all_are_shown(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    await session.client.create(Namespace, {"metadata": {"name": "team"}})
    await fill(session, "one")
    await fill(session, "two", namespace="team")

    await get(session, ["configmaps"], Options(all_namespaces=True))

    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert rows == [["NAMESPACE", "NAME"], ["default", "one"], ["team", "two"]]


async def test_nothing_found_is_said_on_stderr(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert await get(session, ["cm"], Options(selector="app=none")) == 0

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "No resources found in default namespace.\n")


async def test_what_is_there_is_shown_though_something_is_missing(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(session, "one")

    assert await get(session, ["cm", "none", "one"], Options(output="name")) == 1

    said = capsys.readouterr()
    assert said.out == "configmap/one\n"
    assert said.err == 'Error from server (NotFound): configmaps "none" not found\n'


@pytest.mark.parametrize(
    ("words", "options", "fault"),
    [
        ([], Options(), "Required resource not specified"),
        (["foo"], Options(), 'the server doesn\'t have a resource type "foo"'),
        (["cm", "a"], Options(selector="a=b"), "name cannot be provided when a selector is specified"),
        (["cm/a", "svc"], Options(), "there is no need to specify a resource type"),
        (["cm"], Options(output="xml"), "unable to match a printer suitable for the output format"),
        (["cm,svc"], Options(watch=True), "you may only specify a single resource type"),
        (["cm", "a"], Options(all_namespaces=True), "a resource cannot be retrieved by name across all"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    session: Session, words: list[str], options: Options, fault: str
) -> None:
    with pytest.raises(CommandError, match=fault):
        await get(session, words, options)


class Watching:
    """A running `get --watch`, and what it has printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._shown = ""

    async def shows(self, *rows: list[str]) -> None:
        """Until just these rows, as far as their columns go, have been printed."""

        def found() -> bool:
            return [line[: len(row)] for line, row in zip(self.lines, rows, strict=False)] == list(rows)

        await eventually(found)

    @property
    def lines(self) -> list[list[str]]:
        """The columns of what has been printed so far."""
        self._shown += self._capsys.readouterr().out
        return [line.split() for line in self._shown.splitlines()]


@asynccontextmanager
async def watching(
    session: Session, capsys: pytest.CaptureFixture[str], *words: str, options: Options
) -> AsyncIterator[Watching]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(get(session, words, options))
        yield Watching(capsys)
        task.cancel()


async def test_watch_shows_the_list_and_then_every_change(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(session, "one")

    async with watching(session, capsys, "cm", options=Options(watch=True)) as watch:
        first = [["NAME", "DATA"], ["one", "0"]]
        await watch.shows(*first)
        await fill(session, "two")
        await session.client.patch(ConfigMap, "one", "default", {"data": {"a": "b"}})
        await session.client.delete(ConfigMap, "two", "default")
        await watch.shows(*first, ["two", "0"], ["one", "1"], ["two", "0"])


async def test_watch_of_one_object_leaves_others_out(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(session, "one", "two")
    options = Options(watch_only=True, output="jsonpath={.metadata.name}\n")
    numbers = count()

    async with watching(session, capsys, "cm", "two", options=options) as watch:

        async def seen() -> bool:
            # Until the watch has begun, nobody sees a change.
            data = {"data": {"a": str(next(numbers))}}
            for name in ("one", "two", "one"):
                await session.client.patch(ConfigMap, name, "default", data)
            return len(watch.lines) >= 2

        await eventually(seen)
        assert {name for [name] in watch.lines} == {"two"}

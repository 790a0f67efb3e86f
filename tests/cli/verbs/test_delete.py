"""`kplane delete`: what goes, what is said, and when it returns."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kplane.api.errors import NotFound
from kplane.api.resource import Object
from kplane.api.types import ConfigMap
from kplane.cli.verbs.choices import DryRun
from kplane.cli.verbs.delete import Options, delete
from kplane.cli.verbs.failures import CommandError
from kplane.cli.verbs.session import Session


def configmap(name: str, **metadata: object) -> Object:
    metadata = {"name": name, "labels": {"app": name[0]}} | metadata
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@pytest.fixture
async def filled(session: Session) -> Session:
    """Three ConfigMaps: a1, a2 and b1, labelled by their letter."""
    for name in ("a1", "a2", "b1"):
        await session.client.create(ConfigMap, configmap(name), "default")
    return session


async def left(session: Session) -> list[str]:
    return sorted(found.metadata.name for found in (await session.client.list(ConfigMap, "default")).items)


@pytest.mark.parametrize(
    ("words", "options", "remaining"),
    [
        pytest.param(["cm", "a1"], Options(), ["a2", "b1"], id="name"),
        pytest.param(["cm/a1", "configmap/b1"], Options(), ["a2"], id="pairs"),
        pytest.param(["cm"], Options(selector="app=a"), ["b1"], id="selector"),
        pytest.param(["cm"], Options(field_selector="metadata.name=b1"), ["a1", "a2"], id="fields"),
        pytest.param(["cm"], Options(all=True), [], id="all"),
        pytest.param(["cm", "a1"], Options(dry_run=DryRun.SERVER), ["a1", "a2", "b1"], id="server-dry-run"),
        pytest.param(["cm", "a1"], Options(dry_run=DryRun.CLIENT), ["a1", "a2", "b1"], id="client-dry-run"),
        pytest.param(["cm", "a1", "x"], Options(ignore_not_found=True), ["a2", "b1"], id="ignore-missing"),
    ],
)
async def test_just_what_is_meant_goes(
    filled: Session, words: list[str], options: Options, remaining: list[str]
) -> None:
    assert await delete(filled, words, options) == 0

    assert await left(filled) == remaining


async def test_what_is_missing_is_reported_and_the_rest_goes(
    filled: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await delete(filled, ["cm", "x", "a1"], Options()) == 1

    said = capsys.readouterr()
    assert said.out == 'configmap "a1" deleted from default namespace\n'
    assert said.err == 'Error from server (NotFound): configmaps "x" not found\n'


async def test_files_name_what_goes(filled: Session, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b1}\n")

    assert await delete(filled, [], Options(files=(str(manifest),))) == 0

    assert await left(filled) == ["a1", "a2"]


async def test_delete_returns_once_the_object_is_really_gone(session: Session) -> None:
    body = configmap("held", finalizers=["example.com/hold"])
    await session.client.create(ConfigMap, body, "default")

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        deleting = group.create_task(delete(session, ["cm", "held"], Options()))
        async for event in session.client.watch(ConfigMap, "default"):
            if event.object and event.object.metadata.deletion_timestamp:
                break
        assert not deleting.done()
        await session.client.patch(ConfigMap, "held", "default", {"metadata": {"finalizers": None}})
        assert await deleting == 0

    with pytest.raises(NotFound):
        await session.client.get(ConfigMap, "held", "default")


async def test_delete_need_not_wait(session: Session) -> None:
    body = configmap("held", finalizers=["example.com/hold"])
    await session.client.create(ConfigMap, body, "default")

    assert await delete(session, ["cm", "held"], Options(wait=False)) == 0

    assert (await session.client.get(ConfigMap, "held", "default")).metadata.deletion_timestamp


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (Options(), None),
        (Options(grace_period=5), 5),
        (Options(grace_period=0), 1),
        (Options(grace_period=0, force=True), 0),
        (Options(force=True), 0),
        (Options(now=True), 1),
    ],
)
def test_grace_seconds_are_zero_only_by_force(options: Options, seconds: int | None) -> None:
    assert options.grace_seconds == seconds


@pytest.mark.parametrize(
    ("words", "options", "fault"),
    [
        ([], Options(), "You must provide one or more resources by argument or filename"),
        (["cm"], Options(), "no name was specified"),
        (["cm"], Options(all=True, selector="a=b"), "setting 'all' parameter but found a non empty selector"),
        (["cm", "a"], Options(files=("x",)), "you may not specify resource arguments as well"),
        (["cm", "a"], Options(force=True, grace_period=3), "cannot be specified together"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    session: Session, words: list[str], options: Options, fault: str
) -> None:
    with pytest.raises(CommandError, match=fault):
        await delete(session, words, options)

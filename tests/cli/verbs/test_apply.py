"""`kplane apply`: what the cluster holds afterwards, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kplane.api.errors import NotFound
from kplane.api.resource import Object
from kplane.api.types import ConfigMap
from kplane.cli.verbs.apply import LAST_APPLIED, Options, apply
from kplane.cli.verbs.choices import DryRun
from kplane.cli.verbs.failures import CommandError
from kplane.cli.verbs.session import Session

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes manifests, one document each, into a file, and tells its name."""

    def write(*objects: Object, name: str = "manifest.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("\n---\n".join(json.dumps(obj) for obj in objects))
        return str(path)

    return write


def configmap(name: str = "settings", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def data_of(session: Session, name: str = "settings", namespace: str = "default") -> object:
    return (await session.client.get(ConfigMap, name, namespace)).data


async def test_created_configured_unchanged(
    session: Session, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for body in (configmap(a="1", b="2"), configmap(a="3"), configmap(a="3")):
        assert await apply(session, Options(files=(write(body),))) == 0

    said = capsys.readouterr().out.splitlines()
    assert said == [f"configmap/settings {what}" for what in ("created", "configured", "unchanged")]
    assert await data_of(session) == {"a": "3"}


async def test_fields_of_others_are_left_alone(session: Session, write: Write) -> None:
    await apply(session, Options(files=(write(configmap(a="1")),)))
    await session.client.patch(ConfigMap, "settings", "default", {"data": {"theirs": "x"}})

    await apply(session, Options(files=(write(configmap(b="2")),)))

    assert await data_of(session) == {"b": "2", "theirs": "x"}


async def test_object_made_otherwise_is_taken_over_with_a_warning(
    session: Session, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    await session.client.create(ConfigMap, configmap(a="1"), "default")

    await apply(session, Options(files=(write(configmap(a="1")),)))

    assert "resource configmaps/settings is missing" in capsys.readouterr().err
    found = await session.client.get(ConfigMap, "settings", "default")
    assert json.loads(found.metadata.annotations[LAST_APPLIED])["data"] == {"a": "1"}


async def test_folders_are_read_in_order_and_deeply_when_asked(
    session: Session, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(configmap("b"), name="2.yml")
    write(configmap("a"), configmap("c"), name="1.json.yaml")
    write({"apiVersion": "v1", "kind": "List", "items": [configmap("deep")]}, name="z/3.json")
    write(configmap("ignored"), name="notes.txt")

    await apply(session, Options(files=(str(tmp_path),)))
    flat = capsys.readouterr().out
    await apply(session, Options(files=(str(tmp_path),), recursive=True))

    assert [line.split()[0] for line in flat.splitlines()] == ["configmap/a", "configmap/c", "configmap/b"]
    assert capsys.readouterr().out.splitlines()[-1] == "configmap/deep created"


@pytest.mark.parametrize("dry_run", [DryRun.SERVER, DryRun.CLIENT])
async def test_dry_run_keeps_nothing(
    session: Session, write: Write, capsys: pytest.CaptureFixture[str], dry_run: DryRun
) -> None:
    await apply(session, Options(files=(write(configmap(a="1")),), dry_run=dry_run))

    assert capsys.readouterr().out == f"configmap/settings created{dry_run.suffix}\n"
    with pytest.raises(NotFound):
        await data_of(session)


async def test_one_failure_does_not_stop_the_rest(
    session: Session, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = configmap("bad") | {"metadata": {"name": "bad", "namespace": "nowhere"}}
    unknown = {"apiVersion": "example.com/v1", "kind": "Odd", "metadata": {"name": "x"}}
    path = write(bad, unknown, configmap("good"))

    assert await apply(session, Options(files=(path,))) == 1

    said = capsys.readouterr()
    assert said.out == "configmap/good created\n"
    assert said.err.splitlines()[:2] == [
        f'Error from server (NotFound): error when creating "{path}": namespaces "nowhere" not found',
        f'error: resource mapping not found for name: "x" namespace: "" from "{path}": '
        'no matches for kind "Odd" in version "example.com/v1"',
    ]


async def test_failures_do_not_show_what_was_sent(
    session: Session, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "immutable": True}
    await apply(session, Options(files=(write(secret | {"stringData": {"key": "first"}}),)))

    assert await apply(session, Options(files=(write(secret | {"stringData": {"key": "hush"}}),))) == 1

    assert "hush" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "no objects passed to apply"),
        ("kind: ConfigMap\nmetadata: {name: x}", "apiVersion not set"),
        ("apiVersion: v1\nmetadata: {name: x}", "kind not set"),
        ("a: [", "error converting YAML to JSON: yaml: line"),
        ("- 1\n- 2", "error parsing"),
    ],
)
async def test_files_that_hold_no_objects_are_refused(
    session: Session, tmp_path: Path, content: str, fault: str
) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(content)

    with pytest.raises(CommandError, match=fault):
        await apply(session, Options(files=(str(path),)))


async def test_missing_and_empty_places_are_refused(session: Session, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="does not exist"):
        await apply(session, Options(files=(str(tmp_path / "none"),)))
    with pytest.raises(CommandError, match="recognized file extensions are"):
        await apply(session, Options(files=(str(tmp_path),)))

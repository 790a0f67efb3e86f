"""What people write on the command line, and what it means."""

from __future__ import annotations

import pytest

from kplane.api.errors import ApiError, Forbidden, Unauthorized, Unreachable, invalid
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.cli.main import main
from kplane.cli.verbs import discovery
from kplane.cli.verbs.commands import normalised
from kplane.cli.verbs.failures import CommandError, describe
from kplane.cli.verbs.logs import Options
from kplane.cli.verbs.pods import choose_container, find_pod
from kplane.cli.verbs.session import Session


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (["pods", "-o=yaml", "-n=x"], ["pods", "-o", "yaml", "-n", "x"]),
        (["cm", "a", "--wait=false"], ["cm", "a", "--no-wait"]),
        (["cm", "--all=true", "--force=false"], ["cm", "--all"]),
        (["pod", "--", "--wait=false", "-o=x"], ["pod", "--", "--wait=false", "-o=x"]),
        (["--selector=a=b", "--dry-run=server"], ["--selector=a=b", "--dry-run=server"]),
    ],
)
def test_flags_may_be_written_as_for_kubectl(words: list[str], result: list[str]) -> None:
    assert normalised(words) == result


@pytest.mark.parametrize(
    "word",
    ["deployments", "deployment", "Deployment", "deploy", "deployments.apps", "deploy.v1.apps", "deploy.ap"],
)
async def test_a_kind_has_many_names(session: Session, word: str) -> None:
    kinds = await discovery.load(session.client)

    found = kinds.find(word).resource
    assert (found.group, found.version, found.plural) == ("apps", "v1", "deployments")


async def test_events_are_those_of_the_core_group(session: Session) -> None:
    kinds = await discovery.load(session.client)

    assert kinds.find("ev").resource.group == ""
    assert kinds.find("events.events.k8s.io").resource.group == "events.k8s.io"
    assert "pods" in [kind.resource.plural for kind in kinds.category("all")]
    assert not kinds.category("pods")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CommandError("no"), "error: no"),
        (Forbidden("pods is forbidden"), "Error from server (Forbidden): pods is forbidden"),
        (ApiError("odd"), "Error from server: odd"),
        (Unauthorized(), "error: You must be logged in to the server (Unauthorized)"),
        (Unreachable("timed out"), "Unable to connect to the server: timed out"),
        (invalid("Pod", "", "x", [Path("a").required()]), 'The Pod "x" is invalid: a: Required value'),
        (invalid("Pod", "", "x", [Path("a").required(), Path("b").required()]),
         'The Pod "x" is invalid: \n* a: Required value\n* b: Required value'),
    ],
)  # fmt: skip
def test_failures_read_as_kubectls(error: Exception, text: str) -> None:
    assert describe(error) == text


@pytest.mark.parametrize(
    ("flags", "query"),
    [
        (Options(), {}),
        (Options(follow=True, tail=5), {"follow": "true", "tailLines": "5"}),
        (Options(tail=0, since="1m30s"), {"tailLines": "0", "sinceSeconds": "90"}),
        (Options(previous=True, timestamps=True), {"previous": "true", "timestamps": "true"}),
    ],
)
def test_log_flags_become_the_apis(flags: Options, query: dict[str, str]) -> None:
    assert flags.query() == query


@pytest.mark.parametrize("flags", [Options(since="soon"), Options(since="0s"), Options(tail=-2)])
def test_log_flags_without_sense_are_refused(flags: Options) -> None:
    with pytest.raises(CommandError):
        flags.query()


def pod(name: str, **metadata: object) -> Object:
    containers = [{"name": "main", "image": "a"}, {"name": "side", "image": "b"}]
    spec = {"containers": containers, "initContainers": [{"name": "init", "image": "c"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def test_container_is_the_one_asked_for_or_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    annotations = {"kubectl.kubernetes.io/default-container": "side"}

    assert choose_container(pod("x"), "init") == "init"
    assert choose_container(pod("x", annotations=annotations), "") == "side"
    assert capsys.readouterr().err == ""
    assert choose_container(pod("x"), "") == "main"
    assert capsys.readouterr().err == 'Defaulted container "main" out of: main, side, init (init)\n'
    with pytest.raises(
        CommandError, match=r"container z is not valid for pod x out of: main, side, init \(init\)"
    ):
        choose_container(pod("x"), "z")


async def test_a_workload_stands_for_one_of_its_pods(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    await session.client.raw("POST", "/apis/apps/v1/namespaces/default/deployments", body=body)
    for name in ("one", "two"):
        await session.client.create(Pod, pod(name, labels=labels), "default")
    await session.client.create(Pod, pod("other"), "default")

    found = await find_pod(session, "deploy/web")

    assert found["metadata"]["name"] in ("one", "two")
    assert capsys.readouterr().err == f"Found 2 pods, using pod/{found['metadata']['name']}\n"
    assert (await find_pod(session, "pod/other"))["metadata"]["name"] == "other"


def test_a_kubeconfig_that_is_missing_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "pods", "--kubeconfig", "/nowhere/config"]) == 1

    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "", "error: cannot read the kubeconfig /nowhere/config: No such file or directory\n",
    )  # fmt: skip

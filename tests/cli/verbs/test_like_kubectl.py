"""The same command line for kubectl and for kplane prints the same and ends the same."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from .conftest import CommandLines, Said

pytestmark = pytest.mark.slow

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: blue, text: "two\\nlines", flag: "yes", number: "1", html: "<a&b>"}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "web:1", env: [{name: A, value: "1"}, {name: B, value: "2"}]}]
"""

GETS = """
get configmaps
get cm/settings svc/web
get cm,svc,deploy --show-labels
get svc -o wide
get all -A
get cm -A --no-headers
get deployment web -o yaml
get cm settings -o yaml
get cm settings -o json
get svc,deploy -o name
get svc nope web
get cm,secrets -l app=web
get secrets
get ns -l a=b
get persistentvolumes -A
get foo
get cm settings -l app=web
get deployments.v1.apps -L app
get cm settings -o jsonpath={.data.colour}
get cm nope --ignore-not-found
get cm nope -A
get svc -n nope
delete foo x
delete cm
delete cm --all -l a=b
delete pods -l a=b
delete cm settings nope --dry-run=server
delete svc/web --dry-run=client
"""

REFUSED = {
    "unknown-kind": "apiVersion: v9\nkind: Foo\nmetadata: {name: x}\n",
    "unknown-field": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nfoo: bar\n",
    "wrong-type": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: 1}\n",
    "invalid": "apiVersion: v1\nkind: Service\nmetadata: {name: X_}\nspec: {ports: [{port: 0}]}\n",
    "no-namespace": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: nowhere}\n",
    "generated-name": "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x}\n",
    "nothing": "---\n# only a comment\n",
}


async def test_reading_and_refusals(lines: CommandLines) -> None:
    await lines.kubectl("apply", "-f", "-", input=MANIFEST)

    for command in filter(None, GETS.splitlines()):
        theirs, ours = await asyncio.gather(lines.kubectl(*command.split()), lines.kplane(*command.split()))
        assert ageless(ours) == ageless(theirs), command


def ageless(said: Said) -> Said:
    """Without ages, which grow between two commands."""
    return replace(said, out=re.sub(r"\b\d+s *", "AGE ", said.out))


async def test_manifests_that_cannot_be_applied(lines: CommandLines) -> None:
    for name, manifest in REFUSED.items():
        theirs = await lines.kubectl("apply", "-f", "-", input=manifest)
        ours = await lines.kplane("apply", "-f", "-", input=manifest)
        assert ours == theirs, name
        assert ours.code == 1


async def test_apply_goes_on_where_kubectl_has_stopped(lines: CommandLines) -> None:
    await lines.kubectl("apply", "-f", "-", input=MANIFEST)

    again = await lines.kplane("apply", "-f", "-", input=MANIFEST)
    changed = await lines.kplane("apply", "-f", "-", input=MANIFEST.replace('{name: A, value: "1"}, ', ""))
    theirs = await lines.kubectl("apply", "-f", "-", input=MANIFEST.replace('{name: A, value: "1"}, ', ""))

    assert again.out.split("\n") == [
        "configmap/settings unchanged", "service/web unchanged", "deployment.apps/web unchanged", "",
    ]  # fmt: skip
    assert changed.out.splitlines()[-1] == "deployment.apps/web configured"
    assert theirs.out == again.out


async def test_deleting_prints_what_kubectl_prints(lines: CommandLines) -> None:
    said = []
    for command in (lines.kubectl, lines.kplane):
        await lines.kubectl("apply", "-f", "-", input=MANIFEST)
        first = await command("delete", "cm/settings", "deploy/web", "--force")
        said.append((first, await command("delete", "-f", "-", input=MANIFEST)))

    assert said[0] == said[1]
    assert said[1][0].code == 0


async def test_a_server_that_is_not_there(lines: CommandLines, unused_tcp_port: int) -> None:
    config = Path(lines.env["KUBECONFIG"])
    text = config.read_text()
    server = next(line.split(": ", 1)[1] for line in text.splitlines() if "server:" in line)
    config.write_text(text.replace(server, f"https://127.0.0.1:{unused_tcp_port}"))

    said = await lines.kplane("get", "pods")

    refused = f"The connection to the server 127.0.0.1:{unused_tcp_port} was refused"
    assert (said.code, said.out) == (1, "")
    assert said.err == f"{refused} - did you specify the right host or port?\n"

"""`@kubernetes/client-node`: typed calls, generic objects, informers."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .cluster import BIN, Cluster

SCRIPTS = Path(__file__).parent / "node"
FOLDER = Path(sys.prefix) / "node"
"""Where deploy/setup.sh installs what package-lock.json names."""


async def node(cluster: Cluster, namespace: str, script: str) -> Any:
    """What a script prints as JSON. It is read from standard input, so imports are looked up in FOLDER."""
    text = (SCRIPTS / "client.mjs").read_text() + (SCRIPTS / script).read_text()
    process = await asyncio.create_subprocess_exec(
        str(BIN / "node"), "--input-type=module", "-",
        cwd=FOLDER, env={**cluster.env, "NAMESPACE": namespace},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(text.encode())
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_objects_live_their_lives(cluster: Cluster, namespace: str) -> None:
    told = await node(cluster, namespace, "objects.mjs")

    assert told["created"] == "blue"
    assert told["patched"] == {"color": "blue", "size": "1"}
    assert told["replaced"] == {"color": "red"}
    assert told["pages"] == [["one", "three"], ["two"]]
    assert told["selected"] == ["two"]
    assert told["deleted"] == "Success"


async def test_refusals_are_exceptions(cluster: Cluster, namespace: str) -> None:
    told = await node(cluster, namespace, "errors.mjs")

    assert told == [
        [404, "NotFound", 'configmaps "none" not found'],
        [409, "AlreadyExists", 'configmaps "one" already exists'],
        [409, "Conflict", 'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
         "please apply your changes to the latest version and try again"],
        [422, "Invalid", "Upper"],
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["generic"])
async def test_generic_objects_are_applied(cluster: Cluster, namespace: str, kind: str) -> None:
    told = await node(cluster, namespace, f"{kind}.mjs")

    assert told == {"applied": 2, "managers": ["node"], "conflict": 409, "forced": 5, "listed": ["web"]}


async def test_an_informer_follows_resyncs_and_survives_a_lost_revision(
    cluster: Cluster, namespace: str
) -> None:
    told = await node(cluster, namespace, "informer.mjs")

    assert told["events"] == ["add one blue", "update one red", "delete one red"]
    assert told["cached"] == []
    assert told["gone"] == 410
    assert told["relisted"] == ["two"]

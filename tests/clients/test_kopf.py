"""A `kopf` operator: definitions, handlers, finalizers, timers, events, admission webhooks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kplane.runtime import pki
from kplane.testing.waiting import eventually

from .cluster import Cluster, Kubectl
from .shapes import definition

OPERATOR = Path(__file__).with_name("operator_kites.py")
GROUP = "kopf.kplane.dev"


@pytest.fixture
def _operator(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[None]:
    """Runs until the test ends; what it said is shown if that fails."""
    cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(GROUP, "Kite"))
    log, keys = tmp_path / "kopf.log", tmp_path / "keys"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    command = (sys.executable, "-m", "kopf", "run", "--namespace", namespace, "--standalone", str(OPERATOR))
    env = {**cluster.env, "GROUP": GROUP, "KEYS": str(keys)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
    try:
        yield
        print(log.read_text())
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def kite(name: str = "one", **spec: Any) -> str:
    return json.dumps({"apiVersion": f"{GROUP}/v1", "kind": "Kite", "metadata": {"name": name}, "spec": spec})


async def shown(kubectl: Kubectl, path: str) -> str:
    return await kubectl("get", f"kites.{GROUP}", "one", "-o", f"jsonpath={{{path}}}")


@pytest.mark.usefixtures("_operator")
async def test_an_operator_works_for_its_resources(kubectl: Kubectl) -> None:
    """One operator for the whole story: it takes seconds to start."""
    await eventually(lambda: hooks_are_there(kubectl), what="webhooks")
    black = await kubectl("create", "-f", "-", stdin=kite(colour="black"), fails=True)
    await kubectl("create", "-f", "-", stdin=kite())
    await kubectl("wait", "--for=jsonpath={.status.ticks}=3", f"kites.{GROUP}/one", "--timeout=30s")
    child = await eventually(lambda: child_of(kubectl))
    coloured = await shown(kubectl, ".spec.colour")
    finalizers = await shown(kubectl, ".metadata.finalizers")
    patch = ("patch", f"kites.{GROUP}", "one", "--type=merge", "-p", '{"spec":{"colour":"blue"}}')
    await kubectl(*patch)
    await kubectl(
        "wait", "--for=jsonpath={.status.repainted}=red->blue", f"kites.{GROUP}/one", "--timeout=30s"
    )
    await kubectl("wait", "--for=create", "event", "--field-selector=reason=Repainted", "--timeout=20s")
    await kubectl("delete", f"kites.{GROUP}", "one", "--timeout=30s")
    farewell = await kubectl("get", "configmap", "one-farewell", "-o", "name")

    assert "black kites are not seen at night" in black
    assert coloured == "red"
    assert "kopf.zalando.org/KopfFinalizerMarker" in finalizers
    assert child["data"] == {"colour": "red"}
    assert child["metadata"]["ownerReferences"][0]["kind"] == "Kite"
    assert farewell == "configmap/one-farewell\n"
    await kubectl("wait", "--for=delete", "configmap/one-string", "--timeout=20s")


async def hooks_are_there(kubectl: Kubectl) -> bool:
    kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
    found = await kubectl.json("get", kinds)
    return sum(1 for item in found["items"] if item.get("webhooks")) >= 2


async def child_of(kubectl: Kubectl) -> Any:
    found = await kubectl.json("get", "configmaps")
    return next((item for item in found["items"] if item["metadata"]["name"] == "one-string"), None)

"""Warnings of expressions that do not fit what a ValidatingAdmissionPolicy is about, in its status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.clock import Entropy, SystemClock
from kplane.api.resource import Key, Object
from kplane.api.scheme import builtin
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.controller import Context
from kplane.client.events import EventRecorder
from kplane.client.informer import InformerFactory
from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport
from kplane.client.workqueue import WorkQueue
from kplane.controllers.policytypes import Kind, Types, kinds_of, warnings
from kplane.controllers.validatingadmissionpolicystatus import (
    POLICIES,
    ValidatingAdmissionPolicyStatusController,
)
from kplane.testing.cluster import FakeCluster

KEY = Key("", "checked")
WIDGETS: Object = {
    "spec": {
        "group": "example.com",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"size": {"type": "integer"}, "names": {"type": "string"}},
                    }
                },
            }
        ],
    }
}


def rule(resources: str = "deployments", group: str = "apps", version: str = "v1") -> Object:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["*"],
        "resources": resources.split(),
    }


def policy(*expressions: str, rules: Any = None, **spec: Any) -> Object:
    return {
        "apiVersion": POLICIES.api_version,
        "kind": POLICIES.kind,
        "metadata": {"name": KEY.name},
        "spec": {
            "matchConstraints": {"resourceRules": rules or [rule()]},
            "validations": [{"expression": text} for text in expressions],
            **spec,
        },
    }


TYPES = Types(builtin(), [WIDGETS])


def test_a_field_that_a_kind_does_not_have_is_warned_of() -> None:
    assert warnings(policy("object.spec.replicas > 1", "object.spec.replica > 1"), TYPES) == [
        {
            "fieldRef": "spec.validations[1].expression",
            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'\n"
            " | object.spec.replica > 1\n"
            " | ...........^\n",
        }
    ]


def test_each_kind_is_warned_of_by_itself() -> None:
    checked = policy("object.spec.replicas > 1", rules=[rule("deployments daemonsets")])
    (found,) = warnings(checked, TYPES)
    assert "Kind=DaemonSet: ERROR" in found["warning"]
    assert "Kind=Deployment" not in found["warning"]


def test_messages_and_old_objects_are_checked_too() -> None:
    checked = policy()
    checked["spec"]["validations"] = [
        {"expression": "oldObject.spec.replicas == '1'", "messageExpression": "object.nothing"}
    ]
    found = warnings(checked, TYPES)
    assert [one["fieldRef"] for one in found] == [
        "spec.validations[0].expression",
        "spec.validations[0].messageExpression",
    ]
    assert "found no matching overload for '_==_' applied to '(int, string)'" in found[0]["warning"]


def test_variables_have_the_types_of_their_values() -> None:
    variables = [{"name": "count", "expression": "object.spec.replicas"}]
    assert warnings(policy("variables.count > 1", variables=variables), TYPES) == []
    (found,) = warnings(policy("variables.count > 'a'", variables=variables), TYPES)
    assert "(int, string)" in found["warning"]


@pytest.mark.parametrize(
    ("expression", "warns"),
    [
        ("object.size > 1", False),
        ("object.sizes > 1", True),
        ("object.metadata.labels.size() > 0", False),
        ("object.names + 1 == ''", True),
    ],
)
def test_custom_kinds_are_known_by_their_definitions(expression: str, warns: bool) -> None:
    checked = policy(expression, rules=[rule("widgets", "example.com")])
    assert bool(warnings(checked, TYPES)) is warns


def test_parameters_have_the_type_of_their_kind() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert warnings(policy("params.data['a'] == 'b'", paramKind=kind), TYPES) == []
    (found,) = warnings(policy("params.date == 'b'", paramKind=kind), TYPES)
    assert "undefined field 'date'" in found["warning"]
    (unknown,) = warnings(policy("params.x", paramKind=kind | {"kind": "Nothing"}), TYPES)
    assert "undeclared reference to 'params'" in unknown["warning"]


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([rule("*")], id="every resource"),
        pytest.param([rule("deployments/scale")], id="a subresource"),
        pytest.param([rule(group="*")], id="every group"),
        pytest.param([rule(version="*")], id="every version"),
        pytest.param([rule("nothings")], id="an unknown one"),
    ],
)
def test_what_is_not_named_is_not_checked(rules: list[Object]) -> None:
    assert kinds_of(policy("object.nothing", rules=rules), TYPES) == []


def test_ten_kinds_are_enough() -> None:
    names = "pods nodes services secrets configmaps endpoints events namespaces limitranges"
    names += " persistentvolumes persistentvolumeclaims podtemplates"
    found = kinds_of(policy("true", rules=[rule(names, "")]), TYPES)
    assert len(found) == 10
    assert found == sorted(found)
    assert Kind("", "v1", "ConfigMap") in found


async def test_the_status_says_which_generation_was_looked_at(cluster: FakeCluster) -> None:
    cluster.load(policy("object.spec.replica > 1"))
    context = cluster.context()
    cluster.start(context.queue.run(ValidatingAdmissionPolicyStatusController(context).reconcile))
    await cluster.settle()

    found = cluster.get(POLICIES, KEY)
    assert found is not None
    assert found["status"]["observedGeneration"] == 1
    assert "undefined field 'replica'" in found["status"]["typeChecking"]["expressionWarnings"][0]["warning"]


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\n')
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=tokens,
        bind_address="127.0.0.1",
        # No controller makes the accounts that Pods would have to have.
        disable_admission_plugins=("ServiceAccount",),
    )
    async with ApiServer(config) as server:
        client = Client(AsgiTransport(server.app, token="secret"))
        yield client
        await client.close()


async def test_a_policy_without_faults_has_an_empty_check(client: Client) -> None:

    clock, entropy = SystemClock(), Entropy(1)
    factory = InformerFactory(client, clock=clock, entropy=entropy)
    recorder = EventRecorder(client, "test", clock=clock, entropy=entropy)
    queue = WorkQueue("test", clock)
    controller = ValidatingAdmissionPolicyStatusController(
        Context(client, factory, queue, clock, entropy, recorder, None)
    )
    await client.create(POLICIES, policy("object.spec.replicas > 1"))
    running = asyncio.create_task(factory.run())
    try:
        await factory.wait_synced()
        await controller.reconcile(KEY)
        found = await client.get(POLICIES, KEY.name)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert found["status"] == {"observedGeneration": 1, "typeChecking": {}}
    assert found["metadata"]["generation"] == 1

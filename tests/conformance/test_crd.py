"""Custom resources: their definitions' life, what is published of them, and how their fields are checked."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import yaml

from kplane.testing.waiting import eventually

from ..clients.cluster import Kubectl
from .api import APPLY, GO_ACCEPT, JSON_PATCH, MERGE, Api, condition

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

FOO = yaml.safe_load("""
description: Foo CRD for Testing
type: object
properties:
  spec:
    type: object
    description: Specification of Foo
    properties:
      bars:
        description: List of Bars and their specs.
        type: array
        items:
          type: object
          required: [name]
          properties:
            name: {description: Name of Bar., type: string}
            age: {description: Age of Bar., type: string}
            feeling: {description: Whether Bar is feeling great., type: string, enum: [Great, Down]}
            bazs: {description: List of Bazs., items: {type: string}, type: array}
  status:
    description: Status of Foo
    type: object
    properties:
      quxType: {description: Indicates to external qux type., pattern: in-tree|out-of-tree, type: string}
""")
PORTS = yaml.safe_load("""
type: object
properties:
  spec:
    type: object
    properties:
      foo: {type: string}
      cronSpec: {type: string, pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'}
      ports:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [containerPort, protocol]
        items:
          type: object
          required: [containerPort, protocol]
          properties:
            containerPort: {type: integer, format: int32}
            name: {type: string}
            protocol: {type: string}
""")


class Definition:
    """A definition that goes with its test, named as the suite names them."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self.name = f"e2e-test-{name}-crd"
        self.group = f"{name}.example.com"
        self.path = f"{DEFINITIONS}/{self.name}s.{self.group}"

    def body(
        self, *versions: str, schema: Any = ANY, scope: str = "Namespaced", **more: Any
    ) -> dict[str, Any]:
        served = [
            {
                "name": version,
                "served": True,
                "storage": not number,
                "schema": {"openAPIV3Schema": schema},
                **more,
            }
            for number, version in enumerate(versions or ("v1",))
        ]
        names = {
            "plural": f"{self.name}s",
            "singular": self.name,
            "kind": self.name,
            "listKind": f"{self.name}List",
        }
        return {
            "metadata": {"name": f"{self.name}s.{self.group}"},
            "spec": {"group": self.group, "names": names, "scope": scope, "versions": served},
        }

    async def make(self, *versions: str, **more: Any) -> Any:
        await self._api.make(DEFINITIONS, self.body(*versions, **more))
        return await self._api.until(self.path, lambda found: condition(found, "Established") == "True")

    def resources(self, namespace: str = "", version: str = "v1") -> str:
        place = f"namespaces/{namespace}/" if namespace else ""
        return f"/apis/{self.group}/{version}/{place}{self.name}s"

    def definition(self, version: str) -> str:
        return f"{'.'.join(reversed(self.group.split('.')))}.{version}.{self.name}"

    def manifest(self, name: str = "test-cr", version: str = "v1", **fields: Any) -> str:
        head = {"apiVersion": f"{self.group}/{version}", "kind": self.name, "metadata": {"name": name}}
        return json.dumps(head | fields)


@pytest_asyncio.fixture
async def crd(api: Api, namespace: str) -> AsyncIterator[Definition]:
    made = Definition(api, namespace)
    yield made
    await api("DELETE", made.path)


async def published(api: Api, name: str) -> Any:
    """The definition as OpenAPI v2 has it, without what every kind has; None where it has none."""
    # As a plain Go program asks: it accepts anything.
    found = (await api.get("/openapi/v2", accept="*/*"))["definitions"].get(name)
    if found is not None:
        found.pop("x-kubernetes-group-version-kind", None)
        for field in ("apiVersion", "kind", "metadata"):
            found.get("properties", {}).pop(field, None)
    return found


async def until_published(api: Api, name: str, wanted: Any) -> None:
    async def is_published() -> bool:
        return bool(await published(api, name) == wanted)

    await eventually(is_published, seconds=20, what=f"{name} in OpenAPI")


async def test_definitions_are_made_listed_watched_and_deleted(api: Api, crd: Definition) -> None:
    async with api.watch(DEFINITIONS, labelSelector=f"e2e={crd.name}") as watch:
        body = crd.body()
        body["metadata"]["labels"] = {"e2e": crd.name}
        await api.make(DEFINITIONS, body)
        await watch.until("ADDED")
        await watch.until("MODIFIED", lambda found: condition(found, "Established") == "True")
        assert len(await api.items(DEFINITIONS, labelSelector=f"e2e={crd.name}")) == 1
        await api.delete(DEFINITIONS, {"labelSelector": f"e2e={crd.name}"})
        await watch.until("DELETED")


async def test_status_of_a_definition_is_read_written_and_patched(api: Api, crd: Definition) -> None:
    await crd.make()
    assert condition(await api.get(f"{crd.path}/status"), "Established") == "True"
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    updated = await api.change(
        f"{crd.path}/status", lambda found: found["status"]["conditions"].append(update)
    )
    assert condition(updated, "StatusUpdate") == "True"
    patched = await api.patch(
        f"{crd.path}/status",
        [{"op": "add", "path": "/status/conditions", "value": [{"type": "StatusPatched", "status": "True"}]}],
        JSON_PATCH,
    )
    assert condition(patched, "StatusPatched") == "True"


async def test_instances_are_watched_each_on_its_own(api: Api, crd: Definition) -> None:
    await crd.make(scope="Cluster")
    path = crd.resources()
    async with (
        api.watch(path, fieldSelector="metadata.name=name1") as first,
        api.watch(path, fieldSelector="metadata.name=name2") as second,
    ):
        for name, watch in (("name1", first), ("name2", second)):
            await api.make(path, json.loads(crd.manifest(name, content={"key": "value"})))
            assert (await watch.until("ADDED"))["metadata"]["name"] == name
            await api.patch(f"{path}/{name}", {"dummy": "test"}, MERGE)
            assert (await watch.until("MODIFIED"))["dummy"] == "test"
            await api.delete(f"{path}/{name}")
            await watch.until("DELETED")


async def test_definitions_and_their_resources_are_discovered(api: Api, crd: Definition) -> None:
    groups = await api.get("/apis", accept=GO_ACCEPT)
    (group,) = [each for each in groups["groups"] if each["name"] == "apiextensions.k8s.io"]
    assert {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"} in group["versions"]
    own = await api.get("/apis/apiextensions.k8s.io/v1")
    assert "customresourcedefinitions" in {each["name"] for each in own["resources"]}

    await crd.make("v1")
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    for accept in (aggregated, "application/json"):
        document = await api.get("/apis", accept=accept)
        assert crd.group in json.dumps(document)


async def test_defaults_are_for_requests_and_for_what_is_stored(api: Api, crd: Definition) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "default": "A"}, "b": {"type": "string"}},
    }
    await crd.make(schema=schema, scope="Cluster")
    path = f"{crd.resources()}/foo"
    made = await api.make(crd.resources(), json.loads(crd.manifest("foo")))
    assert made["a"] == "A"
    add = [
        {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/b/default", "value": "B"}
    ]
    await api.patch(crd.path, add, JSON_PATCH)

    async def defaulted() -> Any:
        found = await api.get(path)
        return found if found.get("b") == "B" else None

    found = await eventually(defaulted, seconds=20)
    assert (found["a"], found["b"]) == ("A", "B")
    remove = {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/a/default"}
    await api.patch(crd.path, [remove], JSON_PATCH)
    # What was stored with its default keeps it.
    assert (await api.get(path))["a"] == "A"


async def test_a_schema_is_published_and_kubectl_checks_and_explains_by_it(
    api: Api, crd: Definition, kubectl: Kubectl
) -> None:
    await crd.make(schema=FOO)
    await until_published(api, crd.definition("v1"), FOO)

    for verb in ("create", "apply"):
        good = crd.manifest(spec={"bars": [{"name": "test-bar"}]})
        await kubectl(verb, "-f", "-", stdin=good)
        await kubectl("delete", f"{crd.name}s", "test-cr")
        unknown = crd.manifest(spec={"foo": True})
        assert 'unknown field "spec.foo"' in await kubectl(verb, "-f", "-", stdin=unknown, fails=True)
        lacking = crd.manifest(spec={"bars": [{"age": "10"}]})
        assert "spec.bars[0].name: Required value" in await kubectl(
            verb, "-f", "-", stdin=lacking, fails=True
        )
    odd = crd.manifest(spec={"bars": [{"name": "test-bar", "feeling": "NonExistentValue"}]})
    said = await kubectl("create", "-f", "-", stdin=odd, fails=True)
    assert 'Unsupported value: "NonExistentValue"' in said

    for path, pattern in (
        ("", r"DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*"
             r"spec.*<Object>.*Specification of Foo"),
        (".metadata", r"DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>.*"
                      r"CreationTimestamp is a timestamp"),
        (".spec", r"DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*"
                  r"List of Bars and their specs"),
        (".spec.bars", r"(FIELD|RESOURCE):.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*"
                       r"FIELDS:.*bazs.*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar"),
    ):  # fmt: skip
        assert re.search(pattern, await kubectl("explain", f"{crd.name}s{path}"), re.DOTALL), path
    said = await kubectl("explain", f"{crd.name}s.spec.bars2", fails=True)
    assert 'field "bars2" does not exist' in said


NESTED = {
    "description": "preserve-unknown-properties in nested field for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "description": "Specification of Waldo",
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"dummy": {"description": "Dummy property.", "type": "object"}},
        }
    },
}
ROOT = {**FOO, "x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("schema", "unknown", "pattern"),
    [
        pytest.param(ANY, {"a": {"b": [{"c": "d"}]}}, r"DESCRIPTION:.*<empty>", id="no-schema"),
        pytest.param(ROOT, {"a": {"b": [{"c": "d"}]}}, r"KIND:.*e2e-test-", id="root"),
        pytest.param(
            NESTED,
            {"spec": {"a": None, "b": [{"c": "d"}]}},
            r"DESCRIPTION:.*preserve-unknown-properties in nested field for Testing",
            id="nested",
        ),
    ],
)
async def test_kubectl_lets_through_what_a_definition_preserves(
    api: Api, crd: Definition, kubectl: Kubectl, schema: Any, unknown: Any, pattern: str
) -> None:
    await crd.make(schema=schema)
    if schema is ANY:
        await until_published(api, crd.definition("v1"), {"type": "object"})
    for verb in ("create", "apply"):
        await kubectl(verb, "-f", "-", stdin=crd.manifest(**unknown))
        await kubectl("delete", f"{crd.name}s", "test-cr")

    async def explained() -> bool:
        return bool(re.search(pattern, await kubectl("explain", f"{crd.name}s"), re.DOTALL))

    await eventually(explained, seconds=20, interval=0.1)


async def test_versions_are_published_renamed_and_withdrawn(api: Api, crd: Definition) -> None:
    await crd.make("v2", "v3", schema=FOO)
    for version in ("v2", "v3"):
        await until_published(api, crd.definition(version), FOO)

    rename = [
        {"op": "test", "path": "/spec/versions/1/name", "value": "v3"},
        {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"},
    ]
    await api.patch(crd.path, rename, JSON_PATCH)
    await until_published(api, crd.definition("v4"), FOO)
    await until_published(api, crd.definition("v3"), None)
    await until_published(api, crd.definition("v2"), FOO)

    await api.change(crd.path, lambda found: found["spec"]["versions"][1].update(served=False))
    await until_published(api, crd.definition("v4"), None)
    await until_published(api, crd.definition("v2"), FOO)
    await api.delete(crd.path)
    await until_published(api, crd.definition("v2"), None)


async def test_definitions_of_one_group_are_all_published(api: Api, crd: Definition) -> None:
    other = Definition(api, crd.group.removesuffix(".example.com"))
    other.name += "-waldo"
    other.path = f"{DEFINITIONS}/{other.name}s.{other.group}"
    waldo = {**NESTED["properties"]["spec"], "x-kubernetes-preserve-unknown-fields": None}  # type: ignore[index]
    del waldo["x-kubernetes-preserve-unknown-fields"]
    await crd.make("v4", schema=FOO)
    await other.make("v4", schema=waldo)
    await until_published(api, other.definition("v4"), waldo)
    await until_published(api, crd.definition("v4"), FOO)
    await api.delete(other.path)


async def applied(api: Api, path: str, manifest: str) -> Any:
    query = {"fieldManager": "field_validation_mgr", "fieldValidation": "Strict"}
    return await api("PATCH", f"{path}/mytest", manifest.encode(), type=APPLY, **query)


SPEC = {
    "foo": "foo1",
    "cronSpec": "* * * * */5",
    "ports": [{"name": "x", "containerPort": 80, "protocol": "TCP"}],
}


async def test_applied_resources_have_only_fields_of_the_schema(api: Api, crd: Definition) -> None:
    await crd.make("v1", schema=PORTS, scope="Cluster")
    good = await applied(api, crd.resources(), crd.manifest("mytest", spec=SPEC))
    assert good.code == 201, good.body
    bad = await applied(api, crd.resources(), crd.manifest("mytest", spec=SPEC, unknownField="unknown"))
    assert ".unknownField: field not declared in schema" in bad.body["message"]
    head = json.loads(crd.manifest("mytest", spec=SPEC))
    head["metadata"]["unknownMeta"] = "unknown"
    worse = await applied(api, crd.resources(), json.dumps(head))
    assert ".metadata.unknownMeta: field not declared in schema" in worse.body["message"]


async def test_unknown_metadata_of_embedded_objects_is_refused(api: Api, crd: Definition) -> None:
    embedded = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": {"type": "object"},
        },
    }
    spec = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"template": embedded},
    }
    await crd.make("v1", schema={"type": "object", "properties": {"spec": spec}}, scope="Cluster")
    inner = {
        "apiversion": "foo/v1", "kind": "Sub",
        "metadata": {"unknownSubMeta": "unknown", "name": "subobject", "namespace": "ns"},
    }  # fmt: skip
    said = await applied(api, crd.resources(), crd.manifest("mytest", spec={**SPEC, "template": inner}))
    assert ".spec.template.metadata.unknownSubMeta: field not declared in schema" in said.body["message"]


async def test_any_field_goes_where_nothing_is_declared(api: Api, crd: Definition) -> None:
    await crd.make("v1", scope="Cluster")
    said = await applied(api, crd.resources(), crd.manifest("mytest", spec={**SPEC, "unknown": "uk1"}))
    assert said.code == 201, said.body


async def test_repeated_fields_are_refused_even_where_unknown_ones_are_not(api: Api, crd: Definition) -> None:
    await crd.make("v1", scope="Cluster")
    manifest = f"""
apiVersion: {crd.group}/v1
kind: {crd.name}
metadata:
  name: mytest
spec:
  unknown: uk1
  foo: foo1
  foo: foo2
"""
    said = await applied(api, crd.resources(), manifest)
    assert 'line 9: key "foo" already set in map' in said.body["message"]


async def test_typed_objects_have_only_known_fields_once(api: Api, apps: str) -> None:
    body = """{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "my-dep", %s
        "labels": {"app": "nginx"}}, "spec": { %s "selector": {"matchLabels": {"app": "nginx"}}, "template": {
        "metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [{"name": "n", "image": "n"}]}}}}"""
    query = {"fieldManager": "field_validation_mgr", "fieldValidation": "Strict"}
    double = '"unknownField": "foo", "replicas": 2, "replicas": 3,'
    said = await api("POST", f"{apps}/deployments", (body % ("", double)).encode(), **query)
    assert (
        'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"'
        in said.body["message"]
    )
    said = await api("POST", f"{apps}/deployments", (body % ('"unknownMeta": "foo",', "")).encode(), **query)
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in said.body["message"]


async def test_selectable_fields_select_lists_and_watches(api: Api, crd: Definition, namespace: str) -> None:
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"host": text, "port": text}}
    fields = [{"jsonPath": ".host"}, {"jsonPath": ".port"}]
    await crd.make("v1", schema=schema, selectableFields=fields)
    path = crd.resources(namespace)
    async with (
        api.watch(path, fieldSelector="host=host1") as by_host,
        api.watch(path, fieldSelector="host=host1,port=80") as by_both,
    ):
        for name, more in (
            ("one", {"host": "host1", "port": "80"}),
            ("two", {"host": "host1", "port": "8080"}),
            ("three", {"host": "host2"}),
        ):
            await api.make(path, json.loads(crd.manifest(name, **more)))
        assert await api.names(path, fieldSelector="host=host1") == {"one", "two"}
        assert await api.names(path, fieldSelector="host=host1,port=80") == {"one"}
        await api.delete(path, {"fieldSelector": "host=host1,port=80"}, gracePeriodSeconds=0)
        await api.change(f"{path}/two", lambda found: found.update(host="host2"))
        assert not await api.names(path, fieldSelector="host=host1")
        said = [await by_host.next() for _ in range(4)]
        assert [(event.type, event.name) for event in said] == [
            ("ADDED", "one"), ("ADDED", "two"), ("DELETED", "one"), ("DELETED", "two"),
        ]  # fmt: skip
        said = [await by_both.next() for _ in range(2)]
        assert [(event.type, event.name) for event in said] == [("ADDED", "one"), ("DELETED", "one")]

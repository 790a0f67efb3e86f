"""Types made from schemas: what expressions see of JSON, and how it compares."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import DYN, NONE, CelError, Environment, Optional, escape, optional_of, type_of, unescape
from kplane.api.schema import node

TEXT = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "span": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"},
        "port": {"x-kubernetes-int-or-string": True},
        "namespace": TEXT,
        "a-b.c/d": TEXT,
        "x__y": TEXT,
        "no$name": TEXT,
        "ratios": {"type": "array", "items": {"type": "number"}},
        "times": {"type": "object", "additionalProperties": {"type": "string", "format": "date-time"}},
        "set": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
        "keyed": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": TEXT, "value": TEXT, "ratio": {"type": "number"}},
            },
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "atomic": {"type": "array", "items": TEXT},
        "open": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"known": TEXT},
        },
        "opaque": {"x-kubernetes-preserve-unknown-fields": True},
        "embedded": {"type": "object", "x-kubernetes-embedded-resource": True},
        "maybe": {"type": "string", "nullable": True},
    },
}
VALUE: dict[str, Any] = {
    "count": 3,
    "ratio": 1,
    "at": "2020-01-02T03:04:05Z",
    "day": "2020-01-02",
    "span": "1h30m",
    "data": "aGk=",
    "port": "http",
    "namespace": "n",
    "a-b.c/d": "escaped",
    "x__y": "under",
    "ratios": [1, 2.5],
    "times": {"a": "2020-01-01T00:00:00Z"},
    "set": ["a", "b"],
    "keyed": [{"name": "x", "value": "1"}, {"name": "y", "value": "2", "ratio": 1}],
    "atomic": ["a", "b"],
    "open": {"known": "k", "other": 1},
    "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
    "maybe": None,
}


def holds(source: str, value: dict[str, Any] = VALUE, old: dict[str, Any] = VALUE) -> bool:
    kind = type_of(SCHEMA, "selfType")
    assert kind is not None
    result = (
        Environment({"self": kind, "oldSelf": kind}).compile(source).evaluate({"self": value, "oldSelf": old})
    )
    assert isinstance(result, bool)
    return result


@pytest.mark.parametrize(
    "source",
    [
        "self.count == 3 && type(self.count) == int",
        "self.ratio == 1.0 && type(self.ratio) == double",
        "self.at.getFullYear() == 2020 && self.at == timestamp('2020-01-02T03:04:05Z')",
        "self.day < self.at",
        "self.span == duration('90m')",
        "self.data == b'hi' && size(self.data) == 2",
        "self.port == 'http' && type(self.port) == string",
        "type(self.port) == int ? self.port < 5 : self.port.startsWith('h')",
        "self.__namespace__ == 'n' && self.a__dash__b__dot__c__slash__d == 'escaped'",
        "self.x__underscores__y == 'under' && has(self.x__underscores__y)",
        "self.ratios.all(r, type(r) == double) && self.ratios[0] + 0.5 == 1.5 && self.ratios.sum() == 3.5",
        "self.ratios == [1.0, 2.5] && 1.0 in self.ratios",
        "self.times.a == timestamp('2020-01-01T00:00:00Z') && self.times.all(k, self.times[k] < self.at)",
        "self.times.exists(k, t, t.getFullYear() == 2020)",
        "self.set == ['b', 'a'] && self.atomic != ['b', 'a'] && self.set + ['a', 'c'] == ['a', 'b', 'c']",
        "self.keyed[1].ratio == 1.0 && !has(self.keyed[0].ratio)",
        "self.open.known == 'k'",
        "self.embedded.metadata.name == 'p' && self.embedded.kind == 'Pod'",
        "has(self.maybe)",
        "dyn(self.maybe) == null",
        "dyn(self).at == timestamp('2020-01-02T03:04:05Z')",
        "self == oldSelf && self.keyed == oldSelf.keyed",
        "self.?count.orValue(0) == 3 && self.?port.hasValue()",
    ],
)
def test_values_have_the_types_of_their_schema(source: str) -> None:
    assert holds(source)


def test_sets_and_associative_lists_compare_in_any_order() -> None:
    turned = {**VALUE, "set": ["b", "a"], "keyed": list(reversed(VALUE["keyed"]))}
    assert holds("self.set == oldSelf.set && self.keyed == oldSelf.keyed && self == oldSelf", turned)
    assert not holds("self.atomic == oldSelf.atomic", {**VALUE, "atomic": ["b", "a"]})
    changed = {**VALUE, "keyed": [{"name": "x", "value": "9"}, VALUE["keyed"][1]]}
    assert not holds("self.keyed == oldSelf.keyed", changed)


@pytest.mark.parametrize(
    ("old", "first"), [(None, True), (VALUE, False), (Optional(VALUE, True), False), (NONE, True)]
)
def test_the_old_value_may_be_optional(old: Any, first: bool) -> None:
    kind = type_of(SCHEMA)
    assert kind is not None
    environment = Environment({"self": kind, "oldSelf": optional_of(kind)})
    program = environment.compile("!oldSelf.hasValue() || oldSelf.value().at > self.at")
    assert program.evaluate({"self": VALUE, "oldSelf": old}) is first
    assert environment.compile("oldSelf.?count.orValue(0) == 0").evaluate({"oldSelf": old}) is first


def test_associative_lists_merge_by_their_keys() -> None:
    new = {**VALUE, "keyed": [{"name": "x", "value": "9"}]}
    assert holds("(oldSelf.keyed + self.keyed).size() == 2", new)
    assert holds("(oldSelf.keyed + self.keyed)[0].value == '9'", new)


@pytest.mark.parametrize("name", ["no__dollar__name", "opaque", "other", "open.other", "a", "x__y"])
def test_what_the_schema_does_not_expose_cannot_be_read(name: str) -> None:
    with pytest.raises(CelError, match="undefined field"):
        holds(f"self.{name} == 'a'")


def test_schemas_without_a_type_are_not_exposed() -> None:
    assert type_of({"x-kubernetes-preserve-unknown-fields": True}) is None
    assert type_of({"type": "array", "items": {}}) is None
    assert type_of({"type": "object", "additionalProperties": {}}) is None


def test_the_root_of_a_resource_shows_its_name() -> None:
    schema = {"type": "object", "properties": {"metadata": {"type": "object"}, "spec": {"type": "object"}}}
    kind = type_of(schema, root=True)
    assert kind is not None
    source = "self.metadata.name == 'n' && self.kind == 'K' && self.apiVersion == 'v1'"
    value = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}}
    assert Environment({"self": kind}).compile(source).evaluate({"self": value}) is True
    with pytest.raises(CelError, match="undefined field 'labels'"):
        Environment({"self": kind}).compile("self.metadata.labels.size() == 0")


def test_messages_call_nested_types_by_their_path() -> None:
    with pytest.raises(
        CelError, match=r"'selfType\.keyed\.@idx' and|applied to '\(selfType\.keyed\.@idx, int\)'"
    ):
        holds("self.keyed[0] == 1")


def test_built_in_kinds_have_types_too() -> None:
    kind = type_of(node("io.k8s.api.core.v1.Pod"))
    assert kind is not None
    environment = Environment({"object": kind})
    pod = {
        "metadata": {"name": "p", "creationTimestamp": "2020-01-01T00:00:00Z", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
    }
    for source in (
        "object.metadata.creationTimestamp.getFullYear() == 2020",
        "object.metadata.labels.a == 'b'",
        "object.spec.containers.all(c, c.ports.all(p, p.containerPort < 1024))",
        "object.spec.containers.exists_one(c, c.name == 'c') && !has(object.spec.nodeName)",
    ):
        assert environment.compile(source).evaluate({"object": pod}) is True
    with pytest.raises(CelError, match="undefined field 'image2'"):
        environment.compile("object.spec.containers[0].image2 == ''")


def test_a_definition_may_contain_itself() -> None:
    kind = type_of(node("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"))
    assert kind is not None
    program = Environment({"s": kind}).compile("s.properties['a'].properties['b'].type == 'string'")
    value = {"properties": {"a": {"properties": {"b": {"type": "string"}}}}}
    assert program.evaluate({"s": value}) is True


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("plain", "plain"),
        ("a.b", "a__dot__b"),
        ("a-b", "a__dash__b"),
        ("a/b", "a__slash__b"),
        ("a__b", "a__underscores__b"),
        ("namespace", "__namespace__"),
        ("in", "__in__"),
        ("namespaces", "namespaces"),
        ("_x", "_x"),
        ("a.b-c/d__e", "a__dot__b__dash__c__slash__d__underscores__e"),
    ],
)
def test_names_are_escaped_and_back(name: str, identifier: str) -> None:
    assert escape(name) == identifier
    assert unescape(identifier) == name


def test_names_that_cannot_be_escaped() -> None:
    assert [escape(name) for name in ("", "1a", "a$", "é", "a b")] == [None] * 5
    assert [unescape(name) for name in ("a__x__b", "a__in__b")] == [None] * 2


def test_dynamic_objects_are_plain_json() -> None:
    environment = Environment({"object": DYN})
    bindings = {"object": {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}, "n": 1.0}}
    source = "object.metadata.labels['app.kubernetes.io/name'] == 'x' && object.n == 1"
    assert environment.compile(source).evaluate(bindings) is True

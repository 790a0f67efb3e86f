"""Sound bodies are read as `decode_json` and `check` read them; all others are left to those."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api import schema
from kplane.api.check import check
from kplane.api.decode import decode_json, duplicate_keys
from kplane.api.decode_error import MAX_CONTAINERS
from kplane.api.schema import Node
from kplane.api.sound import decode_sound

CORE = "io.k8s.api.core.v1."
POD, SECRET, CONFIG_MAP, NODE = (f"{CORE}{kind}" for kind in ("Pod", "Secret", "ConfigMap", "Node"))
DEFINITIONS = {
    POD: ["metadata", "spec", "containers", "resources", "limits", "env", "ports", "containerPort"],
    SECRET: ["metadata", "data", "stringData", "immutable", "type"],
    NODE: [
        "metadata",
        "spec",
        "status",
        "capacity",
        "conditions",
        "lastHeartbeatTime",
        "taints",
        "timeAdded",
    ],
    "io.k8s.api.coordination.v1.Lease": ["spec", "acquireTime", "leaseTransitions"],
    "io.k8s.api.apps.v1.ControllerRevision": ["metadata", "data", "revision"],
}
"""Definitions, and fields that the bodies of the tests have more often than others."""

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(("1", "0.5", "1024Mi", "1.5.0", "YQ==", "YQ=", "2026-01-01T00:00:00Z", 'a"b', "\u00e9")),
    st.sampled_from(("2026-01-01T00:00:00.5+02:00", "2026-01-01T00:00:00.000000Z", "2026-13-01T00:00:00Z")),
    st.text(max_size=5),
)


def values(node: Node, depth: int = 0) -> st.SearchStrategy[Any]:
    """What may stand at a node, most of it sound; some of it not at all."""
    match node.kind:
        case "object" if node.fields and depth < 5:
            fields = {name: values(child, depth + 1) for name, child in _some(node.fields)}
            known = st.fixed_dictionaries({}, optional=fields)
            sound: st.SearchStrategy[Any] = st.builds(_with_unknown, known, st.integers(0, 9), LEAVES)
        case "map" if node.item:
            sound = st.dictionaries(st.text(max_size=3), values(node.item, depth + 1), max_size=2)
        case "list" if node.item:
            sound = st.lists(values(node.item, depth + 1), max_size=2)
        case "integer" | "int-or-string":
            sound = st.integers(-5, 70_000)
        case "boolean":
            sound = st.booleans()
        case "quantity":
            sound = st.sampled_from(("1", "100m", "0.5", "1024Mi", "1.50Gi", 1, 0.5))
        case "date-time":
            sound = st.sampled_from(("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"))
        case "bytes":
            sound = st.sampled_from(("", "YQ==", "YWJj"))
        case "string":
            sound = st.text(max_size=5)
        case _:
            sound = st.dictionaries(st.text(max_size=3), LEAVES, max_size=2)
    # One in twenty is something else.
    return st.integers(0, 19).flatmap(
        lambda turn: sound if turn else st.one_of(LEAVES, st.just({}), st.just([]))
    )


def _with_unknown(obj: dict[str, Any], turn: int, value: Any) -> dict[str, Any]:
    return obj if turn else {**obj, "foo": value}


def _some(fields: dict[str, Node]) -> list[tuple[str, Node]]:
    wanted = {name for names in DEFINITIONS.values() for name in names}
    return [(name, child) for name, child in fields.items() if name in wanted] or [*fields.items()][:3]


BODIES = st.sampled_from([*DEFINITIONS]).flatmap(
    lambda name: st.tuples(st.just(name), values(schema.node(name)), st.booleans(), st.booleans())
)


@pytest.mark.slow
@given(BODIES)
def test_what_is_sound_is_what_reading_and_checking_make_of_it(drawn: tuple[str, Any, bool, bool]) -> None:
    definition, value, spaced, escaped = drawn
    body = json.dumps(value, ensure_ascii=escaped, separators=None if spaced else (",", ":")).encode()

    obj = decode_sound(body, definition)

    if obj is not None:
        expected = decode_json(body)
        assert duplicate_keys(body, expected) == []
        found = check(expected, schema.node(definition))
        assert (found.errors, found.unknown) == ([], [])
        # The same types, and the same order of keys.
        assert repr(obj) == repr(expected)


POD_BODY = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "labels": {"a": 'b"c'}, "annotations": {"x": "\u00e9\n"}},
    "spec": {
        "containers": [{"name": "a", "resources": {"limits": {"cpu": "0.5"}}}],
        "volumes": [{"emptyDir": {}}],
    },
}


@pytest.mark.parametrize("indent", [None, 2])
def test_most_bodies_are_sound(indent: int | None) -> None:
    obj = decode_sound(json.dumps(POD_BODY, indent=indent).encode(), POD)

    assert obj is not None
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m"}
    assert type(obj["spec"]["containers"][0]["resources"]["limits"]["cpu"]) is str
    assert obj["spec"]["volumes"] == [{"emptyDir": {}}]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"spec":{"foo":1}}', id="unknown field"),
        pytest.param('{"spec":{"nodeName":"a","nodeName":"b"}}', id="repeated key"),
        pytest.param('{"metadata":{"labels":{"a":"b","a":"b"}}}', id="repeated key of a map"),
        pytest.param(r'{"spec":{"nodeName":"\u0022\u0022","nodeName":""}}', id="escaped quotation marks"),
        pytest.param('{"spec":{"overhead":{"cpu":1},"foo":1}}', id="unknown field beside a number"),
        pytest.param('{"kind":null}', id="null"),
        pytest.param('{"metadata":{"labels":{"a":null}}}', id="null in a map"),
        pytest.param('{"spec":{"containers":[null]}}', id="null in a list"),
        pytest.param('{"spec":{"containers":[],"volumes":[]}}', id="empty list"),
        pytest.param('{"spec":{"nodeSelector":{}}}', id="empty map"),
        pytest.param('{"spec":{"priority":2147483648}}', id="too large a number"),
        pytest.param('{"spec":{"priority":1.0}}', id="fraction"),
        pytest.param('{"spec":{"overhead":{"cpu":"x"}}}', id="no quantity"),
        pytest.param('{"metadata":{"creationTimestamp":"x"}}', id="no time"),
        pytest.param("null", id="null alone"),
        pytest.param("{", id="no JSON"),
        pytest.param("", id="nothing"),
        pytest.param('{"spec":' * 100_000, id="deep"),
    ],
)
def test_what_must_be_changed_or_told_of_is_left_to_others(body: str) -> None:
    assert decode_sound(body.encode(), POD) is None
    assert decode_sound(b"\xff" + body.encode(), POD) is None


def test_times_that_are_not_set_are_dropped() -> None:
    obj = decode_sound(b'{"metadata":{"creationTimestamp":null}}', POD)

    assert obj == {"metadata": {}}


def test_bodies_of_too_many_parts_are_not_read() -> None:
    data: list[Any] = [{"a": []}] * (MAX_CONTAINERS // 2 + 1)

    body = msgspec.json.encode({"data": {"a": data}})

    assert decode_sound(body, "io.k8s.api.apps.v1.ControllerRevision") is None


def test_definitions_that_contain_themselves_are_left_to_others() -> None:
    definition = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"

    assert decode_sound(b"{}", definition) is None

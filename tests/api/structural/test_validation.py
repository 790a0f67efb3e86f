"""Values against their schema, with upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.structural import compile


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def faults(schema: dict[str, Any], value: Any, old: Any = None) -> list[str]:
    """Of a value at `f`, sorted."""
    before = None if old is None else {"f": old}
    return sorted(map(str, compile(obj(f=schema)).validate({"f": value}, before)))


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}


def wrong_type(wanted: str, found: str) -> str:
    return f'f: Invalid value: "{found}": f in body must be of type {wanted}: "{found}"'


@pytest.mark.parametrize(
    ("schema", "value", "wanted", "found"),
    [
        pytest.param(STRING, 5, "string", "integer", id="integer for string"),
        pytest.param(STRING, None, "string", "null", id="null"),
        pytest.param(INTEGER, "5", "integer", "string", id="string for integer"),
        pytest.param(INTEGER, 1.5, "integer", "number", id="fraction for integer"),
        pytest.param(INTEGER, 2**63, "integer", "number", id="too large for Go's int64"),
        pytest.param(INTEGER, True, "integer", "boolean", id="boolean for integer"),
        pytest.param(NUMBER, "1", "number", "string", id="string for number"),
        pytest.param({"type": "boolean"}, 1, "boolean", "integer", id="integer for boolean"),
        pytest.param(obj(), [], "object", "array", id="list for object"),
        pytest.param({"type": "array", "items": STRING}, {}, "array", "object", id="object for list"),
        pytest.param({"x-kubernetes-int-or-string": True}, [], "integer,string", "array", id="int-or-string"),
        pytest.param({"type": "string", "format": "date"}, 5, "date", "int64", id="string with a format"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(schema: Any, value: Any, wanted: str, found: str) -> None:
    assert faults(schema, value) == [wrong_type(wanted, found)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param(INTEGER, 3.0, id="whole float is an integer"),
        pytest.param(NUMBER, 3, id="integer is a number"),
        pytest.param({**STRING, "nullable": True}, None, id="nullable"),
        pytest.param({"x-kubernetes-int-or-string": True}, 5, id="int"),
        pytest.param({"x-kubernetes-int-or-string": True}, "50%", id="or string"),
        pytest.param({"x-kubernetes-preserve-unknown-fields": True}, [{"a": None}], id="anything"),
        pytest.param({**STRING, "format": "no-such"}, "x", id="unknown format"),
        pytest.param({**INTEGER, "format": "ipv4"}, 5, id="format of another type"),
        pytest.param({**STRING, "format": "date"}, [], id="a list passes for a string with a format"),
        pytest.param({**NUMBER, "multipleOf": 0.1}, 0.3, id="multiple in spite of rounding"),
        pytest.param({**NUMBER, "enum": [1, 2]}, 1.0, id="enum of numbers"),
        pytest.param({**INTEGER, "maximum": 10.5}, 10, id="limits of integers are cut to integers"),
    ],
)
def test_upstream_lets_it_pass(schema: Any, value: Any) -> None:
    assert faults(schema, value) == []


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({**INTEGER, "minimum": 3}, 2, "Invalid value: 2: f in body should be greater than or equal to 3"),
        ({**INTEGER, "maximum": 3}, 4, "Invalid value: 4: f in body should be less than or equal to 3"),
        (
            {**INTEGER, "minimum": 3, "exclusiveMinimum": True},
            3,
            "Invalid value: 3: f in body should be greater than 3",
        ),
        (
            {**INTEGER, "maximum": 3, "exclusiveMaximum": True},
            3,
            "Invalid value: 3: f in body should be less than 3",
        ),
        (
            {**NUMBER, "maximum": 1e21},
            2e21,
            "Invalid value: 2e+21: f in body should be less than or equal to 1e+21",
        ),
        (
            {**NUMBER, "minimum": 0.5},
            0.25,
            "Invalid value: 0.25: f in body should be greater than or equal to 0.5",
        ),
        ({**INTEGER, "multipleOf": 3}, 4, "Invalid value: 4: f in body should be a multiple of 3"),
        ({**STRING, "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
        ({**STRING, "minLength": 2}, "é", 'Invalid value: "é": f in body should be at least 2 chars long'),
        ({**STRING, "pattern": "^a+$"}, "b", "Invalid value: \"b\": f in body should match '^a+$'"),
        ({**STRING, "enum": ["a", "b"]}, "c", 'Unsupported value: "c": supported values: "a", "b"'),
        ({**INTEGER, "enum": [1, 2]}, 3, 'Unsupported value: 3: supported values: "1", "2"'),
        (
            {**STRING, "enum": ["a"], "nullable": True},
            None,
            'Unsupported value: "null": supported values: "a"',
        ),
        (
            {**STRING, "format": "ipv4"},
            "1.2.3",
            'Invalid value: "1.2.3": f in body must be of type ipv4: "1.2.3"',
        ),
        ({"type": "array", "maxItems": 1}, [1, 2], "Too many: 2: must have at most 1 item"),
        ({"type": "array", "minItems": 2}, [1], "Invalid value: 1: f in body should have at least 2 items"),
        (
            {"type": "array", "uniqueItems": True},
            [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
            'Invalid value: "": f in body shouldn\'t contain duplicates',
        ),
        ({"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}, "Too many: 2: must have at most 1 item"),
        (
            {"type": "object", "minProperties": 1},
            {},
            "Invalid value: 0: f in body should have at least 1 properties",
        ),
        (
            {"type": "object", "additionalProperties": False},
            {"a": 1},
            'Invalid value: "a": f.a in body is a forbidden property',
        ),
    ],
)
def test_a_value_outside_its_limits_is_refused(schema: Any, value: Any, text: str) -> None:
    assert faults(schema, value) == [f"f: {text}"]


def test_faults_name_the_place_in_lists_and_maps() -> None:
    item = {**obj(name=STRING), "required": ["name"]}
    schema = {"type": "array", "items": {"type": "object", "additionalProperties": item}}

    assert faults(schema, [{}, {"k": {}}]) == ["f[1].k.name: Required value"]


ONE_OF = {**obj(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}


def nil(text: str) -> str:
    """Faults of quantifiers have no field upstream."""
    return f'<nil>: Invalid value: "": "f" {text}'


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        pytest.param(ONE_OF, {"a": ""}, [], id="one of"),
        pytest.param(
            ONE_OF,
            {},
            [
                nil("must validate one and only one schema (oneOf). Found none valid"),
                "f.a: Required value",
            ],
            id="none of",
        ),
        pytest.param(
            ONE_OF,
            {"a": "", "b": ""},
            [nil("must validate one and only one schema (oneOf). Found 2 valid alternatives")],
            id="two of",
        ),
        pytest.param({**INTEGER, "anyOf": [{"minimum": 5}, {"maximum": 1}]}, 0, [], id="any of"),
        pytest.param(
            {**INTEGER, "anyOf": [{"minimum": 5}, {"maximum": 1}]},
            3,
            [
                nil("must validate at least one schema (anyOf)"),
                "f: Invalid value: 3: f in body should be greater than or equal to 5",
            ],
            id="none of any",
        ),
        pytest.param(
            {**INTEGER, "allOf": [{"minimum": 5}, {"maximum": 9}]},
            3,
            [
                nil("must validate all the schemas (allOf)"),
                "f: Invalid value: 3: f in body should be greater than or equal to 5",
            ],
            id="one of all",
        ),
        pytest.param(
            {**STRING, "allOf": [{"minLength": 5}]},
            "a",
            [
                nil("must validate all the schemas (allOf). None validated"),
                'f: Invalid value: "a": f in body should be at least 5 chars long',
            ],
            id="none of all",
        ),
        pytest.param(
            {**STRING, "not": {"enum": ["a"]}}, "a", [nil("must not validate the schema (not)")], id="not"
        ),
        pytest.param({**STRING, "not": {"enum": ["a"]}}, "b", [], id="not, and is not"),
    ],
)
def test_quantifiers(schema: Any, value: Any, expected: list[str]) -> None:
    assert faults(schema, value) == sorted(expected)


def test_the_branch_that_fits_best_explains_the_fault() -> None:
    shapes = [
        {"required": ["x"]},
        {"properties": {"a": {"enum": ["left"]}, "b": {"minLength": 3}}, "required": ["a", "b"]},
    ]
    schema = {**obj(a=STRING, b=STRING, x=STRING), "anyOf": shapes}

    found = faults(schema, {"a": "left", "b": "no"})

    assert 'f.b: Invalid value: "no": f.b in body should be at least 3 chars long' in found


SET = {
    "type": "array",
    "x-kubernetes-list-type": "set",
    "items": {"x-kubernetes-preserve-unknown-fields": True},
}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(["a", "b", "a", "a"], ['f[2]: Duplicate value: "a"'], id="reported once"),
        pytest.param([1, 1.0, True, "1"], [], id="other types are other values"),
        pytest.param(
            [{"a": 1, "b": 2}, {"b": 2, "a": 1}], ['f[1]: Duplicate value: {"a":1,"b":2}'], id="object"
        ),
        pytest.param([None, None], ["f[1]: Duplicate value: null"], id="null"),
    ],
)
def test_items_of_a_set_are_unique(items: list[Any], expected: list[str]) -> None:
    assert faults(SET, items) == expected


def keyed(*keys: str) -> dict[str, Any]:
    item = obj(name=STRING, port=INTEGER, text=STRING)
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(keys),
        "items": item,
    }


@pytest.mark.parametrize(
    ("schema", "items", "expected"),
    [
        pytest.param(keyed("name"), [{"name": "a"}, {"name": "b"}], [], id="unique"),
        pytest.param(
            keyed("name"),
            [{"name": "a", "text": "1"}, {"name": "a", "text": "2"}],
            ['f[1]: Duplicate value: {"name":"a"}'],
            id="same key",
        ),
        pytest.param(keyed("name"), [{}, {}], ["f[1]: Duplicate value: {}"], id="no key twice"),
        pytest.param(
            keyed("port", "name"), [{"name": "a", "port": 1}, {"name": "a", "port": 2}], [], id="pair"
        ),
        pytest.param(
            keyed("port", "name"),
            [{"name": "a", "port": 1}, {"port": 1, "name": "a"}],
            ['f[1]: Duplicate value: {"name":"a","port":1}'],
            id="same pair",
        ),
    ],
)
def test_keys_of_an_associative_list_are_unique(schema: Any, items: list[Any], expected: list[str]) -> None:
    assert faults(schema, items) == expected


EMBEDDED = {**obj(), "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"apiVersion": "v1", "kind": "Pod"}, [], id="sound"),
        pytest.param({}, ["f.apiVersion: Required value", "f.kind: Required value"], id="type missing"),
        pytest.param(
            {"apiVersion": "a/b/c", "kind": 5},
            [
                'f.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
                "f.kind: Invalid value: 5: must be a string",
            ],
            id="type wrong",
        ),
    ],
)
def test_embedded_resources_have_a_type(value: Any, expected: list[str]) -> None:
    assert faults(EMBEDDED, value) == expected


def test_metadata_of_embedded_resources_is_checked() -> None:
    metadata = {"name": "a/b", "namespace": "A", "labels": {"a b": "x"}, "finalizers": ["a b"]}
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}

    found = {text.partition(": ")[0] for text in faults(EMBEDDED, value)}

    assert found == {
        "f.metadata.name",
        "f.metadata.namespace",
        "f.metadata.labels",
        "f.metadata.finalizers[0]",
    }


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"annotations": {"a b": "x"}}, "f.metadata.annotations"),
        ({"annotations": {"a": "x" * 300_000}}, "f.metadata.annotations"),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x"}]},
            "f.metadata.ownerReferences[0].uid",
        ),
        ({"generateName": "a%"}, "f.metadata.generateName"),
        ({"labels": {"a": "b c"}}, "f.metadata.labels"),
        ({"generation": -1}, "f.metadata.generation"),
        ({"labels": 5}, "f.metadata"),
        ([], "f.metadata"),
    ],
)
def test_each_part_of_embedded_metadata_is_checked(metadata: Any, field: str) -> None:
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}

    assert {text.partition(": ")[0] for text in faults(EMBEDDED, value)} == {field}


def test_embedded_resources_are_found_in_lists_and_maps() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "array", "items": EMBEDDED}}

    assert faults(schema, {"k": [{"apiVersion": "v1"}]}) == ["f[k][0].kind: Required value"]


def test_items_of_an_associative_list_are_objects() -> None:
    assert "f[0]: Invalid value: 5: must be an object for an array of list-type map" in faults(
        keyed("name"), [5]
    )


def test_duplicates_are_found_in_lists_and_maps() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "array", "items": SET}}

    assert faults(schema, {"k": [["a", "a"]]}) == ['f[k][0][1]: Duplicate value: "a"']


def test_the_node_of_a_schema_knows_metadata_and_associative_lists() -> None:
    node = compile(obj(spec=obj(ports=keyed("name"), pod=EMBEDDED))).node

    assert node.fields is not None
    assert node.fields["metadata"].go_type == "ObjectMeta"
    spec = node.fields["spec"].fields
    assert spec is not None
    assert spec["ports"].list_map_keys == ("name",)
    assert spec["pod"].fields is not None
    assert spec["pod"].fields["metadata"].go_type == "ObjectMeta"

"""What makes a schema legal in a CustomResourceDefinition."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.field import Path
from kplane.api.structural import validate_definition

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def faults(schema: Any, **options: bool) -> list[str]:
    return [str(fault) for fault in validate_definition(schema, Path("s"), **options)]


def field_faults(schema: Any) -> list[str]:
    """Of a schema of the field `f`, relative to it."""
    return [text.removeprefix("s.properties[f].") for text in faults(obj(f=schema))]


def test_a_usual_definition_is_legal() -> None:
    port = {**obj(name=STRING, protocol={**STRING, "default": "TCP"}), "required": ["name"]}
    schema = obj(
        apiVersion=STRING,
        kind=STRING,
        metadata={"type": "object"},
        spec={
            **obj(
                replicas={**INTEGER, "format": "int32", "minimum": 0, "default": 1},
                ports={
                    "type": "array",
                    "items": port,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name", "protocol"],
                },
                target={
                    "x-kubernetes-int-or-string": True,
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                },
                template={
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
                labels={"type": "object", "additionalProperties": STRING},
                one={**obj(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            ),
            "x-kubernetes-validations": [{"rule": "self.replicas >= oldSelf.replicas", "message": "no"}],
        },
        status={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    )

    assert faults(schema, status_subresource=True) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({}, ["s.type: Required value: must not be empty at the root"], id="no type"),
        pytest.param(
            {"type": "array", "items": STRING},
            ['s.type: Invalid value: "array": must be object at the root'],
            id="root is no object",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": STRING},
            ["s.additionalProperties: Forbidden: must not be used at the root"],
            id="map at the root",
        ),
        pytest.param(
            {**obj(), "nullable": True},
            ["s.nullable: Forbidden: nullable cannot be true at the root"],
            id="null",
        ),
        pytest.param(
            obj(metadata=obj(labels={"type": "object"})),
            [
                "s.properties[metadata]: Forbidden: must not specify anything other than name and"
                " generateName,"
                " but metadata is implicitly specified"
            ],
            id="metadata",
        ),
        pytest.param(obj(metadata=obj(name={**STRING, "maxLength": 5})), [], id="metadata.name"),
        pytest.param(
            obj(kind=INTEGER),
            ['s.properties[kind].type: Invalid value: "integer": must be string'],
            id="kind",
        ),
        pytest.param(
            obj(kind={**STRING, "default": "K"}),
            ["s.properties[kind].default: Forbidden: must not be set in top-level kind"],
            id="default in type",
        ),
        pytest.param(
            {**obj(a=STRING), "anyOf": [{"properties": {"b": {"minLength": 1}}}]},
            ["s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"],
            id="only in a quantifier",
        ),
        pytest.param(
            {
                **obj(a={"type": "array", "items": obj()}),
                "not": {"properties": {"a": {"items": {"properties": {"b": {}}}}}},
            },
            [
                "s.properties[a].items.properties[b]: Required value: because it is defined in"
                " s.not.properties[a].items.properties[b]"
            ],
            id="an item's field only in a quantifier",
        ),
        pytest.param(
            obj(f={**STRING, "anyOf": [{"allOf": [5]}]}),
            ['s: Invalid value: "": OpenAPIV3Schema must be an object'],
            id="malformed in a quantifier",
        ),
        pytest.param(
            {"type": 5}, ["s: Invalid value: \"\": OpenAPIV3Schema 'type' is malformed"], id="malformed"
        ),
        pytest.param([], ['s: Invalid value: "": OpenAPIV3Schema must be an object'], id="no schema"),
    ],
)
def test_rules_of_the_root(schema: Any, expected: list[str]) -> None:
    assert faults(schema) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, ["type: Required value: must not be empty for specified object fields"]),
        ({"type": "array"}, ["items: Required value: must be specified"]),
        (
            {"type": "array", "items": {}},
            ["items.type: Required value: must not be empty for specified array items"],
        ),
        (
            {"type": "array", "items": [STRING]},
            ["items: Forbidden: items must be a schema object and not an array"],
        ),
        (
            {"type": "text"},
            [
                'type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number",'
                ' "object", "string"'
            ],
        ),
        ({**STRING, "$ref": "#/x"}, ["$ref: Forbidden: $ref is not supported"]),
        ({**STRING, "id": "x"}, ["id: Forbidden: id is not supported"]),
        (
            {**obj(), "patternProperties": {"a": {}}},
            ["patternProperties: Forbidden: patternProperties is not supported"],
        ),
        (
            {"type": "array", "items": STRING, "uniqueItems": True},
            [
                "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime"
                " complexity becomes quadratic"
            ],
        ),
        (
            {**obj(a=STRING), "additionalProperties": STRING},
            ["additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            {**STRING, "pattern": "(?=a)"},
            [
                'pattern: Invalid value: "(?=a)": must be a valid regular expression, but isn\'t:'
                " error parsing"
                " regexp: invalid or unsupported Perl syntax: `(?=`"
            ],
        ),
        (
            {"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
            [
                "x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if"
                " x-kubernetes-int-or-string is true"
            ],
        ),
        (
            {
                "x-kubernetes-int-or-string": True,
                "x-kubernetes-embedded-resource": True,
                "properties": {"a": STRING},
            },
            [
                "type: Required value: must be object if x-kubernetes-embedded-resource is true",
                "x-kubernetes-embedded-resource: Invalid value: true: must be false if"
                " x-kubernetes-int-or-string is true",
            ],
        ),
        (
            {**STRING, "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
            ['type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true'],
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            [
                "properties: Required value: must not be empty if x-kubernetes-embedded-resource is"
                " true without"
                " x-kubernetes-preserve-unknown-fields"
            ],
        ),
        (
            {**obj(), "x-kubernetes-preserve-unknown-fields": False},
            ["x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
        ),
        (
            {
                "x-kubernetes-int-or-string": True,
                "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}], "title": "x"}],
            },
            ["allOf[0].title: Forbidden: must be empty to be structural"],
        ),
        (
            {**obj(a=STRING), "anyOf": [{"properties": {"a": {"description": "x"}}}]},
            ["anyOf[0].properties[a].description: Forbidden: must be empty to be structural"],
        ),
        (
            {"type": "array", "items": STRING, "anyOf": [{"items": {"type": "string"}}]},
            ["anyOf[0].items.type: Forbidden: must be empty to be structural"],
        ),
        (
            {**obj(metadata=obj()), "anyOf": [{"properties": {"metadata": {"minProperties": 1}}}]},
            ["anyOf[0].properties[metadata]: Forbidden: must not be specified in a nested context"],
        ),
        ({**STRING, "not": {"type": "string"}}, ["not.type: Forbidden: must be empty to be structural"]),
        (
            {**STRING, "allOf": [{"default": "x", "nullable": True}]},
            [
                "allOf[0].default: Forbidden: must be undefined to be structural",
                "allOf[0].nullable: Forbidden: must be false to be structural",
            ],
        ),
        (
            {**INTEGER, "allOf": [{"x-kubernetes-validations": [{"rule": "true"}]}]},
            ["allOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural"],
        ),
    ],
)
def test_rules_of_a_field(schema: Any, expected: list[str]) -> None:
    assert field_faults(schema) == expected


def keyed(item: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(keys),
        "items": item,
    }


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {**STRING, "x-kubernetes-list-type": "set"},
            ['type: Invalid value: "string": must be array if x-kubernetes-list-type is specified'],
        ),
        (
            {"type": "array", "items": STRING, "x-kubernetes-list-type": "bag"},
            ['x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", "set", "map"'],
        ),
        (
            {"type": "array", "items": obj(), "x-kubernetes-list-type": "set"},
            [
                'items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with'
                " x-kubernetes-list-type=set"
            ],
        ),
        (
            {"type": "array", "items": {**STRING, "nullable": True}, "x-kubernetes-list-type": "set"},
            ["items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set"],
        ),
        (
            keyed(obj(a=STRING)),
            [
                "x-kubernetes-list-map-keys: Required value: must not be empty if"
                " x-kubernetes-list-type is map"
            ],
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]},
            [
                "items: Required value: must be specified",
                "items: Required value: must have a schema if x-kubernetes-list-type is map",
            ],
        ),
        (
            keyed(STRING, "a"),
            [
                'items.type: Invalid value: "string": must be object if parent array\'s'
                " x-kubernetes-list-type is map"
            ],
        ),
        (
            keyed(obj(a=STRING), "a"),
            [
                "items.properties[a].default: Required value: this property is in"
                " x-kubernetes-list-map-keys, so"
                " it must have a default or be a required property"
            ],
        ),
        (
            keyed({**obj(a={**STRING, "nullable": True}), "required": ["a"]}, "a"),
            [
                "items.properties[a].nullable: Forbidden: this property is in"
                " x-kubernetes-list-map-keys, so it"
                " cannot be nullable"
            ],
        ),
        (
            keyed({**obj(a=obj()), "required": ["a"]}, "a"),
            [
                'items.properties[a].type: Invalid value: "object": must be a scalar type if parent array\'s'
                " x-kubernetes-list-type is map"
            ],
        ),
        (
            keyed({**obj(a=STRING), "required": ["a"]}, "a", "b", "a"),
            [
                'x-kubernetes-list-map-keys: Invalid value: ["a","b","a"]: entries must all be names of item'
                " properties",
                'x-kubernetes-list-map-keys: Invalid value: ["a","b","a"]: must not contain'
                " duplicate entries",
            ],
        ),
        (
            {"type": "array", "items": obj(), "x-kubernetes-list-map-keys": ["a"]},
            [
                "x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys"
                " is non-empty"
            ],
        ),
        (
            {**STRING, "x-kubernetes-map-type": "odd"},
            [
                'type: Invalid value: "string": must be object if x-kubernetes-map-type is specified',
                'x-kubernetes-map-type: Unsupported value: "odd": supported values: "atomic", "granular"',
            ],
        ),
    ],
)
def test_rules_of_lists_and_maps(schema: Any, expected: list[str]) -> None:
    assert field_faults(schema) == expected


EMBEDDED = {**obj(metadata=obj(labels={"type": "object", "additionalProperties": STRING}))}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {**STRING, "default": 5},
            [
                'default: Invalid value: "integer": s.properties[f].default in body must be of type'
                ' string: "integer"'
            ],
        ),
        ({**STRING, "maxLength": 1, "default": "xx"}, ["default: Too long: may not be more than 1 bytes"]),
        (
            {**obj(a=STRING), "default": {"a": "", "b": 1}},
            ['default: Invalid value: {"a":"","b":1}: must not have unknown fields'],
        ),
        (
            {**obj(a={**STRING, "enum": ["x"]}), "default": {"a": "y"}},
            ['default.a: Unsupported value: "y": supported values: "x"'],
        ),
        ({**STRING, "nullable": True, "default": None}, []),
    ],
)
def test_defaults_obey_their_schema(schema: Any, expected: list[str]) -> None:
    found = field_faults(schema)

    # Upstream's messages name the place within the default only.
    assert found == [text.replace("s.properties[f].default in body", " in body") for text in expected]


def test_defaults_obey_their_rules() -> None:
    positive = ruled(INTEGER, {"rule": "self > 0"})
    grown = ruled(INTEGER, {"rule": "oldSelf.hasValue()", "optionalOldSelf": True})

    assert field_faults({**positive, "default": 1}) == []
    assert field_faults({**positive, "default": 0}) == [
        'default: Invalid value: "integer": failed rule: self > 0'
    ]
    assert field_faults({**grown, "default": 0}) == [
        'default: Invalid value: "integer": failed rule: oldSelf.hasValue()'
    ]


def test_a_negation_is_checked_to_its_depth() -> None:
    assert field_faults({**STRING, "not": {"uniqueItems": True}}) == [
        "not.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes"
        " quadratic"
    ]


def test_a_map_is_checked_to_its_depth() -> None:
    assert field_faults({"type": "object", "additionalProperties": {**STRING, "$ref": "#/x"}}) == [
        "additionalProperties.$ref: Forbidden: $ref is not supported"
    ]


def test_defaults_within_embedded_metadata_make_valid_metadata() -> None:
    labels = {"type": "object", "additionalProperties": STRING, "default": {"a b": "c"}}
    schema = {**obj(metadata=obj(labels=labels)), "x-kubernetes-embedded-resource": True}

    (text,) = field_faults(schema)

    start = (
        'properties[metadata].properties[labels].default: Invalid value: {"a b":"c"}: must result'
        " in valid metadata:"
    )
    assert text.startswith(f"{start} metadata.labels: Invalid value")


def ruled(schema: dict[str, Any], *rules: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": list(rules)}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"rule": " "}, ["rule: Required value: rule is not specified"]),
        (
            {"rule": "true", "message": " "},
            ['message: Invalid value: " ": message must be non-empty if specified'],
        ),
        (
            {"rule": "true", "message": "a\nb"},
            ['message: Invalid value: "a\\nb": message must not contain line breaks'],
        ),
        (
            {"rule": "true\n&& true"},
            ["message: Required value: message must be specified if rule contains line breaks"],
        ),
        (
            {"rule": "true", "messageExpression": " "},
            ["messageExpression: Required value: messageExpression must be non-empty if specified"],
        ),
        (
            {"rule": "true", "reason": "Other"},
            [
                'reason: Unsupported value: "Other": supported values: "FieldValueDuplicate",'
                ' "FieldValueForbidden",'
                ' "FieldValueInvalid", "FieldValueRequired"'
            ],
        ),
        (
            {"rule": "true", "fieldPath": ".b"},
            ['fieldPath: Invalid value: ".b": fieldPath must be a valid path'],
        ),
        (
            {"rule": "true", "fieldPath": "a"},
            ['fieldPath: Invalid value: "a": fieldPath must be a valid path'],
        ),
        (
            {"rule": "true", "fieldPath": "['a"},
            ['fieldPath: Invalid value: "[\'a": fieldPath must be a valid path'],
        ),
        (
            {"rule": "true", "fieldPath": "\n"},
            [
                'fieldPath: Invalid value: "\\n": fieldPath must be non-empty if specified',
                'fieldPath: Invalid value: "\\n": fieldPath must not contain line breaks',
                'fieldPath: Invalid value: "\\n": fieldPath must be a valid path',
            ],
        ),
        (
            {"rule": "self.a"},
            ['rule: Invalid value: {"rule":"self.a"}: cel expression must evaluate to a bool'],
        ),
        (
            {"rule": "true", "messageExpression": "1"},
            [
                'messageExpression: Invalid value: {"rule":"true","messageExpression":"1"}:'
                " messageExpression must"
                " evaluate to a string"
            ],
        ),
        (
            {"rule": "true", "optionalOldSelf": True},
            ["optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"],
        ),
    ],
)
def test_rules_of_rules(rule: dict[str, Any], expected: list[str]) -> None:
    found = field_faults(ruled(obj(a=INTEGER), rule))

    assert found == [f"x-kubernetes-validations[0].{text}" for text in expected]


def test_a_rule_that_does_not_compile_says_where() -> None:
    (text,) = field_faults(ruled(INTEGER, {"rule": "self.x"}))

    assert text.startswith(
        'x-kubernetes-validations[0].rule: Invalid value: {"rule":"self.x"}: compilation failed:'
        " ERROR: <input>:1:5:"
    )


def test_old_self_needs_values_that_can_be_told_apart() -> None:
    item = ruled(INTEGER, {"rule": "self >= oldSelf"})

    (text,) = field_faults({"type": "array", "maxItems": 5, "items": item})

    assert text == (
        'items.x-kubernetes-validations[0].rule: Invalid value: "self >= oldSelf": oldSelf cannot be'
        " used on the"
        " uncorrelatable portion of the schema within s.properties[f]"
    )


def test_rules_are_compiled_at_every_depth() -> None:
    broken = ruled(INTEGER, {"rule": "self"})
    schema = obj(
        m={"type": "object", "additionalProperties": {"type": "array", "maxItems": 3, "items": broken}}
    )

    (text,) = field_faults(schema)

    assert text.startswith(
        "properties[m].additionalProperties.items.x-kubernetes-validations[0].rule: Invalid"
    )


def test_an_embedded_resource_has_none_in_its_metadata() -> None:
    inner = {**obj(a=STRING), "x-kubernetes-embedded-resource": True}
    schema = {**obj(metadata=obj(annotations=inner)), "x-kubernetes-embedded-resource": True}

    assert field_faults(schema) == [
        "properties[metadata].properties[annotations].x-kubernetes-embedded-resource: Forbidden: must not be"
        " used inside of resource meta"
    ]


def test_a_rule_that_may_cost_too_much_is_refused() -> None:
    texts = {"type": "array", "items": STRING}
    rule = {"rule": "self.all(x, self.all(y, x != y))"}

    assert field_faults(ruled({**texts, "maxItems": 10, "items": {**STRING, "maxLength": 5}}, rule)) == []
    found = field_faults(ruled(texts, rule))
    assert found[0] == (
        "x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor"
        " of more than 100x"
        " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays,"
        " maps, and strings"
        " are declared)"
    )
    assert found[1] == (
        "x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total"
        " exceeding cost limit"
        " for entire OpenAPIv3 schema"
    )
    assert found[2].startswith("s: Forbidden: x-kubernetes-validations estimated rule cost total for entire")


def test_a_rule_costs_as_often_as_its_value_can_occur() -> None:
    item = ruled({**STRING, "maxLength": 1000}, {"rule": "self.contains('x')"})
    many = {"type": "array", "items": {"type": "array", "items": item}}

    assert field_faults({**many, "maxItems": 10, "items": {**many["items"], "maxItems": 10}}) == []
    assert "estimated rule cost exceeds budget" in field_faults(many)[0]


def test_the_status_subresource_limits_the_root() -> None:
    (text,) = faults({**obj(), "maxProperties": 3}, status_subresource=True)

    assert text.endswith("fields are allowed at the root of the schema if the status subresource is enabled")
    assert faults({**obj(), "maxProperties": 3}) == []
    assert faults({"type": "string"}, status_subresource=True) == [
        's.type: Invalid value: "string": only "object" is allowed as the type at the root of the schema if'
        " the status subresource is enabled",
        's.type: Invalid value: "string": must be object at the root',
    ]

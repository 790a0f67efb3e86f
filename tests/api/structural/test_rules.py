"""Rules (`x-kubernetes-validations`) on objects: what they see, what they say, what they may cost."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import Budget
from kplane.api.field import FieldError
from kplane.api.structural import compile
from kplane.api.structural.rules import compile_rules
from kplane.api.structural.spec import parse

INTEGER = {"type": "integer"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def ruled(schema: dict[str, Any], *rules: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": list(rules)}


def faults(schema: dict[str, Any], value: Any, old: Any = None) -> list[FieldError]:
    before = None if old is None else {"f": old}
    return list(compile(obj(f=schema)).validate({"f": value}, before))


def texts(schema: dict[str, Any], value: Any, old: Any = None) -> list[str]:
    return list(map(str, faults(schema, value, old)))


def test_a_rule_that_holds_says_nothing() -> None:
    assert texts(ruled(INTEGER, {"rule": "self > 1"}), 2) == []


@pytest.mark.parametrize(
    ("rule", "reason", "text"),
    [
        ({}, "FieldValueInvalid", 'Invalid value: "object": failed rule: self.a > 1'),
        ({"message": " too small "}, "FieldValueInvalid", 'Invalid value: "object": too small'),
        (
            {"messageExpression": "'bad'", "message": "unused"},
            "FieldValueInvalid",
            'Invalid value: "object": bad',
        ),
        (
            {"messageExpression": "' '"},
            "FieldValueInvalid",
            'Invalid value: "object": failed rule: self.a > 1',
        ),
        (
            {"messageExpression": "['x'][5]", "message": "instead"},
            "FieldValueInvalid",
            'Invalid value: "object": instead',
        ),
        ({"reason": "FieldValueForbidden"}, "FieldValueForbidden", "Forbidden: failed rule: self.a > 1"),
        ({"reason": "FieldValueRequired"}, "FieldValueRequired", "Required value: failed rule: self.a > 1"),
        ({"reason": "FieldValueDuplicate"}, "FieldValueDuplicate", 'Duplicate value: "object"'),
    ],
)
def test_a_broken_rule_speaks_as_it_was_told(rule: dict[str, str], reason: str, text: str) -> None:
    (fault,) = faults(ruled(obj(a=INTEGER), {"rule": "self.a > 1", **rule}), {"a": 0})

    assert (fault.reason, str(fault)) == (reason, f"f: {text}")


@pytest.mark.parametrize(
    ("path", "field"), [(".a", "f.a"), (".in['x.y']", "f.in.x.y"), (".m['k'].a", "f.m[k].a")]
)
def test_a_rule_names_the_field_at_fault(path: str, field: str) -> None:
    inner = {"in": obj(**{"x.y": INTEGER}), "m": {"type": "object", "additionalProperties": obj(a=INTEGER)}}
    schema = ruled(obj(a=INTEGER, **inner), {"rule": "false", "fieldPath": path})

    assert [fault.field for fault in faults(schema, {})] == [field]


def test_rules_see_every_depth() -> None:
    rule = {"rule": "self > 1"}
    positive = ruled(INTEGER, rule)
    schema = obj(
        l={"type": "array", "items": positive},
        m={"type": "object", "additionalProperties": positive},
        n={**positive, "nullable": True},
    )

    found = faults(schema, {"l": [2, 0], "m": {"k": 1}, "n": None})

    assert [fault.field for fault in found] == ["f.l[1]", "f.m[k]"]


def test_rules_at_the_root_see_the_name() -> None:
    schema = compile(ruled(obj(), {"rule": "self.metadata.name == 'only'"}))

    assert not list(schema.validate({"metadata": {"name": "only"}}))
    assert list(schema.validate({"metadata": {"name": "other"}}))


GROWS = {"rule": "self >= oldSelf", "message": "shrunk"}


def keyed(value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"],
        "items": obj(n={"type": "string"}, v=value),
    }


@pytest.mark.parametrize(
    ("schema", "value", "old", "expected"),
    [
        pytest.param(ruled(INTEGER, GROWS), 1, None, [], id="nothing to compare with"),
        pytest.param(ruled(INTEGER, GROWS), 1, 2, ["f"], id="transition"),
        pytest.param(obj(a=ruled(INTEGER, GROWS)), {"a": 1}, {}, [], id="field was not there"),
        pytest.param(
            {"type": "object", "additionalProperties": ruled(INTEGER, GROWS)},
            {"a": 1},
            {"a": 2},
            ["f[a]"],
            id="entries of maps",
        ),
        pytest.param(
            keyed(ruled(INTEGER, GROWS)),
            [{"n": "b", "v": 1}, {"n": "a", "v": 1}],
            [{"n": "a", "v": 2}, {"n": "b", "v": 0}],
            ["f[1].v"],
            id="items by their keys",
        ),
        pytest.param(
            {"type": "array", "items": ruled(INTEGER, GROWS)},
            [1],
            [2],
            [],
            id="items by position have no past",
        ),
        pytest.param(
            ruled(INTEGER, {"rule": "oldSelf.hasValue()", "optionalOldSelf": True}),
            1,
            None,
            ["f"],
            id="optional",
        ),
        pytest.param(
            ruled(INTEGER, {"rule": "oldSelf.orValue(0) < self", "optionalOldSelf": True}),
            1,
            1,
            ["f"],
            id="optional with a value",
        ),
    ],
)
def test_transition_rules_compare_with_what_was(
    schema: Any, value: Any, old: Any, expected: list[str]
) -> None:
    assert [fault.field for fault in faults(schema, value, old)] == expected


NEVER = {"rule": "false"}


@pytest.mark.parametrize(
    ("schema", "value", "old", "expected"),
    [
        pytest.param(ruled(INTEGER, NEVER), 1, 1, [], id="unchanged"),
        pytest.param(ruled(INTEGER, NEVER), 2, 1, ["f"], id="changed"),
        pytest.param(
            ruled(INTEGER, {"rule": "oldSelf != self"}), 1, 1, ["f"], id="transition rules always run"
        ),
        pytest.param(
            {"type": "array", "items": ruled(INTEGER, NEVER)}, [1, 2], [1], ["f[1]"], id="by position"
        ),
        pytest.param(
            {"type": "array", "x-kubernetes-list-type": "set", "items": ruled(INTEGER, NEVER)},
            [1],
            [1],
            [],
            id="an unchanged set spares its items",
        ),
        pytest.param(
            keyed(ruled(INTEGER, NEVER)), [{"n": "a", "v": 1}], [{"n": "b"}, {"n": "a", "v": 1}], [], id="k"
        ),
    ],
)
def test_a_rule_is_not_reported_where_nothing_changed(
    schema: Any, value: Any, old: Any, expected: list[str]
) -> None:
    assert [fault.field for fault in faults(schema, value, old)] == expected


def test_a_rule_without_a_value_says_why() -> None:
    missing = ruled(obj(a=INTEGER), {"rule": "self.a > 1"})
    mixed = ruled(obj(a={"x-kubernetes-int-or-string": True}), {"rule": "self.a > 1", "message": "m"})

    assert texts(missing, {}) == ['f: Invalid value: "object": no such key: a evaluating rule: self.a > 1']
    assert texts(mixed, {"a": "x"}) == [
        "f: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator,"
        " function or macro signature for rule: m"
    ]


def test_rules_wait_until_the_object_is_sound() -> None:
    schema = ruled({**obj(a=INTEGER), "required": ["a"]}, {"rule": "self.a > 1"})

    assert texts(schema, {}) == [
        "f.a: Required value",
        '<nil>: Invalid value: "null": some validation rules were not checked because the object was invalid;'
        " correct the existing errors to complete validation",
    ]
    assert (
        len(texts({**schema, "maxProperties": 1, "properties": {"a": {**INTEGER, "maximum": 0}}}, {"a": 1}))
        == 2
    )


NESTED = "self.all(a, self.all(b, self.all(c, a + b + c > 0)))"


def test_a_rule_that_costs_too_much_ends_the_walk() -> None:
    schema = obj(
        l=ruled({"type": "array", "items": INTEGER}, {"rule": NESTED}, NEVER), m=ruled(INTEGER, NEVER)
    )

    assert texts(schema, {"l": [1] * 200, "m": 1}) == [
        "f.l: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no"
        " further validation"
        f" rules will be run due to call cost exceeds limit for rule: {NESTED}"
    ]


def test_all_rules_of_an_object_share_a_budget() -> None:
    schema = {"type": "array", "items": ruled(INTEGER, {"rule": "self + 1 > 1"})}
    run = compile_rules(parse(schema))
    assert run is not None

    found = run([1] * 100, None, budget=Budget(50))

    assert [fault.text for fault in found] == [
        'Invalid value: "integer": validation failed due to running out of cost budget, no further validation'
        " rules will be run"
    ]


def test_a_budget_that_is_used_up_to_the_last_unit_ends_the_walk() -> None:
    run = compile_rules(parse({"type": "array", "items": ruled(INTEGER, {"rule": "self > 0"})}))
    assert run is not None

    assert [fault.field for fault in run([1], None, budget=Budget(2))] == []
    assert [fault.field for fault in run([1, 1], None, budget=Budget(2))] == ["[1]"]


def test_a_message_that_costs_too_much_ends_the_walk() -> None:
    expression = "self.map(a, self.map(b, self.map(c, string(a)))).size() > 0 ? 'x' : 'y'"
    costly = {"rule": "false", "messageExpression": expression}
    schema = obj(l=ruled({"type": "array", "items": INTEGER}, costly), m=ruled(INTEGER, NEVER))

    assert texts(schema, {"l": [1] * 200, "m": 1}) == [
        'f.l: Invalid value: "array": no further validation rules will be run due to call cost exceeds limit'
        f' for messageExpression: "{expression}"'
    ]


def test_a_stored_rule_that_does_not_compile_is_reported_with_the_object() -> None:
    found = texts(ruled(INTEGER, {"rule": "self.x"}, {"rule": "self > 5"}), 1)

    assert found[0].startswith(
        'f: Invalid value: "integer": rule compile error: compilation failed: ERROR: <input>:1:5:'
    )
    assert found[1] == 'f: Invalid value: "integer": failed rule: self > 5'


def test_rules_have_no_place_where_values_have_no_type() -> None:
    schema = ruled({"x-kubernetes-preserve-unknown-fields": True}, {"rule": "true"})

    assert texts(schema, 1) == [
        'f: Invalid value: "": rule compiler initialization error: rule declared on schema that does'
        " not support"
        " validation rules type: '' x-kubernetes-preserve-unknown-fields: 'true'"
    ]

"""What mutating policies' expressions make: apply configurations and JSON patches."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import DYN, CelError, Environment, EvaluationError, list_of, to_json
from kplane.api.cel.library.mutation import (
    APPLY_CONFIGURATION,
    JSON_PATCH,
    apply_configuration,
    mutation_type,
)

ENVIRONMENT = Environment({"object": DYN}, mutation_type)
POD = {
    "spec": {"replicas": 1, "containers": [{"name": "a"}, {"name": "b"}]},
    "metadata": {"labels": {"x": "y"}},
}


def configuration(source: str) -> Any:
    program = ENVIRONMENT.compile(source, expected=APPLY_CONFIGURATION)
    return apply_configuration(program.evaluate({"object": POD}))


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("Object{}", {}),
        ("Object{spec: Object.spec{replicas: object.spec.replicas + 2}}", {"spec": {"replicas": 3}}),
        (
            "Object{metadata: Object.metadata{labels: {'a.b/c': 'd'}}}",
            {"metadata": {"labels": {"a.b/c": "d"}}},
        ),
        (
            "Object{metadata: Object.metadata{labels: Object.metadata.labels{a__dash__b: 'c'}}}",
            {"metadata": {"labels": {"a-b": "c"}}},
        ),
        (
            "Object{spec: Object.spec{containers: object.spec.containers.map(c,"
            " Object.spec.containers{name: c.name, image: 'i'})}}",
            {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}},
        ),
        ("Object{?spec: optional.none(), kind: 'K'}", {"kind": "K"}),
        ("Object{?kind: object.?kind, ?spec: optional.of(Object.spec{})}", {"spec": {}}),
        ("has(object.spec) ? Object{kind: 'a'} : Object{kind: 'b'}", {"kind": "a"}),
    ],
)
def test_apply_configuration(source: str, made: Any) -> None:
    assert configuration(source) == made


def test_nested_types_are_called_by_the_path_of_their_field() -> None:
    with pytest.raises(EvaluationError) as caught:
        configuration("Object{metadata: Object.spec{a: 1}}")
    assert str(caught.value) == (
        'unexpected type name "Object.spec", expected "Object.metadata",'
        " which matches field name path from root Object type"
    )


def test_json_patch() -> None:
    source = (
        "[JSONPatch{op: 'test', path: '/spec/replicas', value: 1},"
        " JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: {'c': [1]}},"
        " JSONPatch{op: 'move', from: '/a', path: '/b'}] "
    )
    program = ENVIRONMENT.compile(source, expected=list_of(JSON_PATCH))
    assert to_json(program.evaluate({"object": POD})) == [
        {"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "add", "path": "/metadata/labels/a~1b", "value": {"c": [1]}},
        {"op": "move", "from": "/a", "path": "/b"},
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        ("JSONPatch{ops: 'add'}", "undefined field 'ops'"),
        ("Other{}", r"undeclared reference to 'Other' \(in container ''\)"),
        ("Object{?a: 1}", "expected type 'optional_type"),
        ("[JSONPatch{op: 'add'}, Object{}]", "expected type 'JSONPatch' but found 'Object'"),
        ("object", "must evaluate to Object but got dyn"),
    ],
)
def test_what_does_not_compile(source: str, message: str) -> None:
    with pytest.raises(CelError, match=message):
        ENVIRONMENT.compile(source, expected=APPLY_CONFIGURATION)


def test_other_environments_know_no_objects() -> None:
    with pytest.raises(CelError, match="undeclared reference to 'Object'"):
        Environment({}).compile("Object{}", expected=None)

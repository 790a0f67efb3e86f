"""JSON patch."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from kplane.api.patches import json_patch

OBJ = {"l": [1, 2], "m": {"a": "b"}, "s": "x"}


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([], OBJ),
        ([{"op": "add", "path": "/l/-", "value": 3}], {**OBJ, "l": [1, 2, 3]}),
        ([{"op": "add", "path": "/l/0", "value": 3}], {**OBJ, "l": [3, 1, 2]}),
        ([{"op": "remove", "path": "/m/a"}], {**OBJ, "m": {}}),
        ([{"op": "replace", "path": "/s", "value": {"y": 1}}], {**OBJ, "s": {"y": 1}}),
        ([{"op": "copy", "from": "/s", "path": "/m/c"}], {**OBJ, "m": {"a": "b", "c": "x"}}),
        ([{"op": "move", "from": "/m/a", "path": "/s"}], {"l": [1, 2], "m": {}, "s": "b"}),
        ([{"op": "test", "path": "/s", "value": "x"}], OBJ),
        ([{"op": "add", "path": "/m/a~1b", "value": 1}], {**OBJ, "m": {"a": "b", "a/b": 1}}),
    ],
)
def test_operations_apply(operations: list[Any], result: dict[str, Any]) -> None:
    assert json_patch(OBJ, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/s", "value": "y"},
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/none/deeper", "value": 1},
        {"op": "add", "path": "/l/9", "value": 1},
        {"op": "add", "path": "/l/x", "value": 1},
        {"op": "add", "path": "/s/x", "value": 1},
        {"op": "add", "path": 5, "value": 1},
        {"op": "add", "path": "/s"},
        {"op": "zap", "path": "/s"},
        {"op": {}, "path": "/s"},
        {"path": "/s"},
        {"op": "replace", "path": "", "value": 3},
        {"op": "move", "from": "/none", "path": "/s"},
    ],
)
def test_what_does_not_apply_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="the server rejected our request due to an error in our request"):
        json_patch(OBJ, [operation])


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({}, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        ("x", "json: cannot unmarshal string into Go value of type jsonpatch.Patch"),
        ([1], "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
    ],
)
def test_what_is_no_patch_is_a_bad_request(operations: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        json_patch(OBJ, operations)
    assert caught.value.message == message


def test_endless_patches_are_refused() -> None:
    with pytest.raises(RequestEntityTooLarge, match="is 10000, got 10001"):
        json_patch(OBJ, [{}] * 10_001)


def test_the_patch_may_be_applied_again() -> None:
    operations = [{"op": "add", "path": "/n", "value": {"x": []}}]

    json_patch(OBJ, operations)["n"]["x"].append(1)

    assert json_patch(OBJ, operations)["n"] == {"x": []}
    assert "n" not in OBJ

"""Request bodies: what can be read, and what upstream says of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api.decode import (
    DecodeError,
    decode_json,
    decode_yaml,
    decode_yaml_strictly,
    duplicate_keys,
    duplicate_yaml_keys,
    in_order_of,
    unrecognized,
)

PREFIX = "couldn't get version/kind; json parse error: "
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a":"b', "unexpected end of JSON input"),
        (b"[1", "unexpected end of JSON input"),
        (b"bad", "invalid character 'b' looking for beginning of value"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":[1 2]}', "invalid character '2' after array element"),
        (b'{"a":1} x', "invalid character 'x' after top-level value"),
        (b'{"a":tx}', "invalid character 'x' in literal true (expecting 'r')"),
        (b'{"a":-}', "invalid character '}' in numeric literal"),
        (b'{"a":"\x01"}', "invalid character '\\x01' in string literal"),
        (b'{"a":"\\q"}', "invalid character 'q' in string escape code"),
        (b'{"a":"\\u12x4"}', "invalid character 'x' in \\u hexadecimal character escape"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_not_json_is_refused_in_gos_words(body: bytes, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_json(body)
    assert str(caught.value) == PREFIX + message


@pytest.mark.parametrize(("body", "kind"), [(b"[]", "array"), (b"3", "number"), (b'"x"', "string")])
def test_json_that_is_no_object_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(DecodeError, match=f"cannot unmarshal {kind} into Go value of type struct"):
        decode_json(body)


def test_json_is_read_as_go_reads_it() -> None:
    assert decode_json(b"null") == {}
    assert decode_json(b'{"a":"\xff"}') == {"a": "\ufffd"}
    assert decode_json(b' {"a": 1}\n') == {"a": 1}


@given(st.dictionaries(st.text(), JSON))
def test_json_comes_back_as_it_went(obj: dict[str, Any]) -> None:
    assert decode_json(json.dumps(obj).encode()) == obj


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_decode_error(body: bytes) -> None:
    for decode in (decode_json, decode_yaml):
        try:
            assert isinstance(decode(body), dict)
        except DecodeError:
            continue


def test_the_400_shows_how_the_body_begins() -> None:
    assert unrecognized("Pod", "x", b"") == (
        "the object provided is unrecognized (must be of type Pod): x (<empty>)"
    )
    assert unrecognized("Pod", "x", b"bad").endswith("(626164)")
    assert unrecognized("Pod", "x", b"{" + b"a" * 40).endswith("({aaaaaaaaaaaaaaaaaaaaaaaaaaaaa ...)")


def test_faults_are_told_in_the_order_of_the_body() -> None:
    body = b'{"x":1,"spec":{"y":1,"n":1,"n":2,"z":[{"n":1,"n":1}]},"w":1}'
    unknown = [f'unknown field "{path}"' for path in ("spec.y", "w", "x")]
    repeated = [f'duplicate field "{path}"' for path in ("spec.n", "spec.z[0].n")]

    assert in_order_of(body, [*repeated, *unknown, "other"]) == [
        'unknown field "x"', 'unknown field "spec.y"', 'duplicate field "spec.n"',
        'duplicate field "spec.z[0].n"', 'unknown field "w"', "other",
    ]  # fmt: skip


def test_repeated_keys_are_found_with_their_paths() -> None:
    body = b'{"spec":{"replicas":1,"replicas":2,"c":[{"n":1,"n":2}]}}'
    compact = b'{"a":{"b":[1,2]}}'

    assert duplicate_keys(body, decode_json(body)) == ["spec.replicas", "spec.c[0].n"]
    assert duplicate_keys(compact, decode_json(compact)) == []
    assert duplicate_keys(b'{ "a": 1 }', {"a": 1}) == []


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", True),
        ("off", False),
        ("~", None),
        ("010", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("3.0", 3),
        ("1e3", 1000),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("'no'", "no"),
        ("!!str 1", "1"),
        ("1_000", 1000),
    ],
)
def test_yaml_scalars_mean_what_they_mean_to_go_yaml(scalar: str, value: Any) -> None:
    decoded = decode_yaml(f"a: {scalar}".encode())["a"]

    assert decoded == value
    assert type(decoded) is type(value)


def test_yaml_keys_are_strings_and_merges_are_expanded() -> None:
    assert decode_yaml(b"1: x\ntrue: v") == {"1": "x", "true": "v"}
    assert decode_yaml(b"x: &a {b: 1, c: 1}\nz: {<<: *a, c: 2}")["z"] == {"b": 1, "c": 2}
    assert decode_yaml(b"a: 1\n---\nb: 2") == {"a": 1}
    assert decode_yaml(b"") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "yaml: line 1: mapping values are not allowed in this context"),
        ("\ta: 1", "yaml: line 1: found character that cannot start any token"),
        ("a: &a [*a]", "yaml: anchor contains itself"),
        ("a: {b: 1", "yaml: line 2: did not find expected ',' or '}'"),
        ("[a]: 1", "yaml: invalid map key"),
        ("a: {<<: 1}", "yaml: map merge requires map or sequence of maps as the value"),
    ],
)
def test_what_is_not_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_yaml((text + "\n").encode())
    assert str(caught.value) == message


@pytest.mark.slow
def test_alias_bombs_do_not_go_off() -> None:
    levels = [f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]" for i in range(8)]
    bomb = "\n".join(["a: &a [x,x,x,x,x,x,x,x,x,x]", *levels])

    with pytest.raises(DecodeError, match=r"holds more than|excessive aliasing"):
        decode_yaml(bomb.encode())


def test_repeated_yaml_keys_are_found_with_their_lines() -> None:
    assert duplicate_yaml_keys(b"a: 1\nb: 2\na: 3") == ['line 3: key "a" already set in map']


def test_one_reading_gives_a_yaml_document_and_its_repeated_keys() -> None:
    value, repeated = decode_yaml_strictly(b"a: 1\nb: {c: 1, c: 2}\na: 3")

    assert value == {"a": 3, "b": {"c": 2}}
    assert repeated == ['line 2: key "c" already set in map', 'line 3: key "a" already set in map']

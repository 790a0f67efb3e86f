"""Writing messages: what the decoder reads is what was written, and the bytes are those of Go."""

from __future__ import annotations

import pytest

from kplane.api import protobuf
from kplane.api.protobuf.special import SPECIAL
from kplane.api.protobuf.table import names, rows
from kplane.api.schema import META

from .support import encode_message, envelope, sample

CORE = "io.k8s.api.core.v1."
OBJECTS = [name for name in names() if name not in SPECIAL and all(row.name for row in rows(name) or [])]
META_OF_A = bytes.fromhex("0a0161 1200 1a00 2200 2a00 3200 3800 4200")
"""name: a; the other texts empty; generation: 0; creationTimestamp: none."""


@pytest.mark.parametrize("name", OBJECTS)
def test_every_message_says_what_the_object_says(name: str) -> None:
    value = sample(name)

    written = protobuf.encode(value, name)

    assert protobuf.decode(written, name) == protobuf.decode(encode_message(value, name), name)


def test_what_a_struct_holds_by_value_is_written_even_if_it_is_empty() -> None:
    written = protobuf.encode({"metadata": {"name": "a"}}, f"{CORE}ConfigMap")

    assert written == bytes([0x0A, len(META_OF_A)]) + META_OF_A


def test_maps_are_written_in_the_order_of_their_keys() -> None:
    written = protobuf.encode({"data": {"b": "2", "a": "1"}}, f"{CORE}ConfigMap")

    assert written.endswith(bytes.fromhex("12060a0161120131 12060a0162120132"))


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        pytest.param(5, "0800 1005 1a00", id="number"),
        pytest.param("5%", "0801 1000 1a023525", id="text"),
        pytest.param(-1, "0800 10ffffffffffffffffff01 1a00", id="negative"),
        pytest.param(None, "0800 1000 1a00", id="none"),
    ],
)
def test_ports_and_shares_are_numbers_or_texts(value: object, raw: str) -> None:
    written = protobuf.encode({"targetPort": value}, f"{CORE}ServicePort")

    inner = bytes.fromhex(raw)
    assert bytes([0x22, len(inner)]) + inner in written


@pytest.mark.parametrize(
    ("kind", "text", "raw"),
    [
        pytest.param("Time", "1970-01-01T00:00:01Z", "0801 1000", id="seconds"),
        pytest.param("Time", "1970-01-01T01:00:01+01:00", "0801 1000", id="zone"),
        pytest.param("MicroTime", "1970-01-01T00:00:01.000002Z", "0801 10d00f", id="micro"),
    ],
)
def test_moments_are_seconds_and_nanoseconds(kind: str, text: str, raw: str) -> None:
    special = SPECIAL[META + kind]
    definition, field = {
        "Time": (f"{META}ObjectMeta", "creationTimestamp"),
        "MicroTime": ("io.k8s.api.coordination.v1.LeaseSpec", "renewTime"),
    }[kind]

    assert bytes.fromhex(raw) in protobuf.encode({field: text}, definition)
    assert special.value(special.fields(None)) is None


def test_a_type_may_contain_itself() -> None:
    schema = {"properties": {"a": {"items": {"type": "string"}, "enum": [1, {"b": None}]}}}
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"

    assert protobuf.decode(protobuf.encode(schema, name), name) == schema


def test_an_envelope_says_what_is_in_it() -> None:
    wrapped = protobuf.wrap(protobuf.Envelope("apps/v1", "Deployment", b"raw"))

    assert wrapped == envelope(b"raw", "apps/v1", "Deployment")
    assert protobuf.unwrap(wrapped) == ("apps/v1", "Deployment", b"raw")

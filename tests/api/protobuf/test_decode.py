"""Protobuf into JSON-shaped objects."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api.protobuf import DecodeError, decode, is_known, unwrap
from kplane.api.protobuf.table import rows
from kplane.api.protobuf.wire import VARINT
from kplane.api.schema import META
from kplane.api.scheme import builtin

from .support import encode_message, envelope, numeric, sample, sized, varint

CORE = "io.k8s.api.core.v1."
POD, CONTAINER, SERVICE_PORT = f"{CORE}Pod", f"{CORE}Container", f"{CORE}ServicePort"
RULES = "io.k8s.api.rbac.v1.Role"
KINDS = sorted({row.definition for row in builtin().rows.values() if is_known(row.definition)})


@pytest.mark.parametrize("kind", KINDS)
def test_everything_comes_back(kind: str) -> None:
    obj = sample(kind)

    assert decode(encode_message(obj, kind), kind) == obj


def test_what_is_absent_is_shown_as_gos_json_shows_it() -> None:
    assert decode(b"", "io.k8s.api.apps.v1.Deployment") == {
        "metadata": {},
        "spec": {
            "selector": None,
            "template": {"metadata": {}, "spec": {"containers": None}},
            "strategy": {},
        },
        "status": {},
    }
    assert decode(b"", CONTAINER) == {"name": "", "resources": {}}
    assert decode(b"", SERVICE_PORT) == {"port": 0, "targetPort": 0}
    assert decode(b"", RULES) == {"metadata": {}, "rules": None}


def test_zeros_are_left_out_unless_they_were_set_or_are_always_shown() -> None:
    container = sized(1, b"") + sized(2, b"") + numeric(16, 0)
    options = numeric(1, 0) + numeric(3, 0) + sized(4, b"")

    assert decode(container, CONTAINER) == {"name": "", "resources": {}}
    assert decode(options, f"{META}DeleteOptions") == {
        "gracePeriodSeconds": 0, "orphanDependents": False, "propagationPolicy": "",
    }  # fmt: skip


def test_the_last_of_a_field_counts_and_messages_are_merged() -> None:
    metadata = sized(1, b"a") + sized(1, b"b") + sized(2, b"x") + sized(2, b"")
    more = sized(3, b"team") + sized(14, b"hold")

    pod = decode(sized(1, metadata) + sized(1, more), POD)

    assert pod["metadata"] == {"name": "b", "namespace": "team", "finalizers": ["hold"]}


def test_embedded_messages_are_part_of_what_embeds_them() -> None:
    volume = sized(1, b"tmp") + sized(2, sized(2, sized(1, b"Memory")))

    assert decode(volume, f"{CORE}Volume") == {"name": "tmp", "emptyDir": {"medium": "Memory"}}


def test_numbers_have_gos_widths() -> None:
    replicas, seconds = numeric(3, -1), varint(1 << 3 | VARINT) + b"\xff" * 9 + b"\x01"

    assert decode(seconds, f"{META}DeleteOptions")["gracePeriodSeconds"] == -1
    assert decode(replicas, SERVICE_PORT)["port"] == -1
    assert decode(numeric(3, (1 << 40) + 5), SERVICE_PORT)["port"] == 5


def test_lists_of_numbers_come_together_or_one_by_one() -> None:
    groups = f"{CORE}PodSecurityContext"
    together = sized(4, varint(1) + varint(300))

    assert decode(together + numeric(4, 2), groups) == {"supplementalGroups": [1, 300, 2]}


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        pytest.param(b"", None, id="zero"),
        pytest.param(numeric(1, 0) + numeric(2, 0), "1970-01-01T00:00:00Z", id="epoch"),
        pytest.param(numeric(1, 1767323045) + numeric(2, 999_999_999), "2026-01-02T03:04:05Z", id="nanos"),
        pytest.param(numeric(1, -62135596800), None, id="gos-zero-time"),
        pytest.param(numeric(1, -62135596799), "0001-01-01T00:00:01Z", id="first-year"),
    ],
)
def test_times(content: bytes, shown: str | None) -> None:
    condition = sized(4, content)

    assert decode(condition, f"{META}Condition")["lastTransitionTime"] == shown


def test_micro_times_drop_what_is_finer() -> None:
    spec = sized(3, numeric(1, 1767323045) + numeric(2, 6_999))

    decoded = decode(spec, "io.k8s.api.coordination.v1.LeaseSpec")

    assert decoded == {"acquireTime": "2026-01-02T03:04:05.000006Z"}


def test_a_pointer_to_an_empty_time_is_null_and_an_empty_creation_time_absent() -> None:
    assert decode(sized(9, b"") + sized(8, b""), f"{META}ObjectMeta") == {"deletionTimestamp": None}


def test_quantities_are_canonical() -> None:
    limits = [sized(1, sized(1, b"cpu") + sized(2, sized(1, b"0.5"))), sized(1, sized(1, b"memory"))]

    decoded = decode(b"".join(limits), f"{CORE}ResourceRequirements")

    assert decoded == {"limits": {"cpu": "500m", "memory": "0"}}


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (numeric(1, 0) + numeric(2, 8080) + sized(3, b"ignored"), 8080),
        (numeric(1, 1) + numeric(2, 1) + sized(3, b"http"), "http"),
        (b"", 0),
    ],
)
def test_int_or_string(content: bytes, shown: int | str) -> None:
    assert decode(sized(4, content), SERVICE_PORT)["targetPort"] == shown


def test_bytes_are_base64() -> None:
    secret = sized(2, sized(1, b"key") + sized(2, b"\x00\xff"))

    assert decode(secret, f"{CORE}Secret")["data"] == {"key": "AP8="}


def test_raw_json_is_part_of_the_object() -> None:
    revision = sized(2, sized(1, b'{"spec":{"a":1}}')) + numeric(3, 2)

    decoded = decode(revision, "io.k8s.api.apps.v1.ControllerRevision")

    assert (decoded["data"], decoded["revision"]) == ({"spec": {"a": 1}}, 2)


def test_strings_that_are_not_utf8_are_read_as_gos_json_shows_them() -> None:
    assert decode(sized(2, b"a\xffb"), CONTAINER)["image"] == "a\ufffdb"


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(numeric(500, 1), id="number"),
        pytest.param(sized(500, b"text"), id="bytes"),
        pytest.param(varint(500 << 3 | 1) + b"12345678", id="fixed64"),
        pytest.param(varint(500 << 3 | 5) + b"1234", id="fixed32"),
        pytest.param(varint(500 << 3 | 3) + numeric(1, 1) + varint(500 << 3 | 4), id="group"),
    ],
)
def test_unknown_fields_are_skipped(unknown: bytes) -> None:
    assert decode(unknown + sized(2, b"web") + unknown, CONTAINER)["image"] == "web"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"\x0a", "unexpected EOF", id="no-length"),
        pytest.param(b"\x0a\x05web", "unexpected EOF", id="short"),
        pytest.param(b"\x80", "unexpected EOF", id="half-a-tag"),
        pytest.param(sized(10, b"\x20"), "unexpected EOF", id="inner-number-ends-early"),
        pytest.param(b"\x0a" + b"\xff" * 9 + b"\x01", "proto: negative length found during unmarshaling",
                     id="negative"),
        pytest.param(b"\x0a" + b"\xff" * 11, "proto: integer overflow", id="overflow"),
        pytest.param(numeric(1, 1), "proto: wrong wireType = 0 for field Name", id="wrong-type"),
        pytest.param(sized(18, b""), "proto: wrong wireType = 2 for field TTY", id="wrong-type-of-number"),
        pytest.param(b"\x0c", "proto: Container: wiretype end group for non-group", id="end-group"),
        pytest.param(b"\x02\x00", "proto: Container: illegal tag 0 (wire type 2)", id="no-number"),
        pytest.param(varint(500 << 3 | 6), "proto: illegal wireType 6", id="no-such-type"),
        pytest.param(varint(500 << 3 | 3), "unexpected EOF", id="endless-group"),
        pytest.param(sized(8, sized(1, sized(1, b"cpu") + sized(2, sized(1, b"much")))),
                     "quantities must match the regular expression", id="quantity"),
    ],
)  # fmt: skip
def test_faults_are_told_as_upstream_tells_them(content: bytes, error: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode(content, CONTAINER)

    assert str(raised.value).startswith(error)


@pytest.mark.parametrize(
    ("definition", "content", "error"),
    [
        (SERVICE_PORT, sized(4, numeric(1, 2)), "impossible IntOrString.Type"),
        ("io.k8s.api.apps.v1.ControllerRevision", sized(2, sized(1, b"{")), "json parse error: "),
        ("io.k8s.api.apps.v1.ControllerRevision", sized(2, sized(1, b"[" * 100_000)), "exceeded max depth"),
        (f"{META}Condition", sized(4, numeric(1, 1 << 62)), "Time.MarshalJSON: year outside of range"),
    ],
)
def test_faults_of_values(definition: str, content: bytes, error: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode(content, definition)

    assert str(raised.value).startswith(error)


def test_nesting_without_end_is_refused() -> None:
    """One alpha type contains itself."""
    name = "io.k8s.api.scheduling.v1alpha3.CompositePodGroupTemplate"
    number = next(row.number for row in rows(name) if row.type == name)
    content = b""
    for _ in range(3000):
        content = sized(number, content)

    with pytest.raises(DecodeError, match="exceeded max depth"):
        decode(content, name)


def test_the_envelope_tells_what_is_in_it() -> None:
    assert unwrap(envelope(b"raw", "apps/v1", "Deployment")) == ("apps/v1", "Deployment", b"raw")
    assert unwrap(envelope(b"")) == ("", "", b"")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "empty data"),
        (b"k8s\0", "empty body"),
        (
            b'{"kind":"Pod"}',
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ),
        (b"k8s\0\x12\x05raw", "unexpected EOF"),
        (b"k8s\0" + numeric(2, 1), "proto: wrong wireType = 0 for field Raw"),
    ],
)  # fmt: skip
def test_faults_of_the_envelope(body: bytes, error: str) -> None:
    with pytest.raises(DecodeError) as raised:
        unwrap(body)

    assert str(raised.value) == error


def decoded_or_refused(body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert isinstance(decode(body, POD), dict)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    decoded_or_refused(body)
    with contextlib.suppress(DecodeError):
        unwrap(b"k8s\0" + body)


WHOLE = encode_message(sample(POD), POD)


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=4), st.integers(0, 8))
def test_damaged_bodies_are_decoded_or_refused(place: int, inserted: bytes, lost: int) -> None:
    decoded_or_refused(WHOLE[:place] + inserted + WHOLE[place + lost :])

"""Stored and wire bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from kplane.apiserver.storage import codec

POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "a", "namespace": "ns", "uid": "u", "labels": {"app": "x"}},
    "spec": {"nodeName": "n"},
}


def test_stored_bytes_begin_with_kind_version_and_metadata_and_have_no_revision() -> None:
    obj = {"spec": {}, "metadata": {"name": "a", "resourceVersion": "7"}, "apiVersion": "v1", "kind": "Pod"}

    assert codec.encode(obj) == b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{}}'
    assert obj["metadata"] == {"name": "a", "resourceVersion": "7"}


def test_letters_of_html_are_escaped_as_go_escapes_them() -> None:
    obj = POD | {"spec": {"command": ["a && b", "<c>", "\u2028"]}}

    data = codec.encode(obj)

    assert rb'["a \u0026\u0026 b","\u003cc\u003e","\u2028"]' in data
    assert codec.decode(data) == obj


def test_a_reader_builds_the_labels_and_what_it_was_asked_for_alone() -> None:
    read = codec.reader(("spec.nodeName", "status.podIPs"))
    pod = POD | {"spec": {"nodeName": "n", "containers": [{}]}, "status": {"podIPs": [{"ip": "10.0.0.1"}]}}

    assert read(codec.encode(pod)) == {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"nodeName": "n"},
        "status": {"podIPs": [{"ip": "10.0.0.1"}]},
    }
    assert read(b'{"metadata":{"labels":null},"spec":null}') == {"metadata": {"labels": None}, "spec": None}


def test_what_a_reader_cannot_read_it_refuses() -> None:
    with pytest.raises(msgspec.MsgspecError):
        codec.reader(("spec.nodeName",))(b'{"metadata":{"labels":')


def test_wire_bytes_carry_the_revision_first() -> None:
    assert codec.wire(codec.encode(POD), 42).startswith(
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"a",'
    )


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(json.dumps(POD, indent=2).encode(), id="white space"),
        pytest.param(b"\n " + codec.encode(POD), id="leading white space"),
        pytest.param(json.dumps(dict(sorted(POD.items()))).encode(), id="other order"),
        pytest.param(
            json.dumps(POD | {"metadata": {**POD["metadata"], "resourceVersion": "3"}}).encode(),  # type: ignore[dict-item]
            id="revision inside",
        ),
        pytest.param(
            b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"3",'
            + codec.encode(POD).partition(b'"metadata":{')[2],
            id="wire bytes",
        ),
    ],
)
def test_what_others_wrote_is_sent_in_our_form(stored: bytes) -> None:
    assert codec.wire(stored, 42) == codec.wire(codec.encode(POD), 42)


@pytest.mark.parametrize(
    "metadata", [{}, {"annotations": {"a": '{"resourceVersion":"1"}'}}, {"name": 'quote " and \\'}]
)
def test_wire_bytes_are_the_object_with_its_revision(metadata: dict[str, Any]) -> None:
    obj = POD | {"metadata": metadata, "involvedObject": {"resourceVersion": "9"}}

    assert codec.decode(codec.wire(codec.encode(obj), 42)) == obj | {
        "metadata": metadata | {"resourceVersion": "42"}
    }


def test_a_revision_deeper_down_does_not_cost_the_fast_path() -> None:
    stored = codec.encode(POD | {"involvedObject": {"resourceVersion": "9"}})

    assert codec.stored(codec.wire(stored, 42)) == stored


@pytest.mark.parametrize("obj", [POD, POD | {"metadata": {}}])
def test_restamped_bytes_differ_in_the_revision_alone(obj: dict[str, Any]) -> None:
    stored = codec.encode(obj)

    assert codec.restamp(codec.wire(stored, 9), 1000) == codec.wire(stored, 1000)
    assert codec.stored(codec.wire(stored, 9)) == stored


def test_metadata_reads_labels_and_uid() -> None:
    read = codec.metadata(codec.encode(POD))

    assert (read.uid, read.labels, read.resource_version) == ("u", {"app": "x"}, "")


@pytest.mark.parametrize("broken", [b"", b"k8s\0\n\x0c", b'{"kind":"Pod"', b"[]", b'{"metadata":[]}', b"{}"])
def test_what_is_no_object_is_refused(broken: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        codec.wire(broken, 1)

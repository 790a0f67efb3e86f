"""Packing endpoints into slices: every endpoint once, few writes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import structs

from kplane.api.types import EndpointSlice
from kplane.api.types.discovery import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    ForZone,
    ObjectReference,
)
from kplane.api.types.meta import ObjectMeta
from kplane.controllers.endpointslice.packing import Packing, pack

HTTP = frozenset({EndpointPort(name="http", port=8080)})
OTHER = frozenset({EndpointPort(name="http", port=9090)})
LABELS = {"kubernetes.io/service-name": "web"}


def endpoint(number: int, *, ready: bool = True) -> Endpoint:
    return Endpoint(
        addresses=(f"10.0.0.{number}",),
        conditions=EndpointConditions(ready=ready, serving=ready, terminating=False),
        target_ref=ObjectReference(kind="Pod", uid=f"uid-{number}"),
    )


def endpoints(*numbers: int) -> list[Endpoint]:
    return [endpoint(number) for number in numbers]


def existing(name: str, found: Sequence[Endpoint], ports: frozenset[EndpointPort] = HTTP) -> EndpointSlice:
    meta = ObjectMeta(name=name, labels=LABELS)
    return EndpointSlice(metadata=meta, endpoints=tuple(found), ports=tuple(ports))


def written(packing: Packing) -> dict[str, list[str]]:
    """Slice (empty for a new one) -> addresses."""
    return {
        filling.slice.metadata.name if filling.slice else "": [e.addresses[0] for e in filling.endpoints]
        for filling in packing.write
    }


def deleted(packing: Packing) -> list[str]:
    return [entry.metadata.name for entry in packing.delete]


def test_endpoints_are_spread_over_slices_of_the_maximum_size() -> None:
    packing = pack({HTTP: endpoints(*range(1, 8))}, [], LABELS, 3)

    assert [len(filling.endpoints) for filling in packing.write] == [3, 3, 1]


def test_nothing_is_written_where_nothing_changed() -> None:
    packing = pack({HTTP: endpoints(1, 2)}, [existing("a", endpoints(1, 2))], LABELS, 3)

    assert packing == Packing()


def test_hints_are_no_change() -> None:
    hints = EndpointHints(for_zones=(ForZone(name="a"),))
    hinted = structs.replace(endpoint(1), hints=hints)

    assert pack({HTTP: endpoints(1, 2)}, [existing("a", [hinted, endpoint(2)])], LABELS, 3) == Packing()


def test_a_changed_endpoint_changes_only_its_slice() -> None:
    slices = [existing("a", endpoints(1, 2)), existing("b", endpoints(3))]

    packing = pack({HTTP: [endpoint(1), endpoint(2), endpoint(3, ready=False)]}, slices, LABELS, 3)

    assert written(packing) == {"b": ["10.0.0.3"]}


def test_a_new_endpoint_goes_into_the_fullest_slice_that_it_fits_into() -> None:
    slices = [existing("a", endpoints(1)), existing("b", endpoints(2, 3)), existing("c", endpoints(4, 5, 6))]

    packing = pack({HTTP: endpoints(1, 2, 3, 4, 5, 6, 7)}, slices, LABELS, 3)

    assert written(packing) == {"b": ["10.0.0.2", "10.0.0.3", "10.0.0.7"]}


def test_slices_that_are_written_anyway_are_filled_first() -> None:
    slices = [existing("a", endpoints(1, 2)), existing("b", endpoints(3, 4))]

    packing = pack({HTTP: endpoints(1, 3, 4, 5)}, slices, LABELS, 3)

    assert written(packing) == {"a": ["10.0.0.1", "10.0.0.5"]}


def test_an_emptied_slice_is_deleted() -> None:
    slices = [existing("a", endpoints(1)), existing("b", endpoints(2))]

    packing = pack({HTTP: endpoints(1)}, slices, LABELS, 3)

    assert (written(packing), deleted(packing)) == ({}, ["b"])


def test_slices_of_ports_that_are_gone_are_rewritten_for_the_new_ones() -> None:
    packing = pack({OTHER: endpoints(1)}, [existing("a", endpoints(1))], LABELS, 3)

    assert written(packing) == {"a": ["10.0.0.1"]}
    assert packing.write[0].ports == OTHER
    assert deleted(packing) == []


def test_an_endpoint_that_is_in_two_slices_stays_in_one() -> None:
    slices = [existing("a", endpoints(1, 2)), existing("b", endpoints(1))]

    packing = pack({HTTP: endpoints(1, 2)}, slices, LABELS, 3)

    assert (written(packing), deleted(packing)) == ({}, ["b"])


def test_a_pod_that_was_made_anew_keeps_its_place() -> None:
    anew = structs.replace(endpoint(1), target_ref=ObjectReference(kind="Pod", uid="another"))

    packing = pack({HTTP: [anew, endpoint(2)]}, [existing("a", endpoints(1, 2))], LABELS, 3)

    assert written(packing) == {"a": ["10.0.0.1", "10.0.0.2"]}
    assert packing.write[0].endpoints == [anew, endpoint(2)]


def test_a_slice_over_a_lowered_maximum_is_split() -> None:
    packing = pack({HTTP: endpoints(1, 2, 3, 4, 5)}, [existing("a", endpoints(1, 2, 3, 4, 5))], LABELS, 3)

    assert written(packing) == {"a": ["10.0.0.1", "10.0.0.2", "10.0.0.3"], "": ["10.0.0.4", "10.0.0.5"]}


def test_without_endpoints_one_empty_slice_remains() -> None:
    packing = pack({}, [], LABELS, 3)
    again = pack({}, [existing("a", [], frozenset())], LABELS, 3)
    emptied = pack({}, [existing("a", endpoints(1))], LABELS, 3)

    assert written(packing) == {"": []}
    assert again == Packing()
    assert written(emptied) == {"a": []}


@pytest.mark.parametrize("labels", [{}, {"kubernetes.io/service-name": "web", "team": "a"}])
def test_changed_labels_are_written(labels: dict[str, str]) -> None:
    packing = pack({HTTP: endpoints(1)}, [existing("a", endpoints(1))], labels, 3)

    assert written(packing) == {"a": ["10.0.0.1"]}

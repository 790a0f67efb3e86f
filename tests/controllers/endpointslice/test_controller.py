"""EndpointSlices of Services, from their Pods."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import Conflict, Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import EndpointSlice, Pod, Service
from kplane.controllers.config import Config
from kplane.controllers.endpointslice import EndpointSliceController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_endpoint_slice, make_node, make_pod, make_service

KEY = Key("default", "web")
NODE = make_node("node-1", labels={"topology.kubernetes.io/zone": "z1"})


def run(cluster: FakeCluster, config: Config | None = None) -> None:
    context = cluster.context("endpointslice-controller", options=config)
    cluster.start(context.queue.run(EndpointSliceController(context).reconcile))


async def slices_of(cluster: FakeCluster) -> list[EndpointSlice]:
    await EndpointSliceController(cluster.context()).reconcile(KEY)
    return list(cluster.list(EndpointSlice))


def pod(number: int, *, ready: bool = True, **options: Any) -> Object:
    return make_pod(f"web-{number}", node="node-1", ready=ready, ip=f"10.0.0.{number}", **options)


async def test_a_service_gets_a_slice_with_its_pods(cluster: FakeCluster) -> None:
    cluster.load(NODE, make_service(), pod(1), make_pod("other", labels={"app": "db"}, ip="10.0.0.9"))

    (found,) = await slices_of(cluster)

    assert found.metadata.generate_name == "web-"
    assert found.metadata.labels == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    owner = found.metadata.controller
    assert owner is not None
    assert (owner.kind, owner.name, owner.block_owner_deletion) == ("Service", "web", True)
    assert found.metadata.annotations == {
        "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"
    }
    assert found.address_type == "IPv4"
    (port,) = found.ports or ()
    assert (port.name, port.port, port.protocol) == ("", 8080, "TCP")
    (endpoint,) = found.endpoints or ()
    assert endpoint.addresses == ("10.0.0.1",)
    assert (endpoint.node_name, endpoint.zone) == ("node-1", "z1")
    assert endpoint.target_ref is not None
    assert (endpoint.target_ref.kind, endpoint.target_ref.name) == ("Pod", "web-1")


@pytest.mark.parametrize(
    ("ready", "leaving", "publish", "expected"),
    [
        pytest.param(True, False, False, (True, True, False), id="ready"),
        pytest.param(False, False, False, (False, False, False), id="not-ready"),
        pytest.param(True, True, False, (False, True, True), id="terminating-but-serving"),
        pytest.param(False, False, True, (True, False, False), id="published-unready"),
    ],
)
async def test_conditions(
    cluster: FakeCluster, ready: bool, leaving: bool, publish: bool, expected: tuple[bool, bool, bool]
) -> None:
    body = pod(1, ready=ready)
    if leaving:
        body["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(NODE, make_service(publishNotReadyAddresses=publish), body)

    (found,) = await slices_of(cluster)

    (endpoint,) = found.endpoints or ()
    conditions = endpoint.conditions
    assert (conditions.ready, conditions.serving, conditions.terminating) == expected


async def test_pods_without_address_or_at_their_end_are_no_endpoints(cluster: FakeCluster) -> None:
    done = pod(2, ready=False, phase="Succeeded")
    cluster.load(NODE, make_service(), make_pod("new", node="node-1"), done)

    (found,) = await slices_of(cluster)

    assert not found.endpoints
    assert not found.ports


async def test_named_ports_that_differ_make_separate_slices(cluster: FakeCluster) -> None:
    def with_port(number: int, port: int) -> Object:
        body = pod(number)
        body["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
        return body

    ports = [{"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    cluster.load(NODE, make_service(ports=ports), with_port(1, 8080), with_port(2, 9090))

    found = await slices_of(cluster)

    by_port = {(entry.ports or ())[0].port: (entry.endpoints or ())[0].addresses for entry in found}
    assert by_port == {8080: ("10.0.0.1",), 9090: ("10.0.0.2",)}


async def test_headless_services_say_so_and_give_pods_their_names(cluster: FakeCluster) -> None:
    service = make_service(cluster_ip="None", ports=(), ipFamilies=["IPv4"])
    cluster.load(NODE, service, pod(1, hostname="first", subdomain="web"))

    (found,) = await slices_of(cluster)

    assert found.metadata.labels["service.kubernetes.io/headless"] == ""
    assert (found.endpoints or ())[0].hostname == "first"
    assert not found.ports


async def test_both_families_have_slices_of_their_own(cluster: FakeCluster) -> None:
    body = pod(1)
    body["status"]["podIPs"] = [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
    cluster.load(NODE, make_service(ipFamilies=["IPv4", "IPv6"]), body)

    found = await slices_of(cluster)

    assert {entry.address_type: (entry.endpoints or ())[0].addresses for entry in found} == {
        "IPv4": ("10.0.0.1",),
        "IPv6": ("fd00::1",),
    }


async def test_addresses_of_pods_are_written_in_the_form_that_the_api_takes(cluster: FakeCluster) -> None:
    body = pod(1)
    body["status"]["podIPs"] = [{"ip": "010.0.0.1"}, {"ip": "FD00:0:0::0A"}]
    cluster.load(NODE, make_service(ipFamilies=["IPv4", "IPv6"]), body)

    found = await slices_of(cluster)

    assert {(entry.endpoints or ())[0].addresses for entry in found} == {("10.0.0.1",), ("fd00::a",)}


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(make_service(selector=None), id="no-selector"),
        pytest.param(make_service(type="ExternalName", cluster_ip=""), id="external-name"),
    ],
)
async def test_services_of_others_are_left_alone(cluster: FakeCluster, service: Object) -> None:
    cluster.load(service, pod(1))

    assert await slices_of(cluster) == []


async def test_pods_of_unknown_nodes_wait(cluster: FakeCluster) -> None:
    cluster.load(NODE, make_service(), pod(1), make_pod("far", node="nowhere", ready=True, ip="10.0.0.2"))

    run(cluster)
    await cluster.settle()
    before = [
        endpoint.addresses for entry in cluster.list(EndpointSlice) for endpoint in entry.endpoints or ()
    ]

    cluster.load(make_node("nowhere"))
    await cluster.settle()

    after = [
        endpoint.addresses for entry in cluster.list(EndpointSlice) for endpoint in entry.endpoints or ()
    ]
    assert (before, after) == ([("10.0.0.1",)], [("10.0.0.1",), ("10.0.0.2",)])


@pytest.mark.parametrize(
    ("publish", "expected"),
    [pytest.param(False, [], id="left-out"), pytest.param(True, ["10.0.0.1"], id="published")],
)
async def test_pods_without_a_node_are_endpoints_only_where_unready_ones_are(
    cluster: FakeCluster, publish: bool, expected: list[str]
) -> None:
    service = make_service(publishNotReadyAddresses=publish)
    cluster.load(service, make_pod("web", ready=True, ip="10.0.0.1"))

    (found,) = await slices_of(cluster)

    assert [endpoint.addresses[0] for endpoint in found.endpoints or ()] == expected


async def test_pods_of_unknown_nodes_are_told_of(cluster: FakeCluster) -> None:
    far = [make_pod(name, node="nowhere", ready=True, ip=f"10.0.0.{n}") for n, name in ((2, "a"), (3, "b"))]
    cluster.load(NODE, make_service(ipFamilies=["IPv4", "IPv6"]), pod(1), *far)

    run(cluster)
    await cluster.settle()

    event = cluster.events()[0]
    assert (event.type, event.reason, event.message) == (
        "Warning",
        "FailedToUpdateEndpointSlices",
        "Error updating Endpoint Slices for Service default/web: "
        "[skipping Pod a for Service default/web: Node nowhere Not Found, "
        "skipping Pod b for Service default/web: Node nowhere Not Found]",
    )


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        pytest.param("POST", "failed to create EndpointSlice for Service default/web: broken", id="create"),
        pytest.param(
            "PATCH", "failed to update web-1 EndpointSlice for Service default/web: broken", id="update"
        ),
        pytest.param(
            "DELETE", "failed to delete web-1 EndpointSlice for Service default/web: broken", id="delete"
        ),
    ],
)
async def test_what_failed_is_told(cluster: FakeCluster, verb: str, what: str) -> None:
    cluster.load(NODE, make_service())
    if verb != "POST":
        owner = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "name": "web",
                "uid": "service-default-web",
                "controller": True,
            }
        ]
        first = make_endpoint_slice("web", name="web-1", addresses=["10.0.0.9"])
        first["metadata"] |= {"ownerReferences": owner if verb == "PATCH" else []}
        first["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = (
            "endpointslice-controller.k8s.io"
        )
        cluster.load(first)
    cluster.faults.fail_next(InternalError("broken"), times=1, methods=(verb,), plural="endpointslices")

    run(cluster)
    await cluster.settle()

    (event,) = cluster.events()
    assert event.reason == "FailedToUpdateEndpointSlices"
    assert event.message == f"Error updating Endpoint Slices for Service default/web: {what}"


async def test_a_namespace_that_goes_away_is_no_failure(cluster: FakeCluster) -> None:
    cluster.load(NODE, make_service())
    causes = [{"reason": "NamespaceTerminating", "message": "namespace default is being terminated"}]
    error = Forbidden("forbidden", details={"causes": causes})
    cluster.faults.fail_next(error, times=1, plural="endpointslices")

    run(cluster)
    await cluster.advance(600)

    assert cluster.events() == []
    assert not cluster.list(EndpointSlice)


async def test_an_endpoint_that_moves_is_always_in_a_slice(cluster: FakeCluster) -> None:
    cluster.load(NODE, make_service(), pod(1))
    run(cluster)
    await cluster.settle()
    (first,) = cluster.list(EndpointSlice)
    replacement = make_service()
    replacement["metadata"]["uid"] = "another"
    cluster.faults.fail_next(InternalError("broken"), times=1, methods=("POST",), plural="endpointslices")

    cluster.load(replacement)
    await cluster.settle()
    halfway = [entry.metadata.name for entry in cluster.list(EndpointSlice)]
    await cluster.advance(60)

    assert halfway == [first.metadata.name]
    assert len(cluster.list(EndpointSlice)) == 1


async def test_the_first_slices_count_from_the_making_of_their_service(cluster: FakeCluster) -> None:
    service, old = make_service(), pod(1)
    service["metadata"]["creationTimestamp"] = "2026-01-01T00:00:09Z"
    cluster.load(NODE, service, old)
    run(cluster)
    await cluster.settle()
    first = cluster.list(EndpointSlice)[0].metadata.annotations

    newer = pod(2)
    newer["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:05Z"
    cluster.load(newer)
    await cluster.settle()

    name = "endpoints.kubernetes.io/last-change-trigger-time"
    assert first[name] == "2026-01-01T00:00:09Z"
    assert cluster.list(EndpointSlice)[0].metadata.annotations[name] == "2026-01-01T00:00:05Z"


async def test_changes_of_pods_are_gathered_where_told(cluster: FakeCluster) -> None:
    cluster.load(NODE, make_service())
    run(cluster, Config(endpointslice_updates_batch_period=5))
    await cluster.advance(6)
    seen = []
    for number in (1, 2, 3):
        cluster.load(pod(number))
        await cluster.advance(2)
        seen.append(len(cluster.list(EndpointSlice)[0].endpoints or ()))

    assert seen == [0, 0, 3]


async def test_slices_are_not_created_twice_while_the_cache_lags(cluster: FakeCluster) -> None:
    cluster.load(NODE, make_service(), pod(1))
    controller = EndpointSliceController(cluster.context())
    cluster.hold_watches()

    await controller.reconcile(KEY)
    await controller.reconcile(KEY)

    assert len(cluster.list(EndpointSlice)) == 1


async def test_slices_of_an_earlier_service_of_that_name_are_replaced(cluster: FakeCluster) -> None:
    cluster.load(NODE, make_service(), pod(1))
    run(cluster)
    await cluster.settle()
    cluster.delete(Service, KEY)
    replacement = make_service()
    replacement["metadata"]["uid"] = "another"

    cluster.load(replacement)
    await cluster.settle()

    (found,) = cluster.list(EndpointSlice)
    assert found.metadata.controller is not None
    assert found.metadata.controller.uid == "another"


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_fails_every_pod_is_in_exactly_one_slice(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(NODE, make_service())
        run(cluster, Config(max_endpoints_per_slice=3))
        for round_ in range(10):
            _break_something(cluster, dice)
            cluster.load(pod(round_ * 2 + 1), pod(round_ * 2 + 2, ready=dice.choice([True, False])))
            if round_ % 3 == 2:
                cluster.delete(Pod, Key("default", f"web-{round_}"))
            await cluster.advance(dice.uniform(0, 1))
        await cluster.advance(3600)

        found = list(cluster.list(EndpointSlice))
        addresses = [endpoint.addresses[0] for entry in found for endpoint in entry.endpoints or ()]
        assert sorted(addresses) == sorted(pod.status.pod_ip for pod in cluster.list(Pod))
        assert all(len(entry.endpoints or ()) <= 3 for entry in found)


def _break_something(cluster: FakeCluster, dice: Entropy) -> None:
    kind = dice.choice(["refuse", "conflict", "lose", "drop", "restart"])
    if kind == "refuse":
        cluster.faults.fail_next(InternalError("broken"), times=2)
    elif kind == "conflict":
        cluster.faults.fail_next(Conflict("modified"), times=2)
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=2)
    elif kind == "drop":
        cluster.drop_watches()
    else:
        run(cluster, Config(max_endpoints_per_slice=3))

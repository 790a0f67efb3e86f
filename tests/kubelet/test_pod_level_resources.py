"""Pods that say themselves how much all their containers may use together."""

from __future__ import annotations

from typing import Any

from kplane.kubelet import resources
from kplane.kubelet.admission import request, resize_refusal
from kplane.kubelet.pod import Pod

from .support import pod_of

MEBI = 1 << 20
NODE = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "10Gi", "pods": "110"}


def sized(own: dict[str, Any] | None, *containers: dict[str, Any]) -> Pod:
    listed = [
        {"name": f"c{index}", "image": "web:1", "resources": found} for index, found in enumerate(containers)
    ]
    return pod_of(*listed, **({"resources": own} if own else {}))


def both(cpu: str, memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}


def test_quality_of_service_is_the_pods_own() -> None:
    burst = {"requests": {"cpu": "1"}}

    assert resources.qos_class(sized(both("2", "1Gi"), burst)) == resources.GUARANTEED
    assert resources.qos_class(sized({"requests": {"cpu": "2"}}, both("1", "1Gi"))) == resources.BURSTABLE


def test_cgroup_of_the_pod_has_its_own_limits_whatever_its_containers_have() -> None:
    found = resources.for_pod(sized(both("2", "100Mi"), {}, both("500m", "10Mi")))

    assert (found.cpu_quota, found.memory_bytes, found.cpu_shares) == (200_000, 100 * MEBI, 2048)


def test_container_without_limits_may_use_the_pods() -> None:
    pod = sized(both("2", "100Mi"), {}, both("500m", "10Mi"))
    free, limited = (resources.for_container(pod, entry, 1 << 30) for entry in pod.spec.containers)

    assert (free.cpu_quota, free.memory_bytes) == (200_000, 100 * MEBI)
    assert (limited.cpu_quota, limited.memory_bytes) == (50_000, 10 * MEBI)


def test_node_counts_what_the_pod_asks_for_itself() -> None:
    pod = sized({"requests": {"cpu": "2"}}, {"requests": {"cpu": "1", "memory": "10Mi"}})

    assert (request(pod, "cpu"), request(pod, "memory")) == (2000, 10 * MEBI)


def test_resize_beyond_the_node_is_infeasible_and_beyond_the_others_deferred() -> None:
    neighbour, small = sized(None, both("3", "1Gi")), sized(None, both("1", "1Gi"))
    large, huge = sized(None, both("2", "1Gi")), sized(None, both("5", "1Gi"))

    assert resize_refusal(small, [neighbour], NODE) is None
    deferred, infeasible = resize_refusal(large, [neighbour], NODE), resize_refusal(huge, [], NODE)
    assert deferred is not None
    assert infeasible is not None
    assert (deferred.reason, deferred.message) == (
        "Deferred",
        "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000",
    )
    assert (infeasible.reason, infeasible.message) == (
        "Infeasible",
        "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000",
    )


def test_larger_of_two_sizes_is_without_limit_where_either_is() -> None:
    limited, free = resources.for_pod(sized(None, both("1", "10Mi"))), resources.for_pod(sized(None, {}))
    more = resources.for_pod(sized(None, both("2", "5Mi")))

    assert resources.larger(limited, more).cpu_quota == 200_000
    assert resources.larger(limited, more).memory_bytes == 10 * MEBI
    assert resources.larger(limited, free).memory_bytes == 0

"""What a pod may use: asked for, allocated, in force; and what of it outlives the process."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.kubelet.allocation import Ledger, needs_restart
from kplane.kubelet.pod import Pod

from .support import pod_of


def sized(cpu: str, memory: str = "32Mi", **container: Any) -> Pod:
    asked = {"requests": {"cpu": cpu, "memory": memory}}
    return pod_of({"name": "web", "image": "web:1", "resources": asked, **container})


def ledger(pod: Pod, saved: bytes | None = None, into: list[bytes] | None = None) -> Ledger:
    return Ledger.of(pod, saved, (into if into is not None else []).append)


def cpu_of(pod: Pod) -> object:
    return pod.spec.containers[0].resources.requests["cpu"]


def test_granted_stays_what_was_allocated_whatever_is_asked_for() -> None:
    found = ledger(sized("100m"))

    assert cpu_of(found.granted(sized("200m"))) == "100m"


def test_allocated_resources_are_due_until_they_are_in_force() -> None:
    found = ledger(sized("100m"))
    found.allocate(sized("200m"))

    assert cpu_of(found.granted(sized("300m"))) == "200m"
    assert found.due("web") == {"cpu"}
    found.enforced("web")
    assert found.due("web") == set()


@pytest.mark.parametrize(
    ("cpu", "memory", "different"),
    [
        pytest.param("0.1", "32Mi", False, id="same-amount-in-other-words"),
        pytest.param("101m", "32Mi", True, id="cpu"),
        pytest.param("100m", "33Mi", True, id="memory"),
    ],
)
def test_amounts_count_not_their_spelling(cpu: str, memory: str, different: bool) -> None:
    assert ledger(sized("100m")).asks_for_more_or_less(sized(cpu, memory)) is different


def test_restarted_kubelet_knows_what_was_allocated_and_what_is_still_due() -> None:
    notes: list[bytes] = []
    before = ledger(sized("100m"), into=notes)
    before.allocate(sized("200m"))

    after = ledger(sized("400m"), saved=notes[-1])

    assert cpu_of(after.granted(sized("400m"))) == "200m"
    assert after.due("web") == {"cpu"}
    assert after.resizing


def test_first_allocation_is_saved_once() -> None:
    notes: list[bytes] = []
    found = ledger(sized("100m"), into=notes)

    found.keep()
    found.keep()

    assert len(notes) == 1


def test_torn_note_is_taken_for_none() -> None:
    assert cpu_of(ledger(sized("100m"), saved=b'{"allocated":').granted(sized("100m"))) == "100m"


def test_resize_policy_tells_which_changes_need_a_new_start() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    container = sized("100m", resizePolicy=policy).spec.containers[0]

    assert needs_restart(container, {"memory"})
    assert not needs_restart(container, {"cpu"})

"""Many calls at once: batches grow while all goes well and stop at the first failure."""

from __future__ import annotations

import pytest

from kplane.api.errors import Forbidden
from kplane.controllers.batches import attempt_all, slow_start


@pytest.mark.parametrize(
    ("count", "fails_from", "calls"),
    [
        pytest.param(10, 100, 10, id="all-well"),
        pytest.param(10, 0, 1, id="refused-at-once"),
        pytest.param(100, 3, 7, id="refused-in-the-third-batch"),
        pytest.param(0, 0, 0, id="nothing-to-do"),
    ],
)
async def test_slow_start(count: int, fails_from: int, calls: int) -> None:
    made = 0

    async def act() -> None:
        nonlocal made
        made += 1
        if made > fails_from:
            raise Forbidden("exceeded quota")

    error = await slow_start(count, act)

    assert made == calls
    assert (error is None) == (count <= fails_from)


async def test_a_namespace_that_goes_away_is_asked_once_and_is_no_failure() -> None:
    made = 0

    async def act() -> None:
        nonlocal made
        made += 1
        raise Forbidden("it is being terminated", details={"causes": [{"reason": "NamespaceTerminating"}]})

    assert await slow_start(100, act) is None
    assert made == 1


async def test_a_failure_does_not_stop_the_others() -> None:
    done: list[int] = []

    async def act(number: int) -> None:
        if number == 1:
            raise Forbidden("no")
        done.append(number)

    errors = await attempt_all(act(number) for number in range(3))

    assert [str(error) for error in errors] == ["no"]
    assert done == [0, 2]

"""How the server's seats are divided."""

from __future__ import annotations

import pytest

from kplane.apiserver.flowcontrol.demand import Demand, Smoothed
from kplane.apiserver.flowcontrol.sharing import Want, share


def test_everybody_gets_the_same_fraction_of_what_they_want() -> None:
    found = share(60, [Want(0, 100, 10), Want(0, 100, 20)])

    assert found.seats == pytest.approx([20, 40])
    assert found.fraction == pytest.approx(2)


@pytest.mark.parametrize(
    ("wants", "seats"),
    [
        ([Want(30, 100, 1), Want(0, 100, 70)], [30, 30]),
        ([Want(0, 5, 100), Want(0, 100, 10)], [5, 55]),
        ([Want(20, 100, 10), Want(20, 100, 10), Want(20, 100, 10)], [20, 20, 20]),
        # Bounds that leave seats over, or do not leave enough.
        ([Want(0, 10, 5), Want(0, 10, 5)], [10, 10]),
        ([Want(50, 100, 5), Want(50, 100, 5)], [50, 50]),
        ([Want(0, 100, 0), Want(0, 100, 0)], [30, 30]),
    ],
)
def test_bounds_hold(wants: list[Want], seats: list[float]) -> None:
    assert share(60, wants).seats == pytest.approx(seats)


def test_demand_is_averaged_over_time() -> None:
    demand = Demand(0.0)
    demand.set(1.0, 10)
    demand.set(3.0, 0)

    seen = demand.reset(4.0)

    assert (seen.seconds, seen.average, seen.deviation, seen.highest) == (4.0, 5.0, 5.0, 10.0)
    assert demand.reset(5.0).highest == 0.0
    demand.set(5.0, 7)
    demand.reset(6.0)
    assert demand.reset(7.0).highest == 7.0


def test_demand_is_believed_at_once_and_forgotten_slowly() -> None:
    smoothed, demand = Smoothed(), Demand(0.0)
    demand.set(0.0, 100)
    smoothed.update(demand.reset(10.0))
    assert smoothed.smoothed == 100.0

    demand.set(10.0, 0)
    for turn in range(30):
        smoothed.update(demand.reset(20.0 + 10 * turn))

    assert smoothed.smoothed == pytest.approx(50, rel=0.02)

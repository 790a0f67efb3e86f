"""Loops of comprehensions, one closure a kind.

The costs are those of the accumulator form that cel-go expands the macros to: each round pays for reading and
testing the accumulator and for the step, the result once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .errors import BudgetExceeded, EvaluationError
from .values import is_list, is_map

if TYPE_CHECKING:
    from .compiler import Code, Frame, Run

ROUND = {"all": 3, "exists": 4}
"""What a round costs beside its parts."""
KEPT = {"exists_one": 2, "filter": 13, "map": 12, "transformMap": 3, "transformMapEntry": 2, "sortBy": 14}
"""What a round costs beside that when its item counts."""
SKIPPED = 1
"""What it costs when it does not: reading the accumulator."""
ONCE = {
    **{"all": 1, "exists": 1, "exists_one": 2},
    **{"filter": 11, "map": 11, "sortBy": 12, "transformMap": 31, "transformMapEntry": 31},
}
"""The accumulator's first value and the result."""


def fold(kind: str, over: Run, slots: Sequence[int], where: Code | None, body: Code) -> tuple[Run, int]:
    """The loop, and what it costs without its rounds."""
    rounds = _two(over, *slots) if len(slots) == 2 else _one(over, slots[0])
    match kind:
        case "all" | "exists":
            run = _quantified(rounds, body.run, ROUND[kind] + body.cost, stop=kind == "exists")
        case "exists_one":
            run = _exists_one(rounds, body.run, body.cost)
        case "filter":
            run = _filter(rounds, slots[-1], body.run, body.cost)
        case "sortBy":
            run = _sort_by(rounds, slots[0], body.run, body.cost + KEPT[kind])
        case _:
            run = _transform(kind, rounds, slots[0], where, body)
    return run, ONCE[kind]


Rounds = Callable[["Frame"], Iterable[None]]
"""Puts one item after another into the loop's slots."""


def _one(over: Run, slot: int) -> Rounds:
    def rounds(frame: Frame) -> Iterator[None]:
        slots = frame.slots
        for item in _items(over(frame)):
            slots[slot] = item
            yield

    return rounds


def _two(over: Run, first: int, second: int) -> Rounds:
    def rounds(frame: Frame) -> Iterator[None]:
        slots, value = frame.slots, over(frame)
        for slots[first], slots[second] in enumerate(_items(value)) if not is_map(value) else value.items():
            yield

    return rounds


def _items(value: Any) -> Iterable[Any]:
    if type(value) is list or is_list(value) or is_map(value):
        items: Iterable[Any] = value
        return items
    raise EvaluationError("no such overload")


def _spend(frame: Frame, cost: int) -> None:
    frame.left -= cost
    if frame.left < 0:
        raise BudgetExceeded


def _quantified(rounds: Rounds, test: Run, price: int, stop: bool) -> Run:
    """`all` stops at false, `exists` at true; either forgives errors of other rounds then."""

    def run(frame: Frame) -> Any:
        failure: EvaluationError | None = None
        for _ in rounds(frame):
            frame.left -= price
            if frame.left < 0:
                raise BudgetExceeded
            try:
                value = test(frame)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is stop:
                return stop
            if value is not (not stop):
                failure = failure or EvaluationError("no such overload")
        if failure is not None:
            raise failure
        return not stop

    return run


def _truth(value: Any) -> bool:
    if value is True:
        return True
    if value is False:
        return False
    raise EvaluationError("no such overload")


def _exists_one(rounds: Rounds, test: Run, price: int) -> Run:
    def run(frame: Frame) -> bool:
        count = 0
        for _ in rounds(frame):
            _spend(frame, price)
            found = _truth(test(frame))
            count += found
            frame.left -= KEPT["exists_one"] if found else SKIPPED
        return count == 1

    return run


def _filter(rounds: Rounds, slot: int, test: Run, price: int) -> Run:
    def run(frame: Frame) -> list[Any]:
        kept: list[Any] = []
        for _ in rounds(frame):
            _spend(frame, price)
            if _truth(test(frame)):
                kept.append(frame.slots[slot])
                frame.left -= KEPT["filter"]
            else:
                frame.left -= SKIPPED
        return kept

    return run


def _sort_by(rounds: Rounds, slot: int, key_of: Run, price: int) -> Run:
    def run(frame: Frame) -> list[Any]:
        keyed: list[tuple[Any, Any]] = []
        for _ in rounds(frame):
            _spend(frame, price)
            keyed.append((key_of(frame), frame.slots[slot]))
        try:
            return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]
        except TypeError:
            raise EvaluationError("list elements must be comparable") from None

    return run


def _transform(kind: str, rounds: Rounds, key_slot: int, where: Code | None, body: Code) -> Run:
    """`map`, `transformList`, `transformMap`, `transformMapEntry`."""
    make, price = body.run, body.cost + KEPT[kind]
    test, test_price = (where.run, where.cost) if where is not None else (None, 0)

    def run(frame: Frame) -> Any:
        made_list: list[Any] = []
        made_map: dict[Any, Any] = {}
        for _ in rounds(frame):
            _spend(frame, test_price)
            if test is not None and not _truth(test(frame)):
                frame.left -= SKIPPED
                continue
            _spend(frame, price)
            value = make(frame)
            if kind == "map":
                made_list.append(value)
            elif kind == "transformMap":
                made_map[frame.slots[key_slot]] = value
            else:
                _merge(made_map, value)
        return made_list if kind == "map" else made_map

    return run


def _merge(made: dict[Any, Any], entry: Any) -> None:
    if not is_map(entry):
        raise EvaluationError("no such overload")
    for key, value in entry.items():
        if key in made:
            raise EvaluationError(f"insert failed: key '{key}' already exists")
        made[key] = value

"""What a CEL rule costs: compiling it, estimating it, evaluating it on one Pod.

    python -m tests.bench.cel

Microseconds, the best of ROUNDS runs (values.py), on one core.
"""

from __future__ import annotations

import sys
import time

import msgspec

from kplane.api import schema
from kplane.api.cel import DYN, PER_CALL_LIMIT, Budget, Environment, Program, type_of

from .values import ROUNDS, measure, pod

RULES = {
    "simple rule": "object.spec.containers[0].name != '' && object.metadata.name.size() <= 63",
    "rule over all containers": "object.spec.containers.all(c, c.image.startsWith('registry.example.com/'))",
    "rule with two loops": (
        "object.spec.containers.all(c, !has(c.ports) || c.ports.all(p, p.containerPort > 1024"
        " && p.containerPort < 32768))"
    ),
    "rule with a quantity": (
        "object.spec.containers.all(c, !has(c.resources) || !has(c.resources.limits)"
        " || quantity(c.resources.limits['memory']).isLessThan(quantity('1Gi')))"
    ),
    "rule with a regular expression": "object.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "comparison with the old object": "object.spec == oldObject.spec",
}


def main() -> int:
    typed = type_of(schema.node("io.k8s.api.core.v1.Pod"))
    assert typed is not None
    old, new = pod(), pod()
    bindings = {"object": new, "oldObject": old}
    print(f"Pod: {len(msgspec.json.encode(new))} bytes")
    for words, kind in (("untyped", DYN), ("typed", typed)):
        environment = Environment({"object": kind, "oldObject": kind})
        for name, source in RULES.items():
            program = environment.compile(source)
            assert program.evaluate(bindings) is True, source
            measure(f"{name}, {words}: compile", lambda s=source, e=environment: e.compile(s))
            measure(f"{name}, {words}: evaluate", lambda p=program: p.evaluate(bindings))
    numbers = Environment({"l": DYN}).compile("l.all(a, l.exists(b, a == b))")
    best = min(_loop(numbers) for _ in range(ROUNDS))
    print(f"one unit of cost in loops: {best * 1e9:.0f} ns; one call at most: {best * PER_CALL_LIMIT:.2f} s")
    return 0


def _loop(program: Program) -> float:
    """Seconds for one unit of cost."""
    budget, begun = Budget(10**9, 10**9), time.perf_counter()
    program.evaluate({"l": list(range(100))}, budget)
    return (time.perf_counter() - begun) / (10**9 - budget.left)


if __name__ == "__main__":
    sys.exit(main())

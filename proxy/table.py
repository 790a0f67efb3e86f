"""An nftables table as a value, and the transaction that turns one into another.

Pure: knows the grammar of nft, nothing of Services (nftables.py) and nothing of processes (nft.py).

Invariant: the statements of one transaction are in an order in which the kernel never sees a reference to
something that does not exist: what is new is declared first, what is obsolete deleted last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Set:
    """A set or map: `kind` is `set` or `map`, `body` what stands between the braces."""

    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`hook` is the declaration of a base chain, empty for others."""

    rules: tuple[str, ...]
    hook: str = ""


@dataclass(frozen=True)
class Table:
    family: str
    """`ip` or `ip6`."""
    name: str
    sets: Mapping[str, Set] = field(default_factory=dict)
    chains: Mapping[str, Chain] = field(default_factory=dict)
    elements: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Per set: element -> verdict, which is empty in sets that are not maps."""

    @property
    def at(self) -> str:
        return f"{self.family} {self.name}"


def delete(family: str, name: str) -> Iterator[str]:
    """Remove a table, also one that does not exist."""
    yield f"add table {family} {name}"
    yield f"delete table {family} {name}"


def transaction(old: Table | None, new: Table) -> Iterator[str]:
    """The statements that turn `old` into `new`; None for a table in unknown state, which is replaced."""
    if old is None:
        yield from delete(new.family, new.name)
        yield f'add table {new.at} {{ comment "Services, by kplane" ; }}'
        old = Table(new.family, new.name)
    yield from _declarations(old, new)
    yield from _rules(old, new)
    for name in new.sets.keys() | old.sets.keys():
        yield from _elements(old, new, name)
    yield from _removals(old, new)


def _declarations(old: Table, new: Table) -> Iterator[str]:
    for name, entry in new.sets.items():
        if name not in old.sets:
            yield f"add {entry.kind} {new.at} {name} {{ {entry.body} }}"
    for name, chain in new.chains.items():
        if name not in old.chains:
            hook = f" {{ {chain.hook} }}" if chain.hook else ""
            yield f"add chain {new.at} {name}{hook}"


def _rules(old: Table, new: Table) -> Iterator[str]:
    for name, chain in new.chains.items():
        before = old.chains.get(name)
        if before == chain:
            continue
        if before is not None:
            yield f"flush chain {new.at} {name}"
        for rule in chain.rules:
            yield f"add rule {new.at} {name} {rule}"


def _elements(old: Table, new: Table, name: str) -> Iterator[str]:
    before, after = old.elements.get(name, {}), new.elements.get(name, {})
    gone = [element for element in before if before[element] != after.get(element)]
    added = [
        _with_verdict(element, after[element]) for element in after if before.get(element) != after[element]
    ]
    if gone:
        yield f"delete element {new.at} {name} {{ {', '.join(gone)} }}"
    if added:
        yield f"add element {new.at} {name} {{ {', '.join(added)} }}"


def _with_verdict(element: str, verdict: str) -> str:
    return f"{element} : {verdict}" if verdict else element


def _removals(old: Table, new: Table) -> Iterator[str]:
    gone = [name for name in old.chains if name not in new.chains]
    # Emptied first: obsolete chains may refer to each other.
    for name in gone:
        yield f"flush chain {new.at} {name}"
    for name in gone:
        yield f"delete chain {new.at} {name}"
    for name, entry in old.sets.items():
        if name not in new.sets:
            yield f"delete {entry.kind} {new.at} {name}"

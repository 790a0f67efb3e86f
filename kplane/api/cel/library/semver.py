"""`semver('1.2.3-rc.1')`: semantic versions, strict as semver.org's, or normalised with a second argument."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from .. import charges
from ..errors import EvaluationError
from ..named import SEMVER
from ..overload import Overload, function, method
from ..types import BOOL, INT, STRING
from ..values import Opaque

_NUMBER = r"(0|[1-9][0-9]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?", re.ASCII
).fullmatch
_MOST = 2**64
_Part: TypeAlias = tuple[int, int, str]


class Semver(Opaque):
    """Ordered by precedence; build metadata does not count."""

    __slots__ = ("core", "release")
    type_name = SEMVER.name

    def __init__(self, core: tuple[int, int, int], release: tuple[_Part, ...]) -> None:
        self.core = core
        self.release = release

    @property
    def key(self) -> Any:
        # A version without a pre-release is newer than all of its pre-releases.
        return (self.core, not self.release, self.release)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _parse(text: str) -> Semver:
    """Raises ValueError."""
    match = _VERSION(text)
    if match is None or max(map(len, match.groups(default="")[:3])) > 20:
        raise ValueError(
            "No Major.Minor.Patch elements found" if text.count(".") < 2 else "Invalid character(s) found"
        )
    core = (int(match[1]), int(match[2]), int(match[3]))
    for part in (*(match[4] or "0").split("."), *(match[5] or "0").split(".")):
        if not part:
            raise ValueError(
                "Prerelease is empty" if match[4] and ".." in f".{match[4]}." else "Build meta data is empty"
            )
    if max(core) >= _MOST:
        raise ValueError("Invalid number")
    return Semver(core, tuple(map(_identifier, match[4].split("."))) if match[4] else ())


def _identifier(part: str) -> _Part:
    """Numbers come before words, and compare as numbers."""
    if not part.isdecimal():
        return (1, 0, part)
    if len(part) > 1 and part[0] == "0":
        raise ValueError(f'Numeric PreRelease version must not contain leading zeroes "{part}"')
    if len(part) > 20:
        raise ValueError("Invalid number")
    return (0, int(part), "")


def _normalised(text: str) -> str:
    """Without `v` and leading zeros, with all of the three numbers. Raises ValueError."""
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            bare = part.lstrip("0")
            parts[index] = bare if bare[:1].isdecimal() else "0" + bare
    if len(parts) < 3 and any(sign in parts[-1] for sign in "+-"):
        raise ValueError("short version cannot contain PreRelease/Build meta data")
    return ".".join((*parts, "0", "0")[:3])


def _semver(text: str, normalise: bool = False) -> Semver:
    try:
        return _parse(_normalised(text) if normalise else text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_semver(text: str, normalise: bool = False) -> bool:
    try:
        _parse(_normalised(text) if normalise else text)
    except ValueError:
        return False
    return True


def _compare(left: Semver, right: Semver) -> int:
    return int(left.key > right.key) - int(left.key < right.key)


OVERLOADS: list[Overload] = [
    function("semver", (STRING,), SEMVER, _semver, charges.reads()),
    function("semver", (STRING, BOOL), SEMVER, _semver, charges.reads()),
    function("isSemver", (STRING,), BOOL, _is_semver, charges.reads()),
    function("isSemver", (STRING, BOOL), BOOL, _is_semver, charges.reads()),
    method("major", (SEMVER,), INT, lambda version: version.core[0]),
    method("minor", (SEMVER,), INT, lambda version: version.core[1]),
    method("patch", (SEMVER,), INT, lambda version: version.core[2]),
    method("isGreaterThan", (SEMVER, SEMVER), BOOL, lambda left, right: _compare(left, right) > 0),
    method("isLessThan", (SEMVER, SEMVER), BOOL, lambda left, right: _compare(left, right) < 0),
    method("compareTo", (SEMVER, SEMVER), INT, _compare),
]

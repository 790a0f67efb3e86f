"""What expressions of an admission policy are about: the types of the kinds that its rules name.

Built-in kinds are known; custom ones are looked up in their definitions.
Source: apiserver `admission/plugin/policy/validating/typechecking.go`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kplane.api import schema
from kplane.api.cel import STRING, Field, Type, type_of
from kplane.api.cel.admission import Composer
from kplane.api.cel.types import Structure
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme

log = logging.getLogger(__name__)

MOST_KINDS = 10
CRD_SCHEMA = "openAPIV3Schema"


class Kind(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{self.group}/{self.version}, Kind={self.kind}"


class Types:
    """The kinds that a server knows: `scheme`'s, and those of the CustomResourceDefinitions."""

    def __init__(self, scheme: Scheme, definitions: Sequence[Object]) -> None:
        self._scheme = scheme
        self._custom: dict[Kind, Object] = {}
        self._plurals: dict[tuple[str, str, str], Kind] = {}
        for definition in definitions:
            try:
                self._add(definition["spec"])
            except (KeyError, TypeError, AttributeError) as error:
                log.warning("definition not understood error=%s", type(error).__name__)

    def _add(self, spec: Object) -> None:
        """Raises KeyError, TypeError and AttributeError for what is no definition."""
        for version in spec.get("versions") or ():
            if version.get("served") and CRD_SCHEMA in (version.get("schema") or {}):
                kind = Kind(spec["group"], version["name"], spec["names"]["kind"])
                self._custom[kind] = version["schema"][CRD_SCHEMA]
                self._plurals[kind.group, kind.version, spec["names"]["plural"]] = kind

    def kind_of(self, group: str, version: str, plural: str) -> Kind | None:
        row = self._scheme.by_path(group, version, plural)
        if row is not None:
            return Kind(row.group, row.version, row.kind)
        return self._plurals.get((group, version, plural))

    def type(self, kind: Kind) -> Type | None:
        row: ResourceInfo | None = self._scheme.by_kind(*kind)
        if row is not None:
            return type_of(row.node, kind.kind) if row.definition else None
        found = self._custom.get(kind)
        return _with_metadata(type_of(found, kind.kind)) if found is not None else None


def _with_metadata(kind: Type | None) -> Type | None:
    """A custom resource has all of an object's metadata, whatever its definition says of them."""
    if kind is None or kind.structure is None:
        return None
    metadata = type_of(schema.node(f"{schema.META}ObjectMeta"))
    assert metadata is not None
    known: Mapping[str, Field] = {
        "apiVersion": Field(STRING, "apiVersion"),
        "kind": Field(STRING, "kind"),
        "metadata": Field(metadata, "metadata"),
    }
    find: Callable[[str], Field | None] = kind.structure.field
    return Type("object", name=kind.name, structure=Structure(lambda name: known.get(name) or find(name)))


def kinds_of(policy: Object, types: Types) -> list[Kind]:
    """The kinds that the rules name without wildcards, the first few."""
    found: set[Kind] = set()
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        for count, kind in enumerate(_named(rule, types), start=1):
            found.add(kind)
            if count == MOST_KINDS:
                return sorted(found)
    return sorted(found)


def _named(rule: Object, types: Types) -> Iterator[Kind]:
    groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
    if any("*" in name for name in (*groups, *versions)):
        return
    resources = [name for name in rule.get("resources") or () if "*" not in name and "/" not in name]
    for group in sorted(groups):
        for version in sorted(versions):
            for plural in sorted(resources):
                if kind := types.kind_of(group, version, plural):
                    yield kind


def warnings(policy: Object, types: Types) -> list[Object]:
    """What is doubtful about the validations, as `status.typeChecking.expressionWarnings` has it."""
    spec = policy["spec"]
    composers = list(_composers(policy, types))
    found: list[Object] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            source = validation.get(name)
            if source and (text := _warning(source, composers)):
                reference = str(Path("spec").validations[index].child(name))
                found.append({"fieldRef": reference, "warning": text})
    return found


def _composers(policy: Object, types: Types) -> Iterator[tuple[Kind, Composer]]:
    """For each kind that a policy is about, what compiles expressions about it."""
    spec = policy["spec"]
    params = _params_type(spec.get("paramKind"), types)
    for kind in kinds_of(policy, types):
        found = types.type(kind)
        if found is None:
            continue
        composer = Composer(params=params is not None, object=found, params_type=params)
        for variable in spec.get("variables") or ():
            composer.add(variable.get("name", ""), variable.get("expression", ""))
        yield kind, composer


def _params_type(kind: Object | None, types: Types) -> Type | None:
    if kind is None:
        return None
    group, _, version = kind.get("apiVersion", "").rpartition("/")
    return types.type(Kind(group, version, kind.get("kind", "")))


def _warning(source: str, composers: Sequence[tuple[Kind, Composer]]) -> str:
    texts = []
    for kind, composer in composers:
        fault = composer.compile(source, None).fault
        if fault:
            texts.append(f"{kind}: {fault.removeprefix('compilation failed: ')}\n")
    return "\n".join(texts)

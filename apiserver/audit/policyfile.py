"""The file of `--audit-policy-file`: an audit.k8s.io/v1 Policy. Unknown fields are told, and ignored.

Source: apiserver `pkg/audit/policy/reader.go`, `pkg/apis/audit/validation`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec
import yaml

from kplane.api.field import FieldError, Path
from kplane.api.names import dns_subdomain
from kplane.runtime.process import Fatal

from .policy import ALL, LEVELS, Policy, Resources, Rule, Stage

VERSION = "audit.k8s.io/v1"
_STAGES = tuple(stage.value for stage in Stage)


log = logging.getLogger(__name__)


class _Resources(msgspec.Struct, rename="camel"):
    group: str = ""
    resources: list[str] | None = None
    resource_names: list[str] | None = None


class _Rule(msgspec.Struct, rename="camel"):
    level: str = ""
    users: list[str] | None = None
    user_groups: list[str] | None = None
    verbs: list[str] | None = None
    resources: list[_Resources] | None = None
    namespaces: list[str] | None = None
    non_resource_urls: list[str] | None = msgspec.field(default=None, name="nonResourceURLs")
    omit_stages: list[str] | None = None
    omit_managed_fields: bool | None = None


class _Policy(msgspec.Struct, rename="camel"):
    kind: str = ""
    api_version: str = ""
    metadata: dict[str, Any] | None = None
    rules: list[_Rule] | None = None
    omit_stages: list[str] | None = None
    omit_managed_fields: bool = False


def load_policy(path: FilePath) -> Policy:
    """Raises Fatal with one line for a file that cannot be used."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Fatal(f"loading audit policy file: cannot read {path}: {error}") from error
    return read_policy(content, str(path))


def read_policy(content: Any, name: str) -> Policy:
    """`content`: the decoded file of that name. Raises Fatal."""
    if not isinstance(content, dict):
        raise Fatal(f"loading audit policy file: {name} holds no object")
    said = content.get("apiVersion")
    if said != VERSION or content.get("kind") != "Policy":
        raise Fatal(
            f"loading audit policy file: unknown group version field {said} in policy {name}: "
            f"a Policy of {VERSION} is expected"
        )
    try:
        found = msgspec.convert(content, _Policy)
    except msgspec.ValidationError as error:
        raise Fatal(f"loading audit policy file: {name}: {error}") from error
    if unknown := [*_unknown(content, _Policy, "")]:
        log.warning("audit policy has unknown fields, which are ignored: %s", ", ".join(unknown))
    rules = found.rules or []
    if not rules:
        raise Fatal(f"loading audit policy file: loaded illegal policy with 0 rules from file {name}")
    faults = [*_stage_faults(found.omit_stages, Path("omitStages"))]
    for index, rule in enumerate(rules):
        faults += _faults(rule, Path("rules")[index])
    if faults:
        texts = [str(fault) for fault in faults]
        told = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        raise Fatal(f"loading audit policy file: {told}")
    return Policy([_rule(rule, found) for rule in rules])


def _unknown(content: Mapping[str, Any], shape: type[msgspec.Struct], path: str) -> Iterator[str]:
    for key, value in content.items():
        if key not in shape.__struct_encode_fields__:
            yield f"{path}{key}"
        elif key == "rules" or (key == "resources" and shape is _Rule):
            for index, each in enumerate(value or ()):
                inner = _Rule if key == "rules" else _Resources
                yield from _unknown(each, inner, f"{path}{key}[{index}].")


def _rule(rule: _Rule, policy: _Policy) -> Rule:
    omits = rule.omit_managed_fields
    return Rule(
        level=LEVELS[rule.level],
        users=frozenset(rule.users or ()),
        groups=frozenset(rule.user_groups or ()),
        verbs=frozenset(rule.verbs or ()),
        resources=tuple(
            Resources(each.group, tuple(each.resources or ()), frozenset(each.resource_names or ()))
            for each in rule.resources or ()
        ),
        namespaces=frozenset(rule.namespaces or ()),
        paths=tuple(rule.non_resource_urls or ()),
        omits=frozenset(map(Stage, (*(policy.omit_stages or ()), *(rule.omit_stages or ())))),
        omits_managed_fields=policy.omit_managed_fields if omits is None else omits,
    )


def _faults(rule: _Rule, path: Path) -> Iterator[FieldError]:
    level = path.child("level")
    if not rule.level:
        yield level.required("")
    elif rule.level not in LEVELS:
        yield level.not_supported(rule.level, tuple(LEVELS))
    yield from _url_faults(rule.non_resource_urls or (), path.child("nonResourceURLs"))
    for each in rule.resources or ():
        yield from _resource_faults(each, path.child("resources"))
    yield from _stage_faults(rule.omit_stages, path.child("omitStages"))
    if rule.non_resource_urls and (rule.resources or rule.namespaces):
        text = "rules cannot apply to both regular resources and non-resource URLs"
        yield path.child("nonResourceURLs").invalid(rule.non_resource_urls, text)


def _url_faults(urls: Any, path: Path) -> Iterator[FieldError]:
    for index, url in enumerate(urls):
        if url == ALL:
            continue
        if not url.startswith("/"):
            yield path[index].invalid(url, "non-resource URL rules must begin with a '/' character")
        if ALL in url[:-1]:
            text = "non-resource URL wildcards '*' must be the final character of the rule"
            yield path[index].invalid(url, text)


def _resource_faults(each: _Resources, path: Path) -> Iterator[FieldError]:
    if each.group and (faults := [*dns_subdomain(each.group)]):
        yield path.child("group").invalid(each.group, ",".join(faults))
    if each.resource_names and not each.resources:
        text = "using resourceNames requires at least one resource"
        yield path.child("resourceNames").invalid(each.resource_names, text)


def _stage_faults(stages: list[str] | None, path: Path) -> Iterator[FieldError]:
    for index, stage in enumerate(stages or ()):
        if stage not in _STAGES:
            yield path[index].invalid(stage, f"allowed stages are {','.join(_STAGES)}")

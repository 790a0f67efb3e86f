"""Attribute-based authorisation: a file with one policy a line, each of which allows something to somebody.

Source: pkg/auth/authorizer/abac, pkg/apis/abac. The file is read once, as upstream reads it. Policies without
a version are of the oldest form, in which whatever is not said is everything.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from kplane.runtime.process import Fatal

from .authorizer import ALLOW, Attributes, Decision, Rules, Verdict
from .user import AUTHENTICATED_GROUP, User

log = logging.getLogger(__name__)

GROUP = "abac.authorization.kubernetes.io"
READING = frozenset({"get", "list", "watch"})
ANY = "*"


class Policy(msgspec.Struct, frozen=True, rename="camel"):
    """`spec` of a Policy of v1beta1."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    api_group: str = msgspec.field(default="", name="apiGroup")
    resource: str = ""
    namespace: str = ""
    non_resource_path: str = msgspec.field(default="", name="nonResourcePath")

    def is_about(self, user: User) -> bool:
        """Both a user and a group that are named must be those."""
        if not self.user and not self.group:
            return False
        return self.user in ("", user.name) and (not self.group or self.group in user.groups)

    def allows(self, attributes: Attributes) -> bool:
        if not self.is_about(attributes.user) or (self.readonly and attributes.verb not in READING):
            return False
        if attributes.is_resource:
            return (
                self.namespace in (ANY, attributes.namespace)
                and self.resource in (ANY, attributes.resource)
                and self.api_group in (ANY, attributes.group)
            )
        path = self.non_resource_path
        return path in (ANY, attributes.path) or (
            path.endswith("*") and attributes.path.startswith(path.rstrip("*"))
        )


class Abac:
    """`Authorizer` over the policies of a file."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = policies

    async def authorize(self, attributes: Attributes) -> Verdict:
        if any(policy.allows(attributes) for policy in self._policies):
            return ALLOW
        return Verdict(Decision.NO_OPINION, "No policy matched.")

    async def rules(self, user: User, namespace: str) -> Rules:
        found = Rules([], [], False, [])
        for policy in self._policies:
            if not policy.is_about(user) or policy.namespace not in (ANY, namespace):
                continue
            verbs = ["get", "list", "watch"] if policy.readonly else [ANY]
            if policy.resource:
                found.resources.append(
                    {"verbs": verbs, "apiGroups": [policy.api_group], "resources": [policy.resource]}
                )
            if policy.non_resource_path:
                found.paths.append({"verbs": verbs, "nonResourceURLs": [policy.non_resource_path]})
        return found

    async def catch_up(self) -> bool:
        return False


def load(path: Path) -> Abac:
    """Raises Fatal that names the line."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"error reading policy file {path}: {error}") from error
    policies, unversioned = [], 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.strip().startswith("#"):
            continue
        try:
            body = json.loads(line)
            unversioned += not _version(body)
            policies.append(parse(body))
        except ValueError as error:
            raise Fatal(f"error reading policy file {path}, line {number}: {line}: {error}") from error
    if unversioned:
        log.warning("policy file contained unversioned rules path=%s rules=%d", path, unversioned)
    return Abac(policies)


def parse(body: Any) -> Policy:
    """One policy, in the form of v1beta1. Raises ValueError."""
    version = _version(body)
    if version not in ("", f"{GROUP}/v0", f"{GROUP}/v1beta1"):
        raise ValueError(f'no kind "{body.get("kind", "")}" is registered for version "{version}"')
    if version == f"{GROUP}/v1beta1":
        return _everybody(msgspec.convert(body.get("spec") or {}, Policy))
    return _of_v0(msgspec.convert(body, Policy))


def _version(body: Any) -> str:
    """Empty for a policy of no version. Raises ValueError."""
    if not isinstance(body, dict):
        raise ValueError("a policy is a JSON object")
    if body.get("kind", "") not in ("", "Policy"):
        raise ValueError(f'unrecognized kind "{body["kind"]}"')
    return str(body.get("apiVersion") or "") if body.get("kind") else ""


def _everybody(policy: Policy) -> Policy:
    """`*` is whoever has proved who they are."""
    if ANY in (policy.user, policy.group):
        return msgspec.structs.replace(policy, user="", group=AUTHENTICATED_GROUP)
    return policy


def _of_v0(policy: Policy) -> Policy:
    nobody = not policy.user and not policy.group
    nowhere = not policy.namespace and not policy.resource
    return _everybody(
        msgspec.structs.replace(
            policy,
            group=AUTHENTICATED_GROUP if nobody else policy.group,
            namespace=policy.namespace or ANY,
            resource=policy.resource or ANY,
            api_group=ANY,
            non_resource_path=ANY if nowhere else "",
        )
    )

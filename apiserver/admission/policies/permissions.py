"""Who may write policies with parameters: only those who may read the parameters themselves, so that nobody
learns from refusals what they may not see.

Source: registry `admissionregistration/*/authz.go`. Checked after validation, as there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kplane.api.errors import invalid
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import Scheme

from ...auth.authorizer import Attributes as Question
from ...auth.authorizer import Verdict
from ...auth.user import MASTERS_GROUP, User
from ..chain import Attributes, Chain
from ..matching import ADMISSION_GROUP
from .matching import POLICY_RESOURCES
from .source import ParamKind, param_kind

Authorize = Callable[[Question], Awaitable[Verdict]]
ReadPolicy = Callable[[str, str], Awaitable[Object | None]]
"""By plural and name."""


class ParamGuardedChain(Chain):
    """Admission with this check before what validates."""

    def __init__(self, chain: Chain, guard: ParamGuard) -> None:
        super().__init__(chain.plugins)
        self._chain = chain
        self._guard = guard

    async def admit(self, attributes: Attributes) -> None:
        await self._chain.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.info.group == ADMISSION_GROUP:
            await self._guard.check(attributes)
        await self._chain.validate(attributes)


class ParamGuard:
    def __init__(self, scheme: Scheme, authorize: Authorize, read: ReadPolicy) -> None:
        self._scheme = scheme
        self._authorize = authorize
        self._read = read

    async def check(self, write: Attributes) -> None:
        """Raises Invalid."""
        plural, user = write.info.plural, write.user
        if write.object is None or write.subresource or MASTERS_GROUP in user.groups:
            return
        if (ADMISSION_GROUP, plural) not in POLICY_RESOURCES:
            return
        new, old = write.object["spec"], (write.old or {}).get("spec") or {}
        if plural.endswith("bindings"):
            await self._check_binding(write, new, old)
        elif new.get("paramKind") and new["paramKind"] != old.get("paramKind"):
            await self._check_policy(write, new["paramKind"])

    async def _check_policy(self, write: Attributes, written: Object) -> None:
        question = self._question(write.user, param_kind(written), "*", "*")
        if not (await self._authorize(question)).allowed:
            kind, version = written.get("kind", ""), written.get("apiVersion", "")
            raise _refused(
                write,
                Path("spec").paramKind,
                f'user {_shown(write.user)} must have "get" permission on all objects of the referenced '
                f"paramKind (kind={kind}, apiVersion={version})",
            )

    async def _check_binding(self, write: Attributes, new: Object, old: Object) -> None:
        ref = new.get("paramRef")
        same = all(new.get(name) == old.get(name) for name in ("paramRef", "policyName"))
        if ref is None or same:
            return
        plural = write.info.plural.removesuffix("bindings").removesuffix("policy") + "policies"
        policy = await self._read(plural, new.get("policyName", ""))
        kind = param_kind(policy["spec"].get("paramKind")) if policy else None
        question = self._question(write.user, kind, ref.get("namespace", ""), ref.get("name", ""))
        if not (await self._authorize(question)).allowed:
            why = 'does not have "get" permission on the object referenced by paramRef'
            raise _refused(write, Path("spec").paramRef, f"user {_shown(write.user)} {why}")

    def _question(self, user: User, kind: ParamKind | None, namespace: str, name: str) -> Question:
        """What cannot be found out stands for everything."""
        row = self._scheme.by_kind(*kind) if kind else None
        return Question(
            user,
            "get",
            group=kind.group if kind else "*",
            version=kind.version if kind else "*",
            resource=row.plural if row else "*",
            namespace=namespace,
            name=name,
        )


def _shown(user: User) -> str:
    """As Go prints a user."""
    extra = " ".join(f"{name}:[{' '.join(values)}]" for name, values in sorted(user.extra.items()))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"


def _refused(write: Attributes, path: Path, why: str) -> Exception:
    info = write.info
    return invalid(info.kind, info.group, write.shown_name, [path.forbidden(why)])

"""The chain of admission that the settings name: plug-ins, webhooks, policies, and the guards around them.

Elsewhere: which plug-ins there are and their order (`registry.py`), how a chain runs (`chain.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from kplane.api.clock import Clock, Entropy
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme

from ..auth.authorizer import Authorizer, attributes_of
from ..auth.rbac.escalation import EscalationGuard, GuardedChain
from ..auth.rbac.index import PolicyIndex
from ..auth.user import User
from ..bootstrap import SELF
from ..config import ApiServerConfig
from ..http.requestinfo import RequestInfo
from ..reads import Reads
from ..registry.generic import Registry
from ..storage.hub import Hub
from ..webhooks.client import WebhookClient
from .chain import Chain, Plugin
from .configuration import load
from .context import AdmissionContext
from .policies.assembly import PolicyPlugins
from .policies.permissions import ParamGuard, ParamGuardedChain
from .policies.request import Surroundings as PolicySurroundings
from .registry import build
from .times import MeasuredChain
from .webhooks.assembly import WebhookPlugins
from .webhooks.calls import Surroundings as WebhookSurroundings
from .webhooks.calls import builtin_conversion
from .webhooks.metrics import WebhookMetrics


@dataclass(frozen=True)
class Surroundings:
    """What of the server admission uses. `registry` is asked once requests come, not before."""

    config: ApiServerConfig
    scheme: Scheme
    hub: Hub
    registry: Callable[[ResourceInfo], Registry]
    reads: Reads
    webhooks: WebhookClient
    policy: PolicyIndex
    authorizer: Authorizer
    clock: Clock
    entropy: Entropy
    metrics: CollectorRegistry


class Admission:
    """`chain` is what every write passes. Close it once nothing writes any more."""

    chain: Chain

    def __init__(self, around: Surroundings) -> None:
        """Raises Fatal for a plug-in that does not exist, or whose settings cannot be read."""
        self._around = around
        context = self._context()
        self._closing = context.closing
        config = around.config
        built = build(
            context,
            config.enable_admission_plugins,
            config.disable_admission_plugins,
            {plugin.name: plugin for plugin in self._dynamic()},
        )
        plugins = MeasuredChain(built, around.clock, around.metrics)
        guard = EscalationGuard(around.policy, around.authorizer.authorize)
        params = ParamGuard(around.scheme, around.authorizer.authorize, around.reads.policy)
        self.chain = ParamGuardedChain(GuardedChain(plugins, guard), params)

    async def close(self) -> None:
        for close in self._closing:
            await close()

    def _context(self) -> AdmissionContext:
        around, config = self._around, self._around.config
        return AdmissionContext(
            cache=lambda *path: around.registry(self._row(*path)).cache,
            amend=lambda row, key, change: around.registry(row).amend(key, change, SELF),
            row=lambda *path: around.scheme.rows[path],
            namespace=around.reads.namespace,
            clock=around.clock,
            entropy=around.entropy,
            allows=self._allows,
            not_ready_seconds=config.default_not_ready_toleration_seconds,
            unreachable_seconds=config.default_unreachable_toleration_seconds,
            configuration=load(config.admission_control_config_file).get,
            kind=around.scheme.by_kind,
            create=self._create_cluster_scoped,
            metrics=around.metrics,
        )

    def _dynamic(self) -> list[Plugin]:
        """The plug-ins that follow objects of the API."""
        around = self._around
        conditions = WebhookMetrics(around.metrics)
        webhooks, policies = self._webhooks(conditions), self._policies(conditions)
        return [
            policies.mutating(),
            policies.validating(),
            webhooks.mutating(),
            webhooks.validating(),
        ]

    def _policies(self, conditions: WebhookMetrics) -> PolicyPlugins:
        around = self._around
        surroundings = PolicySurroundings(
            scheme=around.scheme,
            registry=around.registry,
            namespace=around.reads.namespace,
            allows=self._allows,
            convert=self._convert,
            clock=around.clock,
            conditions=conditions,
        )
        return PolicyPlugins(around.hub, surroundings, around.metrics)

    def _webhooks(self, metrics: WebhookMetrics) -> WebhookPlugins:
        around = self._around
        surroundings = WebhookSurroundings(
            client=around.webhooks,
            metrics=metrics,
            clock=around.clock,
            entropy=around.entropy,
            namespace=around.reads.namespace,
            allows=self._allows,
            convert=self._convert,
        )
        return WebhookPlugins(around.scheme, around.hub, surroundings)

    def _row(self, group: str, version: str, plural: str) -> ResourceInfo:
        row = self._around.scheme.by_path(group, version, plural)
        assert row is not None, f"no resource {plural} in {group}/{version}"
        return row

    async def _allows(self, user: User, info: RequestInfo) -> bool:
        return (await self._around.authorizer.authorize(attributes_of(user, info))).allowed

    async def _create_cluster_scoped(self, group: str, version: str, plural: str, obj: Object) -> object:
        """As the server itself. Raises AlreadyExists, and what admission says."""
        row = self._row(group, version, plural)
        typed = {"kind": row.kind, "apiVersion": row.api_version} | obj
        return await self._around.registry(row).create(typed, "", SELF)

    async def _convert(self, obj: Object, there: ResourceInfo, here: ResourceInfo) -> Object:
        """Between versions of a resource, for webhooks that know another one."""
        if not here.custom:
            return await builtin_conversion(obj, there, here)
        return await self._around.registry(here).converted(duplicate(obj))

"""The auditor that the settings describe."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry

from kplane.api.clock import Clock, Entropy

from .auditor import Auditor
from .logfile import LogBackend
from .metrics import AuditMetrics
from .policyfile import load_policy
from .settings import AuditSettings
from .sinks import Sink, sink_for
from .webhook import WebhookBackend

log = logging.getLogger(__name__)


def build_auditor(
    settings: AuditSettings, clock: Clock, entropy: Entropy, registry: CollectorRegistry
) -> Auditor | None:
    """None: nothing is recorded. Raises Fatal for files that cannot be used."""
    metrics = AuditMetrics(registry)
    if settings.policy_file is None:
        if settings.backends:
            log.warning("no audit policy file was named: nothing is recorded")
        return None
    policy = load_policy(settings.policy_file)
    sinks: list[Sink] = []
    if settings.log.path:
        said = settings.log
        backend = LogBackend(said, clock)
        sinks.append(sink_for(backend, said.mode, said.batch, said.truncate, metrics, clock))
    if settings.webhook.config_file is not None:
        hook = settings.webhook
        remote = WebhookBackend(hook, clock, entropy)
        sinks.append(sink_for(remote, hook.mode, hook.batch, hook.truncate, metrics, clock))
    return Auditor(policy, sinks, metrics, clock) if sinks else None

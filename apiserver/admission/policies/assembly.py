"""Puts the two plug-ins together."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from kplane.api.resource import Object

from ...storage.cache import WatchCache
from ...storage.hub import Hub
from ..matching import ADMISSION_GROUP
from .decisions import ValidatingCompiler
from .metrics import MutatingMetrics, ValidatingMetrics
from .mutating import MutatingAdmissionPolicy, MutatingCompiler
from .request import Surroundings
from .source import E, Source
from .validating import ValidatingAdmissionPolicy


class PolicyPlugins:
    """Makes each plug-in; both share `surroundings`."""

    def __init__(self, hub: Hub, surroundings: Surroundings, metrics: CollectorRegistry) -> None:
        self._hub = hub
        self._with = surroundings
        self._metrics = metrics

    def validating(self) -> ValidatingAdmissionPolicy:
        compile = ValidatingCompiler(self._with.conditions, self._with.clock)
        source = self._source("validatingadmissionpolicies", "validatingadmissionpolicybindings", compile)
        return ValidatingAdmissionPolicy(source, self._with, ValidatingMetrics(self._metrics))

    def mutating(self) -> MutatingAdmissionPolicy:
        compile = MutatingCompiler(self._with.conditions)
        source = self._source("mutatingadmissionpolicies", "mutatingadmissionpolicybindings", compile)
        return MutatingAdmissionPolicy(source, self._with, MutatingMetrics(self._metrics))

    def _source(self, policies: str, bindings: str, compile: Callable[[Object], E]) -> Source[E]:
        return Source(self._cache(policies), self._cache(bindings), self._with.scheme, compile)

    def _cache(self, plural: str) -> WatchCache:
        row = self._with.scheme.by_path(ADMISSION_GROUP, "v1", plural)
        assert row is not None
        return self._hub.cache(row.storage_prefix)

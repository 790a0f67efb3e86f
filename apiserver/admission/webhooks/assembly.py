"""Puts the two plug-ins together."""

from __future__ import annotations

from kplane.api.scheme import Scheme

from ...storage.hub import Hub
from ..matching import ADMISSION_GROUP
from .calls import ADMIT, VALIDATING, Surroundings
from .conditions import ConditionCompiler
from .configuration import Configuration
from .mutating import MutatingAdmissionWebhook
from .validating import ValidatingAdmissionWebhook


class WebhookPlugins:
    """Makes each plug-in; both share `surroundings`."""

    def __init__(self, scheme: Scheme, hub: Hub, surroundings: Surroundings) -> None:
        self._scheme = scheme
        self._hub = hub
        self._surroundings = surroundings

    def mutating(self) -> MutatingAdmissionWebhook:
        found = self._configuration("mutatingwebhookconfigurations", ADMIT)
        return MutatingAdmissionWebhook(found, self._surroundings)

    def validating(self) -> ValidatingAdmissionWebhook:
        found = self._configuration("validatingwebhookconfigurations", VALIDATING)
        return ValidatingAdmissionWebhook(found, self._surroundings)

    def _configuration(self, plural: str, type: str) -> Configuration:
        row = self._scheme.by_path(ADMISSION_GROUP, "v1", plural)
        assert row is not None
        compile = ConditionCompiler(self._surroundings.metrics, self._surroundings.allows)
        return Configuration(self._hub.cache(row.storage_prefix), self._scheme, type, compile)

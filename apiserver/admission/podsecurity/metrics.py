"""What Pod Security has decided, under upstream's names and labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from ...measuring import Counter, Tally
from ..chain import Attributes, Operation
from .levels import LATEST, Policy

NEWEST = 37
"""The minor version of Kubernetes whose rules are known; later ones count as the future."""
KNOWN = 1024
"""Combinations of labels that are kept at hand; namespaces may name any version."""
_WHAT = ("request_operation", "resource", "subresource")


class PodSecurityMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._evaluations = Counter(
            "pod_security_evaluations",
            "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
            ("decision", "policy_level", "policy_version", "mode", *_WHAT),
            registry,
        )
        self._known: dict[tuple[Policy, str, bool, Operation, str, str], Tally] = {}
        """Of evaluations; most requests are like others."""
        self._exemptions = Counter(
            "pod_security_exemptions",
            "Number of exempt requests, not counting ignored or out of scope requests.",
            _WHAT,
            registry,
        )
        self._errors = Counter(
            "pod_security_errors",
            "Number of errors preventing normal evaluation. Non-fatal errors may result in the latest "
            "restricted profile being used for evaluation.",
            ("fatal", *_WHAT),
            registry,
        )

    def evaluated(self, attributes: Attributes, policy: Policy, mode: str, *, allowed: bool) -> None:
        """One verdict; of `audit` and `warn` only the bad ones are counted."""
        key = (policy, mode, allowed, attributes.operation, attributes.info.plural, attributes.subresource)
        tally = self._known.get(key)
        if tally is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            decision, version = "allow" if allowed else "deny", _version(policy.version)
            tally = self._evaluations.labels(decision, policy.level, version, mode, *_what(attributes))
            self._known[key] = tally
        tally.count += 1

    def exempted(self, attributes: Attributes) -> None:
        self._exemptions.labels(*_what(attributes)).count += 1

    def misread(self, attributes: Attributes) -> None:
        """The labels of a namespace make no sense."""
        self._errors.labels("false", *_what(attributes)).count += 1


def _version(number: int) -> str:
    if number == LATEST:
        return "latest"
    return f"v1.{number}" if number <= NEWEST else "future"


def _what(attributes: Attributes) -> tuple[str, str, str]:
    resource = "pod" if attributes.info.plural == "pods" else "controller"
    return attributes.operation.lower(), resource, attributes.subresource

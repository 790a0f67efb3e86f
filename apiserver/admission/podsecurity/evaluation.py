"""Judges a pod by a policy."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.resource import Object

from . import baseline, restricted
from .levels import Policy
from .subject import Finding, Subject

TEMPLATES = {
    ("", "pods"): (),
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
"""Where objects of each resource have their pod."""


def pod_of(group: str, plural: str, obj: Object) -> Object | None:
    """The pod, or what pods are made from; None where there is none."""
    for step in TEMPLATES[group, plural]:
        obj = obj.get(step) or {}
    return obj if obj.get("spec") else None


def findings(pod: Object, policy: Policy) -> list[Finding]:
    """Why the pod is not allowed by the policy."""
    subject = Subject(pod.get("metadata") or {}, pod["spec"], policy.version)
    return list(_findings(subject, policy.level))


def _findings(subject: Subject, level: str) -> Iterator[Finding]:
    if level == "privileged":
        return
    for name, check in baseline.CHECKS.items():
        overridden = level == "restricted" and restricted.OVERRIDES.get(name, 1 << 31) <= subject.version
        if not overridden and (finding := check(subject)):
            yield finding
    if level == "restricted":
        for check in restricted.CHECKS.values():
            if finding := check(subject):
                yield finding


def violation(found: list[Finding], policy: Policy) -> str:
    return f'PodSecurity "{policy}": {", ".join(map(str, found))}'

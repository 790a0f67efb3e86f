"""The plug-in: pods are refused, workloads are warned of, namespaces are told what a stricter label means."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.errors import invalid
from kplane.api.resource import Object
from kplane.runtime.process import Fatal

from ..chain import Attributes, Operation, Waiting, on
from ..context import REMEMBERED, AdmissionContext, aggregate, refused
from .evaluation import TEMPLATES, findings, pod_of, violation
from .levels import PREFIX, Policies, Policy, defaults_of, label_faults, policies_of
from .metrics import PodSecurityMetrics
from .subject import Finding

CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
PROFILE = ".security."
"""In the keys of annotations that name profiles of AppArmor and seccomp."""
ENFORCED = f"{PREFIX}enforce-policy"
EXAMINED = 3000
"""Pods of a namespace that are looked at when its label changes."""
JUDGED = (
    "namespaces",
    "pods/ephemeralcontainers",
    "pods/resize",
    *(f"{plural}.{group}" for group, plural in TEMPLATES),
)


class PodSecurity:
    name = "PodSecurity"
    handles = on(Operation.CREATE, Operation.UPDATE, to=JUDGED)

    def __init__(self, context: AdmissionContext) -> None:
        configured = context.configuration(self.name) or {}
        exempt = configured.get("exemptions") or {}
        try:
            self._defaults = defaults_of(configured)
        except ValueError as error:
            raise Fatal(f"PodSecurity configuration: {error}") from error
        self._users = frozenset(exempt.get("usernames") or ())
        self._namespaces = frozenset(exempt.get("namespaces") or ())
        self._classes = frozenset(exempt.get("runtimeClasses") or ())
        self._metrics = PodSecurityMetrics(context.metrics)
        self._read = context.read("namespaces")
        self._pods = context.read("pods")
        self._chosen: dict[str, tuple[Object | None, Policies]] = {}
        """By the name of the namespace, with the object that it was read from."""

    def validate(self, attributes: Attributes) -> Waiting:
        if attributes.info.plural == "namespaces":
            return self._validate_namespace(attributes)
        if why := self._exempt(attributes):
            self._exempted(attributes, why)
            return None
        namespace = self._read.known("", attributes.namespace)
        if namespace is None:
            return self._look_up(attributes)
        self._validate_pods(attributes, namespace)
        return None

    async def _look_up(self, attributes: Attributes) -> None:
        self._validate_pods(attributes, await self._read.get("", attributes.namespace))

    def _validate_pods(self, attributes: Attributes, namespace: Object | None) -> None:
        info = attributes.info
        policies = self._policies_of(attributes.namespace, namespace)
        if policies.lax:
            attributes.annotate(ENFORCED, policies.enforced)
            self._metrics.evaluated(attributes, policies.enforce, "enforce", allowed=True)
            return
        assert attributes.object is not None
        is_pod = info.plural == "pods"
        pod = pod_of(info.group, info.plural, attributes.object)
        if pod is None or (is_pod and attributes.old is not None and not _matters(pod, attributes.old)):
            return
        if pod["spec"].get("runtimeClassName") in self._classes:
            self._exempted(attributes, "runtimeClass")
            return
        if faults := list(label_faults(_labels(namespace))):
            told = aggregate([str(fault) for fault in faults])
            self._metrics.misread(attributes)
            attributes.annotate(f"{PREFIX}error", f"Failed to parse policy: {told}")
        self._judge(attributes, pod, policies, enforced=is_pod)

    def _policies_of(self, name: str, namespace: Object | None) -> Policies:
        """`namespace` is shared by all who read it until it changes, and so is what it chooses."""
        known = self._chosen.get(name)
        if known is not None and known[0] is namespace:
            return known[1]
        if len(self._chosen) >= REMEMBERED:
            self._chosen.clear()
        policies = policies_of(_labels(namespace), self._defaults)
        self._chosen[name] = namespace, policies
        return policies

    def _exempt(self, attributes: Attributes) -> str:
        """Why the request is not looked at; empty if it is."""
        if attributes.namespace in self._namespaces:
            return "namespace"
        return "user" if attributes.user.name in self._users else ""

    def _exempted(self, attributes: Attributes, why: str) -> None:
        attributes.annotate(f"{PREFIX}exempt", why)
        self._metrics.exempted(attributes)

    def _judge(self, attributes: Attributes, pod: Object, policies: Policies, *, enforced: bool) -> None:
        forbidden: list[Finding] = []
        if enforced:
            attributes.annotate(ENFORCED, policies.enforced)
            forbidden = findings(pod, policies.enforce)
            self._metrics.evaluated(attributes, policies.enforce, "enforce", allowed=not forbidden)
        if found := findings(pod, policies.audit):
            told = f"would violate {violation(found, policies.audit)}"
            attributes.annotate(f"{PREFIX}audit-violations", told)
            self._metrics.evaluated(attributes, policies.audit, "audit", allowed=False)
        if forbidden:
            raise refused(attributes, f"violates {violation(forbidden, policies.enforce)}")
        if found := findings(pod, policies.warn):
            attributes.warn(f"would violate {violation(found, policies.warn)}")
            self._metrics.evaluated(attributes, policies.warn, "warn", allowed=False)

    async def _validate_namespace(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        new = attributes.object["metadata"].get("labels") or {}
        old = ((attributes.old or {}).get("metadata") or {}).get("labels") or {}
        name = attributes.object["metadata"].get("name", "")
        faults = list(label_faults(new))
        before = set(label_faults(old)) if attributes.old is not None else set()
        if faults and set(faults) - before:
            raise invalid("Namespace", "", name, faults)
        if attributes.operation is not Operation.UPDATE or name in self._namespaces:
            return
        policy = policies_of(new, self._defaults).enforce
        earlier = policies_of(old, self._defaults).enforce
        if policy == earlier or policy.level == "privileged":
            return
        if policy.version == earlier.version and policy.rank < earlier.rank:
            return
        for warning in await self._warnings(name, policy):
            attributes.warn(warning)

    async def _warnings(self, namespace: str, policy: Policy) -> list[str]:
        """Which pods of the namespace could not be made again."""
        pods = await self._pods.list(namespace)
        by_reason: dict[str, list[str]] = {}
        for pod in pods[:EXAMINED]:
            if pod["spec"].get("runtimeClassName") in self._classes:
                continue
            if found := findings(pod, policy):
                reasons = ", ".join(finding.reason for finding in found)
                by_reason.setdefault(reasons, []).append(pod["metadata"]["name"])
        if not by_reason:
            return []
        first = (
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{policy}"'
        )
        return [first, *sorted(_grouped(by_reason)), *_incomplete(len(pods))]


def _labels(namespace: Object | None) -> dict[str, str]:
    return (namespace["metadata"].get("labels") if namespace else None) or {}


def _incomplete(count: int) -> list[str]:
    if count <= EXAMINED:
        return []
    return [
        f"new PodSecurity enforce level only checked against the first {EXAMINED} of {count} existing pods"
    ]


def _grouped(by_reason: dict[str, list[str]]) -> Iterator[str]:
    for reasons, names in by_reason.items():
        others = len(names) - 1
        more = f" (and {others} other {'pod' if others == 1 else 'pods'})" if others else ""
        yield f"{min(names)}{more}: {reasons}"


def _matters(new: Object, old: Object) -> bool:
    """Whether a change of a pod can change the verdict: of what may be changed at all, images, annotations of
    profiles, and new ephemeral containers can."""
    if any(_images(new, field) != _images(old, field) for field in CONTAINERS):
        return True
    before, after = (_profiles(part) for part in (old, new))
    return before != after


def _images(pod: Object, field: str) -> list[str]:
    return [container.get("image", "") for container in pod["spec"].get(field) or []]


def _profiles(pod: Object) -> dict[str, str]:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    return {key: value for key, value in annotations.items() if PROFILE in key}

"""Defaults of pod specs: `core/v1/defaults.go`.

`default_template` is for pod templates; `default_pod` adds what upstream fills in only in Pods themselves.
Both change their argument in place and change nothing when run again.
"""

from __future__ import annotations

from kplane.api import quantity
from kplane.api.resource import Object

from .images import pull_policy
from .volumes import default_volume

_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


def default_template(template: Object) -> None:
    """A PodTemplateSpec."""
    template.setdefault("metadata", {})
    default_spec(template.setdefault("spec", {}))


def default_pod(spec: Object) -> None:
    """The spec of a Pod."""
    default_spec(spec)
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            _request_limits(container["resources"])
    if "resources" in spec:
        _default_pod_level(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        _default_host_ports(spec)


def default_spec(spec: Object) -> None:
    """Any pod spec."""
    mirror_service_account(spec)
    for name in _CONTAINER_LISTS:
        for container in spec.get(name) or ():
            default_container(container)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    if overhead := spec.get("overhead"):
        round_quantities(overhead)
    for constraint in spec.get("topologySpreadConstraints") or ():
        if constraint.get("whenUnsatisfiable") is None:
            constraint["whenUnsatisfiable"] = "DoNotSchedule"


def mirror_service_account(spec: Object) -> None:
    """`serviceAccount` is the deprecated twin of `serviceAccountName`; both are always shown."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    _default_resources(container)
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        if source := variable.get("valueFrom"):
            _default_source(source)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            _default_probe(probe)
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict) and "httpGet" in handler:
            _default_http(handler["httpGet"])


def round_quantities(amounts: Object) -> None:
    """A ResourceList: upstream keeps no more than three decimals."""
    for name, value in amounts.items():
        amounts[name] = quantity.rounded(value)


def _default_resources(container: Object) -> None:
    resources = container.get("resources")
    if resources is None:
        container["resources"] = {}
        return
    for amounts in (resources.get("limits"), resources.get("requests")):
        if amounts:
            round_quantities(amounts)


def _default_source(source: Object) -> None:
    """Where an environment variable's value comes from."""
    if reference := source.get("fieldRef"):
        reference["apiVersion"] = reference.get("apiVersion") or "v1"
    elif reference := source.get("resourceFieldRef"):
        reference.setdefault("divisor", "0")


_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def _default_probe(probe: Object) -> None:
    for name, value in _PROBE.items():
        if not probe.get(name):
            probe[name] = value
    if "httpGet" in probe:
        _default_http(probe["httpGet"])
    elif "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http(action: Object) -> None:
    action["path"] = action.get("path") or "/"
    action["scheme"] = action.get("scheme") or "HTTP"


def _request_limits(resources: Object) -> None:
    """A limit without a request is a request as well."""
    if limits := resources.get("limits"):
        requests = resources.setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _default_pod_level(spec: Object) -> None:
    """KEP-2837: requests of the whole pod, where only its limits are given."""
    resources = spec["resources"]
    limits = resources.get("limits") or {}
    for amounts in (limits, resources.get("requests") or {}):
        round_quantities(amounts)
    requests = dict(resources.get("requests") or {})
    if not limits:
        return
    for name in ("cpu", "memory"):
        containers = spec.get("containers") or []
        asked = [container["resources"].get("requests", {}).get(name) for container in containers]
        amounts = [amount for amount in asked if amount is not None]
        if name not in requests and amounts:
            total = amounts[0]
            for amount in amounts[1:]:
                total = quantity.add(total, amount)
            requests[name] = total
    for name, value in limits.items():
        requests.setdefault(name, value)
    resources["requests"] = requests


def _default_host_ports(spec: Object) -> None:
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            for port in container.get("ports") or ():
                port["hostPort"] = port.get("hostPort") or port.get("containerPort")

"""A whole pod spec, and a pod template: `core/validation/validation.go`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..addressforms import validate_ip
from ..labels import validate_annotations, validate_key, validate_labels
from . import apparmor
from .containers import Surroundings, validate_containers
from .known import Known
from .likeness import likeness
from .resources import validate_requirements
from .scheduling import validate_scheduling
from .security import validate_pod_security
from .systems import validate_system
from .volumes import validate_volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_INT32 = 2**31 - 1


_SOUND = Known()


def validate_spec(spec: Object, path: Path, *, is_pod: bool) -> Iterable[FieldError]:
    """A pod spec; `is_pod` tells a Pod's own from one in a template."""
    return _SOUND.look((likeness(spec), is_pod), _validate(spec, path, is_pod))


def _validate(spec: Object, path: Path, is_pod: bool) -> Iterator[FieldError]:
    volumes, claims = spec.get("volumes") or [], spec.get("resourceClaims")
    if volumes:
        yield from validate_volumes(volumes, path.volumes)
    around = Surroundings(
        volumes={volume.get("name", ""): volume for volume in volumes},
        claims=frozenset(claim.get("name", "") for claim in claims) if claims else frozenset(),
        grace=spec.get("terminationGracePeriodSeconds", 0),
        restart_policy=spec.get("restartPolicy", ""),
        is_pod=is_pod,
    )
    if claims:
        yield from _validate_claims(claims, path)
    yield from validate_containers(spec, around, path)
    if "resources" in spec:
        yield from _validate_pod_level(spec, around, path.resources)
    if spec.get("hostNetwork"):
        yield from _validate_host_ports(spec, is_pod, path)
    yield from _validate_policies(spec, path)
    if "nodeSelector" in spec:
        yield from validate_labels(spec["nodeSelector"], path.nodeSelector)
    yield from validate_pod_security(spec, path)
    yield from validate_scheduling(spec, path)
    if "dnsConfig" in spec or spec.get("dnsPolicy") == "None":
        yield from _validate_dns(spec, path.dnsConfig)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        yield from validate_key(gate.get("conditionType", ""), path.readinessGates[index].conditionType)
    yield from _validate_names(spec, path)
    yield from _validate_numbers(spec, path)
    if "hostAliases" in spec:
        yield from _validate_aliases(spec["hostAliases"] or [], path.hostAliases)
    if "os" in spec:
        system = (spec["os"] or {}).get("name")
        if system not in ("linux", "windows"):
            yield path.os.name.not_supported(system or "", ("linux", "windows"))
        yield from validate_system(spec, path)


def validate_template(template: Object, path: Path) -> Iterator[FieldError]:
    """A PodTemplateSpec."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    yield from validate_labels(metadata.get("labels") or {}, path.labels)
    if annotations := metadata.get("annotations"):
        yield from validate_annotations(annotations, path.annotations)
        yield from apparmor.validate_annotations(annotations, spec, path.annotations)
    yield from validate_spec(spec, path.spec, is_pod=False)
    if spec.get("ephemeralContainers"):
        yield path.spec.ephemeralContainers.forbidden("ephemeral containers not allowed in pod template")


def _validate_policies(spec: Object, path: Path) -> Iterator[FieldError]:
    restart, dns = spec.get("restartPolicy", ""), spec.get("dnsPolicy", "")
    if restart not in RESTART_POLICIES:
        yield path.restartPolicy.not_supported(restart, RESTART_POLICIES)
    if dns not in _DNS_POLICIES:
        yield path.dnsPolicy.not_supported(dns, _DNS_POLICIES)
    preemption = spec.get("preemptionPolicy")
    if preemption not in (None, "PreemptLowerPriority", "Never"):
        yield path.preemptionPolicy.not_supported(preemption, ("PreemptLowerPriority", "Never"))


_NAMES = {
    "serviceAccountName": names.dns_subdomain,
    "nodeName": names.dns_subdomain,
    "hostname": names.dns_label,
    "subdomain": names.dns_label,
    "priorityClassName": names.dns_subdomain,
    "runtimeClassName": names.dns_subdomain,
}


def _validate_names(spec: Object, path: Path) -> Iterator[FieldError]:
    for name, rule in _NAMES.items():
        if value := spec.get(name):
            for text in rule(value):
                yield path.child(name).invalid(value, text)


def _validate_numbers(spec: Object, path: Path) -> Iterator[FieldError]:
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        yield path.activeDeadlineSeconds.invalid(deadline, names.in_range(1, _MAX_INT32))
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        yield path.terminationGracePeriodSeconds.required()
    if overhead := spec.get("overhead"):
        yield from validate_requirements({"limits": overhead}, path.overhead, frozenset())


def _validate_host_ports(spec: Object, is_pod: bool, path: Path) -> Iterator[FieldError]:
    for index, container in enumerate(spec.get("containers") or ()):
        for position, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort", 0), port.get("containerPort", 0)
            if (is_pod or host) and host != own:
                yield (
                    path.containers[index]
                    .ports[position]
                    .hostPort.invalid(host, "must match `containerPort` when `hostNetwork` is true")
                )


def _validate_dns(spec: Object, path: Path) -> Iterator[FieldError]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield path.required("must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            yield path.nameservers.required(
                "must provide at least one DNS nameserver when `dnsPolicy` is None"
            )
    if not config:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        yield path.nameservers.invalid(servers, "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        yield from validate_ip(server, path.nameservers[index])
    if len(searches) > 32:
        yield path.searches.invalid(searches, "must not have more than 32 search paths")
    if len(" ".join(searches)) > 2048:
        yield path.searches.invalid(
            searches, "must not have more than 2048 characters (including spaces) in the search list"
        )
    for index, search in enumerate(searches):
        if search == ".":
            continue
        for text in names.dns_subdomain_underscore(search.removesuffix(".")):
            yield path.searches[index].invalid(search.removesuffix("."), text)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield path.options[index].required("must not be empty")


def _validate_aliases(aliases: list[Object], path: Path) -> Iterator[FieldError]:
    for index, alias in enumerate(aliases):
        yield from validate_ip(alias.get("ip", ""), path[index].ip)
        for position, hostname in enumerate(alias.get("hostnames") or ()):
            for text in names.dns_subdomain(hostname):
                yield path[index].hostnames[position].invalid(hostname, text)


def _validate_claims(claims: list[Object], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, claim in enumerate(claims):
        here, name = path.resourceClaims[index], claim.get("name", "")
        if not name:
            yield here.name.required()
        elif name in taken:
            yield here.name.duplicate(name)
        else:
            for text in names.dns_label(name):
                yield here.name.invalid(name, text)
        taken.add(name)
        given = [part for part in ("resourceClaimName", "resourceClaimTemplateName") if part in claim]
        if len(given) > 1:
            yield here.invalid(
                claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            )
        elif not given:
            yield here.invalid(claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")


def _validate_pod_level(spec: Object, around: Surroundings, path: Path) -> Iterator[FieldError]:
    resources = spec["resources"]
    if resources.get("claims"):
        yield path.claims.forbidden("claims cannot be set for Resources at pod-level")
    for part in ("limits", "requests"):
        for name in resources.get(part) or ():
            if name not in ("cpu", "memory") and not name.startswith("hugepages-"):
                yield path.child(part)[name].not_supported(name, ("cpu", "memory"))
    yield from validate_requirements(resources, path, around.claims)
    for name, asked in (resources.get("requests") or {}).items():
        total = _total(spec, name)
        if total is not None and quantity.compare(asked, total) < 0:
            text = f"must be greater than or equal to aggregate container requests of {total}"
            yield path.requests[name].invalid(asked, text)
    limits = resources.get("limits") or {}
    for index, container in enumerate(spec.get("containers") or ()):
        for name, limit in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.compare(limit, limits[name]) > 0:
                yield path.containers[index][name].limits.invalid(
                    limit, f"must be less than or equal to pod limits of {limits[name]}"
                )


def _total(spec: Object, name: str) -> str | None:
    """What the containers and sidecars ask for together; None if none asks."""
    sidecars = [entry for entry in spec.get("initContainers") or () if entry.get("restartPolicy") == "Always"]
    total: str | None = None
    for container in (*(spec.get("containers") or ()), *sidecars):
        asked = ((container.get("resources") or {}).get("requests") or {}).get(name)
        if asked is not None:
            total = asked if total is None else quantity.add(total, asked)
    return total

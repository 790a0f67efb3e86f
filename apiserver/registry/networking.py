"""Ingresses, ingress classes and network policies."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .addressforms import Network, parsed_cidr, parsed_ip, validate_cidr, validate_ip
from .immutable import unchanged
from .kindwarnings import ingress_warnings, policy_warnings
from .labels import validate_domain_path, validate_selector
from .podspec.probes import validate_port
from .status import StatusStrategy
from .strategy import Strategy

_OLD_CLASS = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_LONGEST_CONTROLLER = 250
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


class IngressStrategy(StatusStrategy):
    empty_status = {"loadBalancer": {}}  # noqa: RUF012
    warns_updates = False

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from ingress_warnings(obj)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj.get("spec") or {}, path.spec
        if not spec.get("rules") and spec.get("defaultBackend") is None:
            yield here.invalid(spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
        if spec.get("defaultBackend") is not None:
            yield from _validate_backend(spec["defaultBackend"], here.defaultBackend)
        for index, rule in enumerate(spec.get("rules") or ()):
            yield from _validate_rule(rule, here.rules[index])
        for index, entry in enumerate(spec.get("tls") or ()):
            for position, host in enumerate(entry.get("hosts") or ()):
                rule_of = names.wildcard_subdomain if "*" in host else names.dns_subdomain
                for text in rule_of(host):
                    yield here.tls[index].hosts[position].invalid(host, text)
            if secret := entry.get("secretName"):
                for text in names.dns_subdomain(secret):
                    yield here.tls[index].secretName.invalid(secret, text)
        if (class_name := spec.get("ingressClassName")) is not None:
            for text in names.dns_subdomain(class_name):
                yield here.ingressClassName.invalid(class_name, text)
            given = (obj["metadata"].get("annotations") or {}).get(_OLD_CLASS, class_name)
            if given != class_name and "resourceVersion" not in obj["metadata"]:
                text = "must match `ingressClassName` when both are specified"
                yield path.annotations.child(_OLD_CLASS).invalid(given, text)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        balancer = (new.get("status") or {}).get("loadBalancer") or {}
        for index, entry in enumerate(balancer.get("ingress") or ()):
            here = path.status.loadBalancer.ingress[index]
            if entry.get("ip"):
                yield from validate_ip(entry["ip"], here.ip)
            if hostname := entry.get("hostname"):
                for text in names.dns_subdomain(hostname):
                    yield here.hostname.invalid(hostname, text)
                if _is_address(hostname):
                    yield here.hostname.invalid(hostname, "must be a DNS name, not an IP address")


class IngressClassStrategy(Strategy):
    def default(self, obj: Object) -> None:
        parameters = (obj.get("spec") or {}).get("parameters")
        if parameters is not None:
            parameters.setdefault("scope", "Cluster")

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        controller = (obj.get("spec") or {}).get("controller", "")
        here = path.spec.controller
        if len(controller.encode()) > _LONGEST_CONTROLLER:
            yield here.too_long(_LONGEST_CONTROLLER)
        yield from validate_domain_path(controller, here)
        parameters = (obj.get("spec") or {}).get("parameters")
        if parameters is not None:
            yield from _validate_parameters(parameters, path.spec.parameters)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = (new.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller")
        yield from unchanged(now, was, path.spec.controller)


class NetworkPolicyStrategy(Strategy):
    warns_always = True

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from policy_warnings(obj)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
            for port in rule.get("ports") or ():
                port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        yield from validate_selector(spec["podSelector"], here.podSelector)
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(spec.get(direction) or ()):
                at = here.child(direction)[index]
                for position, port in enumerate(rule.get("ports") or ()):
                    yield from _validate_policy_port(port, at.ports[position])
                for position, peer in enumerate(rule.get(peers) or ()):
                    yield from _validate_peer(peer, at.child(peers)[position])
        types = spec["policyTypes"]
        if len(types) > 2:
            yield here.policyTypes.invalid(types, "may not specify more than two policyTypes")
        else:
            for index, name in enumerate(types):
                if name not in ("Ingress", "Egress"):
                    yield here.policyTypes[index].not_supported(name, ("Ingress", "Egress"))


def _validate_rule(rule: Object, path: Path) -> Iterator[FieldError]:
    host = rule.get("host", "")
    if host:
        if _is_address(host):
            yield path.host.invalid(host, "must be a DNS name, not an IP address")
        for text in names.wildcard_subdomain(host) if "*" in host else names.dns_subdomain(host):
            yield path.host.invalid(host, text)
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield path.http.paths.required()
    for index, entry in enumerate(http.get("paths") or ()):
        yield from _validate_path(entry, path.http.paths[index])


def _validate_path(entry: Object, path: Path) -> Iterator[FieldError]:
    kind, place = entry.get("pathType"), entry.get("path", "")
    if kind is None:
        yield path.pathType.required("pathType must be specified")
    elif kind not in _PATH_TYPES:
        yield path.pathType.not_supported(kind, _PATH_TYPES)
    elif (place or kind != "ImplementationSpecific") and not place.startswith("/"):
        yield path.path.invalid(place, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for text in ("//", "/./", "/../", "%2f", "%2F"):
            if text in place:
                yield path.path.invalid(place, f"must not contain '{text}'")
        for text in ("/..", "/."):
            if place.endswith(text):
                yield path.path.invalid(place, f"cannot end with '{text}'")
    yield from _validate_backend(entry.get("backend") or {}, path.backend)


def _validate_backend(backend: Object, path: Path) -> Iterator[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is None and resource is None:
        yield path.invalid("", "resource or service backend is required")
        return
    if service is not None and resource is not None:
        yield path.invalid("", "cannot set both resource and service backends")
        return
    if resource is not None:
        yield from _validate_typed_reference(resource, path.resource)
    if service is None:
        return
    name, port = service.get("name", ""), service.get("port") or {}
    if not name:
        yield path.service.name.required()
    else:
        for text in names.dns_1035_label(name):
            yield path.service.name.invalid(name, text)
    if port.get("name") and port.get("number"):
        yield path.invalid("", "cannot set both port name & port number")
    elif port.get("name"):
        yield from validate_port(port["name"], path.service.port.name)
    elif port.get("number"):
        yield from validate_port(port["number"], path.service.port.number)
    else:
        yield path.required("port name or number is required")


def _validate_typed_reference(reference: Object, path: Path) -> Iterator[FieldError]:
    if (group := reference.get("apiGroup")) is not None:
        for text in names.dns_subdomain(group):
            yield path.apiGroup.invalid(group, text)
    for name in ("kind", "name"):
        value = reference.get(name, "")
        if not value:
            yield path.child(name).required(f"{name} is required")
        for text in names.path_segment(value):
            yield path.child(name).invalid(value, text)


def _validate_parameters(parameters: Object, path: Path) -> Iterator[FieldError]:
    """What an IngressClass's controller is given."""
    yield from _validate_typed_reference(parameters, path)
    scope, namespace = parameters["scope"], parameters.get("namespace")
    if scope == "Namespace":
        if namespace is None:
            yield path.namespace.required("`parameters.scope` is set to 'Namespace'")
        for text in names.dns_label(namespace or "") if namespace is not None else ():
            yield path.namespace.invalid(namespace, text)
    elif scope == "Cluster":
        if namespace is not None:
            yield path.namespace.forbidden("`parameters.scope` is set to 'Cluster'")
    else:
        yield path.scope.not_supported(scope, ("Cluster", "Namespace"))


def _validate_policy_port(port: Object, path: Path) -> Iterator[FieldError]:
    if port["protocol"] not in ("TCP", "UDP", "SCTP"):
        yield path.protocol.not_supported(port["protocol"], ("TCP", "UDP", "SCTP"))
    number, end = port.get("port"), port.get("endPort")
    if end is not None and number is None:
        yield path.endPort.invalid(end, "may not be specified when `port` is not specified")
    if isinstance(number, str) and end is not None:
        yield path.endPort.invalid(end, "may not be specified when `port` is non-numeric")
    if number is not None:
        yield from validate_port(number, path.port)
    if end is not None and isinstance(number, int):
        if end < number:
            # Upstream shows the other end.
            yield path.endPort.invalid(number, "must be greater than or equal to `port`")
        for text in names.port_number(end):
            yield path.endPort.invalid(end, text)


def _validate_peer(peer: Object, path: Path) -> Iterator[FieldError]:
    for name in ("podSelector", "namespaceSelector"):
        if peer.get(name) is not None:
            yield from validate_selector(peer[name], path.child(name))
    block = peer.get("ipBlock")
    if block is not None:
        yield from _validate_block(block, path.ipBlock)
        if len(peer) > 1:
            yield path.forbidden("may not specify both ipBlock and another peer")
    elif not peer:
        yield path.required("must specify a peer")


def _validate_block(block: Object, path: Path) -> Iterator[FieldError]:
    network = block.get("cidr", "")
    if not network:
        yield path.cidr.required()
        return
    yield from validate_cidr(network, path.cidr)
    whole = parsed_cidr(network)
    for index, entry in enumerate(block.get("except") or ()) if whole else ():
        here = path.child("except")[index]
        yield from validate_cidr(entry, here)
        part = parsed_cidr(entry)
        if part and whole and not _is_strictly_inside(part[1], whole[1]):
            yield here.invalid(entry, "must be a strict subset of `cidr`")


def _is_strictly_inside(part: Network, whole: Network) -> bool:
    inside = part.version == whole.version and part.network_address in whole
    return inside and part.prefixlen > whole.prefixlen


def is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _is_address(text: str) -> bool:
    return parsed_ip(text) is not None

"""How Services, endpoints, ingresses and network policies are shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kplane.api.errors import qualified
from kplane.api.resource import Object

from .durations import age
from .printer import AGE, NAME, Cells, Column, Printer, at, some_of, wide
from .templates import labels, selector


def _service(obj: Object, now: datetime) -> Cells:
    spec = obj["spec"]
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    ports = ",".join(_service_port(port) for port in spec.get("ports") or ())
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        addresses[0] or "<none>",
        _external_address(spec, obj.get("status") or {}),
        ports or "<none>",
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _service_port(port: Object) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def _external_address(spec: Object, status: Object) -> str:
    external = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or "<none>"
        case "LoadBalancer":
            balancer = _balancer(status)
            return ",".join(([balancer] if balancer else []) + external) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return "<unknown>"


def _balancer(status: Object) -> str:
    points = at(status, "loadBalancer", "ingress", default=())
    return ",".join(sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""}))


def _endpoints(obj: Object, now: datetime) -> Cells:
    subsets = obj.get("subsets") or ()
    text = some_of(_endpoint_addresses(subsets), 3) if subsets else "<none>"
    return [obj["metadata"]["name"], text, age(obj, now)]


def _endpoint_addresses(subsets: list[Object]) -> Iterator[str]:
    for subset in subsets:
        addresses = [entry["ip"] for entry in subset.get("addresses") or ()]
        if not subset.get("ports"):
            yield from addresses
        for port in subset.get("ports") or ():
            for address in addresses:
                yield f"[{address}]:{port['port']}" if ":" in address else f"{address}:{port['port']}"


def _endpoint_slice(obj: Object, now: datetime) -> Cells:
    ports = (
        str(port["port"])
        if port.get("port") is not None
        else port["name"]
        if port.get("name") is not None
        else "*"
        for port in obj.get("ports") or ()
    )
    addresses = (address for entry in obj.get("endpoints") or () for address in entry.get("addresses") or ())
    return [
        obj["metadata"]["name"],
        obj.get("addressType", ""),
        some_of(ports, 3) or "<unset>",
        some_of(addresses, 3) or "<unset>",
        age(obj, now),
    ]


def _ingress(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    return [
        obj["metadata"]["name"],
        spec.get("ingressClassName") or "<none>",
        _hosts(spec.get("rules") or []),
        _balancer(obj.get("status") or {}),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _hosts(rules: list[Object]) -> str:
    hosts: list[str] = []
    for rule in rules:
        if len(hosts) == 3:
            return f"{','.join(hosts)} + {len(rules) - 3} more..."
        if host := rule.get("host"):
            hosts.append(host)
    return ",".join(hosts) or "*"


def _ingress_class(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    text = "<none>"
    if parameters := spec.get("parameters"):
        text = f"{qualified(parameters['kind'], parameters.get('apiGroup') or '')}/{parameters['name']}"
    return [obj["metadata"]["name"], spec.get("controller", ""), text, age(obj, now)]


def _network_policy(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], selector(at(obj, "spec", "podSelector", default={})), age(obj, now)]


def _service_cidr(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], ",".join(at(obj, "spec", "cidrs", default=())), age(obj, now)]


def _ip_address(obj: Object, now: datetime) -> Cells:
    text = "<none>"
    if parent := at(obj, "spec", "parentRef"):
        resource = qualified(parent.get("resource", ""), parent.get("group") or "").lower()
        text = "/".join(part for part in (resource, parent.get("namespace"), parent.get("name")) if part)
    return [obj["metadata"]["name"], text]


SERVICE = Printer(
    (
        NAME,
        Column("Type", field="core.v1.ServiceSpec.type"),
        Column("Cluster-IP", field="core.v1.ServiceSpec.clusterIP"),
        Column("External-IP", field="core.v1.ServiceSpec.externalIPs"),
        Column("Port(s)", field="core.v1.ServiceSpec.ports"),
        AGE,
        wide("Selector", "core.v1.ServiceSpec.selector"),
    ),
    _service,
)
ENDPOINTS = Printer((NAME, Column("Endpoints", field="core.v1.Endpoints.subsets"), AGE), _endpoints)
ENDPOINT_SLICE = Printer(
    (
        NAME,
        Column("AddressType", field="discovery.v1.EndpointSlice.addressType"),
        Column("Ports", field="discovery.v1.EndpointSlice.ports"),
        Column("Endpoints", field="discovery.v1.EndpointSlice.endpoints"),
        AGE,
    ),
    _endpoint_slice,
)
INGRESS = Printer(
    (
        NAME,
        Column("Class", description="The name of the IngressClass resource with additional configuration"),
        Column(
            "Hosts", description="Hosts that incoming requests are matched against before the ingress rule"
        ),
        Column("Address", description="Address is a list containing ingress points for the load-balancer"),
        Column("Ports", description="Ports of TLS configurations that open"),
        AGE,
    ),
    _ingress,
)
INGRESS_CLASS = Printer(
    (
        NAME,
        Column("Controller", description="Controller that is responsible for handling this class"),
        Column("Parameters", description="A reference to a resource with additional parameters"),
        AGE,
    ),
    _ingress_class,
)
NETWORK_POLICY = Printer(
    (NAME, Column("Pod-Selector", field="networking.v1.NetworkPolicySpec.podSelector"), AGE), _network_policy
)
SERVICE_CIDR = Printer(
    (NAME, Column("CIDRs", field="networking.v1.ServiceCIDRSpec.cidrs"), AGE), _service_cidr
)
IP_ADDRESS = Printer((NAME, Column("ParentRef", field="networking.v1.IPAddressSpec.parentRef")), _ip_address)

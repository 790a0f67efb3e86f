"""How the core group is shown, except for pods, storage and Services; Events of both groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from kplane.api.quantity import canonical
from kplane.api.resource import Object

from .durations import age, since
from .printer import AGE, NAME, Cells, Column, Printer, at, wide
from .templates import containers, labels

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def _node(obj: Object, now: datetime) -> Cells:
    status = obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses = status.get("addresses") or ()
    return [
        obj["metadata"]["name"],
        _node_status(obj),
        ",".join(sorted(set(_roles(obj)))) or "<none>",
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(addresses, "InternalIP"),
        _address(addresses, "ExternalIP"),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _node_status(obj: Object) -> str:
    conditions = at(obj, "status", "conditions", default=())
    ready = next((entry["status"] for entry in reversed(conditions) if entry["type"] == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if at(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Object) -> Iterator[str]:
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(ROLE_PREFIX) and key != ROLE_PREFIX:
            yield key.removeprefix(ROLE_PREFIX)
        elif key == ROLE_LABEL and value:
            yield value


def _address(addresses: Sequence[Object], kind: str) -> str:
    return next((entry["address"] for entry in addresses if entry["type"] == kind), "<none>")


def _namespace(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], at(obj, "status", "phase", default=""), age(obj, now)]


def _config_map(obj: Object, now: datetime) -> Cells:
    count = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
    return [obj["metadata"]["name"], count, age(obj, now)]


def _secret(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def _service_account(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], len(obj.get("secrets") or ()), age(obj, now)]


def _pod_template(obj: Object, now: datetime) -> Cells:
    template = obj.get("template")
    return [obj["metadata"]["name"], *containers(template), labels(at(template, "metadata", "labels"))]


def _resource_quota(obj: Object, now: datetime) -> Cells:
    hard = at(obj, "status", "hard", default={})
    used = at(obj, "status", "used", default={})
    texts = {name: f"{name}: {canonical(used.get(name, 0))}/{canonical(hard[name])}" for name in sorted(hard)}
    limits = [text for name, text in texts.items() if name.startswith("limits.")]
    requests = [text for name, text in texts.items() if not name.startswith("limits.")]
    return [obj["metadata"]["name"], ", ".join(requests), ", ".join(limits), age(obj, now)]


def _component_status(obj: Object, now: datetime) -> Cells:
    conditions = obj.get("conditions") or ()
    healthy: Object = next((entry for entry in conditions if entry["type"] == "Healthy"), {})
    word = "Unknown" if not healthy else "Healthy" if healthy["status"] == "True" else "Unhealthy"
    return [obj["metadata"]["name"], word, healthy.get("message", ""), healthy.get("error", "")]


def _event(obj: Object, now: datetime) -> Cells:
    """Also of events.k8s.io, whose fields have other names."""
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    series = obj.get("series")
    first = since(
        obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now
    )
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    kind = involved.get("kind", "").lower()
    return [
        since(series.get("lastObservedTime"), now) if series else since(last, now) if last else first,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{involved['name']}" if involved.get("name") else kind,
        involved.get("fieldPath", ""),
        _source(obj),
        (obj.get("message") or obj.get("note") or "").strip(),
        first,
        series.get("count", 0) if series else count,
        obj["metadata"]["name"],
    ]


def _source(obj: Object) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = (
        source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    )
    instance = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {instance}" if instance else component


NODE = Printer(
    (
        NAME,
        Column("Status", description="The status of the node"),
        Column("Roles", description="The roles of the node"),
        AGE,
        Column("Version", field="core.v1.NodeSystemInfo.kubeletVersion"),
        wide("Internal-IP", "core.v1.NodeStatus.addresses"),
        wide("External-IP", "core.v1.NodeStatus.addresses"),
        wide("OS-Image", "core.v1.NodeSystemInfo.osImage"),
        wide("Kernel-Version", "core.v1.NodeSystemInfo.kernelVersion"),
        wide("Container-Runtime", "core.v1.NodeSystemInfo.containerRuntimeVersion"),
    ),
    _node,
)
NAMESPACE = Printer((NAME, Column("Status", description="The status of the namespace"), AGE), _namespace)
CONFIG_MAP = Printer((NAME, Column("Data", field="core.v1.ConfigMap.data"), AGE), _config_map)
SECRET = Printer(
    (NAME, Column("Type", field="core.v1.Secret.type"), Column("Data", field="core.v1.Secret.data"), AGE),
    _secret,
)
SERVICE_ACCOUNT = Printer(
    (NAME, Column("Secrets", field="core.v1.ServiceAccount.secrets"), AGE), _service_account
)
POD_TEMPLATE = Printer(
    (
        NAME,
        Column("Containers", description="Names of each container in the template."),
        Column("Images", description="Images referenced by each container in the template."),
        Column("Pod Labels", description="The labels for the pod template."),
    ),
    _pod_template,
)
RESOURCE_QUOTA = Printer(
    (
        NAME,
        Column("Request", description="What is requested at least, of the amount that is allowed."),
        Column("Limit", description="What is used at most, of the amount that is allowed."),
        AGE,
    ),
    _resource_quota,
)
COMPONENT_STATUS = Printer(
    (
        NAME,
        Column("Status", description="Status of the component conditions"),
        Column("Message", description="Message of the component conditions"),
        Column("Error", description="Error of the component conditions"),
    ),
    _component_status,
)
EVENT = Printer(
    (
        Column("Last Seen", field="core.v1.Event.lastTimestamp"),
        Column("Type", field="core.v1.Event.type"),
        Column("Reason", field="core.v1.Event.reason"),
        Column("Object", field="core.v1.Event.involvedObject"),
        wide("Subobject", "core.v1.ObjectReference.fieldPath"),
        wide("Source", "core.v1.Event.source"),
        Column("Message", field="core.v1.Event.message"),
        wide("First Seen", "core.v1.Event.firstTimestamp"),
        wide("Count", "core.v1.Event.count"),
        Column("Name", format="name", priority=1, field="meta.v1.ObjectMeta.name"),
    ),
    _event,
)

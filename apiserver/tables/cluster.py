"""How leases, priorities, runtime classes, flow control, devices and storage migrations are shown."""

from __future__ import annotations

from datetime import datetime

from kplane.api.resource import Object

from .durations import age
from .printer import AGE, NAME, Cells, Column, Printer, at


def _lease(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], at(obj, "spec", "holderIdentity", default=""), age(obj, now)]


def _priority_class(obj: Object, now: datetime) -> Cells:
    return [
        obj["metadata"]["name"],
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        age(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


def _runtime_class(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], obj.get("handler", ""), age(obj, now)]


def _flow_schema(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    conditions = at(obj, "status", "conditions", default=())
    return [
        obj["metadata"]["name"],
        at(spec, "priorityLevelConfiguration", "name", default=""),
        spec.get("matchingPrecedence", 0),
        at(spec, "distinguisherMethod", "type", default="<none>"),
        age(obj, now),
        next((entry["status"] for entry in conditions if entry["type"] == "Dangling"), "?"),
    ]


def _priority_level(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    limited = spec.get("limited")
    queuing = at(limited, "limitResponse", "queuing", default={})
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        limited.get("nominalConcurrencyShares", "<none>") if limited else "<none>",
        queuing.get("queues", "<none>"),
        queuing.get("handSize", "<none>"),
        queuing.get("queueLengthLimit", "<none>"),
        age(obj, now),
    ]


def _name_and_age(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], age(obj, now)]


def _resource_claim(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], _claim_state(obj), age(obj, now)]


def _claim_state(obj: Object) -> str:
    deleted = "deletionTimestamp" in obj["metadata"]
    status = obj.get("status") or {}
    words = ["deleted"] if deleted else []
    if status.get("allocation"):
        words.append("allocated")
        if status.get("reservedFor"):
            words.append("reserved")
    elif not deleted:
        words.append("pending")
    return ",".join(words)


def _resource_slice(obj: Object, now: datetime) -> Cells:
    spec = obj["spec"]
    return [
        obj["metadata"]["name"],
        spec.get("nodeName", ""),
        spec.get("driver", ""),
        at(spec, "pool", "name", default=""),
        age(obj, now),
    ]


def _storage_migration(obj: Object, now: datetime) -> Cells:
    resource = at(obj, "spec", "resource", default={})
    return [obj["metadata"]["name"], f"{resource.get('resource', '')}.{resource.get('group', '')}"]


LEASE = Printer((NAME, Column("Holder", field="coordination.v1.LeaseSpec.holderIdentity"), AGE), _lease)
PRIORITY_CLASS = Printer(
    (
        NAME,
        Column("Value", "integer", field="scheduling.v1.PriorityClass.value"),
        Column("Global-Default", "boolean", field="scheduling.v1.PriorityClass.globalDefault"),
        AGE,
        Column("PreemptionPolicy", field="scheduling.v1.PriorityClass.preemptionPolicy"),
    ),
    _priority_class,
)
RUNTIME_CLASS = Printer((NAME, Column("Handler", field="node.v1.RuntimeClass.handler"), AGE), _runtime_class)
FLOW_SCHEMA = Printer(
    (
        NAME,
        Column("PriorityLevel", field="flowcontrol.v1.PriorityLevelConfigurationReference.name"),
        Column("MatchingPrecedence", field="flowcontrol.v1.FlowSchemaSpec.matchingPrecedence"),
        Column("DistinguisherMethod", field="flowcontrol.v1.FlowSchemaSpec.distinguisherMethod"),
        AGE,
        Column("MissingPL", description="references a broken or non-existent PriorityLevelConfiguration"),
    ),
    _flow_schema,
)
PRIORITY_LEVEL = Printer(
    (
        NAME,
        Column("Type", field="flowcontrol.v1.PriorityLevelConfigurationSpec.type"),
        Column(
            "NominalConcurrencyShares",
            field="flowcontrol.v1.LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
        ),
        Column("Queues", field="flowcontrol.v1.QueuingConfiguration.queues"),
        Column("HandSize", field="flowcontrol.v1.QueuingConfiguration.handSize"),
        Column("QueueLengthLimit", field="flowcontrol.v1.QueuingConfiguration.queueLengthLimit"),
        AGE,
    ),
    _priority_level,
)
NAME_AND_AGE = Printer((NAME, AGE), _name_and_age)
RESOURCE_CLAIM = Printer(
    (
        NAME,
        Column("State", description="A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE,
    ),
    _resource_claim,
)
RESOURCE_SLICE = Printer(
    (
        NAME,
        Column("Node", field="resource.v1.ResourceSliceSpec.nodeName"),
        Column("Driver", field="resource.v1.ResourceSliceSpec.driver"),
        Column("Pool", field="resource.v1.ResourcePool.name"),
        AGE,
    ),
    _resource_slice,
)
STORAGE_MIGRATION = Printer(
    (
        Column("Name", field="meta.v1.ObjectMeta.name"),
        Column("Resource", description="Fully qualified resource to migrate"),
    ),
    _storage_migration,
)

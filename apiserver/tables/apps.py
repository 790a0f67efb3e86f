"""How workloads are shown: the groups apps and batch, and replication controllers."""

from __future__ import annotations

from datetime import datetime

from kplane.api.resource import Object

from .durations import age, human, moment, since
from .printer import AGE, CONTAINERS, IMAGES, NAME, Cells, Column, Printer, at, wide
from .templates import containers, labels, selector


def _name(obj: Object) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _deployment(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        _name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *containers(spec.get("template")),
        selector(spec.get("selector"), empty="", invalid="<invalid>"),
    ]


def _replicas(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    ready = status.get("readyReplicas", 0)
    return [_name(obj), spec.get("replicas", 0), status.get("replicas", 0), ready, age(obj, now)]


def _replicaset(obj: Object, now: datetime) -> Cells:
    spec = obj["spec"]
    return [*_replicas(obj, now), *containers(spec.get("template")), selector(spec.get("selector"))]


def _replication_controller(obj: Object, now: datetime) -> Cells:
    spec = obj["spec"]
    return [*_replicas(obj, now), *containers(spec.get("template")), labels(spec.get("selector"))]


def _statefulset(obj: Object, now: datetime) -> Cells:
    spec = obj["spec"]
    ready = f"{at(obj, 'status', 'readyReplicas', default=0)}/{spec.get('replicas', 0)}"
    return [_name(obj), ready, age(obj, now), *containers(spec.get("template"))]


def _daemonset(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        _name(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        labels(at(spec, "template", "spec", "nodeSelector")),
        age(obj, now),
        *containers(spec.get("template")),
        selector(spec.get("selector")),
    ]


def _controller_revision(obj: Object, now: datetime) -> Cells:
    owners = obj["metadata"].get("ownerReferences") or ()
    controller = next((owner for owner in owners if owner.get("controller")), None)
    return [_name(obj), _owner(controller), obj.get("revision", 0), age(obj, now)]


def _owner(controller: Object | None) -> str:
    """`deployment.apps/web`, or `<none>`."""
    if controller is None:
        return "<none>"
    group = controller["apiVersion"].rpartition("/")[0]
    kind = controller["kind"].lower()
    return f"{kind}.{group}/{controller['name']}" if group else f"{kind}/{controller['name']}"


def _job(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        _name(obj),
        _job_status(obj, status),
        _completions(spec, status.get("succeeded", 0)),
        _job_duration(status, now),
        age(obj, now),
        *containers(spec.get("template")),
        selector(spec.get("selector")),
    ]


def _job_status(obj: Object, status: Object) -> str:
    held = {entry["type"] for entry in status.get("conditions") or () if entry["status"] == "True"}
    if "Complete" in held:
        return "Complete"
    if "Failed" in held:
        return "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if "Suspended" in held:
        return "Suspended"
    return "FailureTarget" if "FailureTarget" in held else "Running"


def _completions(spec: Object, succeeded: int) -> str:
    if (wanted := spec.get("completions")) is not None:
        return f"{succeeded}/{wanted}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(status: Object, now: datetime) -> str:
    if not (started := status.get("startTime")):
        return ""
    ended = status.get("completionTime")
    return human(((moment(ended) if ended else now) - moment(started)).total_seconds())


def _cronjob(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    job = at(spec, "jobTemplate", "spec", default={})
    suspend = spec.get("suspend")
    return [
        _name(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or "<none>",
        "<unset>" if suspend is None else str(suspend),
        len(status.get("active") or ()),
        since(last, now) if (last := status.get("lastScheduleTime")) else "<none>",
        age(obj, now),
        *containers(job.get("template")),
        selector(job.get("selector")),
    ]


DEPLOYMENT = Printer(
    (
        NAME,
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date", field="apps.v1.DeploymentStatus.updatedReplicas"),
        Column("Available", field="apps.v1.DeploymentStatus.availableReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "apps.v1.DeploymentSpec.selector"),
    ),
    _deployment,
)
REPLICASET = Printer(
    (
        NAME,
        Column("Desired", "integer", field="apps.v1.ReplicaSetSpec.replicas"),
        Column("Current", "integer", field="apps.v1.ReplicaSetStatus.replicas"),
        Column("Ready", "integer", field="apps.v1.ReplicaSetStatus.readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "apps.v1.ReplicaSetSpec.selector"),
    ),
    _replicaset,
)
REPLICATION_CONTROLLER = Printer(
    (
        NAME,
        Column("Desired", "integer", field="core.v1.ReplicationControllerSpec.replicas"),
        Column("Current", "integer", field="core.v1.ReplicationControllerStatus.replicas"),
        Column("Ready", "integer", field="core.v1.ReplicationControllerStatus.readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "core.v1.ReplicationControllerSpec.selector"),
    ),
    _replication_controller,
)
STATEFULSET = Printer(
    (NAME, Column("Ready", description="Number of the pod with ready state"), AGE, CONTAINERS, IMAGES),
    _statefulset,
)
DAEMONSET = Printer(
    (
        NAME,
        Column("Desired", "integer", field="apps.v1.DaemonSetStatus.desiredNumberScheduled"),
        Column("Current", "integer", field="apps.v1.DaemonSetStatus.currentNumberScheduled"),
        Column("Ready", "integer", field="apps.v1.DaemonSetStatus.numberReady"),
        Column("Up-to-date", "integer", field="apps.v1.DaemonSetStatus.updatedNumberScheduled"),
        Column("Available", "integer", field="apps.v1.DaemonSetStatus.numberAvailable"),
        Column("Node Selector", field="core.v1.PodSpec.nodeSelector"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "apps.v1.DaemonSetSpec.selector"),
    ),
    _daemonset,
)
CONTROLLER_REVISION = Printer(
    (
        NAME,
        Column("Controller", description="Controller of the object"),
        Column("Revision", field="apps.v1.ControllerRevision.revision"),
        AGE,
    ),
    _controller_revision,
)
JOB = Printer(
    (
        NAME,
        Column("Status", description="Status of the job."),
        Column("Completions", field="batch.v1.JobStatus.succeeded"),
        Column("Duration", description="Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "batch.v1.JobSpec.selector"),
    ),
    _job,
)
CRONJOB = Printer(
    (
        NAME,
        Column("Schedule", field="batch.v1.CronJobSpec.schedule"),
        Column("Timezone", field="batch.v1.CronJobSpec.timeZone"),
        Column("Suspend", "boolean", field="batch.v1.CronJobSpec.suspend"),
        Column("Active", "integer", field="batch.v1.CronJobStatus.active"),
        Column("Last Schedule", field="batch.v1.CronJobStatus.lastScheduleTime"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "batch.v1.JobSpec.selector"),
    ),
    _cronjob,
)

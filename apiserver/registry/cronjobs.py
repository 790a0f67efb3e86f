"""CronJobs: Jobs by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from zoneinfo import available_timezones

from kplane.api import cron, names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import non_negative
from .jobs import validate_job_spec
from .podspec.defaults import default_template
from .status import StatusStrategy

_POLICIES = ("Allow", "Forbid", "Replace")
_MAX_NAME = 52
"""A Job's name is the CronJob's with a suffix of 11 letters, and Job names become labels."""


class CronJobStrategy(StatusStrategy):
    pod_template = ("spec", "jobTemplate", "spec", "template")

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        default_template(template.setdefault("spec", {}).setdefault("template", {}))

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        if len(obj["metadata"].get("name", "")) > _MAX_NAME:
            yield path.metadata.name.invalid(
                obj["metadata"]["name"], f"must be no more than {_MAX_NAME} characters"
            )
        spec, here = obj["spec"], path.spec
        yield from _validate_schedule(spec, here)
        yield from non_negative(
            spec,
            here,
            "startingDeadlineSeconds",
            "successfulJobsHistoryLimit",
            "failedJobsHistoryLimit",
        )
        if spec["concurrencyPolicy"] not in _POLICIES:
            yield here.concurrencyPolicy.not_supported(spec["concurrencyPolicy"], _POLICIES)
        yield from _validate_job_template(spec["jobTemplate"], here.jobTemplate)


def _validate_schedule(spec: Object, path: Path) -> Iterator[FieldError]:
    schedule, zone = spec.get("schedule", ""), spec.get("timeZone")
    if not schedule:
        yield path.schedule.required()
    elif "TZ" in schedule:
        yield path.schedule.invalid(
            schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        )
    elif fault := _schedule_fault(schedule):
        yield path.schedule.invalid(schedule, fault)
    if zone is None:
        return
    if not zone:
        yield path.timeZone.invalid(zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        yield path.timeZone.invalid(zone, "timeZone must be an explicit time zone as defined in " + _ZONES)
    elif zone not in _known_zones():
        yield path.timeZone.invalid(zone, f"unknown time zone {zone}")


def _schedule_fault(schedule: str) -> str:
    """What is wrong with a schedule; empty for a good one."""
    try:
        cron.parse(schedule)
    except cron.ScheduleError as error:
        return str(error)
    return ""


_ZONES = "https://www.iana.org/time-zones"


@cache
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones()) | {"UTC"}


def _validate_job_template(template: Object, path: Path) -> Iterator[FieldError]:
    spec = template["spec"]
    metadata = template.get("metadata") or {}
    for key, value in (metadata.get("labels") or {}).items():
        for text in (*names.qualified_name(key), *names.label_value(value)):
            yield path.metadata.labels.invalid(value, text)
    if spec.get("manualSelector"):
        yield path.spec.manualSelector.not_supported(True, ("nil", "false"))
    if spec.get("selector") is not None:
        yield path.spec.selector.invalid(spec["selector"], "`selector` will be auto-generated")
    yield from validate_job_spec(spec, path.spec)

"""CronJobs: Jobs by the clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from zoneinfo import available_timezones

from kplane.api import cron
from kplane.api.field import ROOT, FieldError, Path
from kplane.api.resource import Object

from .immutable import non_negative
from .jobpolicies import default_policies
from .jobs import job_warnings, validate_job_spec
from .kindwarnings import name_warnings
from .podspec.defaults import default_template
from .status import StatusStrategy
from .strategy import changed

_POLICIES = ("Allow", "Forbid", "Replace")
_TEMPLATE = ROOT.spec.jobTemplate.spec
_is_zone_part = re.compile("[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}").fullmatch
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
        default_policies(template.setdefault("spec", {}))
        default_template(template["spec"].setdefault("template", {}))

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from self._validate(obj["spec"], {}, path.spec)
        if len(obj["metadata"].get("name", "")) > _MAX_NAME:
            yield path.metadata.name.invalid(
                obj["metadata"]["name"], f"must be no more than {_MAX_NAME} characters"
            )

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from self._validate(new["spec"], old["spec"], path.spec)

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from name_warnings(obj)
        yield from job_warnings(obj["spec"]["jobTemplate"]["spec"], _TEMPLATE)

    def update_warnings(self, new: Object, old: Object) -> Iterator[str]:
        if changed(new, old):
            yield from job_warnings(new["spec"]["jobTemplate"]["spec"], _TEMPLATE)
        if "TZ" in new["spec"].get("schedule", ""):
            # Upstream says spec twice.
            yield (
                "CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see"
                " https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )

    def _validate(self, spec: Object, old: Object, here: Path) -> Iterator[FieldError]:
        """`old`: the spec before, whose ways to name a time zone stay legal."""
        yield from _validate_schedule(spec, "TZ" in old.get("schedule", ""), here)
        yield from non_negative(spec, here, "startingDeadlineSeconds")
        if not old or spec.get("timeZone") != old.get("timeZone"):
            yield from _validate_zone(spec.get("timeZone"), here.timeZone)
        if spec["concurrencyPolicy"] not in _POLICIES:
            yield here.concurrencyPolicy.not_supported(spec["concurrencyPolicy"], _POLICIES)
        yield from _validate_job_template(spec["jobTemplate"], here.jobTemplate)
        yield from non_negative(spec, here, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")


def _validate_schedule(spec: Object, zoned: bool, path: Path) -> Iterator[FieldError]:
    """`zoned`: the schedule that it replaces named a time zone."""
    schedule = spec.get("schedule", "")
    if not schedule:
        yield path.schedule.required()
        return
    if fault := _schedule_fault(schedule):
        yield path.schedule.invalid(schedule, fault)
    if "TZ" not in schedule:
        return
    if not zoned:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield path.schedule.invalid(schedule, text)
    elif spec.get("timeZone") is not None:
        text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        yield path.schedule.invalid(schedule, text)


def _validate_zone(zone: str | None, path: Path) -> Iterator[FieldError]:
    if zone is None:
        return
    if not zone:
        yield path.invalid(zone, "timeZone must be nil or non-empty string")
        return
    if any(part in (".", "..") or not _is_zone_part(part) for part in zone.split("/")):
        yield path.invalid(zone, f"unknown time zone {zone}")
        return
    if zone.lower() == "local":
        yield path.invalid(zone, "timeZone must be an explicit time zone as defined in " + _ZONES)
    # Go knows its own zone by the name `Local` alone.
    if zone != "Local" and zone not in _known_zones():
        yield path.invalid(zone, f"unknown time zone {zone}")


def _schedule_fault(schedule: str) -> str:
    """What is wrong with a schedule; empty for a good one."""
    zone, separator, rest = schedule.partition(" ")
    if zone.startswith(("TZ=", "CRON_TZ=")) and separator:
        name = zone.partition("=")[2]
        if name not in _known_zones() and name not in ("", "Local"):
            return f"provided bad location {name}: unknown time zone {name}"
        schedule = rest.strip()
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
    yield from validate_job_spec(spec, path.spec)
    if spec.get("selector") is not None:
        yield path.spec.selector.invalid(spec["selector"], "`selector` will be auto-generated")
    if spec.get("manualSelector"):
        yield path.spec.manualSelector.not_supported(True, ("nil", "false"))

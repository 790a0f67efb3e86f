"""The flags of auditing, under upstream's names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kplane.runtime.process import Fatal

from ..auth.flags import boolean
from .settings import WEBHOOK_BATCH, AuditSettings, BatchSettings, LogSettings, Mode, TruncateSettings
from .settings import WebhookSettings as Hook

PREFIX = "audit."
"""Before the names under which the flags' values are kept apart from the others'."""

Flag = Callable[[str, Callable[[str], object], str], None]


def add_flags(
    parser: argparse.ArgumentParser, *, file: Callable[[str], Path], seconds: Callable[[str], float]
) -> None:
    def flag(name: str, kind: Callable[[str], object], text: str) -> None:
        switch: dict[str, Any] = {"nargs": "?", "const": True} if kind is boolean else {}
        target = f"{PREFIX}{name.replace('-', '_')}"
        parser.add_argument(
            f"--audit-{name}", dest=target, type=kind, default=argparse.SUPPRESS, help=text, **switch
        )

    flag("policy-file", file, "audit.k8s.io/v1 Policy that says what of a request is recorded")
    flag("log-path", str, "file of the audit log; -: standard output")
    flag("log-maxage", int, "days that rotated logs are kept; 0: for ever")
    flag("log-maxbackup", int, "rotated logs that are kept; 0: all of them")
    flag("log-maxsize", int, "megabytes after which the log is rotated; 0: 100")
    flag("log-format", str, "json, or legacy: one line of text for each event")
    flag("log-compress", boolean, "compress rotated logs with gzip")
    flag("log-version", _version, "API version of the events: audit.k8s.io/v1")
    _add_delivery(flag, "log", seconds)
    flag("webhook-config-file", file, "kubeconfig of a server that events are posted to")
    flag("webhook-initial-backoff", seconds, "pause before a second attempt, such as 10s")
    flag("webhook-version", _version, "API version of the events: audit.k8s.io/v1")
    _add_delivery(flag, "webhook", seconds)


def _add_delivery(flag: Flag, plugin: str, seconds: Callable[[str], float]) -> None:
    flag(f"{plugin}-mode", _mode, f"when events are written: {', '.join(Mode)}")
    flag(f"{plugin}-batch-buffer-size", int, "events that may wait; mode batch")
    flag(f"{plugin}-batch-max-size", int, "most events of a batch")
    flag(f"{plugin}-batch-max-wait", seconds, "how long a batch that is not full waits")
    flag(f"{plugin}-batch-throttle-enable", boolean, "whether batches are throttled")
    flag(f"{plugin}-batch-throttle-qps", float, "batches a second")
    flag(f"{plugin}-batch-throttle-burst", int, "batches at once, after a pause")
    flag(f"{plugin}-truncate-enabled", boolean, "whether events and batches are cut down")
    flag(f"{plugin}-truncate-max-batch-size", int, "bytes of a batch")
    flag(f"{plugin}-truncate-max-event-size", int, "bytes of an event; bodies are dropped first")


def settings(args: Mapping[str, Any]) -> AuditSettings:
    """From the parsed flags. Raises Fatal."""
    found = _under(PREFIX, args)
    log, hook = _under("log_", found), _under("webhook_", found)
    made = AuditSettings(
        policy_file=found.get("policy_file"),
        log=LogSettings(**_delivery(log, BatchSettings())),
        webhook=Hook(**_delivery(hook, WEBHOOK_BATCH)),
    )
    made.check()
    return made


def _delivery(said: Mapping[str, Any], batch: BatchSettings) -> dict[str, Any]:
    plain = {key: value for key, value in said.items() if not key.startswith(("batch_", "truncate_"))}
    plain.pop("version", None)
    return plain | {
        "batch": replace(batch, **_under("batch_", said)),
        "truncate": TruncateSettings(**_under("truncate_", said)),
    }


def _under(prefix: str, args: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in args.items() if key.startswith(prefix)}


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise Fatal(f'invalid audit mode {text}, allowed modes are "{",".join(Mode)}"') from None


def _version(text: str) -> str:
    if text != "audit.k8s.io/v1":
        raise Fatal(f"invalid group version {text}, allowed versions are [audit.k8s.io/v1]")
    return text

"""Pods as controllers see them: made from templates, counted, available or not.

Owns: the rules shared by every controller that owns Pods. Plain functions; no I/O.
Elsewhere: which Pod goes first (ranking.py), whose Pod it is (adoption.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from kplane.api.resource import Object
from kplane.api.types import Pod, View

from .adoption import controller_reference
from .ranking import ready_since


def from_template(template: Object, owner: View) -> Object:
    """The body of a new Pod of `owner`; the server completes its name."""
    metadata = template.get("metadata") or {}
    copied = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **copied,
            "generateName": f"{owner.metadata.name}-",
            "namespace": owner.metadata.namespace,
            "ownerReferences": [controller_reference(owner)],
        },
        "spec": template.get("spec", {}),
    }


def template_labels(template: Object) -> dict[str, str]:
    """The labels that Pods of this template get."""
    labels: dict[str, str] = (template.get("metadata") or {}).get("labels") or {}
    return labels


def available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the Pod is ready, and has been for `min_ready_seconds`."""
    if not pod.ready:
        return False
    if not min_ready_seconds:
        return True
    since = ready_since(pod)
    return since is not None and since + timedelta(seconds=min_ready_seconds) <= now


def next_availability(pods: Iterable[Pod], min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the next ready Pod becomes available; None where there is none to wait for."""
    if not min_ready_seconds:
        return None
    moments = (ready_since(pod) for pod in pods)
    waits = (
        (moment + timedelta(seconds=min_ready_seconds) - now).total_seconds() for moment in moments if moment
    )
    return min((wait for wait in waits if wait > 0), default=None)

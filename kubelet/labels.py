"""Labels and annotations that the kubelet puts on sandboxes and containers; upstream's names.

They tell a later kubelet process what it must know of a container without its Pod: whose it is, how often it
was started, where its last words are, how long it may take to end.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .pod import Handler

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
PRE_STOP = "io.kubernetes.container.preStopHandler"
GRACE = "io.kubernetes.pod.terminationGracePeriod"
COMPLETES = "kplane.io/runs-to-completion"
"""On init containers that are not sidecars: the hollow runtime ends them; others do not look at it."""


def pre_stop_of(annotations: Mapping[str, str]) -> Handler | None:
    """The hook of a container whose Pod is no longer known."""
    text = annotations.get(PRE_STOP)
    return msgspec.json.decode(text, type=Handler) if text else None


def grace_of(annotations: Mapping[str, str]) -> int:
    """The grace period in seconds of a container whose Pod is no longer known."""
    text = annotations.get(GRACE, "")
    return int(text) if text.isdigit() else 30

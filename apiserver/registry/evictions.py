"""What an eviction asks of disruption budgets. Pure; rules: registry/core/pod/storage/eviction.go.

Elsewhere: the writes and their order (`http/eviction.py`), counting healthy pods (the disruption controller).

Invariant: a granted eviction is written down in its budget before the pod is deleted, so that two of them
never share one allowance.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.errors import ApiError, TooManyRequests, forbidden
from kplane.api.resource import Object
from kplane.api.selectors import SelectorError, from_label_selector

MAX_DISRUPTED_PODS = 2000
RETRY_SECONDS = 10
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
CAUSE = "DisruptionBudget"


def ignores_budgets(pod: Object) -> bool:
    """Whether evicting the pod disrupts nothing: it has ended, has not begun, or is going already."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def is_pending(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Pending"


def matching(pod: Object, budgets: Sequence[Object]) -> Object | None:
    """The budget of this pod. Raises ApiError if there is more than one."""
    labels = pod["metadata"].get("labels") or {}
    found = [budget for budget in budgets if _selects(budget, labels)]
    if len(found) > 1:
        raise ApiError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return found[0] if found else None


def _selects(budget: Object, labels: dict[str, str]) -> bool:
    try:
        return from_label_selector((budget.get("spec") or {}).get("selector")).matches(labels)
    except SelectorError:
        # It was stored before it was forbidden; the disruption controller says so in its status.
        return False


def exempt(pod: Object, budget: Object) -> bool:
    """Whether the pod is unhealthy and may go without the budget being asked."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    wanted: int = status.get("desiredHealthy", 0)
    healthy: int = status.get("currentHealthy", 0)
    return 0 < wanted <= healthy


def granted(budget: Object, pod: str, now: str) -> Object:
    """The budget after granting the eviction of `pod`. Raises TooManyRequests and Forbidden."""
    name, status = budget["metadata"]["name"], budget.setdefault("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise busy(name)
    allowed: int = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise _never(name, "pdb disruptions allowed is negative")
    pods: Object = status.get("disruptedPods") or {}
    if len(pods) > MAX_DISRUPTED_PODS:
        raise _never(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if allowed == 0:
        raise _refused(_why_not(name, status))
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        _exhaust(status, now)
    status["disruptedPods"] = pods | {pod: now}
    return budget


def busy(budget: str) -> TooManyRequests:
    """The budget is being worked on: ask again."""
    return _refused(f"The disruption budget {budget} is still being processed by the server.", RETRY_SECONDS)


def marked(pod: Object, uid: str, revision: str, now: str) -> Object:
    """The pod with the condition that says what is being done to it; it must have this uid and revision,
    where they are given."""
    metadata, status = pod["metadata"], pod.setdefault("status", {})
    conditions = status.get("conditions") or []
    old = next((entry for entry in conditions if entry["type"] == "DisruptionTarget"), None)
    since = old.get("lastTransitionTime", now) if old and old["status"] == "True" else now
    target: Object = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": since,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    if generation := metadata.get("generation"):
        target["observedGeneration"] = generation
    status["conditions"] = [*(entry for entry in conditions if entry is not old), target]
    metadata |= {"uid": uid} if uid else {}
    metadata |= {"resourceVersion": revision} if revision else {}
    return pod


def _exhaust(status: Object, now: str) -> None:
    """Nothing is allowed any more."""
    conditions = status.get("conditions") or []
    old = next((entry for entry in conditions if entry["type"] == "DisruptionAllowed"), None)
    since = old["lastTransitionTime"] if old and old["status"] == "False" else now
    new = {
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": status.get("observedGeneration", 0),
        "lastTransitionTime": since,
        "reason": "InsufficientPods",
        "message": "",
    }
    status["conditions"] = [*(entry for entry in conditions if entry is not old), new]


def _why_not(name: str, status: Object) -> str:
    conditions = status.get("conditions") or ()
    failed = next(
        (
            entry
            for entry in conditions
            if entry["type"] == "DisruptionAllowed" and entry["status"] == "False" and entry.get("message")
        ),
        None,
    )
    # What a failed sync has left in the counts cannot be trusted.
    if failed and failed["reason"] == "SyncFailed":
        why = f"because it failed sync: {failed['message']}"
        return f"The disruption budget {name} does not allow evicting pods currently {why}"
    healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if healthy <= wanted:
        return f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
    rest = f" ({failed['reason']}): {failed['message']}" if failed else ""
    return f"The disruption budget {name} does not allow evicting pods currently{rest}"


def _refused(why: str, retry_after: int | None = None) -> TooManyRequests:
    return TooManyRequests(VIOLATES, {"causes": [_cause(why)]}, retry_after=retry_after)


def _never(name: str, why: str) -> ApiError:
    error = forbidden("poddisruptionbudget", "policy", name, why)
    text = f"The disruption budget {name} does not allow evicting pods currently: {why}"
    error.details["causes"] = [_cause(text)]
    return error


def _cause(message: str) -> Object:
    return {"reason": CAUSE, "message": message}

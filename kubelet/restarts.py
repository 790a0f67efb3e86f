"""Whether a container that has ended runs again: its rules, else its own policy, else the pod's. Pure.

Source: the kubelet's `container/helpers.go` and `podutil.ContainerShouldRestart` (KEP-5307).
"""

from __future__ import annotations

from .pod import Container, Pod, RestartRule


def runs_again(pod: Pod, container: Container, exit_code: int) -> bool:
    """After this end. An init container that has done its work does not, unless it is a sidecar."""
    if any(_matches(rule, exit_code) for rule in container.restart_policy_rules):
        return True
    policy = container.restart_policy or pod.spec.restart_policy
    one_shot = (
        any(entry.name == container.name for entry in pod.spec.init_containers) and not container.sidecar
    )
    if policy == "Always" and not one_shot:
        return True
    return policy != "Never" and exit_code != 0


def _matches(rule: RestartRule, exit_code: int) -> bool:
    if rule.action != "Restart" or rule.exit_codes is None:
        return False
    return (exit_code in rule.exit_codes.values) == (rule.exit_codes.operator == "In")

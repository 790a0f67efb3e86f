"""Values of enumerated string fields, which the published definitions leave out but a live server tells.

`kubectl explain` prints them. They bind nobody: validation has its own rules, and its own messages.
"""

from __future__ import annotations

_CORE = "io.k8s.api.core.v1."
_ADMISSION = "io.k8s.api.admissionregistration.v1."

PROTOCOLS = "SCTP TCP UDP"
PULL_POLICIES = "Always IfNotPresent Never"
MESSAGE_POLICIES = "FallbackToLogsOnError File"
FAILURE_POLICIES = "Fail Ignore"
MATCH_POLICIES = "Equivalent Exact"
REINVOCATION_POLICIES = "IfNeeded Never"
SIDE_EFFECTS = "None NoneOnDryRun Some Unknown"
PREEMPTION_POLICIES = "Never PreemptLowerPriority"
RECLAIM_POLICIES = "Delete Recycle Retain"
VOLUME_MODES = "Block Filesystem"
TAINT_EFFECTS = "NoExecute NoSchedule PreferNoSchedule"
UPDATE_STRATEGIES = "OnDelete RollingUpdate"

ENUMERATIONS: dict[tuple[str, str], list[str]] = {
    (place.rpartition(".")[0], place.rpartition(".")[2]): values.split()
    for place, values in {
        f"{_CORE}AppArmorProfile.type": "Localhost RuntimeDefault Unconfined",
        f"{_CORE}Container.imagePullPolicy": PULL_POLICIES,
        f"{_CORE}Container.terminationMessagePolicy": MESSAGE_POLICIES,
        f"{_CORE}ContainerPort.protocol": PROTOCOLS,
        f"{_CORE}EndpointPort.protocol": PROTOCOLS,
        f"{_CORE}EphemeralContainer.imagePullPolicy": PULL_POLICIES,
        f"{_CORE}EphemeralContainer.terminationMessagePolicy": MESSAGE_POLICIES,
        f"{_CORE}HTTPGetAction.scheme": "HTTP HTTPS",
        f"{_CORE}ImageVolumeSource.pullPolicy": PULL_POLICIES,
        f"{_CORE}NamespaceStatus.phase": "Active Terminating",
        f"{_CORE}NodeSelectorRequirement.operator": "DoesNotExist Exists Gt In Lt NotIn",
        f"{_CORE}PersistentVolumeClaimSpec.volumeMode": VOLUME_MODES,
        f"{_CORE}PersistentVolumeClaimStatus.phase": "Bound Lost Pending",
        f"{_CORE}PersistentVolumeSpec.persistentVolumeReclaimPolicy": RECLAIM_POLICIES,
        f"{_CORE}PersistentVolumeSpec.volumeMode": VOLUME_MODES,
        f"{_CORE}PersistentVolumeStatus.phase": "Available Bound Failed Pending Released",
        f"{_CORE}PodSecurityContext.fsGroupChangePolicy": "Always OnRootMismatch",
        f"{_CORE}PodSpec.dnsPolicy": "ClusterFirst ClusterFirstWithHostNet Default None",
        f"{_CORE}PodSpec.preemptionPolicy": PREEMPTION_POLICIES,
        f"{_CORE}PodSpec.restartPolicy": "Always Never OnFailure",
        f"{_CORE}PodStatus.phase": "Failed Pending Running Succeeded Unknown",
        f"{_CORE}PodStatus.qosClass": "BestEffort Burstable Guaranteed",
        f"{_CORE}SeccompProfile.type": "Localhost RuntimeDefault Unconfined",
        f"{_CORE}SecurityContext.procMount": "Default Unmasked",
        f"{_CORE}ServicePort.protocol": PROTOCOLS,
        f"{_CORE}ServiceSpec.externalTrafficPolicy": "Cluster Local",
        f"{_CORE}ServiceSpec.internalTrafficPolicy": "Cluster Local",
        f"{_CORE}ServiceSpec.sessionAffinity": "ClientIP None",
        f"{_CORE}ServiceSpec.type": "ClusterIP ExternalName LoadBalancer NodePort",
        f"{_CORE}Taint.effect": TAINT_EFFECTS,
        f"{_CORE}Toleration.effect": TAINT_EFFECTS,
        f"{_CORE}TopologySpreadConstraint.nodeAffinityPolicy": "Honor Ignore",
        f"{_CORE}TopologySpreadConstraint.nodeTaintsPolicy": "Honor Ignore",
        f"{_CORE}TopologySpreadConstraint.whenUnsatisfiable": "DoNotSchedule ScheduleAnyway",
        f"{_CORE}VolumeMount.mountPropagation": "Bidirectional HostToContainer None",
        f"{_ADMISSION}MutatingAdmissionPolicySpec.failurePolicy": FAILURE_POLICIES,
        f"{_ADMISSION}MutatingWebhook.failurePolicy": FAILURE_POLICIES,
        f"{_ADMISSION}MutatingWebhook.matchPolicy": MATCH_POLICIES,
        f"{_ADMISSION}MutatingWebhook.reinvocationPolicy": REINVOCATION_POLICIES,
        f"{_ADMISSION}MutatingWebhook.sideEffects": SIDE_EFFECTS,
        f"{_ADMISSION}RuleWithOperations.scope": "* Cluster Namespaced",
        f"{_ADMISSION}ValidatingAdmissionPolicySpec.failurePolicy": FAILURE_POLICIES,
        f"{_ADMISSION}ValidatingWebhook.failurePolicy": FAILURE_POLICIES,
        f"{_ADMISSION}ValidatingWebhook.matchPolicy": MATCH_POLICIES,
        f"{_ADMISSION}ValidatingWebhook.sideEffects": SIDE_EFFECTS,
        "io.k8s.api.apps.v1.DaemonSetUpdateStrategy.type": UPDATE_STRATEGIES,
        "io.k8s.api.apps.v1.DeploymentStrategy.type": "Recreate RollingUpdate",
        "io.k8s.api.apps.v1.StatefulSetSpec.podManagementPolicy": "OrderedReady Parallel",
        "io.k8s.api.apps.v1.StatefulSetUpdateStrategy.type": UPDATE_STRATEGIES,
        "io.k8s.api.batch.v1.CronJobSpec.concurrencyPolicy": "Allow Forbid Replace",
        "io.k8s.api.batch.v1.JobSpec.completionMode": "Indexed NonIndexed",
        "io.k8s.api.batch.v1.JobSpec.podReplacementPolicy": "Failed TerminatingOrFailed",
        "io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement.operator": "In NotIn",
        "io.k8s.api.batch.v1.PodFailurePolicyRule.action": "Count FailIndex FailJob Ignore",
        "io.k8s.api.discovery.v1.EndpointPort.protocol": PROTOCOLS,
        "io.k8s.api.discovery.v1.EndpointSlice.addressType": "FQDN IPv4 IPv6",
        "io.k8s.api.networking.v1.HTTPIngressPath.pathType": "Exact ImplementationSpecific Prefix",
        "io.k8s.api.networking.v1.NetworkPolicyPort.protocol": PROTOCOLS,
        "io.k8s.api.scheduling.v1.PriorityClass.preemptionPolicy": PREEMPTION_POLICIES,
        "io.k8s.api.storage.v1.StorageClass.reclaimPolicy": RECLAIM_POLICIES,
        "io.k8s.api.storage.v1.StorageClass.volumeBindingMode": "Immediate WaitForFirstConsumer",
    }.items()
}
"""(definition, field) -> values."""

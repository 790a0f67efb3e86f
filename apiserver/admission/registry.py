"""The table of admission plug-ins: which exist, in which order they run, which are on by default.

Order: upstream's `AllOrderedPlugins`; defaults: see `DEFAULT_ON`. Webhooks and policies
are made where their clients are (`server.py`) and passed to `build` under their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from kplane.runtime.process import Fatal

from .always import AlwaysAdmit, AlwaysDeny
from .alwayspullimages import AlwaysPullImages
from .certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from .chain import Chain, Plugin
from .context import AdmissionContext
from .defaultingressclass import DefaultIngressClass
from .defaultstorageclass import DefaultStorageClass
from .defaulttolerationseconds import DefaultTolerationSeconds
from .denyserviceexternalips import DenyServiceExternalIPs
from .eventratelimit import EventRateLimit
from .extendedresourcetoleration import ExtendedResourceToleration
from .imagepolicywebhook import ImagePolicyWebhook
from .inactive import JobValidation, PodGroupProtection, PodGroupWorkloadExists
from .limitpodhardantiaffinitytopology import LimitPodHardAntiAffinityTopology
from .limitranger import LimitRanger
from .namespaceautoprovision import NamespaceAutoProvision
from .namespaceexists import NamespaceExists
from .namespacelifecycle import NamespaceLifecycle
from .nodedeclaredfeatures import NodeDeclaredFeatureValidator
from .noderestriction import NodeRestriction
from .ownerreferencespermissionenforcement import OwnerReferencesPermissionEnforcement
from .persistentvolumeclaimresize import PersistentVolumeClaimResize
from .podcertificates import PodCertificateRequestSigning
from .podnodeselector import PodNodeSelector
from .podresizevalidator import PodResizeValidator
from .podsecurity.plugin import PodSecurity
from .podtolerationrestriction import PodTolerationRestriction
from .podtopologylabels import PodTopologyLabels
from .priority import Priority
from .resourcequota import ResourceQuota
from .runtimeclass import RuntimeClass
from .serviceaccount import ServiceAccount
from .storageobjectinuseprotection import StorageObjectInUseProtection
from .taintnodesbycondition import TaintNodesByCondition

ORDER: tuple[str, ...] = (
    "AlwaysAdmit", "NamespaceAutoProvision", "NamespaceLifecycle", "NamespaceExists",
    "LimitPodHardAntiAffinityTopology", "LimitRanger", "ServiceAccount", "NodeRestriction",
    "TaintNodesByCondition", "AlwaysPullImages", "ImagePolicyWebhook", "PodSecurity", "PodNodeSelector",
    "Priority", "DefaultTolerationSeconds", "PodTolerationRestriction", "EventRateLimit",
    "ExtendedResourceToleration", "DefaultStorageClass", "StorageObjectInUseProtection",
    "PodGroupProtection", "OwnerReferencesPermissionEnforcement", "PersistentVolumeClaimResize",
    "RuntimeClass", "CertificateApproval", "CertificateSigning", "ClusterTrustBundleAttest",
    "PodCertificateRequestSigning", "CertificateSubjectRestriction", "DefaultIngressClass",
    "DenyServiceExternalIPs", "PodTopologyLabels",
    "PodGroupWorkloadExists", "NodeDeclaredFeatureValidator", "JobValidation", "PodResizeValidator",
    "MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook", "ResourceQuota", "AlwaysDeny",
)  # fmt: skip
"""Every name that upstream knows, in the order in which they run."""

PLUGINS: Mapping[str, Callable[[AdmissionContext], Plugin]] = {
    "AlwaysAdmit": AlwaysAdmit,
    "NamespaceLifecycle": NamespaceLifecycle,
    "LimitRanger": LimitRanger,
    "ServiceAccount": ServiceAccount,
    "NodeRestriction": NodeRestriction,
    "TaintNodesByCondition": TaintNodesByCondition,
    "PodSecurity": PodSecurity,
    "Priority": Priority,
    "DefaultTolerationSeconds": DefaultTolerationSeconds,
    "DefaultStorageClass": DefaultStorageClass,
    "StorageObjectInUseProtection": StorageObjectInUseProtection,
    "PersistentVolumeClaimResize": PersistentVolumeClaimResize,
    "RuntimeClass": RuntimeClass,
    "CertificateApproval": CertificateApproval,
    "CertificateSigning": CertificateSigning,
    "PodCertificateRequestSigning": PodCertificateRequestSigning,
    "CertificateSubjectRestriction": CertificateSubjectRestriction,
    "DefaultIngressClass": DefaultIngressClass,
    "PodTopologyLabels": PodTopologyLabels,
    "AlwaysPullImages": AlwaysPullImages,
    "LimitPodHardAntiAffinityTopology": LimitPodHardAntiAffinityTopology,
    "ExtendedResourceToleration": ExtendedResourceToleration,
    "DenyServiceExternalIPs": DenyServiceExternalIPs,
    "NamespaceExists": NamespaceExists,
    "PodNodeSelector": PodNodeSelector,
    "EventRateLimit": EventRateLimit,
    "ResourceQuota": ResourceQuota,
    "NamespaceAutoProvision": NamespaceAutoProvision,
    "ImagePolicyWebhook": ImagePolicyWebhook,
    "PodTolerationRestriction": PodTolerationRestriction,
    "OwnerReferencesPermissionEnforcement": OwnerReferencesPermissionEnforcement,
    "ClusterTrustBundleAttest": ClusterTrustBundleAttest,
    "PodResizeValidator": PodResizeValidator,
    "PodGroupProtection": PodGroupProtection,
    "PodGroupWorkloadExists": PodGroupWorkloadExists,
    "NodeDeclaredFeatureValidator": NodeDeclaredFeatureValidator,
    "JobValidation": JobValidation,
    "AlwaysDeny": AlwaysDeny,
}

DEFAULT_ON = frozenset(
    {
        "NamespaceLifecycle", "LimitRanger", "ServiceAccount", "TaintNodesByCondition",
        "DefaultStorageClass", "PersistentVolumeClaimResize", "DefaultTolerationSeconds",
        "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook", "ResourceQuota", "Priority",
        "RuntimeClass", "CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction",
        "DefaultIngressClass", "PodSecurity", "PodTopologyLabels", "MutatingAdmissionPolicy",
        "ValidatingAdmissionPolicy", "StorageObjectInUseProtection", "PodGroupProtection",
        "ClusterTrustBundleAttest", "PodGroupWorkloadExists", "NodeDeclaredFeatureValidator",
        "JobValidation", "PodResizeValidator", "PodCertificateRequestSigning",
    }
)  # fmt: skip
"""What runs unless it is disabled: upstream's defaults."""


def check(enable: Sequence[str], disable: Sequence[str]) -> None:
    """Raises Fatal for names that do not exist, or that are both enabled and disabled."""
    faults = list(_faults(enable, disable))
    if faults:
        raise Fatal(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _faults(enable: Sequence[str], disable: Sequence[str]) -> Iterator[str]:
    for flag, names in (("enable", enable), ("disable", disable)):
        for name in names:
            if name not in ORDER:
                yield f'{flag}-admission-plugins plugin "{name}" is unknown'
    if both := sorted(set(enable) & set(disable)):
        yield f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped"


def chosen(enable: Sequence[str], disable: Sequence[str]) -> list[str]:
    """The names of the plug-ins that are to run, in their order. Raises Fatal as `check` does."""
    check(enable, disable)
    wanted = (DEFAULT_ON - set(disable)) | set(enable)
    return [name for name in ORDER if name in wanted]


def build(
    context: AdmissionContext, enable: Sequence[str], disable: Sequence[str], others: Mapping[str, Plugin]
) -> Chain:
    """The chain of a server. `others`: plug-ins that are made elsewhere, by name. Raises Fatal where one was
    asked for by name that this server does not have."""
    plugins: list[Plugin] = []
    for name in chosen(enable, disable):
        if name in others:
            plugins.append(others[name])
        elif name in PLUGINS:
            plugins.append(PLUGINS[name](context))
        elif name in enable:
            raise Fatal(f'enable-admission-plugins plugin "{name}" is not available in this server')
    return Chain(plugins)

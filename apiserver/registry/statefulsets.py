"""StatefulSets and the ControllerRevisions that remember their templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import non_negative, not_fewer, unchanged
from .podspec.defaults import default_template
from .podspec.validation import validate_template
from .podspec.warnings import claim_spec_warnings
from .status import StatusStrategy
from .strategy import Strategy, changed
from .volumeclaims import default_claim
from .workloads import is_zero, validate_counts, validate_match, validate_share, validate_spec_selector

_MUTABLE = frozenset(
    ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
     "persistentVolumeClaimRetentionPolicy", "minReadySeconds")
)  # fmt: skip
_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_RETENTION = ("Retain", "Delete")


class StatefulSetStrategy(StatusStrategy):
    name_rule = staticmethod(names.dns_label)
    empty_status = {"replicas": 0, "availableReplicas": 0}  # noqa: RUF012

    pod_template = ("spec", "template")
    # Upstream lets this one through, though no StatefulSet has it.
    selectable = ("status.successful",)
    unselectable = "field label not supported for appsv1.StatefulSet: {field}"

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.successful": ""}

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from super().warnings(obj)
        yield from _claim_warnings(obj["spec"], "")

    def update_warnings(self, new: Object, old: Object) -> Iterator[str]:
        if changed(new, old):
            yield from super().warnings(new)
            # Upstream's paths differ.
            yield from _claim_warnings(new["spec"], "Spec")

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("partition", 0)
            rolling.setdefault("maxUnavailable", 1)
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        for name in ("whenDeleted", "whenScaled"):
            retention[name] = retention.get(name) or "Retain"
        default_template(spec.setdefault("template", {}))
        for claim in spec.get("volumeClaimTemplates") or ():
            claim.setdefault("apiVersion", "v1")
            claim.setdefault("kind", "PersistentVolumeClaim")
            default_claim(claim)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        policy = spec["podManagementPolicy"]
        if policy not in ("OrderedReady", "Parallel"):
            yield here.podManagementPolicy.invalid(policy, "must be 'OrderedReady' or 'Parallel'")
        yield from _validate_strategy(spec["updateStrategy"], here.updateStrategy)
        for name, value in spec["persistentVolumeClaimRetentionPolicy"].items():
            if value not in _RETENTION:
                yield here.persistentVolumeClaimRetentionPolicy.child(name).not_supported(value, _RETENTION)
        yield from non_negative(spec, here, "replicas", "minReadySeconds")
        yield from non_negative(spec.get("ordinals") or {}, here.ordinals, "start")
        yield from validate_spec_selector(spec, "statefulset", here)
        yield from _validate_template(spec, here)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new["spec"], old["spec"]
        if any(now.get(name) != was.get(name) for name in (now.keys() | was.keys()) - _MUTABLE):
            yield path.spec.forbidden(_FORBIDDEN)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status = new.get("status") or {}
        yield from validate_counts(
            status, path.status, "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"
        )
        yield from non_negative(status, path.status, "observedGeneration", "collisionCount")
        available, ready = status.get("availableReplicas", 0), status.get("readyReplicas", 0)
        if available > ready:
            text = "cannot be greater than status.readyReplicas"
            yield path.status.availableReplicas.invalid(available, text)
        yield from not_fewer("collisionCount", status, old.get("status") or {}, path.status)


def _claim_warnings(spec: Object, field: str) -> Iterator[str]:
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        here = Path("spec").volumeClaimTemplates[index]
        yield from claim_spec_warnings(claim.get("spec") or {}, here.child(field) if field else here)
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield (
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is"
            " recommended"
        )


def _validate_strategy(strategy: Object, path: Path) -> Iterator[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is not None:
            yield path.rollingUpdate.invalid(rolling, "only allowed for updateStrategy 'RollingUpdate'")
    elif kind == "RollingUpdate":
        yield from non_negative(rolling or {}, path.rollingUpdate, "partition")
        unavailable = (rolling or {}).get("maxUnavailable")
        if unavailable is not None:
            yield from validate_share(unavailable, path.rollingUpdate.maxUnavailable)
            if is_zero(unavailable):
                yield path.rollingUpdate.maxUnavailable.invalid(unavailable, "cannot be 0")
    else:
        yield path.invalid(strategy, "must be 'RollingUpdate' or 'OnDelete'")


def _validate_template(spec: Object, path: Path) -> Iterator[FieldError]:
    template = spec["template"]
    # Volumes of the claim templates may be mounted as if the pod had them.
    claims = [
        {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "claim"}}
        for claim in spec.get("volumeClaimTemplates") or ()
        if (claim.get("metadata") or {}).get("name")
    ]
    pod = template["spec"]
    own = {claim["name"] for claim in claims}
    volumes = [volume for volume in pod.get("volumes") or () if volume.get("name") not in own]
    yield from validate_match(spec.get("selector"), template, path.template)
    yield from validate_template({**template, "spec": {**pod, "volumes": volumes + claims}}, path.template)
    if pod.get("restartPolicy") != "Always":
        yield path.template.spec.restartPolicy.not_supported(pod.get("restartPolicy", ""), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        yield path.template.spec.activeDeadlineSeconds.forbidden(
            "activeDeadlineSeconds in StatefulSet is not Supported"
        )


class ControllerRevisionStrategy(Strategy):
    immutable_spec_generation = True

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        if obj.get("data") is None:
            yield path.data.required("data is mandatory")
        yield from non_negative(obj, path, "revision")

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("data"), old.get("data"), path.data)

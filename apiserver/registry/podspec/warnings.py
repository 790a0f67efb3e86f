"""What is legal in a pod, and yet hardly meant: texts for `Warning:` headers. Pure.

For pods themselves and for the templates of all workloads. Rules and wording: upstream's
`api/pod/warnings.go` and `api/node/util.go`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from kplane.api.field import Path, quoted
from kplane.api.quantity import milli
from kplane.api.resource import Object

from . import apparmor
from .known import Known
from .likeness import likeness
from .pathwarnings import path_warnings

NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
}
_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
NO_SELECTOR = "a null labelSelector results in matching no pod"
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
BYTES = ("memory", "ephemeral-storage")
STORAGE = ("storage",)
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
NO_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'


_HARMLESS = Known()


def pod_warnings(pod: Object, path: Path) -> Iterable[str]:
    """Of a pod, or of a template at `path`."""
    spec = pod.get("spec") or {}
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    part = (likeness(spec), [*annotations], str(path))
    return _HARMLESS.look(part, _warnings(spec, annotations, path))


def _warnings(spec: Object, annotations: Object, path: Path) -> Iterator[str]:
    here = path.spec
    affinity = spec.get("affinity")
    if affinity or "nodeSelector" in spec:
        yield from _node_warnings(spec, here)
    if "topologySpreadConstraints" in spec:
        yield from _spread_warnings(spec, here)
    for name, text in ANNOTATIONS.items() if annotations else ():
        if name in annotations:
            yield f"{path.metadata.annotations[name]}: {text}"
    if volumes := spec.get("volumes"):
        yield from _volume_warnings(volumes, here.volumes)
        yield from path_warnings(volumes)
    if "hostAliases" in spec:
        yield from _repeated(spec["hostAliases"], here.hostAliases, "ip")
    if "imagePullSecrets" in spec:
        yield from _pull_secret_warnings(spec, here.imagePullSecrets)
    if "overhead" in spec:
        yield from _fractions(spec, ("overhead",), here, BYTES)
    if annotations:
        yield from _profile_warnings(spec, annotations, path)
    yield from _container_warnings(spec, here)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        place = here.terminationGracePeriodSeconds
        yield f"{place}: must be >= 0; negative values are invalid and will be treated as 1"
    if affinity:
        yield from _affinity_warnings(spec, here.affinity)


def _volume_warnings(volumes: Iterable[Object], path: Path) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        for name in filter(VOLUMES.__contains__, volume):
            shown = "storageOS" if name == "storageos" else name
            yield f"{path[index].child(shown)}: {VOLUMES[name]}"
        if "ephemeral" in volume and (template := volume["ephemeral"].get("volumeClaimTemplate")):
            here = path[index].ephemeral.volumeClaimTemplate.spec
            yield from claim_spec_warnings(template.get("spec") or {}, here)


def claim_spec_warnings(spec: Object, path: Path) -> Iterator[str]:
    """Of a PersistentVolumeClaim's spec at `path`."""
    if resources := spec.get("resources"):
        yield from _fractions(resources, ("requests", "limits"), path.resources, STORAGE)


def _profile_warnings(spec: Object, annotations: Object, path: Path) -> Iterator[str]:
    """Profiles in annotations, where the fields that replace them are not set."""
    own, places = spec.get("securityContext") or {}, path.metadata.annotations
    if SECCOMP_POD in annotations and not own.get("seccompProfile"):
        yield f"{places[SECCOMP_POD]}: {NO_SECCOMP}"
    for container, _ in _containers(spec, path):
        context, name = container.get("securityContext") or {}, container.get("name", "")
        key = SECCOMP_CONTAINER + name
        if key in annotations and not context.get("seccompProfile"):
            yield f"{places[key]}: {NO_SECCOMP}"
        key = apparmor.PREFIX + name
        confined = own.get("appArmorProfile") or context.get("appArmorProfile")
        # A Pod's own have become fields by now.
        if str(path) != "<nil>" and key in annotations and not confined:
            yield f'{places[key]}: deprecated since v1.30; use the "appArmorProfile" field instead'


def _node_warnings(spec: Object, path: Path) -> Iterator[str]:
    for name in spec.get("nodeSelector") or {}:
        if name in NODE_LABELS:
            yield f"{path.nodeSelector[name]}: {NODE_LABELS[name]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    here = path.affinity.nodeAffinity
    required = (affinity.get(REQUIRED) or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(required):
        yield from term_warnings(term, here.child(REQUIRED).nodeSelectorTerms[index])
    for index, weighted in enumerate(affinity.get(PREFERRED) or ()):
        place = here.child(PREFERRED)[index].preference
        yield from term_warnings(weighted.get("preference") or {}, place)


def term_warnings(term: Object, path: Path) -> Iterator[str]:
    """Of one term of a node selector."""
    for index, need in enumerate(term.get("matchExpressions") or ()):
        if need.get("key") in NODE_LABELS:
            place = path.matchExpressions[index].child("key")
            yield f"{place}: {need['key']} is {NODE_LABELS[need['key']]}"


def _spread_warnings(spec: Object, path: Path) -> Iterator[str]:
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        place = path.topologySpreadConstraints[index]
        name = constraint.get("topologyKey")
        if name in NODE_LABELS:
            yield f"{place.topologyKey}: {name} is {NODE_LABELS[name]}"
        if constraint.get("labelSelector") is None:
            yield f"{place.labelSelector}: {NO_SELECTOR}"


def _repeated(items: Iterable[Object] | None, path: Path, field: str) -> Iterator[str]:
    seen = set()
    for index, item in enumerate(items or ()):
        value = item.get(field, "")
        if value in seen:
            yield f"{path[index].child(field)}: duplicate {field} {quoted(value)}"
        seen.add(value)


def _pull_secret_warnings(spec: Object, path: Path) -> Iterator[str]:
    secrets = spec.get("imagePullSecrets") or ()
    yield from _repeated(secrets, path, "name")
    for index, secret in enumerate(secrets):
        if not secret.get("name"):
            yield f'{path[index].name}: invalid empty name ""'


def _fractions(
    owner: Object, fields: tuple[str, ...], path: Path, resources: tuple[str, ...]
) -> Iterator[str]:
    """Parts of a byte, in amounts that stand in `fields` of an object at `path`."""
    for field in fields:
        amounts = owner.get(field) or {}
        for name in filter(amounts.__contains__, resources):
            if milli(amounts[name]) % 1000:
                place, text = path.child(field)[name], quoted(amounts[name])
                yield f"{place}: fractional byte value {text} is invalid, must be an integer"


def _containers(spec: Object, path: Path) -> Iterator[tuple[Object, Path]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        if listed := spec.get(field):
            here = path.child(field)
            for index, container in enumerate(listed):
                yield container, here[index]


def _container_warnings(spec: Object, path: Path) -> Iterator[str]:
    containers = [*_containers(spec, path)]
    for container, here in containers:
        if resources := container.get("resources"):
            yield from _fractions(resources, ("limits", "requests"), here.resources, BYTES)
        if "env" in container:
            yield from _hidden_variables(container["env"] or (), here.env)
    yield from _port_warnings(containers)


def _port_warnings(containers: Iterable[tuple[Object, Path]]) -> Iterator[str]:
    ports: dict[tuple[int, str], list[tuple[Path, Object]]] = defaultdict(list)
    for container, here in containers:
        for index, port in enumerate(container.get("ports") or ()):
            place = here.ports[index]
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{place}: hostIP set without hostPort: {_go_port(port)}"
            others = ports[port.get("containerPort", 0), port.get("protocol", "TCP")]
            for other_place, other in others:
                if clash := _port_clash(port, other):
                    yield f"{place}: {clash} with {other_place}"
            others.append((place, port))


def _hidden_variables(variables: Sequence[Object], path: Path) -> Iterator[str]:
    if len({variable.get("name", "") for variable in variables}) == len(variables):
        return
    seen = set()
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if name in seen:
            own, value = f"$({name})", variable.get("value", "")
            # A second definition that builds on the first is meant.
            if variable.get("valueFrom") or value == own or own not in value:
                yield (
                    f"{path[index]}: hides previous definition of {quoted(name)}, "
                    "which may be dropped when using apply"
                )
        seen.add(name)


def _port_clash(port: Object, other: Object) -> str:
    mine, theirs = port.get("hostPort", 0), other.get("hostPort", 0)
    my_address, their_address = port.get("hostIP", ""), other.get("hostIP", "")
    if mine == theirs and my_address == their_address:
        return "duplicate port definition"
    if not mine or not theirs:
        return "overlapping port definition"
    if mine == theirs and bool(my_address) is not bool(their_address):
        return "dangerously ambiguous port definition"
    return ""


def _go_port(port: Object) -> str:
    """A ContainerPort as Go's `%+v` prints it."""
    return (
        f"{{Name:{port.get('name', '')} HostPort:{port.get('hostPort', 0)} "
        f"ContainerPort:{port.get('containerPort', 0)} Protocol:{port.get('protocol', 'TCP')} "
        f"HostIP:{port.get('hostIP', '')}}}"
    )


def _affinity_warnings(spec: Object, path: Path) -> Iterator[str]:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules, here = affinity.get(kind) or {}, path.child(kind)
        for index, term in enumerate(rules.get(REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{here.child(REQUIRED)[index].labelSelector}: {NO_SELECTOR}"
        for index, weighted in enumerate(rules.get(PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                place = here.child(PREFERRED)[index].podAffinityTerm.labelSelector
                yield f"{place}: {NO_SELECTOR}"

"""Which pod and which container `logs` and `exec` mean."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from kplane.api.errors import NotFound
from kplane.api.resource import Object
from kplane.api.selectors import from_label_selector, from_map

from . import discovery
from .arguments import Wanted, parse
from .failures import CommandError
from .session import Session

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
PODS = "/api/v1/namespaces/{}/pods"


async def find_pod(session: Session, word: str) -> Object:
    """The pod `NAME` or `pod/NAME`, or one of `TYPE/NAME`. Raises ApiError and CommandError."""
    if "/" not in word:
        return await _get(session, f"{PODS.format(session.namespace)}/{word}")
    kinds = await discovery.load(session.client)
    [wanted] = parse([word], kinds).wanted
    found = await _get(session, wanted.kind.resource.path(session.namespace_of(wanted.kind), wanted.name))
    if wanted.kind.resource.kind == "Pod":
        return found
    pods = await _pods_of(session, wanted, found)
    best = min(pods, key=_rank)
    if len(pods) > 1:
        print(f"Found {len(pods)} pods, using pod/{best['metadata']['name']}", file=sys.stderr)
    return best


async def _get(session: Session, path: str, query: dict[str, str] | None = None) -> Object:
    found: Object = msgspec.json.decode(await session.client.raw("GET", path, query=query))
    return found


async def _pods_of(session: Session, wanted: Wanted, owner: Object) -> Sequence[Object]:
    """The pods that the owner's selector finds."""
    selector = (owner.get("spec") or {}).get("selector")
    if not selector:
        raise CommandError(f"cannot find the pods of {wanted.kind.prefix}/{wanted.name}: it has no selector")
    structured = "matchLabels" in selector or "matchExpressions" in selector
    chosen = from_label_selector(selector) if structured else from_map(selector)
    listing = await _get(session, PODS.format(session.namespace), {"labelSelector": str(chosen)})
    if not listing.get("items"):
        raise NotFound(f"no pods of {wanted.kind.prefix}/{wanted.name} were found")
    pods: Sequence[Object] = listing["items"]
    return pods


def _rank(pod: Object) -> tuple[bool, bool, bool, str]:
    """The most useful pod first: on a node, running, ready, and of those the oldest."""
    status = pod.get("status") or {}
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
    scheduled = bool((pod.get("spec") or {}).get("nodeName"))
    created: str = pod["metadata"].get("creationTimestamp", "")
    return not scheduled, status.get("phase") != "Running", not ready, created


def choose_container(pod: Object, asked: str) -> str:
    """The container asked for, else the default one, which is said where there is a choice. Raises
    CommandError."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular = [container["name"] for container in spec["containers"]]
    every = regular + [
        container["name"]
        for field in ("initContainers", "ephemeralContainers")
        for container in spec.get(field) or ()
    ]
    if asked:
        if asked not in every:
            choice = ", ".join(_labelled(spec))
            raise CommandError(f"container {asked} is not valid for pod {name} out of: {choice}")
        return asked
    annotated = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if annotated in every:
        return str(annotated)
    if len(every) > 1:
        print(f'Defaulted container "{regular[0]}" out of: {", ".join(_labelled(spec))}', file=sys.stderr)
    return str(regular[0])


def _labelled(spec: Object) -> list[str]:
    kinds = (("containers", ""), ("ephemeralContainers", " (ephem)"), ("initContainers", " (init)"))
    return [container["name"] + suffix for field, suffix in kinds for container in spec.get(field) or ()]

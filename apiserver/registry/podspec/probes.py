"""Probes and lifecycle hooks of a container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_NEGATIVE = "must be greater than or equal to 0"


def validate_probes(container: Object, path: Path) -> Iterator[FieldError]:
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind in container:
            yield from _validate_probe(kind, container[kind], path.child(kind))


def _validate_probe(kind: str, probe: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_handler(probe, _PROBE_HANDLERS, None, path)
    for name in _NUMBERS:
        if probe.get(name, 0) < 0:
            yield path.child(name).invalid(probe[name], _NEGATIVE)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield path.terminationGracePeriodSeconds.invalid(grace, "must be greater than 0")
    if kind == "readinessProbe":
        if grace is not None:
            yield path.terminationGracePeriodSeconds.invalid(grace, "must not be set for readinessProbes")
    elif probe.get("successThreshold", 1) != 1:
        yield path.successThreshold.invalid(probe["successThreshold"], "must be 1")


def validate_lifecycle(container: Object, grace: int, path: Path) -> Iterator[FieldError]:
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if hook in lifecycle:
            yield from _validate_handler(lifecycle[hook], _HOOK_HANDLERS, grace, path.lifecycle.child(hook))


def _validate_handler(
    handler: Object, kinds: Sequence[str], grace: int | None, path: Path
) -> Iterator[FieldError]:
    given = [kind for kind in kinds if kind in handler]
    if not given:
        yield path.required("must specify a handler type")
        return
    for kind in given[1:]:
        yield path.child(kind).forbidden("may not specify more than 1 handler type")
    kind = given[0]
    action, here = handler[kind], path.child(kind)
    match kind:
        case "exec":
            if not action.get("command"):
                yield here.command.required()
        case "httpGet":
            yield from _validate_http(action, here)
        case "tcpSocket" | "grpc":
            yield from validate_port(action.get("port", 0), here.port)
        case "sleep":
            seconds = action.get("seconds", 0)
            if grace is not None and not 0 <= seconds <= grace:
                text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                yield here.invalid(seconds, text)


def _validate_http(action: Object, path: Path) -> Iterator[FieldError]:
    if not action.get("path"):
        yield path.path.required()
    yield from validate_port(action.get("port", 0), path.port)
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        yield path.scheme.not_supported(action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        for text in names.http_header(header.get("name", "")):
            yield path.httpHeaders.invalid(header.get("name", ""), text)


def validate_port(port: int | str, path: Path) -> Iterator[FieldError]:
    """A port's number or name."""
    for text in names.port_name(port) if isinstance(port, str) else names.port_number(port):
        yield path.invalid(port, text)

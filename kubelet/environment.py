"""A container's environment: `env`, `envFrom`, service variables, and `$(VAR)` in them. Pure.

Source: the kubelet's `makeEnvironmentVariables` and `envvars.FromServices`, and `golang/expansion`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kplane.api.types import ConfigMap, Secret, Service

from . import fields
from .pod import Container, EnvVar, EnvVarSource, KeySelector, Pod


class ConfigError(Exception):
    """The container cannot be configured as its spec says; becomes CreateContainerConfigError."""


@dataclass(frozen=True)
class Sources:
    """What variables may refer to. ConfigMaps and Secrets by name; None for one that does not exist."""

    services: Sequence[Service] = ()
    config_maps: Mapping[str, ConfigMap | None] = field(default_factory=dict)
    secrets: Mapping[str, Secret | None] = field(default_factory=dict)
    host_ips: Sequence[str] = ()
    pod_ips: Sequence[str] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)


def references(container: Container) -> tuple[set[str], set[str]]:
    """Names of the ConfigMaps and of the Secrets that the variables need."""
    config_maps, secrets = set(), set()
    for source in container.env_from:
        if source.config_map_ref:
            config_maps.add(source.config_map_ref.name)
        if source.secret_ref:
            secrets.add(source.secret_ref.name)
    for variable in container.env:
        if variable.value_from and variable.value_from.config_map_key_ref:
            config_maps.add(variable.value_from.config_map_key_ref.name)
        if variable.value_from and variable.value_from.secret_key_ref:
            secrets.add(variable.value_from.secret_key_ref.name)
    return config_maps, secrets


def build(pod: Pod, container: Container, sources: Sources) -> dict[str, str]:
    """The variables in order. Raises ConfigError where something required is missing."""
    service_variables = from_services(_linked(pod, sources.services))
    result = _from_objects(container, sources)
    for variable in container.env:
        known = service_variables | result
        value = _value(pod, container, variable, sources, known)
        if value is not None:
            result[variable.name] = value
    return result | {key: value for key, value in service_variables.items() if key not in result}


def _linked(pod: Pod, services: Iterable[Service]) -> list[Service]:
    """Services that pods hear of: those of the namespace if asked for, and always `kubernetes`."""
    linked: dict[str, Service] = {}
    for service in services:
        meta, ip = service.metadata, service.spec.cluster_ip
        if ip in ("", "None") or service.spec.type == "ExternalName":
            continue
        if meta.namespace == pod.metadata.namespace and pod.spec.enable_service_links:
            linked[meta.name] = service
        elif meta.namespace == "default" and meta.name == "kubernetes":
            linked.setdefault(meta.name, service)
    return [linked[name] for name in sorted(linked)]


def from_services(services: Iterable[Service]) -> dict[str, str]:
    """`REDIS_SERVICE_HOST`, `REDIS_SERVICE_PORT…` and the variables of Docker links."""
    result: dict[str, str] = {}
    for service in services:
        name = _variable(service.metadata.name)
        ip, ports = service.spec.cluster_ip, service.spec.ports
        if not ports:
            continue
        host = f"[{ip}]" if ":" in ip else ip
        result[f"{name}_SERVICE_HOST"] = ip
        result[f"{name}_SERVICE_PORT"] = str(ports[0].port)
        for port in ports:
            if port.name:
                result[f"{name}_SERVICE_PORT_{_variable(port.name)}"] = str(port.port)
        result[f"{name}_PORT"] = f"{ports[0].protocol.lower()}://{host}:{ports[0].port}"
        for port in ports:
            prefix = f"{name}_PORT_{port.port}_{port.protocol.upper()}"
            result[prefix] = f"{port.protocol.lower()}://{host}:{port.port}"
            result[f"{prefix}_PROTO"] = port.protocol.lower()
            result[f"{prefix}_PORT"] = str(port.port)
            result[f"{prefix}_ADDR"] = ip
    return result


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _from_objects(container: Container, sources: Sources) -> dict[str, str]:
    result: dict[str, str] = {}
    for source in container.env_from:
        if (ref := source.config_map_ref) is not None:
            config_map = sources.config_maps.get(ref.name)
            if config_map is None and not ref.optional:
                raise ConfigError(f'configmap "{ref.name}" not found')
            data = config_map.data if config_map else {}
        elif (secret_ref := source.secret_ref) is not None:
            secret = sources.secrets.get(secret_ref.name)
            if secret is None and not secret_ref.optional:
                raise ConfigError(f'secret "{secret_ref.name}" not found')
            data = {key: _decoded(text) for key, text in secret.data.items()} if secret else {}
        else:
            continue
        result |= {source.prefix + key: data[key] for key in sorted(data)}
    return result


def _value(
    pod: Pod, container: Container, variable: EnvVar, sources: Sources, known: Mapping[str, str]
) -> str | None:
    """None: the variable is not set at all (an optional key that is missing)."""
    if variable.value_from is None:
        return expand(variable.value, known)
    source = variable.value_from
    try:
        if source.field_ref:
            return fields.value(pod, source.field_ref.field_path, sources.host_ips, sources.pod_ips)
        if source.resource_field_ref:
            return fields.resource(pod, container, source.resource_field_ref, sources.allocatable)
    except fields.FieldError as error:
        raise ConfigError(str(error)) from error
    return _key_value(pod, source, sources)


def _key_value(pod: Pod, source: EnvVarSource, sources: Sources) -> str | None:
    if (selector := source.config_map_key_ref) is not None:
        config_map = sources.config_maps.get(selector.name)
        data = None if config_map is None else config_map.data
        return _picked(pod, selector, data, "configmap", "ConfigMap")
    if (selector := source.secret_key_ref) is not None:
        secret = sources.secrets.get(selector.name)
        found = _picked(pod, selector, None if secret is None else secret.data, "secret", "Secret")
        return None if found is None else _decoded(found)
    return None


def _picked(
    pod: Pod, selector: KeySelector, data: Mapping[str, str] | None, resource: str, kind: str
) -> str | None:
    if data is None:
        if selector.optional:
            return None
        raise ConfigError(f'{resource} "{selector.name}" not found')
    if selector.key not in data:
        if selector.optional:
            return None
        place = f"{pod.metadata.namespace}/{selector.name}"
        raise ConfigError(f"couldn't find key {selector.key} in {kind} {place}")
    return data[selector.key]


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="surrogateescape")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign; what is unknown stays as it stands."""
    if "$" not in text:
        return text
    return "".join(_expanded(text, variables.get))


def _expanded(text: str, lookup: Callable[[str], str | None]) -> Iterable[str]:
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        yield text[position:dollar]
        following = text[dollar + 1 : dollar + 2]
        end = text.find(")", dollar) if following == "(" else -1
        if following == "$":
            yield "$"
            position = dollar + 2
        elif end > 0:
            name = text[dollar + 2 : end]
            found = lookup(name)
            yield f"$({name})" if found is None else found
            position = end + 1
        else:
            yield "$"
            position = dollar + 1
    yield text[position:]

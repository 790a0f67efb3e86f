"""Kubeconfig files: reading, merging along `KUBECONFIG`, writing; and the in-cluster configuration.

Credential plug-ins (`exec`, `auth-provider`) are refused with a clear message. Nothing here speaks to a
server, and no message ever holds a token or a key.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Section: TypeAlias = Mapping[str, Any]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(Exception):
    """The configuration is missing or broken."""


@dataclass(frozen=True)
class Credentials:
    """A server and how to speak to it. Certificates and keys as PEM bytes; `token` never printed."""

    server: str
    ca: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    certificate_file: Path | None = None
    """Where `certificate` was read, and is to be read again when it has changed; `key_file` likewise."""
    key_file: Path | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    insecure: bool = False
    namespace: str = "default"
    tls_server_name: str = ""


def load(path: Path | None = None, context: str | None = None) -> Credentials:
    """From the file, else `$KUBECONFIG` (a list, merged), else `~/.kube/config`, else the Pod's service
    account. Raises ConfigError with a sentence that says what is missing."""
    if path is not None:
        return _credentials(_read(path), context)
    listed = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    candidates = listed or [Path.home() / ".kube" / "config"]
    found = [_read(candidate) for candidate in candidates if candidate.exists()]
    if found:
        return _credentials(_merge(found), context)
    if not listed and in_cluster_available():
        return in_cluster()
    names = ", ".join(str(candidate) for candidate in candidates)
    raise ConfigError(f"no kubeconfig found at {names}; pass --kubeconfig or set KUBECONFIG")


def in_cluster_available() -> bool:
    """Whether this process runs in a Pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and (SERVICE_ACCOUNT / "token").exists()


def in_cluster() -> Credentials:
    """The Pod's service account; its token is read again as it is rotated. Raises ConfigError."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("this process does not run in a Pod: KUBERNETES_SERVICE_HOST is not set")
    return Credentials(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca=_file(SERVICE_ACCOUNT / "ca.crt"),
        token_file=SERVICE_ACCOUNT / "token",
        namespace=_file(SERVICE_ACCOUNT / "namespace").decode().strip() or "default",
    )


def write(path: Path, credentials: Credentials, *, cluster: str = "kplane", user: str = "admin") -> None:
    """Write a kubeconfig with everything embedded but what has a file of its own, mode 0600, atomically."""
    name = f"{user}@{cluster}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": _cluster_section(credentials)}],
        "users": [{"name": user, "user": _user_section(credentials)}],
        "contexts": [
            {"name": name, "context": {"cluster": cluster, "user": user, "namespace": credentials.namespace}}
        ],
        "current-context": name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes the file with mode 0600 from the start.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _cluster_section(credentials: Credentials) -> dict[str, Any]:
    section: dict[str, Any] = {"server": credentials.server}
    if credentials.ca:
        section["certificate-authority-data"] = base64.b64encode(credentials.ca).decode()
    if credentials.insecure:
        section["insecure-skip-tls-verify"] = True
    if credentials.tls_server_name:
        section["tls-server-name"] = credentials.tls_server_name
    return section


def _user_section(credentials: Credentials) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if credentials.certificate_file:
        section["client-certificate"] = str(credentials.certificate_file)
    elif credentials.certificate:
        section["client-certificate-data"] = base64.b64encode(credentials.certificate).decode()
    if credentials.key_file:
        section["client-key"] = str(credentials.key_file)
    elif credentials.key:
        section["client-key-data"] = base64.b64encode(credentials.key).decode()
    if credentials.token:
        section["token"] = credentials.token
    if credentials.token_file:
        section["tokenFile"] = str(credentials.token_file)
    return section


@dataclass
class _Config:
    """One file, or several merged. Paths inside are absolute already."""

    current: str
    clusters: dict[str, Section]
    users: dict[str, Section]
    contexts: dict[str, Section]


_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields that name files, relative to the kubeconfig that they stand in."""


def _read(path: Path) -> _Config:
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the kubeconfig {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # The parser's message would quote the file, which holds secrets.
        raise ConfigError(f"the kubeconfig {path} is not valid YAML") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"the kubeconfig {path} is not a mapping")
    return _Config(
        data.get("current-context") or "",
        _named(path, data, "clusters", "cluster"),
        _named(path, data, "users", "user"),
        _named(path, data, "contexts", "context"),
    )


def _named(path: Path, data: Section, plural: str, singular: str) -> dict[str, Section]:
    found: dict[str, Section] = {}
    try:
        for entry in data.get(plural) or ():
            section = dict(entry.get(singular) or {})
            for name in _PATHS:
                if section.get(name):
                    section[name] = str(path.parent / Path(section[name]).expanduser())
            found.setdefault(entry["name"], section)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the kubeconfig {path} has a malformed list {plural!r}") from error
    return found


def _merge(configs: list[_Config]) -> _Config:
    """What an earlier file says wins, as in kubectl."""
    merged = _Config("", {}, {}, {})
    for config in configs:
        merged.current = merged.current or config.current
        merged.clusters = config.clusters | merged.clusters
        merged.users = config.users | merged.users
        merged.contexts = config.contexts | merged.contexts
    return merged


def _credentials(config: _Config, context: str | None) -> Credentials:
    name = context or config.current
    if not name:
        raise ConfigError("the kubeconfig has no current-context; set one or pass --context")
    chosen = _entry(config.contexts, name, "context")
    cluster = _entry(config.clusters, chosen.get("cluster") or "", "cluster")
    user = _entry(config.users, chosen["user"], "user") if chosen.get("user") else {}
    for plugin in ("exec", "auth-provider"):
        if user.get(plugin):
            raise ConfigError(
                f"user {chosen['user']!r} uses {plugin!r} credentials, which are not supported; "
                "use a client certificate, a token or a token file"
            )
    if not cluster.get("server"):
        raise ConfigError(f"cluster {chosen['cluster']!r} has no server")
    certificate, key = _pem(user, "client-certificate"), _pem(user, "client-key")
    if (certificate is None) is not (key is None):
        raise ConfigError(f"user {chosen['user']!r} needs both client-certificate and client-key")
    return Credentials(
        server=cluster["server"],
        ca=_pem(cluster, "certificate-authority"),
        certificate=certificate,
        key=key,
        certificate_file=_place(user, "client-certificate"),
        key_file=_place(user, "client-key"),
        token=user.get("token") or "",
        token_file=Path(user["tokenFile"]) if user.get("tokenFile") else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=chosen.get("namespace") or "default",
        tls_server_name=cluster.get("tls-server-name") or "",
    )


def _entry(sections: Mapping[str, Section], name: str, what: str) -> Section:
    if name not in sections:
        raise ConfigError(f"the kubeconfig has no {what} named {name!r}")
    return sections[name]


def _pem(section: Section, name: str) -> bytes | None:
    """`NAME-data` in base64, else the file that `NAME` names."""
    data = section.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"{name}-data in the kubeconfig is not base64") from error
    return _file(Path(section[name])) if section.get(name) else None


def _place(section: Section, name: str) -> Path | None:
    """The file that `NAME` names, where there is no `NAME-data`."""
    return Path(section[name]) if section.get(name) and not section.get(f"{name}-data") else None


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error

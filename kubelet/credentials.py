"""Registry credentials from a pod's imagePullSecrets. Pure.

Source: `.dockerconfigjson` and `.dockercfg` as the kubelet's credential provider reads them: the longest
matching entry first; a pod's secrets in their order.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from kplane.api.types import Secret

from .runtime.interface import Auth

DEFAULT_REGISTRY = "docker.io"
_DOCKER_HUB = ("index.docker.io", "docker.io", "registry-1.docker.io")


def registry_of(image: str) -> str:
    """The registry's host (and port) and the path that an image reference names."""
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return image if named else f"{DEFAULT_REGISTRY}/{image}"


def for_image(image: str, secrets: Iterable[Secret]) -> list[Auth]:
    """Credentials that may work for the image; broken entries are passed over."""
    wanted = registry_of(image)
    found: list[tuple[int, Auth]] = []
    for secret in secrets:
        for server, entry in _entries(secret).items():
            place = _normal(server)
            if wanted == place or wanted.startswith(f"{place}/"):
                auth = _auth(server, entry)
                if auth is not None:
                    found.append((len(place), auth))
    return [auth for _, auth in sorted(found, key=lambda pair: -pair[0])]


def _entries(secret: Secret) -> Mapping[str, Any]:
    try:
        if ".dockerconfigjson" in secret.data:
            text = base64.b64decode(secret.data[".dockerconfigjson"])
            decoded = msgspec.json.decode(text, type=dict[str, Any]).get("auths", {})
        else:
            decoded = msgspec.json.decode(base64.b64decode(secret.data.get(".dockercfg", "")) or b"{}")
    except (msgspec.DecodeError, binascii.Error):
        # Upstream passes over a broken pull secret too: the image may need none.
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _normal(server: str) -> str:
    place = server.removeprefix("https://").removeprefix("http://").rstrip("/")
    place = place.removesuffix("/v1").removesuffix("/v2")
    return DEFAULT_REGISTRY if place in _DOCKER_HUB else place


def _auth(server: str, entry: Any) -> Auth | None:
    if not isinstance(entry, dict):
        return None
    username, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    return Auth(username, password, server) if username else None

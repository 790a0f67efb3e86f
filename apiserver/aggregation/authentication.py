"""The ConfigMap from which extension servers learn whose headers and certificates to believe.

Writes: kube-system/extension-apiserver-authentication. Keys and form: upstream's
`pkg/controlplane/controller/clusterauthenticationtrust`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from kplane.api.resource import Key
from kplane.runtime.process import Fatal

from ..bootstrap import SELF, ensure
from ..config import ApiServerConfig
from ..registry.generic import Registry

_KEY = Key("kube-system", "extension-apiserver-authentication")


def trust_of(config: ApiServerConfig) -> dict[str, str]:
    """The ConfigMap's data. Raises Fatal for an authority that cannot be read."""
    data = {}
    if config.client_ca_file is not None:
        data["client-ca-file"] = _text(config.client_ca_file)
    if config.requestheader_client_ca_file is None:
        return data
    data["requestheader-client-ca-file"] = _text(config.requestheader_client_ca_file)
    lists = {
        "requestheader-username-headers": config.requestheader_username_headers,
        "requestheader-uid-headers": config.requestheader_uid_headers,
        "requestheader-group-headers": config.requestheader_group_headers,
        "requestheader-extra-headers-prefix": config.requestheader_extra_headers_prefix,
        "requestheader-allowed-names": config.requestheader_allowed_names,
    }
    for name, values in lists.items():
        if values or name != "requestheader-uid-headers":
            data[name] = msgspec.json.encode(list(values)).decode()
    return data


async def publish(configmaps: Registry, data: dict[str, str]) -> None:
    """Bring the ConfigMap to what this server was told."""
    metadata = {"name": _KEY.name, "namespace": _KEY.namespace}
    if not await ensure(configmaps, {"metadata": metadata, "data": data}, _KEY.namespace):
        # Whatever else stands there belongs to others.
        await configmaps.modify(_KEY, lambda obj: obj | {"data": (obj.get("data") or {}) | data}, SELF)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Fatal(f"cannot read {path}: {error.strerror}") from error

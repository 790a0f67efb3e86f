"""What authentication reads of the objects that a token is bound to, from the watch caches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

import msgspec


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    deletion_timestamp: datetime | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""
    service_account_name: str = ""


class SecretName(msgspec.Struct, frozen=True):
    name: str = ""


class Bindable(msgspec.Struct, frozen=True):
    """A ServiceAccount, Pod, Secret or Node. `secrets`: of ServiceAccounts."""

    metadata: Metadata
    spec: _Spec = _Spec()
    secrets: tuple[SecretName, ...] | None = None


class TokenSecret(msgspec.Struct, frozen=True):
    """A Secret that holds a token."""

    metadata: Metadata
    type: str = ""
    data: dict[str, bytes] | None = None


Read: TypeAlias = Callable[[str, str, str], Awaitable[bytes | None]]
"""`await read(plural, namespace, name)`: the object's bytes, or None where there is none."""

_bindable = msgspec.json.Decoder(Bindable)
_secret = msgspec.json.Decoder(TokenSecret)


async def read_bindable(read: Read, plural: str, namespace: str, name: str) -> Bindable | None:
    wire = await read(plural, namespace, name)
    return _bindable.decode(wire) if wire else None


async def read_secret(read: Read, namespace: str, name: str) -> TokenSecret | None:
    wire = await read("secrets", namespace, name)
    return _secret.decode(wire) if wire else None

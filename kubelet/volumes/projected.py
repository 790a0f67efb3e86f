"""projected: ConfigMaps, Secrets, downward fields and service account tokens in one folder."""

from __future__ import annotations

from pathlib import Path

from kplane.api.resource import Object

from ..pod import Pod, Projection, ServiceAccountTokenSource
from . import atomic, config_map, downward, secret
from .atomic import Projected
from .volume import Request

TOKEN_MODE = 0o600


async def set_up(request: Request) -> Path:
    source = request.volume.projected
    assert source is not None
    mode = config_map.DEFAULT_MODE if source.default_mode is None else source.default_mode
    files: dict[str, Projected] = {}
    for part in source.sources:
        files |= await _payload(request, part, mode)
    secret.in_memory(request.folder)
    atomic.write(request.folder, files, request.clock.now(), request.entropy.suffix(), request.fs_group)
    return request.folder


async def _payload(request: Request, part: Projection, mode: int) -> dict[str, Projected]:
    if part.config_map is not None:
        chosen = part.config_map
        return await config_map.payload(request, chosen.name, chosen.items, chosen.optional, mode)
    if part.secret is not None:
        wanted = part.secret
        return await secret.payload(request, wanted.name, wanted.items, wanted.optional, mode)
    if part.downward is not None:
        return downward.payload(request, part.downward.items, mode)
    if part.service_account_token is not None:
        token = await request.token(_token_spec(request, part.service_account_token))
        user = common_user(request.pod)
        # Readable by those alone whom it can be given to; by all where the containers share no user.
        mine = user is not None or request.fs_group is not None
        return {
            part.service_account_token.path: Projected(token.encode(), TOKEN_MODE if mine else mode, user)
        }
    return {}


def _token_spec(request: Request, source: ServiceAccountTokenSource) -> Object:
    """The TokenRequest's spec: bound to the pod, so that the token dies with it."""
    meta = request.pod.metadata
    return {
        "audiences": [source.audience] if source.audience else [],
        "expirationSeconds": source.expiration_seconds,
        "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": meta.name, "uid": meta.uid},
    }


def common_user(pod: Pod) -> int | None:
    """The user that all containers say to run as; None where one does not say or they differ."""
    default = pod.spec.security_context.run_as_user
    users = {
        default if entry.security_context.run_as_user is None else entry.security_context.run_as_user
        for entry in pod.all_containers()
    }
    return users.pop() if len(users) == 1 else None

"""Discovery of the service account issuer (OpenID Connect): who issues tokens, and its public keys."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kplane.runtime.tokenkeys import VerifyingKey, json_web_keys

CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
_HEADERS = {"cache-control": "public, max-age=3600"}


def issuer_routes(issuer: str, jwks_uri: str, address: str, keys: Sequence[VerifyingKey]) -> list[BaseRoute]:
    """The two documents; none where the issuer is no https address, so that nobody could ask it.
    `address`: host and port under which this server is known."""
    parts = urlsplit(issuer)
    if parts.scheme != "https" or parts.query or parts.fragment or not keys:
        return []
    configuration = {
        "issuer": issuer,
        "jwks_uri": jwks_uri or f"https://{address}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys}),
    }
    return [
        _document(CONFIGURATION_PATH, configuration, "application/json"),
        _document(KEYS_PATH, json_web_keys(keys), "application/jwk-set+json"),
    ]


def _document(path: str, content: object, media_type: str) -> BaseRoute:
    body = msgspec.json.encode(content)

    async def answer(request: Request) -> Response:
        return Response(body, headers=_HEADERS, media_type=media_type)

    return Route(path, answer)

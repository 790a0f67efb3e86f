"""The metrics of foreign issuers, under upstream's names and labels."""

from __future__ import annotations

from hashlib import sha256

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
_JWT = "apiserver_authentication_jwt_authenticator_{}".format
_CONFIG = "apiserver_authentication_config_controller_{}".format


class OidcMetrics:
    """`server`: the API server's identity, of which only the hash is shown."""

    def __init__(self, registry: CollectorRegistry, server: str) -> None:
        self._server = hashed(server)
        self._latency = Histogram(
            _JWT("latency_seconds"),
            "Latency of jwt authentication operations in seconds. This is the time spent authenticating a"
            " token for cache miss only (i.e. when the token is not found in the cache).",
            ("result", "jwt_issuer_hash"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._fetched = Gauge(
            _JWT("jwks_fetch_last_timestamp_seconds"),
            "Timestamp of the last successful or failed JWKS fetch split by result, api server identity and"
            " jwt issuer.",
            ("result", "jwt_issuer_hash", "apiserver_id_hash"),
            registry=registry,
        )
        self._keys = Gauge(
            _JWT("jwks_fetch_last_key_set_info"),
            "Information about the last JWKS fetched by the JWT authenticator with hash as label, split by"
            " api server identity and jwt issuer.",
            ("jwt_issuer_hash", "apiserver_id_hash", "hash"),
            registry=registry,
        )
        self._reloads = Counter(
            _CONFIG("automatic_reloads"),
            "Total number of automatic reloads of authentication configuration split by status and apiserver"
            " identity.",
            ("status", "apiserver_id_hash"),
            registry=registry,
        )
        self._reloaded = Gauge(
            _CONFIG("automatic_reload_last_timestamp_seconds"),
            "Timestamp of the last automatic reload of authentication configuration split by status and"
            " apiserver identity.",
            ("status", "apiserver_id_hash"),
            registry=registry,
        )
        self._in_effect = Gauge(
            _CONFIG("last_config_info"),
            "Information about the last applied authentication configuration with hash as label, split by"
            " apiserver identity.",
            ("apiserver_id_hash", "hash"),
            registry=registry,
        )

    def authenticated(self, issuer: str, *, ok: bool, seconds: float) -> None:
        self._latency.labels("success" if ok else "failure", hashed(issuer)).observe(seconds)

    def fetched_keys(self, issuer: str, now: float, body: bytes | None) -> None:
        """`body`: the key set, None where it could not be had."""
        issuer = hashed(issuer)
        self._fetched.labels("failure" if body is None else "success", issuer, self._server).set(now)
        if body is not None:
            self._forget_keys(issuer)
            self._keys.labels(issuer, self._server, hashed(body)).set(1)

    def forget(self, issuer: str) -> None:
        """The issuer is no longer in effect."""
        issuer = hashed(issuer)
        self._forget_keys(issuer)
        self._fetched.remove_by_labels({"jwt_issuer_hash": issuer})

    def _forget_keys(self, issuer: str) -> None:
        self._keys.remove_by_labels({"jwt_issuer_hash": issuer})

    def in_effect(self, data: bytes) -> None:
        self._in_effect.clear()
        self._in_effect.labels(self._server, hashed(data)).set(1)

    def reloaded(self, now: float, *, ok: bool) -> None:
        status = "success" if ok else "failure"
        self._reloads.labels(status, self._server).inc()
        self._reloaded.labels(status, self._server).set(now)


def hashed(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return f"sha256:{sha256(data).hexdigest()}"

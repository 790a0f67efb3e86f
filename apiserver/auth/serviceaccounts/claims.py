"""What a bound service account token says.

{"aud": […], "exp": …, "iat": …, "iss": …, "jti": …, "nbf": …, "sub": "system:serviceaccount:NS:NAME",
 "kubernetes.io": {"namespace": …, "serviceaccount": {"name": …, "uid": …},
                   "pod"|"secret"|"node": …, "warnafter": …}}
"""

from __future__ import annotations

import msgspec


class Reference(msgspec.Struct, frozen=True):
    name: str = ""
    uid: str = ""


class Bound(msgspec.Struct, frozen=True):
    """The private part."""

    namespace: str = ""
    serviceaccount: Reference = Reference()
    pod: Reference | None = None
    secret: Reference | None = None
    node: Reference | None = None
    warnafter: float | None = None


class Claims(msgspec.Struct, frozen=True):
    iss: str = ""
    sub: str = ""
    aud: str | list[str] = []
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None
    jti: str = ""
    bound: Bound | None = msgspec.field(default=None, name="kubernetes.io")
    legacy_name: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/service-account.name")
    legacy_uid: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/service-account.uid")
    legacy_secret: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/secret.name")
    legacy_namespace: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/namespace")

    @property
    def audiences(self) -> tuple[str, ...]:
        return (self.aud,) if isinstance(self.aud, str) else tuple(self.aud)

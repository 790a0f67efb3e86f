"""The token subresource of ServiceAccounts: a TokenRequest in, a signed token out. Nothing is stored.

Tokens can be bound to a Pod, Secret or Node, and die with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

from starlette.responses import Response

from kplane.api.clock import Clock, Entropy, rfc3339
from kplane.api.errors import BadRequest, conflict, invalid
from kplane.api.field import FieldError, Path
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo, Scheme
from kplane.runtime.tokenkeys import SigningKey, sign

from ..auth.serviceaccounts.issuing import Wish, bound_claims, lifetime
from ..auth.serviceaccounts.settings import MAX_EXPIRATION, ServiceAccountSettings
from ..registry.registry import Registries
from ..storage import codec
from .call import Call
from .decoding import dry_run, read_object
from .output import object_response
from .resources import author_of, options_of

DEFAULT_EXPIRATION = 3600
SHORTEST = 600

TOKEN_REQUEST = ResourceInfo(
    group="authentication.k8s.io",
    version="v1",
    plural="tokenrequests",
    singular="tokenrequest",
    kind="TokenRequest",
    namespaced=True,
    definition="io.k8s.api.authentication.v1.TokenRequest",
)
ISSUED = "authentication.kubernetes.io/issued-credential-id"
"""Audit annotation: which token was issued; never the token."""
_WEBHOOKS = ("admissionregistration.k8s.io", "v1")
_WEBHOOK_KINDS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_ATTESTED = "admissionReviewAPIGroups"
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class TokenRequests:
    """Answers POST of `serviceaccounts/NAME/token`."""

    def __init__(
        self,
        scheme: Scheme,
        registries: Registries,
        settings: ServiceAccountSettings,
        key: SigningKey,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._registries = registries
        self._rows = {plural: scheme.rows["", "v1", plural] for plural in _BINDABLE.values()}
        self._accounts = registries.of(scheme.rows["", "v1", "serviceaccounts"])
        self._settings = settings
        self._key = key
        self._clock = clock
        self._entropy = entropy

    async def __call__(self, call: Call, row: ResourceInfo) -> Response:
        request = await read_object(call, TOKEN_REQUEST, "CreateOptions")
        key = Key(call.info.namespace, call.info.name)
        _default(request)
        account = await self._read("serviceaccounts", key)
        now = self._clock.now()

        def complete(request: Object) -> None:
            _check_names(request, key)
            _check_account(request, account)
            self._complete(request, account, rfc3339(now))
            if faults := list(_faults(request["spec"])):
                raise invalid("TokenRequest", TOKEN_REQUEST.group, "", faults)

        author = replace(author_of(call, dry_run(call, "CreateOptions")), options=options_of(call))
        await self._accounts.admit("token", TOKEN_REQUEST, request, key, author, complete=complete)
        bound = await self._bound(request["spec"].get("boundObjectRef"), key)
        wish = self._limited(call, request["spec"])
        claims = bound_claims(
            account,
            bound,
            wish.audiences,
            lifetime(wish, self._settings, for_pod="pod" in bound),
            issuer=self._settings.issuers[0],
            now=now,
            token_id=self._entropy.uid(),
        )
        call.annotate(ISSUED, f"JTI={claims['jti']}")
        request["status"] = {
            "token": sign(claims, self._key),
            "expirationTimestamp": rfc3339(now + timedelta(seconds=wish.seconds)),
        }
        return object_response(call, request, 201)

    def _complete(self, request: Object, account: Object, now: str) -> None:
        meta, spec = request["metadata"], request["spec"]
        meta |= {name: account["metadata"][name] for name in ("name", "namespace", "uid")}
        meta["creationTimestamp"] = now
        if not spec.get("audiences"):
            spec["audiences"] = list(self._settings.audiences)
        request.pop("status", None)

    def _limited(self, call: Call, spec: Object) -> Wish:
        seconds, most = spec["expirationSeconds"], int(self._settings.max_token_expiration)
        if most and seconds > most:
            call.warn(f"requested expiration of {seconds} seconds shortened to {most} seconds")
            seconds = spec["expirationSeconds"] = most
        return Wish(tuple(spec["audiences"]), seconds)

    async def _bound(self, reference: Object | None, key: Key) -> Mapping[str, Object]:
        """By kind in lower case what the token is bound to; a Pod brings its node along."""
        if not reference:
            return {}
        kind, version = reference.get("kind", ""), reference.get("apiVersion", "")
        group, _, version = version.rpartition("/")
        if group or kind not in _BINDABLE:
            told = f"cannot bind token to object of type {group}/{version}, Kind={kind}"
            if (group, version) == _WEBHOOKS and kind in _WEBHOOK_KINDS:
                told += " (feature gate APIServerWebhookAuthenticationToken is disabled)"
            raise BadRequest(told)
        namespace = "" if kind == "Node" else key.namespace
        found = await self._read(_BINDABLE[kind], Key(namespace, reference.get("name", "")))
        _check_uid(reference, found)
        if kind != "Pod":
            return {kind.lower(): found}
        if found["spec"].get("serviceAccountName", "") != key.name:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{key.name}" to pod running with different '
                "serviceaccount name."
            )
        return {"pod": found, **await self._node_of(found)}

    async def _node_of(self, pod: Object) -> Mapping[str, Object]:
        name = pod["spec"].get("nodeName")
        if not name:
            return {}
        item = await self._registries.of(self._rows["nodes"]).cache.get("", name)
        # A node that has no object yet is known by its name alone.
        return {"node": codec.decode(item.wire) if item else {"metadata": {"name": name}}}

    async def _read(self, plural: str, key: Key) -> Object:
        registry = self._accounts if plural == "serviceaccounts" else self._registries.of(self._rows[plural])
        item = await registry.cache.get(*key)
        if item is None:
            raise registry.missing(key.name)
        return codec.decode(item.wire)


def _default(request: Object) -> None:
    spec = request.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = DEFAULT_EXPIRATION
    spec.setdefault("boundObjectRef", None)


def _check_names(request: Object, key: Key) -> None:
    for name, wanted, what in (
        ("name", key.name, "must match the service account name if specified"),
        ("namespace", key.namespace, "must match the service account namespace if specified"),
    ):
        given = request["metadata"].get(name)
        if given and given != wanted:
            fault = Path("metadata").child(name).invalid(given, what)
            raise invalid("TokenRequest", TOKEN_REQUEST.group, key.name, [fault])


def _check_account(request: Object, account: Object) -> None:
    """That it is the account that is meant, and none that was made under its name since. Raises Conflict."""
    uid, meta = request["metadata"].get("uid"), account["metadata"]
    if uid and uid != meta["uid"]:
        told = f"({uid}) does not match the UID of the service account ({meta['uid']})"
        why = f"the UID in the token request {told}"
        raise conflict("TokenRequest", TOKEN_REQUEST.group, meta["name"], why)


def _check_uid(reference: Object, found: Object) -> None:
    uid = reference.get("uid")
    if uid and uid != found["metadata"]["uid"]:
        raise conflict(
            reference["kind"],
            "",
            reference.get("name", ""),
            f"the UID in the bound object reference ({uid}) does not match the UID in record. The object"
            " might have been deleted and then recreated",
        )


def _faults(spec: Object) -> Iterator[FieldError]:
    path, seconds = Path("spec").expirationSeconds, spec["expirationSeconds"]
    if seconds < SHORTEST:
        yield path.invalid(seconds, "may not specify a duration less than 10 minutes")
    if seconds > MAX_EXPIRATION:
        yield path.invalid(seconds, "may not specify a duration larger than 2^32 seconds")
    yield from _attestation_faults(spec, Path("spec").attestations)


def _attestation_faults(spec: Object, path: Path) -> Iterator[FieldError]:
    """Only tokens for webhooks, which are not given yet, say what they may be used for."""
    said, bound = spec.get("attestations") or {}, spec.get("boundObjectRef") or {}
    if bound.get("kind") not in _WEBHOOK_KINDS:
        if said:
            yield path.invalid(
                said, "attestations may only be specified with a webhook bound object reference"
            )
    elif len(said) != 1:
        text = f"webhook bound requests require exactly one {_ATTESTED} attestation"
        yield path.invalid(said or None, text)
    elif _ATTESTED not in said:
        [key] = said
        yield path[key].not_supported(key, (_ATTESTED,))
    elif len(said[_ATTESTED]) != 1:
        yield path[_ATTESTED].invalid(said[_ATTESTED], "must specify a single value")

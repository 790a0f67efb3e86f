"""Roles within the system's own namespaces, and who holds them."""

from __future__ import annotations

from kplane.api.resource import Object

from .writing import EVENTS, READ, account, binding, role, rule, user

_SYSTEM, _PUBLIC = "kube-system", "kube-public"
_READER = "extension-apiserver-authentication-reader"
_MANAGER, _SCHEDULER = "kube-controller-manager", "kube-scheduler"
_SIGNER, _CLOUD, _CLEANER = (
    f"system:controller:{name}" for name in ("bootstrap-signer", "cloud-provider", "token-cleaner")
)
_LOCKING = "system::leader-locking-"

NAMESPACE_ROLES: tuple[Object, ...] = (
    role(_SYSTEM, _READER, rule(READ, "core", "configmaps", "extension-apiserver-authentication")),
    role(_SYSTEM, _SIGNER, rule(READ, "core", "secrets")),
    role(_SYSTEM, _CLOUD, rule("create get list watch", "core", "configmaps")),
    role(_SYSTEM, _CLEANER, rule("get list watch delete", "core", "secrets"), EVENTS),
    *(
        role(
            _SYSTEM,
            f"{_LOCKING}{component}",
            rule("watch", "core", "configmaps"),
            rule("get update", "core", "configmaps", component),
        )
        for component in (_MANAGER, _SCHEDULER)
    ),
    role(
        _PUBLIC,
        _SIGNER,
        rule(READ, "core", "configmaps"),
        rule("update", "core", "configmaps", "cluster-info"),
        EVENTS,
    ),
)

NAMESPACE_BINDINGS: tuple[Object, ...] = (
    binding(
        _SYSTEM, f"system::{_READER}", user(f"system:{_MANAGER}"), user(f"system:{_SCHEDULER}"), role=_READER
    ),
    *(
        binding(_SYSTEM, f"{_LOCKING}{name}", user(f"system:{name}"), account(name))
        for name in (_MANAGER, _SCHEDULER)
    ),
    binding(_SYSTEM, _SIGNER, account("bootstrap-signer")),
    binding(_SYSTEM, _CLOUD, account("cloud-provider")),
    binding(_SYSTEM, _CLEANER, account("token-cleaner")),
    binding(_PUBLIC, _SIGNER, account("bootstrap-signer")),
)

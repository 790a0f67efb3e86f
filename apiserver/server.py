"""The API server as an object: settings in, ASGI application out.

    async with ApiServer(config) as server:
        server.app

It owns the store, the watch caches and the work beside the requests; `main.py` puts the application behind
a socket, tests call it in-process.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from kplane.api.clock import Clock, Entropy, SystemClock
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo, builtin
from kplane.runtime.health import Check, Unhealthy, ok
from kplane.runtime.process import Fatal
from kplane.runtime.tokenkeys import VerifyingKey, load_signing, load_verifying

from .admission.assembly import Admission
from .admission.assembly import Surroundings as AdmissionSurroundings
from .admission.chain import Chain
from .aggregation.assembly import Aggregation
from .aggregation.assembly import Surroundings as AggregationSurroundings
from .audit.assembly import build_auditor
from .auth.assembly import Authentication, server_identity
from .auth.assembly import Surroundings as AuthenticationSurroundings
from .auth.assembly import build as build_authentication
from .auth.authorization import ALWAYS_ALLOW, Configured, Makers
from .auth.authorization import RBAC as RBAC_MODE
from .auth.authorizationmetrics import AttemptMetrics, AuthorizationMetrics
from .auth.authorizer import Authorizer
from .auth.impersonation import Impersonation
from .auth.impersonationmetrics import ImpersonationMetrics
from .auth.nodeauthorizer.authorizer import NodeAuthorizer
from .auth.nodeauthorizer.graph import Graph
from .auth.rbac.authorizer import RBAC
from .auth.rbac.bootstrap.reconcile import ensure_policy
from .auth.rbac.index import PolicyIndex
from .auth.settings import RequestHeaderSettings
from .bootstrap import SELF, Bootstrap
from .config import ApiServerConfig
from .endpoints import ServerEndpoints, advertised_address
from .extensions.conversion import Surroundings as ConversionSurroundings
from .extensions.conversion import converter_for
from .extensions.loop import Extensions
from .extensions.metrics import ConversionMetrics
from .flowcontrol.assembly import FlowParts
from .flowcontrol.seats import Stored
from .http.app import build_app
from .http.boundary import Boundary
from .http.componentstatuses import ComponentStatuses
from .http.connects import admitted, creating
from .http.eviction import Evictions
from .http.issuerinfo import issuer_routes
from .http.metrics import RequestMetrics
from .http.pods import PodActions
from .http.requestinfo import RequestInfo
from .http.resources import CUSTOM, ResourceApi, StreamHandler, SubresourceHandler
from .http.reviews import Reviews
from .http.scale import ScaleApi
from .http.system import SystemApi
from .http.tokens import TokenRequests
from .legacytracking import LegacyTracking
from .nodes.connection import NodeConnections
from .nodes.routes import stream_handlers
from .proxying.forward import ReverseProxy
from .proxying.routes import proxy_handlers
from .reads import Reads
from .registry.assembly import ServiceParts
from .registry.devices.adminaccess import AdminAccess
from .registry.generic import Registry
from .registry.registry import Registries
from .registry.writing import Backing
from .storage.background import Background
from .storage.compaction import Compactor
from .storage.hub import Hub
from .storage.metrics import CacheMetrics, MeasuredStore, locator
from .storage.opening import open_store
from .storage.store import Store, StoreError
from .webhooks.client import WebhookClient
from .webhooks.services import ServiceResolver


class ApiServer:
    """One server. `app` is there once it is entered."""

    app: FastAPI

    def __init__(
        self, config: ApiServerConfig, clock: Clock | None = None, entropy: Entropy | None = None
    ) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._entropy = entropy or Entropy()
        self._scheme = builtin()
        self._metrics = CollectorRegistry()
        opened = open_store(config, self._clock)
        self._store: Store = MeasuredStore(opened, locator(self._rows), self._clock, self._metrics)
        self._hub = Hub(self._store, self._clock)
        CacheMetrics(self._hub, self._rows, self._metrics)
        self._background = Background()
        self._services = ServiceParts(
            self._store,
            self._registry,
            config.service_cluster_ip_ranges,
            config.service_node_port_range,
            self._clock,
            self._entropy,
        )
        self._reads = Reads(self._registry)
        self._resolve = ServiceResolver(self._reads.service, self._reads.slices, self._entropy)
        self._webhooks = WebhookClient(self._resolve)
        self._policy = PolicyIndex(lambda *path: self._registry(*path).cache)
        self._auditor = build_auditor(config.audit, self._clock, self._entropy, self._metrics)
        makers = Makers(
            node=lambda: NodeAuthorizer(Graph(lambda *path: self._registry(*path).cache)),
            rbac=lambda: RBAC(self._policy),
        )
        self._authorizer = Configured(
            config.authorization,
            makers,
            self._clock,
            self._entropy,
            AuthorizationMetrics(self._metrics, server_identity(socket.gethostname())),
        )
        self._admission = self._make_admission()
        self._registries = self._make_registries()
        self._nodes = NodeConnections(config, self._reads.wire)
        self._proxy = ReverseProxy()
        self._aggregation = self._make_aggregation()
        self._flows = FlowParts(config, self._clock, self._registry, self._stored, self._metrics)
        self._endpoints = ServerEndpoints(
            self._store,
            self._registry,
            self._clock,
            advertised_address(config),
            alone=config.storage_dir is not None,
        )
        self._advertised_port = 0

    async def __aenter__(self) -> Self:
        """Raises Fatal where the store cannot be opened."""
        self.app = self._build()
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await self._prepare()
            await self._follow_definitions()
            self._stack = stack.pop_all()
        return self

    async def _open(self, stack: AsyncExitStack) -> None:
        """What must be closed again, in the reverse of the order in which its users end."""
        try:
            await self._store.open()
        except StoreError as error:
            raise Fatal(str(error)) from error
        stack.push_async_callback(self._store.close)
        if self._auditor is not None:
            await self._auditor.open()
            stack.push_async_callback(self._auditor.close)
        # What runs in the background asks aggregated servers until it is cancelled.
        stack.push_async_callback(self._aggregation.connections.close)
        # Work in the background writes, and so calls webhooks, until it ends.
        stack.push_async_callback(self._webhooks.close)
        stack.push_async_callback(self._admission.close)
        stack.push_async_callback(self._authorizer.close)
        stack.push_async_callback(self._authentication.close)
        await self._background.open()
        stack.push_async_callback(self._background.close)
        self._authentication.start(self._background)
        stack.push_async_callback(self._nodes.close)
        stack.push_async_callback(self._proxy.close)
        self._background.start(self._hub.run())
        self._background.start(Compactor(self._store, self._clock).run())

    async def _prepare(self) -> None:
        """The objects that every cluster has, and the work that keeps them right."""
        repair = self._services.repair(SELF)
        bootstrap = Bootstrap(self._registry, repair, self._services.ranges, self._clock)
        await bootstrap.run(self._config.secure_port)
        if self._config.authentication.service_accounts.verifying_files:
            tracking = LegacyTracking(self._registry, self._clock)
            await tracking.once()
            self._background.start(tracking.run())
        self._background.start(repair.run())
        self._background.start(bootstrap.run_flows())
        await self._flows.start()
        self._background.start(self._flows.run())
        if RBAC_MODE in self._authorizer.types:
            await ensure_policy(self._registry, SELF)

    async def _follow_definitions(self) -> None:
        """Custom resources and aggregated servers: as many as are defined now, then as they come."""
        definitions = self._registry("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        extensions = Extensions(self._scheme, self._registries, definitions, self._clock)
        await extensions.start()
        await self._aggregation.start()
        self._background.start(extensions.run())

    @property
    def admission(self) -> Chain:
        """The admission plug-ins that run, for those who want to look at them."""
        return self._admission.chain

    @property
    def authentication(self) -> Authentication:
        """Who finds out who asks."""
        return self._authentication

    @property
    def authorizer(self) -> Authorizer:
        """Who decides about requests."""
        return self._authorizer

    def advertise(self, port: int) -> None:
        """Announce that this server can be reached at that port, until it closes."""
        self._advertised_port = port
        self._background.start(self._endpoints.run(port))

    async def failure(self) -> None:
        """Wait until the work beside the requests fails, and raise why. A server whose caches no longer
        follow the store must not go on answering from them."""
        await self._background.failure()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._advertised_port:
            await self._endpoints.withdraw(self._advertised_port)
        await self._stack.aclose()

    def _rows(self) -> Iterable[ResourceInfo]:
        return self._scheme.rows.values()

    def _make_admission(self) -> Admission:
        return Admission(
            AdmissionSurroundings(
                config=self._config,
                scheme=self._scheme,
                hub=self._hub,
                registry=lambda row: self._registries.of(row),
                reads=self._reads,
                webhooks=self._webhooks,
                policy=self._policy,
                authorizer=self._authorizer,
                clock=self._clock,
                entropy=self._entropy,
                metrics=self._metrics,
            )
        )

    def _make_registries(self) -> Registries:
        backing = Backing(self._store, self._admission.chain, self._clock, self._entropy)
        counted = ConversionMetrics(self._metrics)
        conversion = ConversionSurroundings(self._webhooks, self._entropy, self._clock, counted)
        return Registries(
            self._hub,
            backing,
            claims={
                ("", "services"): self._services.claims,
                ("resource.k8s.io", "resourceclaims"): AdminAccess(self._reads.namespace),
                ("resource.k8s.io", "resourceclaimtemplates"): AdminAccess(
                    self._reads.namespace, template=True
                ),
            },
            ttls=dict.fromkeys([("", "events"), ("events.k8s.io", "events")], self._config.event_ttl),
            converter=lambda row: converter_for(row, conversion),
        )

    def _make_aggregation(self) -> Aggregation:
        surroundings = AggregationSurroundings(
            scheme=self._scheme,
            registry=self._registry,
            config=self._config,
            clock=self._clock,
            background=self._background,
            proxy=self._proxy,
            resolve=self._resolve,
            service=self._reads.service,
            slices=self._reads.slices,
            metrics=self._metrics,
        )
        return Aggregation(surroundings)

    def _build(self) -> FastAPI:
        keys = load_verifying(self._config.authentication.service_accounts.verifying_files)
        self._authentication = self._make_authentication(keys)
        others = [*self._system().routes(), *self._issuer_routes(keys), *self._flows.routes]
        return build_app(self._resources(), others, self._boundary(), self._aggregation.middleware())

    def _make_authentication(self, keys: Sequence[VerifyingKey]) -> Authentication:
        config = self._config
        return build_authentication(
            config.authentication,
            AuthenticationSurroundings(
                keys,
                self._reads.credential,
                self._amend_secret,
                self._clock,
                self._entropy,
                self._metrics,
            ),
            request_header=RequestHeaderSettings(
                client_ca_file=config.requestheader_client_ca_file,
                allowed_names=config.requestheader_allowed_names,
                username_headers=config.requestheader_username_headers,
                uid_headers=config.requestheader_uid_headers,
                group_headers=config.requestheader_group_headers,
                extra_headers_prefix=config.requestheader_extra_headers_prefix,
            ),
            client_ca_file=config.client_ca_file,
            token_auth_file=config.token_auth_file,
        )

    def _resources(self) -> ResourceApi:
        audiences = self._config.authentication.service_accounts.audiences
        reviews = Reviews(self._authentication.authenticator, self._authorizer, audiences)
        return ResourceApi(
            self._scheme,
            self._registries,
            clock=self._clock,
            entropy=self._entropy,
            handlers=self._handlers(reviews),
            streams=admitted(
                creating(self._stream_handlers(), self._authorizer), self._scheme.rows, self._admission.chain
            ),
        )

    @property
    def _address(self) -> str:
        """Where clients are told to find this server."""
        return f"{advertised_address(self._config)}:{self._config.secure_port}"

    def _system(self) -> SystemApi:
        return SystemApi(
            self._scheme,
            self._aggregation.discovery(self._address),
            self._aggregation.openapi(),
            self._checks(),
            self._metrics,
        )

    def _issuer_routes(self, keys: Sequence[VerifyingKey]) -> Sequence[BaseRoute]:
        accounts = self._config.authentication.service_accounts
        issuer = accounts.issuers[0] if accounts.issuers else ""
        return issuer_routes(issuer, accounts.jwks_uri, self._address, keys)

    def _boundary(self) -> Middleware:
        return Middleware(
            Boundary,
            scheme=self._scheme,
            authenticator=self._authentication.authenticator,
            authorizer=self._authorizer,
            impersonation=Impersonation(self._authorizer, ImpersonationMetrics(self._metrics), self._clock),
            attempts=AttemptMetrics(self._metrics),
            metrics=RequestMetrics(self._metrics),
            clock=self._clock,
            entropy=self._entropy,
            gate=self._flows.gate,
            timeout=self._config.request_timeout,
            refuses_strangers=self._authorizer.types == (ALWAYS_ALLOW,),
            auditor=self._auditor,
        )

    def _handlers(self, reviews: Reviews) -> dict[tuple[str, str, str], SubresourceHandler]:
        pods = PodActions(self._scheme, self._registries, self._clock)
        scale = ScaleApi(self._registries)
        handlers: dict[tuple[str, str, str], SubresourceHandler] = {
            ("", "bindings", ""): pods.bind,
            ("", "componentstatuses", ""): ComponentStatuses("etcd-0", self._check_store, self._clock),
            ("", "pods", "binding"): pods.bind,
            (CUSTOM, "", "scale"): scale,
            ("", "pods", "eviction"): Evictions(self._scheme, self._registries, self._clock),
        }
        accounts = self._config.authentication.service_accounts
        if accounts.signing_key_file is not None:
            key = load_signing(accounts.signing_key_file)
            handlers["", "serviceaccounts", "token"] = TokenRequests(
                self._scheme, self._registries, accounts, key, self._clock, self._entropy
            )
        for row in self._scheme.rows.values():
            if row.plural in reviews.resources() and not row.storage_prefix:
                handlers[row.group, row.plural, ""] = reviews
            if row.subresource("scale"):
                handlers[row.group, row.plural, "scale"] = scale
        return handlers

    def _stream_handlers(self) -> dict[tuple[str, str, str], StreamHandler]:
        return {
            **stream_handlers(self._nodes, self._proxy),
            **proxy_handlers(self._proxy, self._reads.object, self._entropy),
        }

    def _checks(self) -> dict[str, dict[str, Check]]:
        store = "etcd" if self._config.etcd_servers else "storage"
        live: dict[str, Check] = {"ping": ok}
        ready: dict[str, Check] = {"ping": ok, store: self._check_store}
        return {"livez": live, "readyz": ready, "healthz": ready}

    async def _check_store(self) -> None:
        try:
            await self._store.revision()
        except StoreError as error:
            raise Unhealthy(str(error)) from error

    def _registry(self, group: str, version: str, plural: str) -> Registry:
        row = self._scheme.by_path(group, version, plural)
        assert row is not None, f"no resource {plural} in {group}/{version}"
        return self._registries.of(row)

    def _stored(self, info: RequestInfo) -> Stored | None:
        """What there is of the resource that a request is about, as far as that is known here."""
        row = self._scheme.by_path(info.group, info.version, info.resource)
        cache = self._hub.caches().get(row.storage_prefix) if row else None
        return Stored(cache.size, cache.average_size) if cache else None

    async def _amend_secret(self, namespace: str, name: str, change: Callable[[Object], Object]) -> object:
        return await self._registry("", "v1", "secrets").amend(Key(namespace, name), change, SELF)

"""Puts the aggregator together: one object that the server makes, starts and closes."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from kplane.api.clock import Clock
from kplane.api.scheme import Scheme

from ..bootstrap import FindRegistry
from ..config import ApiServerConfig
from ..proxying.forward import ReverseProxy
from ..storage.background import Background
from ..webhooks.services import ReadService, ReadSlices, Resolver
from .authentication import publish, trust_of
from .availability import Availability
from .catalogue import Catalogue
from .connection import ClientCertificate, Connections
from .discovery import MergedDiscovery
from .metrics import AvailabilityMetrics
from .proxy import AggregatedApis
from .registration import Registration
from .remotes import Remote, Remotes
from .schemas import MergedOpenApi


@dataclass(frozen=True)
class Surroundings:
    """What the aggregator needs of the server."""

    scheme: Scheme
    registry: FindRegistry
    config: ApiServerConfig
    clock: Clock
    background: Background
    proxy: ReverseProxy
    resolve: Resolver
    service: ReadService
    slices: ReadSlices
    metrics: CollectorRegistry


class Aggregation:
    """Nothing runs before `start`."""

    def __init__(self, around: Surroundings) -> None:
        """Raises Fatal for certificates that cannot be read."""
        self._around = around
        config = around.config
        certificate = None
        if config.proxy_client_cert_file is not None and config.proxy_client_key_file is not None:
            certificate = ClientCertificate(config.proxy_client_cert_file, config.proxy_client_key_file)
        self._trust = trust_of(config)
        self.connections = Connections(around.resolve, certificate)
        self._catalogue = Catalogue(self.connections)
        services = around.registry("apiregistration.k8s.io", "v1", "apiservices")
        self._remotes = Remotes(services.cache)
        self._registration = Registration(around.scheme, services, around.clock)
        self._availability = Availability(
            services,
            self._remotes,
            self.connections,
            around.background,
            around.clock,
            backends=lambda: (
                around.registry("", "v1", "services").cache,
                around.registry("discovery.k8s.io", "v1", "endpointslices").cache,
            ),
            service=around.service,
            slices=around.slices,
            metrics=AvailabilityMetrics(around.metrics),
            on_look=self._look,
        )

    def middleware(self) -> Middleware:
        """Goes behind the boundary, in front of every route."""
        return Middleware(
            AggregatedApis,
            remotes=self._remotes,
            connections=self.connections,
            proxy=self._around.proxy,
        )

    def discovery(self, server_address: str) -> MergedDiscovery:
        return MergedDiscovery(self._around.scheme, server_address, self._remotes, self._catalogue)

    def openapi(self) -> MergedOpenApi:
        return MergedOpenApi(self._around.scheme, self._remotes, self._catalogue)

    async def start(self) -> None:
        """The store must be open, the namespaces there, and the custom resources in the scheme. What is
        served is registered when this returns."""
        if self._trust:
            await publish(self._around.registry("", "v1", "configmaps"), self._trust)
        await self._registration.start()
        self._around.background.start(self._registration.run())
        self._around.background.start(self._availability.run())

    async def _look(self, remote: Remote, available: bool) -> None:
        await self._catalogue.look(remote, available)
        self._catalogue.keep({known.name: known for known in (await self._remotes.refresh()).values()})

"""The port of a door: its application is served there, over TLS if it has a certificate, beside the other workers."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol

import structlog
from aiohttp import web

from gateway.config import Config
from gateway.errors import GatewayError
from gateway.machine.control import Control
from gateway.machine.ports import listen_socket
from gateway.telemetry.metrics import DoorMetrics
from gateway.web.accepting import Make, accepting
from gateway.web.aiohttp_connection import Take, door_handlers
from gateway.web.answers import ANY_ORIGIN
from gateway.web.connections import Connections
from gateway.web.tls import Certificate, feed_certificate, push_certificate

log = structlog.get_logger()


class Accepting(Protocol):
    """What accepts the connections of a port."""

    def close(self) -> None:
        """Accept nothing more; accepted connections stay open."""


Accept = Callable[
    [Config, int, Connections, Make, ssl.SSLContext | None], AbstractAsyncContextManager[Accepting]
]
"""Accepts the connections of a port within a context, and has each served by what `Make` makes."""


def accept_on_port(
    config: Config, port: int, connections: Connections, make: Make, tls: ssl.SSLContext | None
) -> AbstractAsyncContextManager[Accepting]:
    """Accept on a port of this machine, on which other workers may listen as well."""
    return accepting(listen_socket(config.host, port), connections, make, tls)


@asynccontextmanager
async def serving(
    application: web.Application,
    control: Control,
    connections: Connections,
    metrics: DoorMetrics,
    accept: Accept,
    *,
    take: Take | None = None,
) -> AsyncIterator[Accepting]:
    """Serve an application on the port of the control's door, and the requests that `take` takes without it."""
    config = control.config
    push = control.role == "push"
    port = config.push_port if push else config.feed_port
    certificate = push_certificate(config) if push else feed_certificate(config)
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    tls = certificate.context() if certificate is not None else None
    if certificate is not None and tls is not None:
        _set_expiry_gauge(certificate, control.role, metrics)
        control.renew = partial(_renew, certificate, tls, control.role, metrics)
    try:
        headers = None if push else ANY_ORIGIN
        make = door_handlers(connections, runner.server, answer_headers=headers, take=take)
        async with accept(config, port, connections, make, tls) as listener:
            control.set_port(port)
            yield listener
    finally:
        await runner.cleanup()


def _renew(certificate: Certificate, tls: ssl.SSLContext, door: str, metrics: DoorMetrics) -> None:
    certificate.renew(tls)
    _set_expiry_gauge(certificate, door, metrics)


def _set_expiry_gauge(certificate: Certificate, door: str, metrics: DoorMetrics) -> None:
    """Set when a certificate expires; one whose date cannot be read is served all the same."""
    try:
        metrics.certificate(door, certificate.expires_at())
    except (GatewayError, OSError, ValueError) as error:
        log.warning("certificate expiry not readable", error=str(error))

"""Which client a connection or a request counts for, so that limits apply per client and not per proxy."""

import asyncio

from aiohttp import hdrs, web

from gateway.config import Config
from gateway.web.peers import Proxies, forwarded, forwarded_for, group, is_loopback
from gateway.wire.mirror import USER_AGENT

LOCAL = "local"
"""The client of a request whose connection has no peer address."""
LOCAL_MIRROR = "local mirror"
"""The client of the requests of mirrors on this machine."""


class ClientAddresses:
    """Groups the addresses of clients, behind trusted proxies too; see `peers`."""

    def __init__(self, config: Config) -> None:
        self._proxies = Proxies(config.trusted_proxies)
        self._header = config.proxy_header
        self._ipv6_prefix = config.ipv6_prefix

    def of_connection(self, peer: str | None) -> str | None:
        """Return the client of a connection from `peer`; None for a trusted proxy, which no limit applies to."""
        return None if peer is None or peer in self._proxies else group(peer, self._ipv6_prefix)

    def of_request(self, request: web.BaseRequest) -> str:
        """Return the client of a request."""
        client = self._client_of(request)
        agent = request.headers.get(hdrs.USER_AGENT, "")
        return LOCAL_MIRROR if agent.startswith(USER_AGENT) and is_loopback(client) else client

    def _client_of(self, request: web.BaseRequest) -> str:
        peer = _peer(request.transport) if request.transport is not None else None
        if peer is None:
            return LOCAL
        if peer not in self._proxies:
            return group(peer, self._ipv6_prefix)
        if self._header == "forwarded":
            hops = forwarded(request.forwarded)
        else:
            lines = request.headers.getall("X-Forwarded-For", ())
            hops = [hop for line in lines for hop in forwarded_for(line)]
        return group(self._proxies.client(peer, hops), self._ipv6_prefix)


def _peer(transport: asyncio.BaseTransport) -> str | None:
    peer = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None

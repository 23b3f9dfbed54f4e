"""Which client a request counts for, from its connection and its headers."""

from typing import Any
from unittest import mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.config import Config
from gateway.web.client_address import LOCAL, ClientAddresses

PROXY, CLIENT = "10.0.0.1", "192.0.2.1"


def a_request(peer: Any, *headers: tuple[str, str]) -> web.Request:
    """Return a request from a peer."""
    transport = mock.Mock()
    transport.get_extra_info.side_effect = {"peername": peer}.get
    return make_mocked_request("GET", "/", headers=CIMultiDict(headers), transport=transport)


@pytest.mark.parametrize(
    ("header", "headers", "client"),
    [
        ("x-forwarded-for", (), PROXY),
        ("x-forwarded-for", (("X-Forwarded-For", CLIENT),), CLIENT),
        ("x-forwarded-for", (("X-Forwarded-For", f"198.51.100.7, {CLIENT}:4711"),), CLIENT),
        ("x-forwarded-for", (("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-For", CLIENT)), CLIENT),
        ("x-forwarded-for", (("Forwarded", f"for={CLIENT}"),), PROXY),
        ("forwarded", (("Forwarded", f"for=198.51.100.7, for={CLIENT};proto=https"),), CLIENT),
        ("forwarded", (("Forwarded", 'for="[2001:db8:0:1::2]:4711"'),), "2001:db8:0:1::/64"),
        ("forwarded", (("X-Forwarded-For", CLIENT),), PROXY),
    ],
)
def test_behind_a_trusted_proxy_the_configured_header_counts(
    header: str, headers: tuple[tuple[str, str], ...], client: str
) -> None:
    """Its last hop, in whatever lines it arrives; from another peer no header counts."""
    addresses = ClientAddresses(Config(trusted_proxies=("10.0.0.0/8",), proxy_header=header))
    assert addresses.of_request(a_request((PROXY, 1), *headers)) == client
    assert addresses.of_request(a_request(("198.51.100.9", 1), *headers)) == "198.51.100.9"


def test_connections_of_trusted_proxies_are_not_counted() -> None:
    """Those of other peers count for their address, and those of one IPv6 network for the same client."""
    addresses = ClientAddresses(Config(trusted_proxies=("10.0.0.0/8",)))
    assert addresses.of_connection(PROXY) is None
    assert addresses.of_connection(CLIENT) == CLIENT
    assert addresses.of_connection("2001:db8::1") == addresses.of_connection("2001:db8::2")
    assert addresses.of_connection(None) is None


def test_a_request_without_a_peer_is_local() -> None:
    """As over a Unix socket, or after its connection was lost."""
    addresses = ClientAddresses(Config())
    assert addresses.of_request(a_request("")) == LOCAL
    assert addresses.of_request(a_request(None)) == LOCAL

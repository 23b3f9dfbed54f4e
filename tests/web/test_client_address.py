"""Which client a request counts for, from its connection and its headers."""

from typing import Any
from unittest import mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.config import Config
from gateway.web.answers import Problem
from gateway.web.client_address import LOCAL, LOCAL_MIRROR, ClientAddresses
from gateway.web.stream_limits import LOCAL_MIRROR_READERS, StreamLimits
from gateway.wire.mirror import USER_AGENT

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


@pytest.mark.parametrize("proxies", [(), ("127.0.0.0/8", "::1")])
def test_a_mirror_on_this_machine_is_a_client_of_its_own(proxies: tuple[str, ...]) -> None:
    """Neither one on another machine that claims to be one, nor one behind a proxy on this machine."""
    addresses = ClientAddresses(Config(trusted_proxies=proxies))
    agent = ("User-Agent", f"{USER_AGENT}/1")
    for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert addresses.of_request(a_request((peer, 1), agent)) == LOCAL_MIRROR
        assert addresses.of_request(a_request((peer, 1), ("User-Agent", "curl"))) != LOCAL_MIRROR
        assert addresses.of_request(a_request((peer, 1))) != LOCAL_MIRROR
    assert addresses.of_request(a_request((CLIENT, 1), agent)) == CLIENT
    if proxies:
        forged = ("X-Forwarded-For", f"127.0.0.1, {CLIENT}")
        assert addresses.of_request(a_request(("127.0.0.1", 1), agent, forged)) == CLIENT


def test_a_mirror_on_this_machine_is_admitted_whatever_others_use_up() -> None:
    """A bounded number of its streams; beyond that, it is a reader like any other."""
    limits = StreamLimits(Config(readers_max=1, unshared_per_address=1))
    limits.add_reader(CLIENT)
    for number in range(100):
        limits.allowance.use(f"192.0.2.{number}", 64 << 20)
    with pytest.raises(Problem, match="maximum number of readers"):
        limits.require_reader(CLIENT)
    with pytest.raises(Problem, match="single readers"):
        limits.require_allowance("198.51.100.1")
    limits.require_allowance(LOCAL_MIRROR)
    for _ in range(LOCAL_MIRROR_READERS):
        limits.require_reader(LOCAL_MIRROR)
        limits.add_reader(LOCAL_MIRROR)
    with pytest.raises(Problem, match="maximum number of readers"):
        limits.require_reader(LOCAL_MIRROR)

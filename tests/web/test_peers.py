"""Which client a request counts for, behind any proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.peers import Proxies, forwarded_for, group, without_port

PROXIES = Proxies(["10.0.0.0/8", "::1/128"])
ADDRESSES = st.ip_addresses().map(str)
UNTRUSTED = ADDRESSES.filter(lambda address: address not in PROXIES)


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # not a trusted proxy
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7", "10.1.2.3"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),  # written by an untrusted peer
        ("10.0.0.1", ["203.0.113.9", "unknown"], "10.0.0.1"),
        ("10.0.0.1", ["_hidden"], "10.0.0.1"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_a_trusted_proxy(
    peer: str, hops: list[str], client: str
) -> None:
    """Only what a trusted proxy wrote counts, and it appended the last hop."""
    assert PROXIES.client(peer, hops) == client


@given(UNTRUSTED, st.lists(ADDRESSES))
def test_an_untrusted_peer_cannot_impersonate_another_client(peer: str, hops: list[str]) -> None:
    """With any value of the header."""
    assert PROXIES.client(peer, hops) == peer


@given(UNTRUSTED, st.lists(st.text()))
def test_a_client_behind_a_proxy_cannot_impersonate_another_one(client: str, hops: list[str]) -> None:
    """The proxy appends its address last."""
    assert PROXIES.client("10.0.0.1", [*hops, client]) == client


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_port_is_not_part_of_an_address(node: str, address: str) -> None:
    """In any of the notations of RFC 7239."""
    assert without_port(node) == address
    assert forwarded_for(f"unknown, {node}") == ["unknown", address]


def test_an_ipv6_network_counts_as_one_client() -> None:
    """A customer can choose among 2^64 addresses."""
    assert group("2001:db8:0:7:1::1") == group("2001:db8:0:7:2::2") != group("2001:db8:0:8::1")
    assert group("192.0.2.1") == group("::ffff:192.0.2.1") != group("192.0.2.2")
    assert group("local") == "local"

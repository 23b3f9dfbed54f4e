"""PURE: the client address of a request: the peer's own, or the one that trusted proxies report.

Source: RFC 7239 (Forwarded); X-Forwarded-For as nginx, HAProxy and cloud load balancers write it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

ADDRESSES_MAX = 4096
"""Parsed addresses that are cached: each is needed several times while its connection begins."""
IPV6_PREFIX = 64
"""Bits of an IPv6 address that identify one customer, unless configured otherwise; the customer chooses the rest."""


class Proxies:
    """The trusted proxies. `networks` are theirs. Raises ValueError for a text that is not a network."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[Network] = [ip_network(text) for text in networks]

    def __contains__(self, address: str) -> bool:
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, peer: str, hops: Sequence[str]) -> str:
        """Return the client's address: if `peer` is a trusted proxy, the last of `hops` that is not one.

        `hops` are the addresses that the proxies recorded, the most distant first. Anything in front of an address
        that is not trusted may be forged, so it is ignored, as is anything in front of a hop that is not an address.
        """
        client = peer
        for hop in reversed(hops):
            if client not in self:
                break
            if _address(hop) is None:
                break
            client = hop
        return client


def forwarded(elements: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the addresses of the elements of a Forwarded header, the most distant first, without ports."""
    return [without_port(element.get("for", "")) for element in elements]


def forwarded_for(value: str) -> list[str]:
    """Return the addresses of an X-Forwarded-For header, the most distant first, without ports."""
    return [without_port(part.strip()) for part in value.split(",")]


def without_port(node: str) -> str:
    """Return the address of a node, which may have a port and, for IPv6, brackets (RFC 7239, section 6)."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    if node.count(":") == 1:
        return node.partition(":")[0]
    return node


@lru_cache(ADDRESSES_MAX)
def group(address: str, ipv6_prefix: int = IPV6_PREFIX) -> str:
    """Return what limits count as one client: an IPv4 address, or an IPv6 network of `ipv6_prefix` bits."""
    parsed = _address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, ipv6_prefix), strict=False))
    return str(parsed) if parsed is not None else address


@lru_cache(ADDRESSES_MAX)
def is_loopback(client: str) -> bool:
    """Return whether `group` returned this for an address of this machine itself."""
    try:
        network = ip_network(client)
    except ValueError:
        return False
    return network.is_loopback or ip_address("::1") in network


@lru_cache(ADDRESSES_MAX)
def _address(text: str) -> Address | None:
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed

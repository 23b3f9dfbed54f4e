"""PURE: which proxy the environment names for a URL, chosen as curl does.

`https_proxy` applies to https:// URLs, `http_proxy` to http:// URLs, and `all_proxy` to both; each is also read in
capitals, the name in small letters first, and an empty value means no proxy. `no_proxy` lists the hosts that are
reached directly. Push WebSockets use the proxy of the URL that was given, http:// or https://.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit, urlunsplit

import msgspec

from gateway.characters import printable
from gateway.errors import GatewayError

SCHEMES = ("http", "https")


class BadProxy(GatewayError):
    """A variable of the environment names a proxy that cannot be used."""

    code = "bad_proxy"


class Proxy(msgspec.Struct, frozen=True):
    """A proxy, and the variable that names it."""

    url: str
    """With user name and password, if it has any."""
    variable: str

    def __str__(self) -> str:
        """Return the proxy as shown to people: without user name and password."""
        return f"the proxy {without_user(self.url)} ({self.variable})"


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a URL of a door, or None to connect directly. Raises BadProxy."""
    parts = urlsplit(url)
    variable, value = _first(environ, f"{parts.scheme}_proxy")
    if variable is None:
        variable, value = _first(environ, "all_proxy")
    value = value.strip()
    if variable is None or not value:
        return None
    _, exceptions = _first(environ, "no_proxy")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    if is_direct(parts.hostname or "", port, exceptions):
        return None
    return Proxy(_checked(variable, value), variable)


def is_direct(host: str, port: int, exceptions: str) -> bool:
    """Return whether a host is reached directly according to `no_proxy`, a list separated by commas or spaces.

    `*` is every host; `example.com` and `.example.com` are this domain and everything below it; addresses are given
    alone or as a network, `10.0.0.0/8`. An entry may end in a port, and then applies only to it.
    """
    host = host.lower().rstrip(".")
    for entry in exceptions.replace(",", " ").lower().split():
        if entry == "*" or _matches(host, entry):
            return True
        name, _, number = entry.rpartition(":")
        if number == str(port) and _matches(host, name):
            return True
    return False


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine."""
    return is_loopback_host(urlsplit(url).hostname or "")


def is_loopback_host(host: str) -> bool:
    """Return whether a host is this machine: `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_user(url: str) -> str:
    """Return a URL on one line, without user name and password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return printable(url.rpartition("@")[2])
    return printable(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))


def _first(environ: Mapping[str, str], name: str) -> tuple[str | None, str]:
    for variable in (name, name.upper()):
        if variable in environ:
            return variable, environ[variable]
    return None, ""


def _matches(host: str, entry: str) -> bool:
    entry = entry.removeprefix("[").removesuffix("]")
    try:
        address = ip_address(host)
    except ValueError:
        domain = entry.removeprefix("*").strip(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:
        return False


def _checked(variable: str, value: str) -> str:
    """Return the URL of a proxy; without a scheme it is an http:// proxy."""
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise BadProxy(f"{variable} is not the URL of a proxy; set it to http://host:port") from None
    if not usable:
        raise BadProxy(
            f"{variable} names a proxy with the scheme {printable(parts.scheme)}://, which is not supported;"
            " set it to http://host:port, or list the gateway's host in NO_PROXY"
            if parts.scheme not in SCHEMES
            else f"{variable} is not the URL of a proxy; set it to http://host:port"
        )
    return url

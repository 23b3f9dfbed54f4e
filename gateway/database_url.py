"""PURE: the hosts in a database URL."""

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Host(NamedTuple):
    """A host in a URL: a name, an address or a socket directory; None means asyncpg's default."""

    name: str | None
    port: int | None


def hosts_of(url: str) -> list[Host]:
    """Return the hosts in a URL, in order: `//one:1,[::1]:2/` or `?host=one,/path&port=1,2`.

    Raises ValueError if the URL is malformed.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    named = [_host(each, quoted=True) for each in parts.netloc.rpartition("@")[2].split(",") if each]
    if not named:
        named = [_host(each, quoted=False) for each in query.get("host", "").split(",") if each]
    ports = [int(port) for port in query.get("port", "").split(",") if port]
    if len(ports) == 1:
        ports *= max(1, len(named))
    if not named:
        return [Host(None, None)]
    if ports and len(ports) != len(named):
        raise ValueError(f"{len(ports)} ports for {len(named)} hosts")
    if not ports:
        return named
    return [Host(host.name, host.port or port) for host, port in zip(named, ports, strict=True)]


def _host(text: str, *, quoted: bool) -> Host:
    if text.startswith("/"):
        return Host(text, None)
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    return Host(unquote(name) if quoted else name, int(port) if port else None)

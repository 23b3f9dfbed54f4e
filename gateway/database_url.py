"""PURE: database URLs, read as libpq reads them, and every parameter of libpq: honoured, ignored or refused by name.

The parts are passed on separately, so that no second parser can understand a URL differently. Source: PostgreSQL
documentation, "Connection URIs" and "Parameter Key Words".
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, get_args
from urllib.parse import quote, unquote_to_bytes

import msgspec

HINT = (
    "expected postgresql://user:password@host:port/database; in a user or password, write # as %23, ? as %3F, / as %2F,"
    " @ as %40, : as %3A and % as %25"
)
"""What a URL looks like, for messages; no message quotes a part of a URL that may belong to a password."""

SessionAttrs = Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]
"""Values of `target_session_attrs`."""


class Host(NamedTuple):
    """A host in a URL: a name, an address or a socket directory; None means asyncpg's default."""

    name: str | None
    port: int | None


class DatabaseUrlError(ValueError):
    """A URL that cannot be used; the text contains nothing secret."""


class DatabaseUrl(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a URL, and how its parameters are used."""

    hosts: tuple[Host, ...]
    user: str | None = None
    password: str | None = None
    database: str | None = None
    driver: Mapping[str, str] = {}
    """Parameters that asyncpg reads itself: those of TLS, GSSAPI and the password file."""
    server: Mapping[str, str] = {}
    """Parameters that are sent to the server: `application_name` and `options`."""
    connect_timeout_s: float | None = None
    session_attrs: SessionAttrs | None = None
    shuffle_hosts: bool = False
    """Whether the hosts are tried in random order (`load_balance_hosts=random`)."""
    ignored: tuple[str, ...] = ()
    """Parameters without an effect, each as a sentence."""

    @property
    def dsn(self) -> str:
        """The URL for asyncpg of what is not passed separately."""
        return "postgresql://" + ("?" if self.driver else "") + "&".join(_pairs(self.driver))


def _pairs(parameters: Mapping[str, str]) -> Iterator[str]:
    return (f"{name}={quote(value, safe='')}" for name, value in parameters.items())


_OWN_KEEPALIVES = "the gateway sets its own keepalives"
_IGNORED: Mapping[str, str] = {
    "keepalives_idle": _OWN_KEEPALIVES,
    "keepalives_interval": _OWN_KEEPALIVES,
    "keepalives_count": _OWN_KEEPALIVES,
    "tcp_user_timeout": _OWN_KEEPALIVES,
    "fallback_application_name": "the gateway sets application_name",
}
"""Parameters that are ignored whatever their value is, and why."""
_FIXED: Mapping[str, tuple[tuple[str, ...], str, bool]] = {
    "keepalives": (("1",), _OWN_KEEPALIVES, False),
    "client_encoding": (("utf8", "utf-8", "auto", "unicode"), "the gateway uses UTF-8", True),
    "channel_binding": (("prefer", "disable"), "the gateway does not support channel binding", True),
    "gssencmode": (("prefer", "disable"), "the gateway does not support GSSAPI encryption", True),
    "gssdelegation": (("0",), "the gateway does not delegate credentials", True),
    "replication": (("false", "off", "no", "0"), "the gateway needs an ordinary connection", True),
    "require_auth": (("",), "the gateway cannot choose how it is authenticated; use sslmode=verify-full", True),
    "requirepeer": (("",), "the gateway does not check the server's operating system user", True),
    "sslcertmode": (("allow",), "the gateway presents the certificate in sslcert, if there is one", True),
    "sslcompression": (("0",), "TLS compression is not supported", False),
    "sslsni": (("1",), "the name of the host is always sent", False),
    "min_protocol_version": (("3.0",), "the gateway uses protocol version 3.0", True),
    "max_protocol_version": (("3.0", "3.2", "latest"), "the gateway uses protocol version 3.0", True),
}  # fmt: skip
"""Parameters with the values that describe what the gateway does anyway, the reason why others have no effect, and
whether these are refused (else ignored): a parameter that asks for security is never ignored."""
_REFUSED: Mapping[str, str] = {
    "service": "write host, port, user and dbname in the URL",
    "servicefile": "write host, port, user and dbname in the URL",
    "sslcrldir": "name one file in sslcrl",
    "sslkeylogfile": "TLS secrets are not logged",
    "scram_client_key": "use password or passfile",
    "scram_server_key": "use password or passfile",
    "oauth_issuer": "OAuth is not supported",
    "oauth_client_id": "OAuth is not supported",
    "oauth_client_secret": "OAuth is not supported",
    "oauth_scope": "OAuth is not supported",
}
"""Parameters that are refused whatever their value is, and what to do instead."""
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_DRIVER: Mapping[str, tuple[str, ...]] = {
    "passfile": (),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslcert": (),
    "sslkey": (),
    "sslpassword": (),
    "sslrootcert": (),
    "sslcrl": (),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "krbsrvname": (),
    "gsslib": ("gssapi", "sspi"),
}
"""Parameters that asyncpg reads, and their values if these are fixed."""
_OURS: Mapping[str, tuple[str, ...]] = {
    "host": (),
    "hostaddr": (),
    "port": (),
    "dbname": (),
    "database": (),
    "user": (),
    "password": (),
    "application_name": (),
    "options": (),
    "connect_timeout": (),
    "target_session_attrs": get_args(SessionAttrs),
    "load_balance_hosts": ("disable", "random"),
}
"""Parameters that this module reads, and their values if these are fixed."""
FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
"""Parameters that name a file, which has to exist."""
_WRITABLE = ("any", "read-write", "primary")
"""Values of `target_session_attrs` that a writable host meets."""

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_SCHEME = re.compile(r"postgres(?:ql)?://")


def read_database_url(url: str, *, writes: bool = False) -> DatabaseUrl:
    """Read a URL; `writes`: it has to lead to a writable host. Raises DatabaseUrlError."""
    authority, path, query = _split(url)
    login, _, place = authority.rpartition("@")
    if "@" in login:
        raise DatabaseUrlError(HINT)
    user, colon, password = login.partition(":")
    parameters = _parameters(query, in_doubt="@" in query and not login)
    if "@" in path and not login:
        raise DatabaseUrlError(HINT)
    _check(parameters)
    return DatabaseUrl(
        hosts=_hosts(place, parameters),
        user=_decoded(user) or parameters.get("user") or None,
        password=_decoded(password) if colon and password else parameters.get("password") or None,
        database=_decoded(path) or parameters.get("dbname") or parameters.get("database") or None,
        driver={name: value for name, value in parameters.items() if name in _DRIVER and value},
        server={name: parameters[name] for name in ("application_name", "options") if parameters.get(name)},
        connect_timeout_s=_connect_timeout(parameters),
        session_attrs=_session_attrs(parameters, writes=writes),
        shuffle_hosts=parameters.get("load_balance_hosts") == "random",
        ignored=tuple(_ignored(parameters)),
    )


def _split(url: str) -> tuple[str, str, str]:
    """Return what is between `//` and `/`, the path without its slash, and the query."""
    scheme = _SCHEME.match(url)
    if scheme is None or "#" in url or _UNPRINTABLE.search(url) or _BAD_PERCENT.search(url):
        raise DatabaseUrlError(HINT)
    before, _, query = url[scheme.end() :].partition("?")
    authority, _, path = before.partition("/")
    return authority, path, query


def _parameters(query: str, *, in_doubt: bool) -> dict[str, str]:
    """Return the parameters of a query, the last value of each.

    With `in_doubt`, the query may be the rest of a password that contains `?`, so nothing of it is shown.
    """
    found: dict[str, str] = {}
    for pair in query.split("&") if query else []:
        name, equals, value = pair.partition("=")
        name, value = _decoded(name), _decoded(value)
        if name == "ssl" and value == "true":  # as JDBC writes it, and libpq reads it
            name, value = "sslmode", "require"
        if not equals or not _known(name):
            if in_doubt or not equals or not re.fullmatch(r"\w{1,40}", name):
                raise DatabaseUrlError(HINT)
            raise DatabaseUrlError(f"no such parameter: {name}{_did_you_mean(name)}")
        found[name] = value
    return found


def _known(name: str) -> bool:
    return any(name in table for table in (_OURS, _DRIVER, _FIXED, _IGNORED, _REFUSED))


def _did_you_mean(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), [*_OURS, *_DRIVER, *_FIXED, *_IGNORED], n=1)
    return (
        f"; did you mean {near[0]}?"
        if near
        else " (a setting of the server is written options=-c%20name%3Dvalue)"
    )


def _check(parameters: Mapping[str, str]) -> None:
    """Check names and values that do not depend on each other. Raises DatabaseUrlError."""
    for name, value in parameters.items():
        if name in _REFUSED:
            raise DatabaseUrlError(f"the parameter {name} is not supported: {_REFUSED[name]}")
        values, reason, refused = _FIXED.get(name, ((), "", False))
        if refused and value.lower() not in values:
            raise DatabaseUrlError(f"the parameter {name} can only be {_listed(values)}: {reason}")
        values = _DRIVER.get(name) or _OURS.get(name) or ()
        if values and value and value not in values:
            raise DatabaseUrlError(f"the parameter {name} can only be {_listed(values)}")
    if parameters.get("sslrootcert") == "system":
        raise DatabaseUrlError(
            "the parameter sslrootcert has to name a file, such as /etc/ssl/certs/ca-certificates.crt"
        )


def _listed(values: tuple[str, ...]) -> str:
    return " or ".join(each or "empty" for each in values)


def _ignored(parameters: Mapping[str, str]) -> Iterator[str]:
    for name, value in parameters.items():
        if name in _IGNORED:
            yield f"the parameter {name} is ignored: {_IGNORED[name]}"
        elif name in _FIXED and value.lower() not in _FIXED[name][0]:
            yield f"the parameter {name} is ignored: {_FIXED[name][1]}"


def _connect_timeout(parameters: Mapping[str, str]) -> float | None:
    """Return the limit in seconds; None stands for the gateway's own, as 0 and negative numbers do for no limit."""
    text = parameters.get("connect_timeout") or "0"
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise DatabaseUrlError("the parameter connect_timeout has to be a number of seconds")
    return max(2.0, float(text)) if int(text) > 0 else None  # libpq uses 2 s for 1 s too


def _session_attrs(parameters: Mapping[str, str], *, writes: bool) -> SessionAttrs | None:
    found: SessionAttrs | None = parameters.get("target_session_attrs") or None  # type: ignore[assignment]
    if writes and found is not None and found not in _WRITABLE:
        raise DatabaseUrlError(f"the parameter target_session_attrs can only be {_listed(_WRITABLE)} here")
    return found


def _hosts(place: str, parameters: Mapping[str, str]) -> tuple[Host, ...]:
    named = [_host(each, quoted=True) for each in place.split(",") if each]
    if named and any(parameters.get(name) for name in ("host", "hostaddr")):
        raise DatabaseUrlError("the host is named twice, before the database and as a parameter")
    if not named:
        if parameters.get("host") and parameters.get("hostaddr"):
            raise DatabaseUrlError("the parameters host and hostaddr cannot be combined")
        text = parameters.get("host") or parameters.get("hostaddr") or ""
        named = [_host(each, quoted=False) for each in text.split(",") if each] or [Host(None, None)]
    ports = [_port(text) for text in (parameters.get("port") or "").split(",")]
    if len(ports) not in (1, len(named)):
        raise DatabaseUrlError(f"{len(ports)} ports for {len(named)} hosts")
    if len(ports) == 1:
        ports *= len(named)
    return tuple(Host(host.name, host.port or port) for host, port in zip(named, ports, strict=True))


def _host(text: str, *, quoted: bool) -> Host:
    if text.startswith("/"):
        return Host(text, None)
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        if not bracket or not name or (port and not port.startswith(":")):
            raise DatabaseUrlError(HINT)
        port = port.removeprefix(":")
    elif not quoted and text.count(":") > 1:  # an IPv6 address needs no brackets in a parameter
        name, port = text, ""
    else:
        name, _, port = text.partition(":")
    return Host((_decoded(name) if quoted else name) or None, _port(port))


def _port(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise DatabaseUrlError(HINT)
    return int(text)


def _decoded(text: str) -> str:
    """Decode %-escapes, and nothing else: a plus sign is itself, as in libpq. Raises DatabaseUrlError."""
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise DatabaseUrlError(HINT) from None

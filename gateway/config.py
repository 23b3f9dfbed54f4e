"""Every knob with its unit, its default and its reason; read once, and all mistakes told at once.

What the command line says goes before the environment (`VALGNATT_FEED_PORT`), that before a TOML file (key
`feed_port`, in the file that `--config` or `VALGNATT_CONFIG` names), and that before the default. Only the
value that counts is judged, so in the middle of a night an option can put a wrong file right. An empty
variable is not set; `none` switches off what may be off. Passwords show in no error and no `repr`.

Knows nothing of what the values are used for, and imports nothing slow: `--help` and every worker begin here.
"""

import functools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from msgspec import Meta

from gateway.database_url import hosts_of
from gateway.errors import GatewayError

PREFIX = "VALGNATT_"
OTHER_VARIABLES = frozenset({"VALGNATT_CONFIG", "VALGNATT_TOKEN", "VALGNATT_PUSH_URL", "VALGNATT_FEED_URL"})
"""Names that are no knob of a serving process but have a meaning to a command."""

_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_(TCP|UDP)(_\w+)?=|PORT=(tcp|udp)://)"
)
"""What Kubernetes puts into containers beside a service called `valgnatt`: not the operator's mistake."""


def _default_data_dir() -> Path:
    home = os.path.expanduser("~")  # stays "~" for a user without a home, as containers have them
    return Path("/var/lib/valgnatt" if home == "~" else os.path.join(home, ".local/share/valgnatt"))


def _knob(about: str, unit: str = "", **limits: Any) -> Meta:
    return Meta(description=about, extra={"unit": unit}, **limits)


_Most = Annotated[int, Meta(ge=1)]
_Port = Annotated[int, Meta(ge=0, le=65535)]
_PostgresUrl = Annotated[str, Meta(pattern="^postgres(ql)?://")]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All knobs of a machine, as one value; made by `load`, or directly in a test.

    Port 0 is any free port. A Config is never changed: `msgspec.structs.replace` makes another one.
    """

    host: Annotated[str, _knob("address both doors listen on; this machine only, until told otherwise")] = (
        "127.0.0.1"
    )
    push_port: Annotated[_Port, _knob("where reports are pushed to", "port")] = 8081
    feed_port: Annotated[_Port, _knob("where results are read from", "port")] = 8080
    admin_port: Annotated[
        _Port | None, _knob("health and metrics of the whole machine; `none` for none", "port")
    ] = 8082
    admin_host: Annotated[
        str, _knob("address of the admin port; metrics tell more than the public need know")
    ] = "127.0.0.1"
    role: Annotated[
        Literal["all", "push", "feed"], _knob("which doors this machine has; they share nothing but Postgres")
    ] = "all"
    push_workers: Annotated[
        int, _knob("push processes; one takes far more than a country counts", "processes", ge=1, le=64)
    ] = 1
    feed_workers: Annotated[
        int, _knob("feed processes; one core each for the crowd of readers", "processes", ge=1, le=256)
    ] = 1
    database_url: Annotated[
        _PostgresUrl | None,
        _knob("Postgres; several hosts may be named, the writable one is found; without it an embedded one"),
    ] = None
    feed_database_url: Annotated[
        _PostgresUrl | None,
        _knob("where feeds read the journal, perhaps a replica; without it the same Postgres"),
    ] = None
    database_password_file: Annotated[
        Path | None,
        _knob("file that holds the password for database_url, one line, read once at start", "file"),
    ] = None
    feed_database_password_file: Annotated[
        Path | None, _knob("file that holds the password for feed_database_url, likewise", "file")
    ] = None
    require_standby: Annotated[
        bool,
        _knob(
            "no receipts while Postgres waits for no synchronous standby; without it, receipts then rest on one disk"
        ),
    ] = False
    data_dir: Annotated[
        Path, _knob("where the embedded Postgres lives, and the other commands find it", "directory")
    ] = msgspec.field(default_factory=_default_data_dir)
    drain_s: Annotated[
        float,
        _knob("for answering what is in flight at the end; readers return spread over it", "s", ge=0, le=600),
    ] = 10.0
    pending_max: Annotated[
        int,
        _knob(
            "reports that may wait for Postgres, per push process and election; senders of more are put off",
            "reports",
            ge=1,
            le=1_000_000,
        ),
    ] = 20_000
    batch_max: Annotated[
        int,
        _knob(
            "reports in one commit: more gain little and hold the head lock longer",
            "reports",
            ge=1,
            le=10_000,
        ),
    ] = 500
    credit_max: Annotated[
        int,
        _knob("reports that may be unanswered on the WebSockets of one token", "reports", ge=1, le=10_000),
    ] = 64
    readers_max: Annotated[
        int, _knob("streams of a feed process, at some 11 kB of memory each", "connections", ge=1)
    ] = 20_000
    readers_per_address: Annotated[
        _Most | None,
        _knob(
            "streams of one address, per feed process; behind one there may be a whole company",
            "connections",
        ),
    ] = 2_000
    selections_max: Annotated[
        int,
        _knob(
            "selections with areas or units that a feed process follows at once, some 0.1 ms each at a change",
            "selections",
            ge=1,
        ),
    ] = 4_000
    selections_per_address: Annotated[
        _Most | None,
        _knob(
            "of these, those that one address opened: more than a country has municipalities, for whoever shows each",
            "selections",
        ),
    ] = 500
    unshared_per_address: Annotated[
        _Most | None,
        _knob(
            "what is put together for one address alone, after 16 s of it at once, per feed process; for all together"
            " it is 16 times as much",
            "MiB/s",
        ),
    ] = 4
    connections_max: Annotated[
        int,
        _knob(
            "connections of a process besides streams; beyond it idle ones are closed first, those of senders last",
            "connections",
            ge=1,
        ),
    ] = 10_000
    connections_per_address: Annotated[
        _Most | None,
        _knob(
            "connections of one address, per process, besides streams and from when they are accepted; not of"
            " trusted proxies",
            "connections",
        ),
    ] = 1_000
    ipv6_prefix: Annotated[
        int,
        _knob(
            "bits of an IPv6 address that count as one address; a provider gives a customer 64 or fewer",
            "bits",
            ge=32,
            le=128,
        ),
    ] = 64
    sockets_per_sender: Annotated[
        int, _knob("WebSockets of one token, per push process", "connections", ge=1, le=10_000)
    ] = 16
    requests_per_sender: Annotated[
        int,
        _knob("push requests of one token under way at once, per push process", "requests", ge=1, le=10_000),
    ] = 64
    trusted_proxies: Annotated[
        tuple[str, ...],
        _knob("proxies whose word on a client's address is taken, separated by commas", "networks"),
    ] = ()
    proxy_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        _knob("where trusted proxies write that address; they must not pass on what a client writes there"),
    ] = "x-forwarded-for"
    push_tls_certificate: Annotated[
        Path | None,
        _knob(
            "certificate and chain of the push door, PEM; with it the door speaks TLS; read again on SIGHUP",
            "file",
        ),
    ] = None
    push_tls_key: Annotated[
        Path | None, _knob("its key, PEM, without a password; without it the key is in the same file", "file")
    ] = None
    push_client_ca: Annotated[
        Path | None,
        _knob("authority, PEM, whose certificates senders have to show besides their token", "file"),
    ] = None
    feed_tls_certificate: Annotated[
        Path | None, _knob("certificate and chain of the feed door, PEM; as for the push door", "file")
    ] = None
    feed_tls_key: Annotated[Path | None, _knob("its key, PEM, as for the push door", "file")] = None
    map: Annotated[
        Path | None,
        _knob(
            "GeoJSON of the municipalities, up to 16 MiB, that the results page draws; without it, tiles",
            "file",
        ),
    ] = None
    heartbeat_s: Annotated[
        float,
        _knob(
            "a reader hears something at least so often, as promised; proxies cut silence", "s", gt=0, le=10
        ),
    ] = 10.0
    log_format: Annotated[
        Literal["auto", "json", "console"],
        _knob("shape of the log lines; auto is console on a terminal, else json"),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _knob("the least grave event that is logged")
    ] = "info"

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(knob.name, knob.shown(getattr(self, knob.name))) for knob in knobs()]


Process = Literal["every", "push", "feed", "supervisor"]
"""Which processes use a knob; the supervisor knows all of them."""
_USED_BY: Mapping[str, Process] = {
    **dict.fromkeys(("database_url", "push_port", "pending_max", "batch_max", "credit_max"), "push"),
    **dict.fromkeys(("sockets_per_sender", "requests_per_sender", "require_standby"), "push"),
    **dict.fromkeys(("push_tls_certificate", "push_tls_key", "push_client_ca"), "push"),
    **dict.fromkeys(("feed_database_url", "feed_port", "readers_max", "readers_per_address"), "feed"),
    **dict.fromkeys(("feed_tls_certificate", "feed_tls_key", "map", "heartbeat_s"), "feed"),
    **dict.fromkeys(("database_password_file", "feed_database_password_file", "data_dir"), "supervisor"),
    **dict.fromkeys(("role", "push_workers", "feed_workers", "admin_host", "admin_port"), "supervisor"),
}
"""Knobs that not every process uses. A knob with a secret has to be here."""


class Knob(NamedTuple):
    """What is known about one member of Config."""

    name: str
    type: Any
    default: object
    unit: str
    about: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be, for one that is a choice."""
        kind = get_args(self.type)[0]
        return get_args(kind) if get_origin(kind) is Literal else ()

    @property
    def flag(self) -> bool:
        """Whether it is on or off; `true` or `false` in the environment."""
        return get_args(self.type)[0] is bool

    @property
    def help(self) -> str:
        """Description, unit and default, for `--help` and tables in the documentation."""
        default = f"{self.default:g}" if isinstance(self.default, float) else self.default
        if self.flag:
            default = "on" if default else "off"
        unit = f", in {self.unit}" if self.unit == "s" else ""
        return f"{self.about}{unit} (default: {'none' if default in (None, ()) else default})"

    @property
    def process(self) -> Process:
        """Which processes use it."""
        return _USED_BY.get(self.name, "every")

    @property
    def secret(self) -> bool:
        """Whether a password may be in it."""
        return self.name.endswith("_url")

    def shown(self, value: object) -> object:
        """The value as a `repr` may show it: of a URL only what comes after user and password."""
        if self.secret and isinstance(value, str):
            place = value.rpartition("@")[2] if "@" in value else value.partition("://")[2]
            return f"postgresql://{place.partition('?')[0]}"
        return without_passwords(value) if isinstance(value, str) else value


@functools.cache
def knobs() -> tuple[Knob, ...]:
    """All members of Config, in their order."""
    found = []
    for field in msgspec.structs.fields(Config):
        meta = get_args(field.type)[-1]
        default = field.default_factory() if callable(field.default_factory) else field.default
        found.append(Knob(field.name, field.type, default, meta.extra["unit"], meta.description))
    return tuple(found)


class ConfigError(GatewayError):
    """Every mistake of a configuration, each with the variable, key or option it came from."""

    code = "config"

    def __init__(self, mistakes: Collection[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


_Given = dict[str, tuple[str, object]]
"""Knob → where its value was given, and that value."""


def load(
    environ: Mapping[str, str], file: Path | None = None, overrides: Mapping[str, object] | None = None
) -> Config:
    """Read the configuration; in `overrides` a value of None means "not given".

    Without `file`, the one that `VALGNATT_CONFIG` names. Raises ConfigError with all mistakes.
    """
    mistakes: list[str] = []
    if file is None and (name := environ.get("VALGNATT_CONFIG")):
        file = Path(name)
    given = _from_file(file, mistakes) | _from_environment(environ, mistakes)
    given |= _from_command_line(overrides or {}, mistakes)
    values: dict[str, Any] = {}
    for knob in knobs():
        if knob.name in given:
            origin, value = given[knob.name]
            try:
                values[knob.name] = _converted(knob, value)
            except (msgspec.ValidationError, ValueError) as error:
                mistakes.append(f"{origin}: {_reason(knob, value, error)}")
    counting = {knob.name: values.get(knob.name, knob.default) for knob in knobs()}
    mistakes += _shared_ports(counting, given)
    mistakes += _lone_tls(counting, given)
    _add_passwords(values, given, mistakes)
    _add_password_of_libpq(values, environ)
    if mistakes:
        raise ConfigError(mistakes)
    return Config(**values)


def config_for(config: Config, role: Literal["push", "feed"]) -> Config:
    """Return what a process of one role needs; each knob that it does not use has its default.

    So a push process has no login of the feeds, and a feed no login of the owner. The exception: where the feeds have
    no login of their own, they get the owner's as `feed_database_url`; `serve` and `doctor` warn of that.
    """
    unused = {knob.name: knob.default for knob in knobs() if knob.process not in ("every", role)}
    if role == "feed":
        unused["feed_database_url"] = config.feed_database_url or config.database_url
    return msgspec.structs.replace(config, **unused)


def _from_file(file: Path | None, mistakes: list[str]) -> _Given:
    if file is None:
        return {}
    import tomllib

    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        mistakes.append(f"{file}: {getattr(error, 'strerror', None) or error}")
        return {}
    names = [knob.name for knob in knobs()]
    mistakes += [
        f"{key} in {file}: no such key{_did_you_mean(key, names)}" for key in content if key not in names
    ]
    return {key: (f"{key} in {file}", value) for key, value in content.items() if key in names}


def _from_environment(environ: Mapping[str, str], mistakes: list[str]) -> _Given:
    names = {knob.variable: knob.name for knob in knobs()}
    for name in environ:
        foreign = name in OTHER_VARIABLES or _SERVICE_LINK.match(f"{name}={environ[name]}")
        if name.startswith(PREFIX) and name not in names and not foreign:
            known = [*names, *OTHER_VARIABLES]
            mistakes.append(f"{name}: no such variable{_did_you_mean(name, known, PREFIX)}")
    return {knob: (name, environ[name]) for name, knob in names.items() if environ.get(name)}


def _from_command_line(overrides: Mapping[str, object], mistakes: list[str]) -> _Given:
    options = {knob.name: knob.option for knob in knobs()}
    mistakes += [
        f"{name}: no such option{_did_you_mean(name, options)}" for name in overrides if name not in options
    ]
    return {
        name: (options[name], value)
        for name, value in overrides.items()
        if name in options and value is not None
    }


def _did_you_mean(name: str, names: Collection[str], prefix: str = "") -> str:
    import difflib

    words = [known.removeprefix(prefix) for known in names]
    near = difflib.get_close_matches(name.removeprefix(prefix).replace("-", "_"), words, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _converted(knob: Knob, value: object) -> Any:
    if isinstance(value, str) and value.lower() == "none" and type(None) in get_args(get_args(knob.type)[0]):
        return None
    if knob.unit == "networks":
        return tuple(str(ip_network(text)) for text in _texts(value))
    if knob.secret and isinstance(value, str):
        hosts_of(value)
    return msgspec.convert(value, knob.type, strict=False, dec_hook=decode_path)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [text.strip() for text in value.split(",") if text.strip()]
    return msgspec.convert(value, list[str])


def _reason(knob: Knob, value: object, error: Exception) -> str:
    if knob.secret:
        return "expected postgresql://user:password@host:port/database (in a password, / is written %2F)"
    if knob.choices:
        return f"{without_passwords(repr(value))} is none of {', '.join(knob.choices)}"
    if isinstance(value, str) and value.startswith("tcp://"):
        return f"{error}; this is a link Kubernetes made for a service: set enableServiceLinks to false"
    return f"{error} (it is {without_passwords(repr(value))})"


def _shared_ports(values: Mapping[str, Any], given: _Given) -> Iterator[str]:
    """Two doors of one machine on the same port."""
    doors = [f"{role}_port" for role in ("push", "feed") if values["role"] in ("all", role)] + ["admin_port"]
    taken: dict[int, str] = {}
    for door in doors:
        port = values[door]
        if port and port in taken:
            origin = given.get(door, given.get(taken[port], (door,)))[0]
            yield f"{origin}: {door} and {taken[port]} are both {port}"
        elif port:
            taken[port] = door


def _lone_tls(values: Mapping[str, Any], given: _Given) -> Iterator[str]:
    """A key, or an authority of clients, for a door that has no certificate."""
    for name in ("push_tls_key", "push_client_ca", "feed_tls_key"):
        certificate = f"{name[:4]}_tls_certificate"
        if values[name] is not None and values[certificate] is None:
            yield f"{given[name][0]}: needs {certificate} too"


PASSWORD_MAX = 4096
"""Bytes of a file with a password."""


def _add_passwords(values: dict[str, Any], given: _Given, mistakes: list[str]) -> None:
    """Put the passwords that are in files of their own into their URLs."""
    for name in ("database", "feed_database"):
        file, url = f"{name}_password_file", f"{name}_url"
        if values.get(file) is None:
            continue
        origin = given[file][0]
        if url not in given or values.get(url, "wrong") is None:
            mistakes.append(f"{origin}: needs {url} too")
        elif url in values:
            try:
                values[url] = _with_password(values[url], _read_password(values[file]))
            except (OSError, ValueError) as error:
                mistakes.append(f"{origin}: {values[file]}: {getattr(error, 'strerror', None) or error}")


def _read_password(file: Path) -> str:
    """Return the only line of a file. Raises OSError, or ValueError, whose text quotes nothing of the file."""
    with file.open("rb") as opened:
        content = opened.read(PASSWORD_MAX + 1)
    if len(content) > PASSWORD_MAX:
        raise ValueError(f"longer than {PASSWORD_MAX} bytes")
    try:
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not password:
        raise ValueError("empty")
    if any(mark in password for mark in "\n\r\0"):
        raise ValueError("more than one line")
    return password


def has_password(url: str) -> bool:
    """Whether a URL names a password, before its host or as a parameter."""
    parts = urlsplit(url)
    return ":" in parts.netloc.rpartition("@")[0] or "password" in parse_qs(parts.query)


def _with_password(url: str, password: str) -> str:
    """Return a URL with a password, in whatever way it names its user. Raises ValueError if it has one already."""
    if has_password(url):
        raise ValueError("the URL names a password already")
    url = url.partition("#")[0]
    return f"{url}{'&' if '?' in url else '?'}password={quote(password, safe='')}"


def _add_password_of_libpq(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put PGPASSWORD into the owner's URL, or, where that is not named, into the feeds'.

    Every process of the machine would inherit it otherwise, and use it for every login without a password.
    """
    password = environ.get("PGPASSWORD")
    name = "database_url" if values.get("database_url") is not None else "feed_database_url"
    if password and values.get(name) is not None and not has_password(values[name]):
        values[name] = _with_password(values[name], password)


def decode_path(kind: type, value: object) -> object:
    """For `msgspec`: a path from its text, absolute and with `~` filled in."""
    if kind is Path and isinstance(value, str) and value:
        return Path(os.path.abspath(os.path.expanduser(value)))
    if kind is Path and isinstance(value, Path):
        return value
    raise ValueError("Expected a path")


_PASSWORDS = (
    (re.compile(r"(://[^\s:/?#@]*):\S*@"), r"\1:***@"),  # to the last @: a password may hold another
    (re.compile(r"(?i)\b((?:ssl)?password)=[^&\s'\"]*"), r"\1=***"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{16,}"), r"\1 ***"),
)


def without_passwords(text: str) -> str:
    """The text without the passwords of URLs in it; rather too much is hidden than too little."""
    for pattern, shown in _PASSWORDS:
        text = pattern.sub(shown, text)
    return text

"""Every option with its unit, default and reason; read once, with all mistakes reported together.

An option on the command line takes precedence over the environment (`VALGNATT_FEED_PORT`), which takes precedence over
a TOML file (key `feed_port`, in the file named by `--config` or `VALGNATT_CONFIG`), which takes precedence over the
default. Only the value that takes effect is checked, so an option can override a wrong value in a file. An empty
variable counts as unset; `none` disables whatever can be disabled. Passwords appear in no error and no `repr`.

Knows nothing of what the values are used for, and imports nothing slow: `--help` and every worker begin here.
"""

import functools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin
from urllib.parse import quote

import msgspec
from msgspec import Meta

from gateway.database_url import FILES, HINT, DatabaseUrl, DatabaseUrlError, read_database_url
from gateway.errors import GatewayError
from gateway.secret_files import read_secret

PREFIX = "VALGNATT_"
OTHER_VARIABLES = frozenset({"VALGNATT_CONFIG", "VALGNATT_TOKEN", "VALGNATT_PUSH_URL", "VALGNATT_FEED_URL"})
"""Variables that are not options of a serving process but are read by a command."""

_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_(TCP|UDP)(_\w+)?=|PORT=(tcp|udp)://)"
)
"""Variables that Kubernetes sets in containers next to a service called `valgnatt`; not the operator's mistake."""


def _default_data_dir() -> Path:
    home = os.path.expanduser("~")  # stays "~" for a user without a home, as containers have them
    return Path("/var/lib/valgnatt" if home == "~" else os.path.join(home, ".local/share/valgnatt"))


def _option(description: str, unit: str = "", **limits: Any) -> Meta:
    return Meta(description=description, extra={"unit": unit}, **limits)


_Most = Annotated[int, Meta(ge=1)]
_Port = Annotated[int, Meta(ge=0, le=65535)]
_PostgresUrl = Annotated[str, Meta(pattern="^postgres(ql)?://")]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All options of a machine as one immutable value; made by `load`, or directly in a test.

    Port 0 means any free port. To change an option, make a new Config with `msgspec.structs.replace`.
    """

    host: Annotated[
        str, _option("address on which both doors listen; by default only this machine can connect")
    ] = "127.0.0.1"
    push_port: Annotated[_Port, _option("push door, which takes reports", "port")] = 8081
    feed_port: Annotated[_Port, _option("feed door, which serves results", "port")] = 8080
    admin_port: Annotated[
        _Port | None, _option("health and metrics of the whole machine; `none` disables it", "port")
    ] = 8082
    admin_host: Annotated[
        str, _option("address of the admin port; keep it private, since metrics reveal internals")
    ] = "127.0.0.1"
    role: Annotated[
        Literal["all", "push", "feed"], _option("doors that this machine runs; they share only Postgres")
    ] = "all"
    push_workers: Annotated[
        int,
        _option(
            "push processes; one handles far more reports than a country sends", "processes", ge=1, le=64
        ),
    ] = 1
    feed_workers: Annotated[
        int, _option("feed processes; each uses one core to serve readers", "processes", ge=1, le=256)
    ] = 1
    database_url: Annotated[
        _PostgresUrl | None,
        _option(
            "Postgres; of several hosts the writable one is used; if unset, the embedded Postgres in data_dir"
        ),
    ] = None
    feed_database_url: Annotated[
        _PostgresUrl | None,
        _option("database from which feeds read, for example a replica; if unset, the same Postgres"),
    ] = None
    database_password_file: Annotated[
        Path | None,
        _option("file with the password for database_url, one line, read once at startup", "file"),
    ] = None
    feed_database_password_file: Annotated[
        Path | None,
        _option("file with the password for feed_database_url, one line, read once at startup", "file"),
    ] = None
    require_standby: Annotated[
        bool,
        _option(
            "give no receipts while there is no synchronous standby; if off, receipts may depend on a single disk"
        ),
    ] = False
    data_dir: Annotated[
        Path, _option("directory of the embedded Postgres, where the other commands look for it", "directory")
    ] = msgspec.field(default_factory=_default_data_dir)
    drain_s: Annotated[
        float,
        _option(
            "longest time at shutdown to answer reports in flight and to spread the reconnects of readers",
            "s",
            ge=0,
            le=600,
        ),
    ] = 10.0
    pending_max: Annotated[
        int,
        _option(
            "reports that may wait for Postgres, per push process and election; more are answered with retry",
            "reports",
            ge=1,
            le=1_000_000,
        ),
    ] = 20_000
    batch_max: Annotated[
        int,
        _option(
            "reports in one commit; larger commits gain little and hold the head lock longer",
            "reports",
            ge=1,
            le=10_000,
        ),
    ] = 500
    credit_max: Annotated[
        int,
        _option("unanswered reports on all WebSockets of one token", "reports", ge=1, le=10_000),
    ] = 64
    readers_max: Annotated[
        int, _option("streams per feed process, about 11 kB of memory each", "connections", ge=1)
    ] = 20_000
    readers_per_address: Annotated[
        _Most | None,
        _option(
            "streams per client address and feed process; a whole company may share one address",
            "connections",
        ),
    ] = 2_000
    selections_max: Annotated[
        int,
        _option(
            "distinct selections with areas or units per feed process; each costs about 0.1 ms per change",
            "selections",
            ge=1,
        ),
    ] = 4_000
    selections_per_address: Annotated[
        _Most | None,
        _option(
            "distinct selections per client address; enough for a site that follows every municipality separately",
            "selections",
        ),
    ] = 500
    unshared_per_address: Annotated[
        _Most | None,
        _option(
            "rate at which a feed process builds answers that only one address asks for; bursts of 16 s are allowed;"
            " all addresses together may use 16 times this rate",
            "MiB/s",
        ),
    ] = 4
    connections_max: Annotated[
        int,
        _option(
            "connections per process, not counting streams; above it, idle ones are closed first and senders' last",
            "connections",
            ge=1,
        ),
    ] = 10_000
    connections_per_address: Annotated[
        _Most | None,
        _option(
            "connections per client address and process, not counting streams; trusted proxies are exempt",
            "connections",
        ),
    ] = 1_000
    ipv6_prefix: Annotated[
        int,
        _option(
            "prefix length of an IPv6 client; a provider assigns each customer a /64 or a larger network",
            "bits",
            ge=32,
            le=128,
        ),
    ] = 64
    keepalive_s: Annotated[
        float,
        _option(
            "how long an idle connection is kept open; proxies and load balancers must close theirs earlier",
            "s",
            ge=1,
            le=3600,
        ),
    ] = 75.0
    sockets_per_sender: Annotated[
        int, _option("WebSockets per token and push process", "connections", ge=1, le=10_000)
    ] = 16
    requests_per_sender: Annotated[
        int,
        _option("concurrent push requests per token and push process", "requests", ge=1, le=10_000),
    ] = 64
    trusted_proxies: Annotated[
        tuple[str, ...],
        _option("proxies trusted to report the client's address, separated by commas", "networks"),
    ] = ()
    proxy_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        _option(
            "header in which trusted proxies report that address; they must overwrite what the client sends"
        ),
    ] = "x-forwarded-for"
    push_tls_certificate: Annotated[
        Path | None,
        _option(
            "certificate and chain of the push door, PEM; enables TLS; reloaded on SIGHUP",
            "file",
        ),
    ] = None
    push_tls_key: Annotated[
        Path | None,
        _option(
            "private key of the push door, PEM, unencrypted; if unset, it is read from the certificate file",
            "file",
        ),
    ] = None
    push_client_ca: Annotated[
        Path | None,
        _option(
            "CA certificates, PEM; senders must then present a client certificate besides their token", "file"
        ),
    ] = None
    feed_tls_certificate: Annotated[
        Path | None,
        _option("certificate and chain of the feed door, PEM; enables TLS; reloaded on SIGHUP", "file"),
    ] = None
    feed_tls_key: Annotated[
        Path | None,
        _option(
            "private key of the feed door, PEM, unencrypted; if unset, it is read from the certificate file",
            "file",
        ),
    ] = None
    map: Annotated[
        Path | None,
        _option(
            "GeoJSON of the municipalities, up to 16 MiB, drawn by the results page; if unset, it shows tiles",
            "file",
        ),
    ] = None
    heartbeat_s: Annotated[
        float,
        _option(
            "proxies close silent connections, so a heartbeat is sent after at most this time",
            "s",
            gt=0,
            le=10,
        ),
    ] = 10.0
    log_format: Annotated[
        Literal["auto", "json", "console"],
        _option("format of the log; auto is console on a terminal and json elsewhere"),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _option("lowest level that is logged")
    ] = "info"

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(option.name, option.redacted(getattr(self, option.name))) for option in all_options()]


Process = Literal["every", "push", "feed", "supervisor"]
"""Which processes use an option; the supervisor uses all of them."""
_USED_BY: Mapping[str, Process] = {
    **dict.fromkeys(("database_url", "push_port", "pending_max", "batch_max", "credit_max"), "push"),
    **dict.fromkeys(("sockets_per_sender", "requests_per_sender", "require_standby"), "push"),
    **dict.fromkeys(("push_tls_certificate", "push_tls_key", "push_client_ca"), "push"),
    **dict.fromkeys(("feed_database_url", "feed_port", "readers_max", "readers_per_address"), "feed"),
    **dict.fromkeys(("feed_tls_certificate", "feed_tls_key", "map", "heartbeat_s"), "feed"),
    **dict.fromkeys(("database_password_file", "feed_database_password_file", "data_dir"), "supervisor"),
    **dict.fromkeys(("role", "push_workers", "feed_workers", "admin_host", "admin_port"), "supervisor"),
}
"""Options that not every process uses. An option that may contain a secret must be listed."""


class Option(NamedTuple):
    """One member of Config and what is known about it."""

    name: str
    type: Any
    default: object
    unit: str
    description: str

    @property
    def variable(self) -> str:
        """Its name in the environment, such as `VALGNATT_FEED_PORT`."""
        return PREFIX + self.name.upper()

    @property
    def argument(self) -> str:
        """Its name on the command line, such as `--feed-port`."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an option that is a choice, else none."""
        kind = get_args(self.type)[0]
        return get_args(kind) if get_origin(kind) is Literal else ()

    @property
    def is_boolean(self) -> bool:
        """Whether it is switched on or off; `true` or `false` in the environment."""
        return get_args(self.type)[0] is bool

    @property
    def help(self) -> str:
        """Description, unit and default, for `--help` and tables in the documentation."""
        default = f"{self.default:g}" if isinstance(self.default, float) else self.default
        if self.is_boolean:
            default = "on" if default else "off"
        unit = f", in {self.unit}" if self.unit == "s" else ""
        return f"{self.description}{unit} (default: {'none' if default in (None, ()) else default})"

    @property
    def process(self) -> Process:
        """Which processes use it."""
        return _USED_BY.get(self.name, "every")

    @property
    def is_secret(self) -> bool:
        """Whether its value may contain a password."""
        return self.name.endswith("_url")

    def redacted(self, value: object) -> object:
        """Return the value without secrets: of a URL only what follows user and password."""
        if self.is_secret and isinstance(value, str):
            place = value.rpartition("@")[2] if "@" in value else value.partition("://")[2]
            return f"postgresql://{place.partition('?')[0]}"
        return without_passwords(value) if isinstance(value, str) else value


@functools.cache
def all_options() -> tuple[Option, ...]:
    """Return all members of Config, in their order."""
    found = []
    for field in msgspec.structs.fields(Config):
        meta = get_args(field.type)[-1]
        default = field.default_factory() if callable(field.default_factory) else field.default
        found.append(Option(field.name, field.type, default, meta.extra["unit"], meta.description))
    return tuple(found)


class ConfigError(GatewayError):
    """All mistakes in a configuration, each with the variable, key or option that caused it."""

    code = "config"

    def __init__(self, mistakes: Collection[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


_Given = dict[str, tuple[str, object]]
"""Name of an option → where its value was given, and that value."""


def load(
    environ: Mapping[str, str], file: Path | None = None, overrides: Mapping[str, object] | None = None
) -> Config:
    """Read the configuration; in `overrides` a value of None means "not given".

    `file` defaults to the one named by `VALGNATT_CONFIG`. Raises ConfigError with all mistakes.
    """
    mistakes: list[str] = []
    if file is None and (name := environ.get("VALGNATT_CONFIG")):
        file = Path(name)
    given = _from_file(file, mistakes) | _from_environment(environ, mistakes)
    given |= _from_command_line(overrides or {}, mistakes)
    values: dict[str, Any] = {}
    for option in all_options():
        if option.name in given:
            origin, value = given[option.name]
            try:
                values[option.name] = _converted(option, value)
            except (msgspec.ValidationError, ValueError) as error:
                mistakes.append(f"{origin}: {_reason(option, value, error)}")
    counting = {option.name: values.get(option.name, option.default) for option in all_options()}
    mistakes += _shared_ports(counting, given)
    mistakes += _lone_tls(counting, given)
    _add_passwords(values, given, mistakes)
    _add_password_of_libpq(values, environ)
    if mistakes:
        raise ConfigError(mistakes)
    return Config(**values)


def config_for(config: Config, role: Literal["push", "feed"]) -> Config:
    """Return the options that a process of one role needs; every option that it does not use has its default.

    So a push process does not get the feeds' login, nor a feed process the owner's. The exception: if the feeds have no
    separate login, they get the owner's as `feed_database_url`; `serve` and `doctor` warn about that.
    """
    unused = {
        option.name: option.default for option in all_options() if option.process not in ("every", role)
    }
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
    names = [option.name for option in all_options()]
    mistakes += [
        f"{key} in {file}: no such key{_did_you_mean(key, names)}" for key in content if key not in names
    ]
    return {key: (f"{key} in {file}", value) for key, value in content.items() if key in names}


def _from_environment(environ: Mapping[str, str], mistakes: list[str]) -> _Given:
    names = {option.variable: option.name for option in all_options()}
    for name in environ:
        foreign = name in OTHER_VARIABLES or _SERVICE_LINK.match(f"{name}={environ[name]}")
        if name.startswith(PREFIX) and name not in names and not foreign:
            known = [*names, *OTHER_VARIABLES]
            mistakes.append(f"{name}: no such variable{_did_you_mean(name, known, PREFIX)}")
    return {option: (name, environ[name]) for name, option in names.items() if environ.get(name)}


def _from_command_line(overrides: Mapping[str, object], mistakes: list[str]) -> _Given:
    arguments = {option.name: option.argument for option in all_options()}
    mistakes += [
        f"{name}: no such option{_did_you_mean(name, arguments)}"
        for name in overrides
        if name not in arguments
    ]
    return {
        name: (arguments[name], value)
        for name, value in overrides.items()
        if name in arguments and value is not None
    }


def _did_you_mean(name: str, names: Collection[str], prefix: str = "") -> str:
    import difflib

    words = [known.removeprefix(prefix) for known in names]
    near = difflib.get_close_matches(name.removeprefix(prefix).replace("-", "_"), words, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _converted(option: Option, value: object) -> Any:
    if (
        isinstance(value, str)
        and value.lower() == "none"
        and type(None) in get_args(get_args(option.type)[0])
    ):
        return None
    if option.unit == "networks":
        return tuple(str(ip_network(text)) for text in _texts(value))
    if option.is_secret and isinstance(value, str):
        value = value.strip()
        _require_files(read_database_url(value, writes=option.name == "database_url"))
    return msgspec.convert(value, option.type, strict=False, dec_hook=decode_path)


def _require_files(url: DatabaseUrl) -> None:
    for name in FILES:
        if name in url.driver and not os.path.isfile(url.driver[name]):
            raise DatabaseUrlError(f"the parameter {name} names no file: {url.driver[name]!r}")


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [text.strip() for text in value.split(",") if text.strip()]
    return msgspec.convert(value, list[str])


def _reason(option: Option, value: object, error: Exception) -> str:
    if option.is_secret:
        return str(error) if isinstance(error, DatabaseUrlError) else HINT
    if option.choices:
        return f"{without_passwords(repr(value))} is not one of {', '.join(option.choices)}"
    if isinstance(value, str) and value.startswith("tcp://"):
        return f"{error}; Kubernetes set this variable for a service: set enableServiceLinks to false"
    return f"{error} (value: {without_passwords(repr(value))})"


def _shared_ports(values: Mapping[str, Any], given: _Given) -> Iterator[str]:
    """Yield a mistake for each pair of ports of one machine that are the same."""
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
    """Yield a mistake for each key or client CA of a door that has no certificate."""
    for name in ("push_tls_key", "push_client_ca", "feed_tls_key"):
        certificate = f"{name[:4]}_tls_certificate"
        if values[name] is not None and values[certificate] is None:
            yield f"{given[name][0]}: needs {certificate} too"


def _add_passwords(values: dict[str, Any], given: _Given, mistakes: list[str]) -> None:
    """Add the passwords from password files to their URLs."""
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
    """Return the only line of a file. Raises OSError, or ValueError with a text that does not quote the file."""
    password = read_secret(file).removesuffix("\n").removesuffix("\r")
    if not password:
        raise ValueError("empty")
    if any(mark in password for mark in "\n\r\0"):
        raise ValueError("more than one line")
    return password


def has_password(url: str) -> bool:
    """Whether a URL contains a password, before its host or as a parameter."""
    return read_database_url(url).password is not None


def ignored_parameters(config: Config) -> list[str]:
    """Return a sentence for each parameter of a database URL that has no effect, with the variable that has it."""
    return [
        f"{option.variable}: {text}"
        for option in all_options()
        if option.is_secret and (url := getattr(config, option.name)) is not None
        for text in read_database_url(url).ignored
    ]


def _with_password(url: str, password: str) -> str:
    """Return a URL with a password added as a parameter. Raises ValueError if it has one already."""
    if has_password(url):
        raise ValueError("the URL already contains a password")
    return f"{url}{'&' if '?' in url else '?'}password={quote(password, safe='')}"


def _add_password_of_libpq(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Add PGPASSWORD to the owner's URL, or, if that is not set, to the feeds'.

    Otherwise every process of the machine would inherit it and use it for every login without a password.
    """
    password = environ.get("PGPASSWORD")
    name = "database_url" if values.get("database_url") is not None else "feed_database_url"
    if password and values.get(name) is not None and not has_password(values[name]):
        values[name] = _with_password(values[name], password)


def decode_path(kind: type, value: object) -> object:
    """Decode a path for `msgspec`: absolute, with `~` expanded. Raises ValueError."""
    if kind is Path and isinstance(value, str) and value:
        return Path(os.path.abspath(os.path.expanduser(value)))
    if kind is Path and isinstance(value, Path):
        return value
    raise ValueError("Expected a path")


_PASSWORDS = (
    (re.compile(r"(://[^\s:/?#@]*):\S*@"), r"\1:***@"),  # up to the last @: a password may contain others
    (re.compile(r"(?i)\b((?:ssl)?password)=[^&\s'\"]*"), r"\1=***"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{16,}"), r"\1 ***"),
)


def without_passwords(text: str) -> str:
    """Return a text with passwords of URLs and tokens masked; errs on the side of masking too much."""
    for pattern, shown in _PASSWORDS:
        text = pattern.sub(shown, text)
    return text

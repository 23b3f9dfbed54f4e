"""Every option with its unit, default and reason, and the processes that use it; `config_loading` reads their values.

No `repr` contains a password. Does not depend on what the values are used for, and imports nothing slow: `--help`
and every worker begin here.
"""

import functools
import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from gateway.config_option import Option, Role, described, option_of
from gateway.errors import GatewayError

Door = Literal["push", "feed"]
DOORS: tuple[Door, ...] = get_args(Door)

OTHER_VARIABLES = frozenset({"VALGNATT_CONFIG", "VALGNATT_TOKEN", "VALGNATT_PUSH_URL", "VALGNATT_FEED_URL"})
"""Variables that are not options of a serving process but are read by a command."""


def _default_data_dir() -> Path:
    home = os.path.expanduser("~")  # stays "~" for a user without a home, as containers have them
    return Path("/var/lib/valgnatt" if home == "~" else os.path.join(home, ".local/share/valgnatt"))


_Most = Annotated[int, Meta(ge=1)]
_Port = Annotated[int, Meta(ge=0, le=65535)]
_ElectionAndType = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(:[a-z]{1,8})?\Z")]
_PostgresUrl = Annotated[str, Meta(pattern="^postgres(ql)?://")]
_MirrorUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%+=/-]*)?\Z",
        max_length=500,
    ),
]
"""It becomes part of headers and of a Content-Security-Policy, so it has no character that means something there."""
_Target = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z", max_length=1000)]
_LogName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All options of a machine as one immutable value; made by `config_loading.load`, or directly in a test.

    Port 0 means any free port. To change an option, make a new Config with `msgspec.structs.replace`.
    """

    host: Annotated[
        str, described("address on which both doors listen; by default only this machine can connect")
    ] = "127.0.0.1"
    push_port: Annotated[_Port, described("push door, which takes reports", "port")] = 8081
    feed_port: Annotated[_Port, described("feed door, which serves results", "port", process="feed")] = 8080
    admin_port: Annotated[
        _Port | None,
        described(
            "health and metrics of the whole machine; `none` disables it", "port", process="supervisor"
        ),
    ] = 8082
    admin_host: Annotated[
        str,
        described(
            "address of the admin port; keep it private, since metrics reveal internals", process="supervisor"
        ),
    ] = "127.0.0.1"
    role: Annotated[
        Literal["all", "push", "feed"],
        described("doors that this machine runs; they share only Postgres", process="supervisor"),
    ] = "all"
    push_workers: Annotated[
        int,
        described(
            "push processes; one handles far more reports than a country sends",
            "processes",
            ge=1,
            le=64,
            process="supervisor",
        ),
    ] = 1
    feed_workers: Annotated[
        int,
        described(
            "feed processes; each uses one core to serve readers",
            "processes",
            ge=1,
            le=256,
            process="supervisor",
        ),
    ] = 1
    database_url: Annotated[
        _PostgresUrl | None,
        described(
            "Postgres; of several hosts the writable one is used; if unset, the embedded Postgres in data_dir",
            process="push",
        ),
    ] = None
    feed_database_url: Annotated[
        _PostgresUrl | None,
        described(
            "database from which feeds read, for example a replica; if unset, the same Postgres",
            process="feed",
        ),
    ] = None
    database_password_file: Annotated[
        Path | None,
        described(
            "file with the password for database_url, one line, read once at startup",
            "file",
            process="supervisor",
        ),
    ] = None
    feed_database_password_file: Annotated[
        Path | None,
        described(
            "file with the password for feed_database_url, one line, read once at startup",
            "file",
            process="supervisor",
        ),
    ] = None
    require_standby: Annotated[
        bool,
        described(
            "give no receipts, sign nothing and perform no administrative acts without a synchronous standby; if off,"
            " all of these may depend on a single disk"
        ),
    ] = False
    data_dir: Annotated[
        Path,
        described(
            "directory of the embedded Postgres, where the other commands look for it",
            "directory",
            process="supervisor",
        ),
    ] = msgspec.field(default_factory=_default_data_dir)
    drain_s: Annotated[
        float,
        described(
            "longest time at shutdown to answer reports in flight and to spread the reconnects of readers",
            "s",
            ge=0,
            le=600,
        ),
    ] = 10.0
    silent_after_s: Annotated[
        float,
        described(
            "after the embargo, a municipality that should report and is not heard from for longer counts as silent",
            "s",
            ge=60,
            le=86_400,
            process="push",
        ),
    ] = 1800.0
    pending_max: Annotated[
        int,
        described(
            "reports that may wait for Postgres, per push process and election; more are answered with retry",
            "reports",
            ge=1,
            le=1_000_000,
            process="push",
        ),
    ] = 20_000
    batch_max: Annotated[
        int,
        described(
            "reports in one commit; larger commits gain little and hold the head lock longer",
            "reports",
            ge=1,
            le=10_000,
            process="push",
        ),
    ] = 500
    credit_max: Annotated[
        int,
        described(
            "unanswered reports on all WebSockets of one token", "reports", ge=1, le=10_000, process="push"
        ),
    ] = 64
    readers_max: Annotated[
        int,
        described(
            "streams per feed process, about 11 kB of memory each", "connections", ge=1, process="feed"
        ),
    ] = 20_000
    readers_per_address: Annotated[
        _Most | None,
        described(
            "streams per client address and feed process; a whole company may share one address",
            "connections",
            process="feed",
        ),
    ] = 2_000
    selections_max: Annotated[
        int,
        described(
            "distinct selections with areas or units per feed process; each costs about 0.1 ms per change",
            "selections",
            ge=1,
        ),
    ] = 4_000
    selections_per_address: Annotated[
        _Most | None,
        described(
            "distinct selections per client address; enough for a site that follows every municipality separately",
            "selections",
        ),
    ] = 500
    unshared_per_address: Annotated[
        _Most | None,
        described(
            "rate at which a feed process builds answers that only one address asks for; bursts of 16 s are allowed;"
            " all addresses together may use 16 times this rate",
            "MiB/s",
        ),
    ] = 4
    connections_max: Annotated[
        int,
        described(
            "connections per process, not counting streams; above it, idle ones are closed first and senders' last",
            "connections",
            ge=1,
        ),
    ] = 10_000
    connections_per_address: Annotated[
        _Most | None,
        described(
            "connections per client address and process, not counting streams; trusted proxies are exempt",
            "connections",
        ),
    ] = 1_000
    ipv6_prefix: Annotated[
        int,
        described(
            "prefix length of an IPv6 client; a provider assigns each customer a /64 or a larger network",
            "bits",
            ge=32,
            le=128,
        ),
    ] = 64
    keepalive_s: Annotated[
        float,
        described(
            "how long an idle connection is kept open; proxies and load balancers must close theirs earlier",
            "s",
            ge=1,
            le=3600,
        ),
    ] = 75.0
    sockets_per_sender: Annotated[
        int,
        described("WebSockets per token and push process", "connections", ge=1, le=10_000, process="push"),
    ] = 16
    requests_per_sender: Annotated[
        int,
        described(
            "concurrent push requests per token and push process", "requests", ge=1, le=10_000, process="push"
        ),
    ] = 64
    trusted_proxies: Annotated[
        tuple[str, ...],
        described("proxies trusted to report the client's address, separated by commas", "networks"),
    ] = ()
    proxy_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        described(
            "header in which trusted proxies report that address; they must overwrite what the client sends"
        ),
    ] = "x-forwarded-for"
    push_tls_certificate: Annotated[
        Path | None,
        described(
            "certificate and chain of the push door, PEM; enables TLS; reloaded on SIGHUP",
            "file",
            process="push",
        ),
    ] = None
    push_tls_key: Annotated[
        Path | None,
        described(
            "private key of the push door, PEM, unencrypted; if unset, it is read from the certificate file",
            "file",
            process="push",
        ),
    ] = None
    push_client_ca: Annotated[
        Path | None,
        described(
            "CA certificates, PEM; senders must then present a client certificate besides their token",
            "file",
            process="push",
        ),
    ] = None
    feed_tls_certificate: Annotated[
        Path | None,
        described(
            "certificate and chain of the feed door, PEM; enables TLS; reloaded on SIGHUP",
            "file",
            process="feed",
        ),
    ] = None
    feed_tls_key: Annotated[
        Path | None,
        described(
            "private key of the feed door, PEM, unencrypted; if unset, it is read from the certificate file",
            "file",
            process="feed",
        ),
    ] = None
    map: Annotated[
        Path | None,
        described(
            "GeoJSON of the municipalities, up to 16 MiB, drawn by the results page; if unset, it shows tiles",
            "file",
            process="feed",
        ),
    ] = None
    valgresultat: Annotated[
        _ElectionAndType | None,
        described(
            "election that the feed door shows below /api in the shape of valgresultat.no; its type there may follow,"
            " as in no-storting-2025:st",
            "election",
            process="feed",
        ),
    ] = None
    mirror_url: Annotated[
        _MirrorUrl | None,
        described(
            "URL of a mirror of this gateway, which readers use when the feed is full or cannot be reached; written by"
            " `valgnatt mirror`",
            "URL",
            process="feed",
        ),
    ] = None
    heartbeat_s: Annotated[
        float,
        described(
            "proxies close silent connections, so a heartbeat is sent after at most this time",
            "s",
            gt=0,
            le=10,
            process="feed",
        ),
    ] = 10.0
    log_name: Annotated[
        _LogName | None,
        described(
            "first part of the name of every log that this gateway signs, such as results.example.no; it never changes",
            "name",
            process="signer",
        ),
    ] = None
    sign_dir: Annotated[
        Path | None,
        described(
            "directory with the keys of the logs and with what was signed; `serve` then runs a signer too",
            "directory",
            process="signer",
        ),
    ] = None
    signer_database_url: Annotated[
        _PostgresUrl | None,
        described(
            "database with the login of the signer; if unset, that of the embedded Postgres in data_dir",
            process="signer",
        ),
    ] = None
    signer_database_password_file: Annotated[
        Path | None,
        described(
            "file with the password for signer_database_url, one line, read once at startup",
            "file",
            process="supervisor",
        ),
    ] = None
    checkpoint_every_s: Annotated[
        int,
        described("interval between two checkpoints of a log that grows", "s", ge=1, le=60, process="signer"),
    ] = 5
    full_read_every_s: Annotated[
        int,
        described(
            "interval at which the signer reads all entries of a log again, and so notices if one was changed",
            "s",
            ge=1,
            le=86_400,
            process="signer",
        ),
    ] = 600
    witnesses: Annotated[
        tuple[str, ...],
        described(
            "witnesses that are asked to cosign each checkpoint, each as VKEY=URL; separated by commas, or repeated",
            "witnesses",
            argument="--witness",
            process="signer",
        ),
    ] = ()
    mirror: Annotated[
        _Target | None,
        described(
            "directory, or s3://BUCKET/PREFIX, to which `serve` writes everything public as static files, for more"
            " readers than the feed serves",
            "target",
            process="mirror",
        ),
    ] = None
    mirror_every_s: Annotated[
        Literal[1, 2, 5, 10, 30, 60],
        described("interval at which the mirror writes what has changed", "s", process="mirror"),
    ] = 2
    mirror_keys: Annotated[
        tuple[str, ...],
        described(
            "keys of logs, each as VKEY, by name that of an election's log; the mirror publishes no checkpoint of these"
            " elections that does not verify; separated by commas, or repeated",
            "vkeys",
            argument="--mirror-key",
            process="mirror",
        ),
    ] = ()
    mirror_feed_url: Annotated[
        _MirrorUrl | None,
        described(
            "URL of the feed door that the mirror reads, if it has a certificate for another name than 127.0.0.1; if"
            " unset, that of this machine",
            "URL",
            process="mirror",
        ),
    ] = None
    log_format: Annotated[
        Literal["auto", "json", "console"],
        described("format of the log; auto is console on a terminal and json elsewhere"),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], described("lowest level that is logged")
    ] = "info"

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(option.name, option.redacted(getattr(self, option.name))) for option in all_options()]


@functools.cache
def all_options() -> tuple[Option, ...]:
    """Return all members of Config, in their order."""
    found = []
    for field in msgspec.structs.fields(Config):
        default = field.default_factory() if callable(field.default_factory) else field.default
        found.append(option_of(field.name, field.type, default))
    return tuple(found)


class ConfigError(GatewayError):
    """All mistakes in a configuration, each with the variable, key or option that caused it."""

    code = "config"

    def __init__(self, mistakes: Collection[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


def config_for(config: Config, role: Role) -> Config:
    """Return the options that a process of one role needs; every option that it does not use has its default.

    So a push process does not get the feeds' login, nor a feed process the owner's. The exception: if the feeds have no
    separate login, they get the owner's as `feed_database_url`; `serve` and `doctor` warn about that. A mirror gets the
    URL of the feed door as `mirror_feed_url`.
    """
    unused = {
        option.name: option.default for option in all_options() if option.process not in ("every", role)
    }
    if role == "feed":
        unused["feed_database_url"] = config.feed_database_url or config.database_url
    if role == "mirror":
        unused["mirror_feed_url"] = config.mirror_feed_url or door_url(config, "feed")
    return msgspec.structs.replace(config, **unused)


def door_options(door: Door) -> set[str]:
    """Return the names of the options from which the URL of a door follows."""
    return {"host", f"{door}_port", f"{door}_tls_certificate"}


def door_url(config: Config, door: Door) -> str | None:
    """Return the URL of a door for clients on its machine; None if its port is any free one."""
    tls = getattr(config, f"{door}_tls_certificate") is not None
    return local_url("https" if tls else "http", config.host, getattr(config, f"{door}_port"))


def local_url(scheme: str, host: str, port: int) -> str | None:
    """Return the URL of a server of this machine that listens on a host, which may be every address of it."""
    if port == 0:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - to connect to
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

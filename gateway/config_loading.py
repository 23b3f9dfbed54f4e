"""Read the configuration, with all mistakes reported together.

An option on the command line takes precedence over the environment (`VALGNATT_FEED_PORT`), which takes precedence over
a TOML file (key `feed_port`, in the file named by `--config` or `VALGNATT_CONFIG`), which takes precedence over the
default. Only the value that takes effect is checked, so an option can override a wrong value in a file. An empty
variable counts as unset; `none` disables whatever can be disabled. Passwords appear in no error.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import msgspec

from gateway.config import OTHER_VARIABLES, Config, ConfigError, all_options
from gateway.config_option import PREFIX, Option
from gateway.config_values import checked_vkey, checked_witness, decode_path, witness_of
from gateway.database_url import FILES, HINT, DatabaseUrl, DatabaseUrlError, read_database_url
from gateway.redaction import without_passwords
from gateway.secret_files import read_secret

_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_(TCP|UDP)(_\w+)?=|PORT=(tcp|udp)://)"
)
"""Variables that Kubernetes sets in containers next to a service called `valgnatt`; not the operator's mistake."""
_Given = dict[str, tuple[str, object]]
"""Name of an option → where its value was given, and that value."""


def load(
    environ: Mapping[str, str],
    file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    only: Collection[str] | None = None,
) -> Config:
    """Read the configuration; in `overrides` a value of None means "not given".

    `file` defaults to the one named by `VALGNATT_CONFIG`. With `only`, the values of all other options are neither
    checked nor used. Raises ConfigError with all mistakes.
    """
    mistakes: list[str] = []
    if file is None and (name := environ.get("VALGNATT_CONFIG")):
        file = Path(name)
    given = _from_file(file, mistakes) | _from_environment(environ, mistakes)
    given |= _from_command_line(overrides or {}, mistakes)
    if only is not None:
        given = {name: value for name, value in given.items() if name in only}
    values: dict[str, Any] = {}
    for option in all_options():
        if option.name in given:
            origin, value = given[option.name]
            try:
                values[option.name] = _converted(option, value)
            except (msgspec.ValidationError, ValueError) as error:
                mistakes.append(f"{origin}: {_reason(option, value, error)}")
    if only is not None:
        if mistakes:
            raise ConfigError(mistakes)
        return Config(**values)
    counting = {option.name: values.get(option.name, option.default) for option in all_options()}
    mistakes += _shared_ports(counting, given)
    mistakes += _lone_tls(counting, given)
    mistakes += _incomplete_signer(counting, given)
    mistakes += _incomplete_mirror(counting, given)
    _add_passwords(values, given, mistakes)
    _add_password_of_libpq(values, environ)
    if mistakes:
        raise ConfigError(mistakes)
    return Config(**values)


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
    if option.unit == "witnesses":
        return tuple(checked_witness(text) for text in _texts(value))
    if option.unit == "vkeys":
        return tuple(checked_vkey(text) for text in _texts(value))
    if option.is_secret and isinstance(value, str):
        value = value.strip()
        _require_files(read_database_url(value, writes=option.name != "feed_database_url"))
    return msgspec.convert(value, option.type, strict=False, dec_hook=decode_path)


def _require_files(url: DatabaseUrl) -> None:
    for name in FILES:
        if name in url.driver and not os.path.isfile(url.driver[name]):
            raise DatabaseUrlError(f"the parameter {name} names no file: {url.driver[name]!r}")


def _texts(value: object) -> list[str]:
    given = [value] if isinstance(value, str) else msgspec.convert(value, list[str])
    return [text.strip() for each in given for text in each.split(",") if text.strip()]


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


def _incomplete_signer(values: Mapping[str, Any], given: _Given) -> Iterator[str]:
    """Yield a mistake for each option without which a directory of keys cannot be used, and for repeated witnesses."""
    if values["sign_dir"] is not None and values["log_name"] is None:
        yield f"{given['sign_dir'][0]}: needs log_name too"
    vkeys = [witness_of(each)[0] for each in values["witnesses"]]
    for vkey in sorted({each for each in vkeys if vkeys.count(each) > 1}):
        yield f"{given['witnesses'][0]}: the same key twice: {vkey}"


def _incomplete_mirror(values: Mapping[str, Any], given: _Given) -> Iterator[str]:
    """Yield a mistake for a mirror without a feed door to read."""
    if values["mirror"] is not None and values["role"] == "push" and values["mirror_feed_url"] is None:
        yield f"{given['mirror'][0]}: this machine has no feed door; name one in mirror_feed_url"


def _add_passwords(values: dict[str, Any], given: _Given, mistakes: list[str]) -> None:
    """Add the passwords from password files to their URLs."""
    for name in ("database", "feed_database", "signer_database"):
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

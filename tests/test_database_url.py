"""Database URLs: what is read, ignored or refused, the same way for both URLs."""

import re
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, ConfigError
from gateway.config_loading import ignored_parameters, load
from gateway.database_url import HINT, DatabaseUrlError, Host, read_database_url

VARIABLES = ("VALGNATT_DATABASE_URL", "VALGNATT_FEED_DATABASE_URL")
BASE = "postgresql://clerk:s3cret@db/night"


@pytest.fixture(params=VARIABLES)
def variable(request: pytest.FixtureRequest) -> str:
    """One of the variables that contain a URL."""
    return str(request.param)


def url_of(config: Config, variable: str) -> str:
    found = getattr(config, variable.removeprefix("VALGNATT_").lower())
    assert isinstance(found, str)
    return found


text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


@given(user=text, password=text, database=text, host=st.sampled_from(["db", "[::1]:5", "one:1,two:2"]))
def test_every_login_that_is_escaped_is_read_back(user: str, password: str, database: str, host: str) -> None:
    """User, password and database, before the host and as parameters."""
    quoted = [quote(each, safe="") for each in (user, password, database)]
    for url in (
        f"postgresql://{quoted[0]}:{quoted[1]}@{host}/{quoted[2]}",
        f"postgres:///?user={quoted[0]}&password={quoted[1]}&dbname={quoted[2]}&host={host}",
    ):
        found = read_database_url(url)
        assert (found.user, found.password, found.database) == (user, password, database)


@given(
    password=text, place=st.sampled_from(["@db/night", "@db:5432/night?sslmode=require", "@/night?host=/run"])
)
def test_a_password_that_is_not_escaped_is_itself_or_refused_without_being_shown(
    password: str, place: str
) -> None:
    """It never becomes a host, a port or a parameter."""
    url = f"postgresql://clerk:{password}{place}"
    unsafe = re.search(r"[#?/@\x00-\x20\x7f]|%00|%(?![0-9A-Fa-f]{2})", password)
    if unsafe or _undecodable(password):
        with pytest.raises(DatabaseUrlError, match=re.escape(HINT)):
            read_database_url(url)
    else:
        found = read_database_url(url)
        assert (found.user, found.password, found.database) == ("clerk", unquote(password), "night")


def _undecodable(text: str) -> bool:
    try:
        unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return True
    return False


@pytest.mark.parametrize(
    "password", ["p#ss", "p?ss", "1#ss", "1?ss", "p/ss", "1/ss", "p@ss", "p%ss", "?", "#a=b", "1?a=b"]
)
def test_the_hint_for_a_password_names_every_escape(variable: str, password: str) -> None:
    """The password is not shown, nor any part of it."""
    with pytest.raises(ConfigError) as raised:
        load({variable: f"postgresql://valgnatt:{password}@127.0.0.1/valgnatt"})
    assert str(raised.value) == f"{variable}: {HINT}"
    for escape in ("%23", "%3F", "%2F", "%40", "%25"):
        assert escape in HINT


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("connect_timeout=10", {"connect_timeout_s": 10.0}),
        ("connect_timeout=1", {"connect_timeout_s": 2.0}),
        ("connect_timeout=0", {"connect_timeout_s": None}),
        ("application_name=night", {"server": {"application_name": "night"}}),
        ("options=-c%20geqo%3Doff", {"server": {"options": "-c geqo=off"}}),
        ("sslmode=verify-full", {"driver": {"sslmode": "verify-full"}}),
        ("ssl=true", {"driver": {"sslmode": "require"}}),
        ("passfile=/run/pass", {"driver": {"passfile": "/run/pass"}}),
        ("target_session_attrs=primary", {"session_attrs": "primary"}),
        ("load_balance_hosts=random", {"shuffle_hosts": True}),
        ("port=6", {"hosts": (Host("db", 6),)}),
        ("channel_binding=prefer&gssencmode=disable&keepalives=1&client_encoding=UTF8", {"ignored": ()}),
    ],
)  # fmt: skip
def test_a_parameter_of_libpq_is_honoured(
    variable: str, parameters: str, expected: dict[str, object]
) -> None:
    """Or describes what the gateway does anyway; no server sees it as a setting of its own."""
    config = load({variable: f"{BASE}?{parameters}"})
    found = read_database_url(url_of(config, variable))
    assert {name: getattr(found, name) for name in expected} == expected
    assert set(found.server) <= {"application_name", "options"}
    assert ignored_parameters(config) == []


@pytest.mark.parametrize(
    "parameters",
    ["keepalives=0", "keepalives_idle=30", "tcp_user_timeout=9", "fallback_application_name=x", "sslsni=0"],
)
def test_a_parameter_without_an_effect_is_named(variable: str, parameters: str) -> None:
    """With the variable and the reason."""
    (shown,) = ignored_parameters(load({variable: f"{BASE}?{parameters}"}))
    assert shown.startswith(f"{variable}: the parameter {parameters.partition('=')[0]} is ignored: ")


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("channel_binding=require", "channel_binding"),
        ("gssencmode=require", "gssencmode"),
        ("require_auth=scram-sha-256", "require_auth"),
        ("service=night", "service"),
        ("replication=database", "replication"),
        ("client_encoding=latin1", "client_encoding"),
        ("sslmode=on", "sslmode"),
        ("sslmode=verify-full&sslrootcert=system", "sslrootcert"),
        ("sslmode=verify-full&sslrootcert=/nonexistent/ca.pem", "sslrootcert"),
        ("connect_timeout=soon", "connect_timeout"),
        ("target_session_attrs=any-of-them", "target_session_attrs"),
        ("load_balance_hosts=yes", "load_balance_hosts"),
        ("search_path=public", "search_path"),
        ("conect_timeout=10", "did you mean connect_timeout"),
        ("host=other", "host"),
    ],
)
def test_a_parameter_that_cannot_be_honoured_is_a_mistake(variable: str, parameters: str, name: str) -> None:
    """It is named together with the variable; nothing secret is."""
    with pytest.raises(ConfigError) as raised:
        load({variable: f"{BASE}?{parameters}"})
    assert str(raised.value).startswith(f"{variable}: ")
    assert name in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_only_feeds_may_require_a_host_that_is_not_writable() -> None:
    """A push process writes, so its host has to be writable."""
    wanted = f"{BASE}?target_session_attrs=prefer-standby"
    assert load({VARIABLES[1]: wanted}).feed_database_url == wanted
    with pytest.raises(ConfigError, match=r"VALGNATT_DATABASE_URL: .*target_session_attrs"):
        load({VARIABLES[0]: wanted})


def test_white_space_around_a_url_is_removed_and_inside_it_is_a_mistake(variable: str) -> None:
    """A file with a URL often ends with a line feed."""
    assert url_of(load({variable: f" {BASE}\r\n"}), variable) == BASE
    with pytest.raises(ConfigError, match="%2F"):
        load({variable: BASE.replace("s3cret", "s3\ncret")})


def test_files_of_tls_may_exist(variable: str, tmp_path: Path) -> None:
    """Then their names are passed on."""
    (tmp_path / "ca.pem").touch()
    found = read_database_url(url_of(load({variable: f"{BASE}?sslrootcert={tmp_path}/ca.pem"}), variable))
    assert found.driver == {"sslrootcert": f"{tmp_path}/ca.pem"}

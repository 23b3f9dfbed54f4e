"""Configuration: precedence of its sources, and all mistakes reported together without secrets."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from gateway.config import Config, ConfigError, all_options, config_for
from gateway.config_loading import load
from gateway.config_option import Role
from gateway.config_values import decode_path, witness_of
from gateway.options import with_config_options
from gateway.redaction import without_passwords

URL = "postgresql://clerk:s3c/r@et@db1:5432,db2/night?password=s3cret&sslmode=require"


def mistakes(environ: dict[str, str], file: Path | None = None, **overrides: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(environ, file, overrides)
    return caught.value.mistakes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "valgnatt.toml"
    path.write_text('feed_port = 1\npush_port = 1001\nadmin_port = "none"\ndata_dir = "/night"\n')
    return path


def test_without_any_option_all_have_their_defaults() -> None:
    """An empty variable counts as unset, and an override of None as not given."""
    assert load({"VALGNATT_FEED_PORT": "", "HOME": "/x"}, None, {"push_port": None}) == Config()


def test_the_command_line_goes_before_environment_file_and_default(file: Path) -> None:
    """Each option comes from the first place that names it."""
    environ = {"VALGNATT_CONFIG": str(file), "VALGNATT_FEED_PORT": "2", "VALGNATT_DRAIN_S": "2.5"}
    config = load(environ, None, {"feed_port": "3"})
    assert (config.feed_port, config.drain_s, config.push_port) == (3, 2.5, 1001)
    assert (config.admin_port, config.data_dir) == (None, Path("/night"))
    assert config.feed_workers == 1


def test_an_option_puts_a_wrong_file_right(file: Path) -> None:
    """Only the value that counts is judged."""
    file.write_text('feed_port = "many"')
    assert load({}, file, {"feed_port": 8080}).feed_port == 8080


@pytest.mark.parametrize(
    ("environ", "mistake"),
    [
        ({"VALGNATT_FEED_PORT": "70000"}, "VALGNATT_FEED_PORT: Expected `int` <= 65535 (value: '70000')"),
        ({"VALGNATT_FEED_PORT": "x"}, "VALGNATT_FEED_PORT: Expected `int`, got `str` (value: 'x')"),
        ({"VALGNATT_ROLE": "pusher"}, "VALGNATT_ROLE: 'pusher' is not one of all, push, feed"),
        ({"VALGNATT_DRAIN_S": "nan"}, "VALGNATT_DRAIN_S: Expected `float` >= 0.0 (value: 'nan')"),
        ({"VALGNATT_HOST": "none", "VALGNATT_FEED_WORKERS": "none"}, "VALGNATT_FEED_WORKERS: Expected `int`"),
        (
            {"VALGNATT_FEED_PROT": "1"},
            "VALGNATT_FEED_PROT: no such variable; did you mean VALGNATT_FEED_PORT?",
        ),
        ({"VALGNATT_FEED_PORT": "8081"}, "VALGNATT_FEED_PORT: feed_port and push_port are both 8081"),
        ({"VALGNATT_FEED_PORT": "tcp://10.0.0.1:80"}, "set enableServiceLinks to false"),
        ({"VALGNATT_MIRROR_URL": "cdn.example"}, "VALGNATT_MIRROR_URL: Expected `str` matching regex"),
        ({"VALGNATT_MIRROR_URL": "https://cdn.example/; script-src *"}, "VALGNATT_MIRROR_URL: Expected"),
        ({"VALGNATT_MIRROR_URL": "https://cdn.example/>; rel=next"}, "VALGNATT_MIRROR_URL: Expected"),
        ({"VALGNATT_MIRROR_EVERY_S": "3"}, "VALGNATT_MIRROR_EVERY_S: '3' is not one of 1, 2, 5, 10, 30, 60"),
        ({"VALGNATT_MIRROR_KEYS": "results.example"}, "VALGNATT_MIRROR_KEYS: Expected VKEY"),
        (
            {"VALGNATT_MIRROR": "/files", "VALGNATT_ROLE": "push"},
            "VALGNATT_MIRROR: this machine has no feed door; name one in mirror_feed_url",
        ),
        ({"VALGNATT_CONFIG": "/nowhere.toml"}, "/nowhere.toml: No such file or directory"),
    ],
)
def test_a_mistake_in_the_environment_is_named_with_its_variable(
    environ: dict[str, str], mistake: str
) -> None:
    """With the reason and the variable."""
    (found,) = mistakes(environ)
    assert mistake in found


def test_all_mistakes_are_reported_together(file: Path) -> None:
    """From all three sources, so that all can be corrected together."""
    file.write_text('feed-port = 8080\nbatch_max = 0\ndata_dir = 7\nlog_level = "loud"')
    found = mistakes({"VALGNATT_PUSH_WORKERS": "0", "VALGNATT_SPEED": "1"}, file, drain_s="-1", hosts="x")
    assert sorted(found) == sorted(
        [
            f"feed-port in {file}: no such key; did you mean feed_port?",
            "VALGNATT_SPEED: no such variable",
            "hosts: no such option; did you mean host?",
            "VALGNATT_PUSH_WORKERS: Expected `int` >= 1 (value: '0')",
            f"data_dir in {file}: Expected a path (value: 7)",
            "--drain-s: Expected `float` >= 0.0 (value: '-1')",
            f"batch_max in {file}: Expected `int` >= 1 (value: 0)",
            f"log_level in {file}: 'loud' is not one of debug, info, warning, error",
        ]
    )


def test_a_file_that_is_no_toml_is_one_mistake(file: Path) -> None:
    """With the place of it."""
    file.write_text("feed_port: 8080")
    (found,) = mistakes({}, file)
    assert found.startswith(f"{file}: ")
    assert "line 1" in found


def test_variables_that_kubernetes_adds_are_ignored() -> None:
    """Beside a service named valgnatt every container has these."""
    links = {
        "VALGNATT_SERVICE_HOST": "10.0.0.1",
        "VALGNATT_SERVICE_PORT_HTTP": "80",
        "VALGNATT_PORT": "tcp://10.0.0.1:80",
        "VALGNATT_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert load(links) == Config()


def test_no_password_shows_in_an_error_or_a_repr() -> None:
    """Not even in a malformed URL, or a URL in the wrong option."""
    wrong = {"VALGNATT_DATABASE_URL": URL.replace("postgresql", "mysql"), "VALGNATT_ROLE": URL}
    found = "\n".join(mistakes(wrong | {"VALGNATT_FEED_PORT": URL}))
    written = URL.replace("/r@", "%2Fr%40")  # as it has to be: else its host would end there
    shown = repr(load({"VALGNATT_DATABASE_URL": written, "VALGNATT_HOST": "postgres://u:s3cret@h"}))
    for text in (found, shown, str(Config(feed_database_url=URL).__rich_repr__()), without_passwords(URL)):
        assert "s3c" not in text
        assert "et@" not in text
    assert "VALGNATT_DATABASE_URL: expected postgresql://" in found
    assert (
        "database_url='postgresql://db1:5432,db2/night'" in repr(Config(database_url=URL)) or "db2" in shown
    )


def test_a_config_survives_the_way_to_a_worker() -> None:
    """As JSON, with its path and its secrets."""
    config = Config(database_url=URL, admin_port=None, data_dir=Path("/night"))
    sent = msgspec.json.encode(config, enc_hook=str)
    assert msgspec.json.decode(sent, type=Config, dec_hook=decode_path) == config


def test_a_password_in_a_file_of_its_own_becomes_part_of_its_url(tmp_path: Path) -> None:
    """As Docker and Kubernetes provide secrets: one line with any characters; it appears in no error."""
    (tmp_path / "owner").write_text("s3c/r@et ?&=%#+\n")
    (tmp_path / "reader").write_text("other")
    config = load(
        {
            "VALGNATT_DATABASE_URL": "postgresql://clerk@db1:5432,db2/night?sslmode=require",
            "VALGNATT_DATABASE_PASSWORD_FILE": str(tmp_path / "owner"),
            "VALGNATT_FEED_DATABASE_URL": "postgresql:///night?user=reader",
            "VALGNATT_FEED_DATABASE_PASSWORD_FILE": str(tmp_path / "reader"),
        }
    )
    assert asyncpg_sees(config.database_url) == ("clerk", "s3c/r@et ?&=%#+", "night")
    assert asyncpg_sees(config.feed_database_url) == ("reader", "other", "night")
    assert "s3c" not in repr(config)


def asyncpg_sees(url: str | None) -> tuple[str, str, str]:
    from asyncpg import connect_utils

    assert url is not None
    (_, parameters, _) = connect_utils._parse_connect_arguments(
        dsn=url, host=None, port=None, user=None, password=None, passfile=None, database=None, command_timeout=None,
        statement_cache_size=0, max_cached_statement_lifetime=0, max_cacheable_statement_size=0, ssl=None,
        direct_tls=None, server_settings=None, target_session_attrs=None, krbsrvname=None, gsslib=None, service=None,
        servicefile=None,
    )  # fmt: skip
    return parameters.user, parameters.password, parameters.database


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (None, "No such file or directory"),
        (b"", "empty"),
        (b"\n", "empty"),
        (b"s3cret\ns3cond\n", "more than one line"),
        (b"s3cret\0", "more than one line"),
        (b"s3cret\xff", "not UTF-8"),
        (b"s3cret" * 1000, "longer than 4096 bytes"),
    ],
)
def test_a_file_that_holds_no_password_is_a_mistake(
    content: bytes | None, mistake: str, tmp_path: Path
) -> None:
    """The variable and the file are named, its content is not."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    environ = {
        "VALGNATT_DATABASE_URL": "postgresql://clerk@db/night",
        "VALGNATT_DATABASE_PASSWORD_FILE": str(file),
    }
    (found,) = mistakes(environ)
    assert found == f"VALGNATT_DATABASE_PASSWORD_FILE: {file}: {mistake}"


@pytest.mark.parametrize("content", ["\ufeffs3cret\r\n".encode(), "s3cret\r\n".encode("utf-16"), b"s3cret\n"])
def test_a_password_file_may_be_written_by_any_editor(content: bytes, tmp_path: Path) -> None:
    """With a byte order mark, in UTF-16, and with either end of a line."""
    file = tmp_path / "password"
    file.write_bytes(content)
    environ = {"VALGNATT_DATABASE_URL": "postgresql://clerk@db/night"}
    assert load(environ, overrides={"database_password_file": file}) == Config(
        database_url="postgresql://clerk@db/night?password=s3cret", database_password_file=file
    )


def test_a_password_has_one_place_and_belongs_to_a_url(tmp_path: Path) -> None:
    """Two passwords for one login, or one for none, are mistakes."""
    file = tmp_path / "password"
    file.write_text("other")
    for url in (URL, "postgresql://clerk@db/night?password=s3cret"):
        (found,) = mistakes(
            {"VALGNATT_DATABASE_URL": url.replace("/r@", "%2Fr%40")}, database_password_file=file
        )
        assert found == f"--database-password-file: {file}: the URL already contains a password"
    for environ in ({}, {"VALGNATT_FEED_DATABASE_URL": "none"}):
        (found,) = mistakes(environ, feed_database_password_file=file)
        assert found == "--feed-database-password-file: needs feed_database_url too"


def test_the_password_of_libpq_goes_to_one_login_only() -> None:
    """PGPASSWORD belongs to the owner if an owner is configured, and then no feed gets it."""
    owner, feed = "postgresql://clerk@db/night", "postgresql://reader@db/night"
    both = {"VALGNATT_DATABASE_URL": owner, "VALGNATT_FEED_DATABASE_URL": feed, "PGPASSWORD": "s3cret"}
    assert load(both) == Config(database_url=f"{owner}?password=s3cret", feed_database_url=feed)
    assert load({**both, "VALGNATT_DATABASE_URL": ""}) == Config(feed_database_url=f"{feed}?password=s3cret")
    named = both["VALGNATT_DATABASE_URL"] = "postgresql://clerk:own@db/night"
    assert load(both).database_url == named


def test_each_process_gets_only_the_options_of_its_role() -> None:
    """No feed gets the owner's login, no push process the feeds'; other options have their defaults."""
    odd: dict[str, Any] = {
        option.name: _other(option.name, option.default)
        for option in all_options()
        if option.name not in ("role", "proxy_header")
    }
    config = Config(**odd)
    for role in get_args(Role):
        given = config_for(config, role)
        for option in all_options():
            expected = getattr(config, option.name) if option.process in (role, "every") else option.default
            assert getattr(given, option.name) == expected, option.name
    assert config_for(config, "feed").database_url is config_for(config, "signer").database_url is None
    assert config_for(config, "feed").sign_dir is config_for(config, "push").signer_database_url is None
    assert config_for(config, "push").feed_database_url is None


def _other(name: str, default: object) -> object:
    if name == "mirror_url":
        return "https://cdn.example"
    if name.endswith("_url"):
        return f"postgresql://{name}:s3cret@db/night"
    return (
        Path(f"/{name}")
        if default is None or isinstance(default, Path)
        else (f"10.{len(name)}.0.0/16",)
        if (default == ())
        else type(default)(17)
    )  # type: ignore[call-arg]


def test_every_option_with_a_secret_belongs_to_one_role() -> None:
    """An option that is added later must declare its role."""
    assert {option.process for option in all_options() if option.is_secret} == {"push", "feed", "signer"}
    assert not [option.name for option in all_options() if option.is_secret and option.process == "every"]
    assert not [
        option.name for option in all_options() if option.name.endswith("_key") and option.process == "every"
    ]


def test_a_mirror_gets_the_url_of_the_feed_door_and_no_database() -> None:
    """That of this machine, or the one that is named because the door has a certificate for another name."""
    config = Config(database_url=URL, mirror="s3://bucket/night", feed_port=8090)
    given = config_for(config, "mirror")
    assert (given.mirror, given.mirror_feed_url) == ("s3://bucket/night", "http://127.0.0.1:8090")
    assert (given.database_url, given.feed_database_url, given.signer_database_url) == (None, None, None)
    named = Config(mirror="/files", mirror_feed_url="https://results.example", feed_tls_certificate=Path("x"))
    assert config_for(named, "mirror").mirror_feed_url == "https://results.example"
    assert config_for(config, "feed").mirror is None


def test_feeds_without_a_login_of_their_own_get_the_owners() -> None:
    """It works, with a warning, as a feed's address and not as the owner's."""
    given = config_for(Config(database_url=URL), "feed")
    assert (given.database_url, given.feed_database_url) == (None, URL)


KEY = "witness.example/w1+1a2b3c4d+BMlVCRWRxy7Z0Ay+nvdFZhpJTkb6S+ZxsCzG6+lKrEne"


def test_witnesses_are_named_with_their_keys(file: Path) -> None:
    """Separated by commas, repeated on the command line, or as a list in a file; without a final slash."""
    one, two = f"{KEY}=https://w1.example/log", f"{KEY.replace('w1', 'w2')}=http://127.0.0.1:8090"
    assert load({"VALGNATT_WITNESSES": f"{one}/, {two}"}).witnesses == (one, two)
    assert load({}, overrides={"witnesses": [one, two]}).witnesses == (one, two)
    file.write_text(f'witnesses = ["{one}", "{two}"]')
    assert load({}, file).witnesses == (one, two)
    assert witness_of(one) == (KEY, "https://w1.example/log")
    status, shown, _ = run("witnesses", "--witness", one, "--witness", two)
    assert (status, shown.split()) == (0, [one, two])


@pytest.mark.parametrize(
    ("environ", "mistake"),
    [
        ({"SIGN_DIR": "/keys"}, "VALGNATT_SIGN_DIR: needs log_name too"),
        ({"WITNESSES": "https://w1.example"}, "VALGNATT_WITNESSES: Expected VKEY=URL"),
        ({"WITNESSES": KEY}, "VALGNATT_WITNESSES: Expected VKEY=URL"),
        ({"WITNESSES": f"{KEY}=ftp://w1.example"}, "VALGNATT_WITNESSES: Expected VKEY=URL"),
        ({"WITNESSES": f"{KEY}=http://a,{KEY}=http://b"}, f"VALGNATT_WITNESSES: the same key twice: {KEY}"),
        ({"LOG_NAME": "results example no"}, "VALGNATT_LOG_NAME: Expected `str` matching regex"),
        ({"LOG_NAME": "results/live"}, "VALGNATT_LOG_NAME: Expected `str` matching regex"),
        ({"CHECKPOINT_EVERY_S": "61"}, "VALGNATT_CHECKPOINT_EVERY_S: Expected `int` <= 60"),
        (
            {"SIGNER_DATABASE_PASSWORD_FILE": "/x"},
            "VALGNATT_SIGNER_DATABASE_PASSWORD_FILE: needs signer_database_url",
        ),
    ],
)
def test_a_mistake_about_the_signer_is_named(environ: dict[str, str], mistake: str) -> None:
    """Before anything is signed."""
    (found,) = mistakes({f"VALGNATT_{name}": value for name, value in environ.items()})
    assert found.startswith(mistake)


def test_paths_are_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """So every process uses the same path, and `~` is expanded."""
    monkeypatch.setenv("HOME", "/home/clerk")
    assert load({"VALGNATT_DATA_DIR": "~/night"}).data_dir == Path("/home/clerk/night")
    assert load({"VALGNATT_DATA_DIR": "night"}).data_dir == Path.cwd() / "night"


def test_every_option_has_a_reason_and_a_default_that_it_takes_itself() -> None:
    """The table is complete, and consistent."""
    for option in all_options():
        assert option.description
        if option.default not in (None, ()):
            assert load({option.variable: str(option.default)}) == Config()


def test_importing_the_options_is_quick() -> None:
    """Without slow imports, as `--help` and every worker start with it."""
    heavy = "{'aiohttp', 'asyncpg', 'typer', 'structlog', 'asyncio'}"
    code = f"import sys, gateway.config; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


app = typer.Typer()


@app.command()
@with_config_options
def serve(times: Annotated[int, typer.Argument(help="how often")], config: Config) -> None:
    """Print the ports."""
    typer.echo(f"{times} {config.feed_port} {config.push_port}")


@app.command()
@with_config_options(only=["database_url"])
def migrate(config: Config) -> None:
    """Print the database."""
    typer.echo(config)


@app.command()
@with_config_options(only=["witnesses"])
def witnesses(config: Config) -> None:
    """Print the witnesses."""
    typer.echo("\n".join(config.witnesses))


def run(*words: str, **environ: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "300", "TERM": "dumb"} | environ)
    return result.exit_code, result.stdout, result.stderr


def test_help_shows_unit_and_default_of_each_option() -> None:
    """From the same table as the defaults."""
    status, shown, _ = run("serve", "--help")
    assert status == 0
    lines = {line.split()[1]: " ".join(line.split()) for line in shown.splitlines() if "--" in line}
    assert {option.argument for option in all_options()} <= lines.keys()
    assert "--drain-s S" in lines["--drain-s"]
    assert "in s (default: 10)" in lines["--drain-s"]
    assert "--role all|push|feed" in lines["--role"]
    assert "REPORTS" in lines["--batch-max"]
    assert "(default: 500)" in lines["--batch-max"]


def test_help_of_a_command_with_some_options_shows_those() -> None:
    """And `--config`, which may hold any."""
    _, shown, _ = run("migrate", "--help")
    assert "--database-url" in shown
    assert "--config" in shown
    assert "--feed-port" not in shown


def test_an_option_goes_before_the_environment(file: Path) -> None:
    """Only arguments that are given override other sources."""
    environ = {"VALGNATT_FEED_PORT": "7", "VALGNATT_PUSH_PORT": "8"}
    assert run("serve", "3", "--feed-port", "9", "--config", str(file), **environ) == (0, "3 9 8\n", "")
    assert run("serve", "3", "--config", str(file)) == (0, "3 1 1001\n", "")


def test_a_password_on_a_command_line_is_warned_of() -> None:
    """Without repeating it; there is no warning for the environment, or without a password."""
    named = "postgresql://clerk@db/night"
    for url in ("postgresql://clerk:s3cret@db/night", f"{named}?password=s3cret"):
        status, _, err = run("serve", "3", "--feed-database-url", url)
        assert status == 0
        assert err.startswith("warning: --feed-database-url: ")
        assert "--feed-database-password-file" in err
        assert "s3cret" not in err
        assert run("serve", "3", VALGNATT_FEED_DATABASE_URL=url)[2] == ""
    assert run("serve", "3", "--feed-database-url", named)[2] == ""


def test_mistakes_end_a_command_with_status_2() -> None:
    """Each on a line, and no traceback."""
    status, out, err = run("serve", "3", "--feed-port", "x", VALGNATT_ROLE="y")
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        "--feed-port: Expected `int`, got `str` (value: 'x')",
        "VALGNATT_ROLE: 'y' is not one of all, push, feed",
    ]


def test_arguments_can_only_be_made_from_options() -> None:
    """A mistake in a command is found when it is made."""
    with pytest.raises(TypeError, match="fed_port"):
        with_config_options(only=["fed_port"])


def test_an_option_that_is_on_or_off_takes_words_for_it() -> None:
    """In the environment and in a file; other words are reported as a mistake."""
    assert load({}).require_standby is False
    for text, on in (("true", True), ("1", True), ("false", False), ("0", False)):
        assert load({"VALGNATT_REQUIRE_STANDBY": text}).require_standby is on
    assert (
        load({"VALGNATT_REQUIRE_STANDBY": "true"}, overrides={"require_standby": False}).require_standby
        is False
    )
    with pytest.raises(ConfigError, match=r"VALGNATT_REQUIRE_STANDBY.*maybe"):
        load({"VALGNATT_REQUIRE_STANDBY": "maybe"})

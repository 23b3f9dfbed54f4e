"""The command line as people and scripts use it: output, errors and exit statuses."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import typer.main

from gateway import __version__
from gateway.cli import app, main
from gateway.election.registry_reading import read_registry
from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database

PROMISED = {
    "demo",
    "serve",
    "election load",
    "election list",
    "election embargo",
    "election close",
    "election open",
    "election raise-revisions",
    "token issue",
    "token list",
    "token revoke",
    "generate",
    "replay",
    "db migrate",
    "push",
    "watch",
    "status",
}
SLOW = ("aiohttp", "asyncpg", "uvloop", "rich", "structlog", "orjson")
"""Packages that `--help` does not need; each is slow to import."""


class Ended(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str

    def failed_with(self, status: int, *words: str) -> None:
        """Assert that it printed one line with an error, and nothing else."""
        assert (self.status, self.out) == (status, ""), self
        assert len(self.err.splitlines()) == 1, self.err
        assert self.err.startswith("valgnatt: ")
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err


class CommandLine:
    """The command line, run in this process as its entry point does it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["valgnatt", *arguments])
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
        return Ended(status, *self._capsys.readouterr())

    def good(self, *arguments: str) -> str:
        """Run a command that has to succeed; return its standard output."""
        ended = self(*arguments)
        assert ended.status == 0, ended
        return ended.out


def in_a_process(*arguments: str, python: tuple[str, ...] = (), **environ: str) -> Ended:
    """Run one command as a shell does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    command = [sys.executable, *python, "-m", "gateway", *arguments]
    ended = subprocess.run(
        command, env={**inherited, **environ}, capture_output=True, check=False, timeout=60
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@pytest.fixture
def valgnatt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line without variables of the gateway."""
    for name in os.environ:
        if name.startswith("VALGNATT_"):
            monkeypatch.delenv(name)
    return CommandLine(monkeypatch, capsys)


def fetch(database: Database, query: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(database.url)
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture
def cli(valgnatt: CommandLine, database: Database, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line on a database of the test's own."""
    monkeypatch.setenv("VALGNATT_DATABASE_URL", database.url)
    return valgnatt


@pytest.fixture
def loaded(cli: CommandLine, small: GeneratedElection, tmp_path: Path) -> str:
    """An election that was loaded from a file."""
    return (cli.good("election", "load", str(a_file(tmp_path, small)))).strip()


def a_file(directory: Path, small: GeneratedElection, **header: object) -> Path:
    path = directory / f"registry-{len(list(directory.iterdir()))}.json"
    path.write_text(json.dumps({**small.registry, "election": {**small.registry["election"], **header}}))
    return path


def commands_of(command: Any, path: str = "") -> Iterator[str]:
    """The words of a command and of all below it."""
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from commands_of(each, f"{path} {name}".strip())


def test_help_of_every_command_is_there(valgnatt: CommandLine) -> None:
    """On standard output with status 0, also for groups of commands; and all documented commands exist."""
    commands = set(commands_of(typer.main.get_command(app)))
    assert commands >= PROMISED
    for command in commands:
        ended = valgnatt(*command.split(), "--help")
        assert (ended.status, ended.err) == (0, ""), command
        assert f"Usage: valgnatt {command}".strip() in ended.out


def test_help_answers_at_once() -> None:
    """Without importing packages that only the command itself needs."""
    for command in ("--help", "serve --help", "token issue --help"):
        ended = in_a_process(*command.split(), python=("-X", "importtime"))
        assert ended.status == 0
        imported = set(re.findall(r"\| +(\w+)$", ended.err, re.MULTILINE))
        assert "typer" in imported
        assert not imported.intersection(SLOW), command


def test_help_names_unit_and_default_of_every_option(valgnatt: CommandLine) -> None:
    """Of those that `serve` has, at least the ones the contract names."""
    text = " ".join(valgnatt("serve", "--help").out.split())
    for option, default in (
        ("--role", "all"),
        ("--push-port", "8081"),
        ("--feed-port", "8080"),
        ("--admin-port", "8082"),
        ("--host", "127.0.0.1"),
        ("--feed-workers", "1"),
        ("--push-workers", "1"),
        ("--drain-s", "10"),
    ):
        assert re.search(rf"{option}\b.*?\(default: {default}\)", text), option


def test_the_version_is_shown(valgnatt: CommandLine) -> None:
    """That of the package, which `serve` logs too."""
    assert valgnatt("--version") == Ended(0, f"valgnatt {__version__}\n", "")


def test_a_command_without_arguments_shows_its_help_in_lines(valgnatt: CommandLine) -> None:
    for arguments in ((), ("token",)):
        ended = valgnatt(*arguments)
        assert (ended.status, ended.out) == (2, "")
        assert len(ended.err.splitlines()) > 5
        assert "\\n" not in ended.err


def test_an_unknown_command_ends_with_status_2(valgnatt: CommandLine) -> None:
    """And with how it is used."""
    for arguments in (["nonsense"], ["serve", "--nonsense"], ["token", "issue"], ["token", "revoke", "x"]):
        ended = valgnatt(*arguments)
        assert (ended.status, ended.out) == (2, "")
        assert "Usage: valgnatt" in ended.err


# Elections.


def test_an_election_is_loaded_listed_and_loaded_again(
    cli: CommandLine, small: GeneratedElection, tmp_path: Path
) -> None:
    """Only its identifier is printed; loading it again changes nothing."""
    path = a_file(tmp_path, small)
    for _ in range(2):
        assert cli.good("election", "load", str(path)) == "generated-7\n"
    line = cli.good("election", "list")
    assert line.startswith("generated-7\t")
    assert "0 reports" in line
    other = a_file(tmp_path, small, id="other", name="Øving", rehearsal=True)
    cli.good("election", "load", str(other))
    lines = (cli.good("election", "list")).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["generated-7", "other"]
    assert lines[1].endswith("Øving (rehearsal)")


def test_an_election_is_loaded_from_the_directory_of_a_data_set(cli: CommandLine, tmp_path: Path) -> None:
    """As `generate` writes it."""
    directory = tmp_path / "made"
    assert "reports" in cli.good("generate", str(directory), "--seed", "5", "--scale", "0.005")
    assert cli.good("election", "load", str(directory)) == "generated-5\n"


def test_every_mistake_of_a_registry_is_named(
    cli: CommandLine, small: GeneratedElection, tmp_path: Path
) -> None:
    """Each with its path, so that all can be corrected together; nothing is loaded."""
    areas = [dict(area) for area in small.registry["areas"]]
    areas[1]["eligible"] = -1
    areas[2]["id"] = "with space"
    parties = [dict(party) for party in small.registry["parties"]]
    parties[3]["code"] = parties[0]["code"]
    election = {**small.registry["election"], "publish_from": "tonight", "id": "Upper Case"}
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({**small.registry, "election": election, "areas": areas, "parties": parties}))
    ended = cli("election", "load", str(path))
    assert (ended.status, ended.out) == (1, "")
    assert "Traceback" not in ended.err
    for place in (
        "$.election.publish_from",
        "$.election.id",
        "$.areas[1].eligible",
        "$.areas[2].id",
        "$.parties[3].code",
    ):
        assert place in ended.err
    assert cli.good("election", "list") == ""


def test_an_unreadable_registry_is_reported_in_one_line(
    cli: CommandLine, small: GeneratedElection, tmp_path: Path
) -> None:
    """With the file it is about."""
    cut, other, empty = tmp_path / "cut.json", tmp_path / "other.json", tmp_path / "empty"
    cut.write_text(json.dumps(small.registry)[:-100])
    other.write_text('{"format": "another/1"}')
    empty.mkdir()
    for path in (cut, other, empty, tmp_path / "missing.json"):
        (cli("election", "load", str(path))).failed_with(1, str(path))


def test_another_registry_is_refused_once_a_report_is_accepted(
    cli: CommandLine, database: Database, loaded: str, small: GeneratedElection, tmp_path: Path
) -> None:
    """The error lists the differences; before the first report, the registry is replaced."""
    changed = a_file(tmp_path, small, name="Changed")
    cli.good("election", "load", str(changed))
    assert "Changed" in cli.good("election", "list")
    fetch(database, "UPDATE valgnatt.head SET accepted = 1")
    (cli("election", "load", str(a_file(tmp_path, small)))).failed_with(
        1, "after a report was accepted (1 so far)", "$.election.name"
    )
    assert cli.good("election", "load", str(changed)) == f"{loaded}\n"


def test_a_previous_election_is_loaded_kept_and_removed(
    cli: CommandLine, database: Database, tmp_path: Path
) -> None:
    """Named, beside the registry of a data set, or as it was loaded before; a wrong one is named with its mistakes."""
    made, other = tmp_path / "made", tmp_path / "other.json"
    cli.good("generate", str(made), "--seed", "6", "--scale", "0.005", "--previous")

    def stored() -> dict[str, Any] | None:
        (row,) = fetch(database, "SELECT (SELECT p.document FROM valgnatt.previous p) AS document")
        return row["document"] and json.loads(row["document"])

    document = json.loads((made / "previous.json").read_bytes())
    assert cli.good("election", "load", str(made)) == "generated-6\n"
    assert stored() == document
    other.write_text(json.dumps({**document, "source": "another"}))
    cli.good("election", "load", str(made), "--previous", str(other))
    cli.good("election", "load", str(made / "registry.json"))
    assert stored() == {**document, "source": "another"}
    cli.good("election", "load", str(made), "--no-previous")
    assert stored() is None
    other.write_text(json.dumps({**document, "areas": {"nowhere": {"votes": {}}}}))
    ended = cli("election", "load", str(made), "--previous", str(other))
    ended.failed_with(1, "$.areas.nowhere: is not an area of the registry")
    cli("election", "load", str(made), "--previous", str(tmp_path / "missing")).failed_with(1, "missing")
    cli("election", "load", str(made), "--previous", str(other), "--no-previous").failed_with(2, "not both")


def test_an_embargo_is_moved_to_later_and_never_to_earlier(
    cli: CommandLine, loaded: str, small: GeneratedElection, tmp_path: Path
) -> None:
    """And not at all once it has passed."""
    first = datetime.now(UTC) + timedelta(days=1)
    cli.good("election", "load", str(a_file(tmp_path, small, id="later", publish_from=first.isoformat())))
    moved = first + timedelta(hours=1)
    cli.good("election", "embargo", "later", "--until", moved.isoformat())
    in_its_zone = moved.astimezone(ZoneInfo("Europe/Oslo")).isoformat()
    assert f"\tfrom {in_its_zone}\t" in (cli.good("election", "list")).splitlines()[1]
    (cli("election", "embargo", "later", "--until", first.isoformat())).failed_with(1, "later")
    (cli("election", "embargo", loaded, "--until", moved.isoformat())).failed_with(1, "ended")
    (cli("election", "embargo", "nowhere", "--until", moved.isoformat())).failed_with(1, "nowhere")
    for text in ("tomorrow", "2030-01-01", "2030-01-01T00:00:00", ""):
        (cli("election", "embargo", "later", "--until", text)).failed_with(2, "--until: ")


def test_an_election_is_closed(cli: CommandLine, loaded: str) -> None:
    """Twice is once."""
    for _ in range(2):
        cli.good("election", "close", loaded)
        assert "\tclosed\t" in cli.good("election", "list")
    (cli("election", "close", "nowhere")).failed_with(1, "nowhere")


def test_the_ceiling_of_a_unit_is_shown_beside_its_revision(cli: CommandLine, loaded: str) -> None:
    """Also if it does not have to be raised."""
    assert (
        cli.good("election", "raise-revisions", loaded, "0604-0001")
        == "0604-0001\tnewest revision 0\tceiling 2000000000\n"
    )
    (cli("election", "raise-revisions", loaded, "0604")).failed_with(1, "'0604' is not a unit")
    (cli("election", "raise-revisions", "nowhere", "0604-0001")).failed_with(1, "nowhere")


# Tokens.


def test_a_token_is_printed_alone_and_once(cli: CommandLine, database: Database, loaded: str) -> None:
    """For scripts; no list shows it, and the database does not contain it."""
    ended = cli(
        "token", "issue", "--election", loaded, "--areas", "0604,0602", "--note", "Havn", "--role", "operator"
    )
    assert ended.status == 0
    assert re.fullmatch(r"vgn_[\w-]{43}\n", ended.out)
    secret = ended.out.strip()
    assert secret not in ended.err
    listed = (cli.good("token", "list")).split("\t")
    assert listed[1:5] == [loaded, "0604,0602", "operator", "valid"]
    assert listed[-1] == "Havn\n"
    assert secret not in "".join(listed)
    assert cli.good("token", "list", "--election", "nowhere") == ""
    for _ in range(2):
        revoked = cli("token", "revoke", listed[0])
        assert (revoked.status, revoked.out) == (0, "")
        assert revoked.err == f"token {listed[0]} of {loaded} (0604,0602; Havn) is revoked\n"
    assert "\trevoked\t" in cli.good("token", "list", "--election", loaded)
    acts = fetch(database, "SELECT author, kind FROM valgnatt.act ORDER BY key")
    rows = fetch(database, "SELECT t::text FROM valgnatt.token t")
    assert [row["kind"] for row in acts][:2] == ["load", "token issue"]
    assert all("@" in row["author"] for row in acts)
    assert secret not in str(rows)


def test_a_token_s_time_is_kept(cli: CommandLine, database: Database, loaded: str) -> None:
    """With its offset."""
    cli.good(
        "token", "issue", "--election", loaded, "--areas", "vl", "--expires", "2030-01-01T12:00:00+02:00"
    )
    (row,) = fetch(database, "SELECT expires_at FROM valgnatt.token")
    assert row["expires_at"] == datetime(2030, 1, 1, 10, tzinfo=UTC)


def test_an_invalid_token_request_is_reported_in_one_line(cli: CommandLine, loaded: str) -> None:
    """With the reason; and no token is issued."""

    def issue(*arguments: str) -> Ended:
        return cli("token", "issue", *arguments)

    (issue("--election", loaded, "--areas", "0604,9999,XX")).failed_with(1, "9999", "XX")
    (issue("--election", "nowhere", "--areas", "0604")).failed_with(1, "nowhere")
    (issue("--election", loaded, "--areas", ",")).failed_with(1, "area")
    (issue("--election", loaded, "--areas", "vl", "--role", "king")).failed_with(2, "king")
    (issue("--election", loaded, "--areas", "vl", "--expires", "2030-01-01T00:00:00")).failed_with(2)
    (cli("token", "revoke", "12345")).failed_with(1, "12345")
    assert cli.good("token", "list") == ""


# Required standbys.


def test_no_command_changes_anything_without_a_standby_that_is_required(
    cli: CommandLine, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By argument, file or variable; commands that only show something, and those told to do without, work."""
    data, tokens = tmp_path / "data", tmp_path / "tokens.csv"
    cli.good("generate", str(data), "--scale", "0.02")
    registry = json.loads((data / "registry.json").read_text())
    registry["election"]["publish_from"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    (data / "registry.json").write_text(json.dumps(registry))
    loaded = cli.good("election", "load", str(data)).strip()
    cli.good("token", "issue", "--election", loaded, "--areas", "vl")
    before = fetch(database, "SELECT * FROM valgnatt.act")
    commands = [
        ("token", "revoke", "1"),
        ("token", "issue", "--election", loaded, "--areas", "vl"),
        ("token", "issue", "--election", loaded, "--each", "county", "--out", str(tokens)),
        ("election", "load", str(data)),
        ("election", "embargo", loaded, "--until", "2100-01-01T00:00:00Z"),
        ("election", "raise-revisions", loaded, next(iter(read_registry(registry).units))),
        ("election", "open", loaded),
        ("election", "close", loaded),
    ]
    (tmp_path / "valgnatt.toml").write_text("require_standby = true")
    for required in (["--require-standby"], ["--config", str(tmp_path / "valgnatt.toml")]):
        cli(*commands[0], *required).failed_with(1, "no synchronous standby", "nothing was changed")
    monkeypatch.setenv("VALGNATT_REQUIRE_STANDBY", "true")
    for command in (*commands, ("replay", str(data))):
        cli(*command).failed_with(1, "no synchronous standby", "nothing was changed", "--no-require-standby")
    assert fetch(database, "SELECT * FROM valgnatt.act") == before
    assert not list(tmp_path.glob("tokens*"))
    assert "\tvalid\t" in cli.good("token", "list")
    assert "\tembargoed\t" in cli.good("election", "list")
    for command in commands:
        cli.good(*command, "--no-require-standby")


# The database.


def test_a_database_is_migrated_once(cli: CommandLine) -> None:
    """Without pending migrations, it prints that there is nothing to do."""
    assert cli.good("db", "migrate") == "nothing to do\n"


def test_an_empty_database_is_migrated(cli: CommandLine, database: Database) -> None:
    """Each applied migration is printed on a line; before that, commands name the command that does it."""
    for schema in ("valgnatt", "valgnatt_public", "valgnatt_signing"):
        fetch(database, f"DROP SCHEMA {schema} CASCADE")
    (cli("election", "list")).failed_with(1, "valgnatt db migrate")
    assert re.match(r"0001_\w+\.sql\n", cli.good("db", "migrate"))
    assert cli.good("election", "list") == ""


def test_a_missing_database_is_reported_in_one_line(
    valgnatt: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the option to set; or, if the database does not answer, without its password."""
    for command in (["election", "list"], ["token", "list"], ["db", "migrate"], ["election", "close", "x"]):
        valgnatt(*command, "--data-dir", str(tmp_path)).failed_with(1, "VALGNATT_DATABASE_URL", str(tmp_path))
    monkeypatch.setenv("VALGNATT_DATABASE_URL", "postgresql://user:s3cret@127.0.0.1:1/none")
    ended = valgnatt("election", "list")
    ended.failed_with(1)
    assert "s3cret" not in ended.err


def test_a_wrong_setting_ends_every_command_with_status_2(
    valgnatt: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named with the variable it came from, all of them at once."""
    monkeypatch.setenv("VALGNATT_DATABASE_URL", "mysql://x")
    monkeypatch.setenv("VALGNATT_NONSENSE", "1")
    for command in (["serve"], ["election", "list"]):
        ended = valgnatt(*command)
        assert (ended.status, ended.out) == (2, "")
        assert "VALGNATT_DATABASE_URL" in ended.err
        assert "VALGNATT_NONSENSE" in ended.err


# As a process.


def test_mistakes_end_the_process_as_they_end_the_command(
    database: Database, small: GeneratedElection
) -> None:
    """One line and a status, never a traceback; `serve` starts nothing if its port is in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = in_a_process(
            *("serve", "--push-port", port, "--feed-port", "0", "--admin-port", "0"),
            VALGNATT_DATABASE_URL=database.url,
        )
    ended.failed_with(1, port)
    ended = in_a_process(
        *("token", "issue", "--election", "nowhere", "--areas", "vl"), VALGNATT_DATABASE_URL=database.url
    )
    ended.failed_with(1, "nowhere")
    in_a_process("election", "close", "x", VALGNATT_DATA_DIR="/nowhere").failed_with(1, "no database")

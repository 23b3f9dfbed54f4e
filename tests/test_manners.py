"""Conventions of the command line: complete help, exit statuses, shell completion, and no tracebacks."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import typer.main

from gateway.cli import app
from gateway.commands.running import author
from gateway.config import all_options
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.fork_server import Command, Ended, run_command
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry

UNITS = ("seconds", "times", "a number", "its number")
"""Words by which the help of a number gives its unit."""
NOWHERE = "postgresql://user:s3cret@127.0.0.1:1/none"


class Parameter(NamedTuple):
    """An option or argument of a command, as it is declared."""

    command: str
    name: str
    help: str
    number: bool
    flag: bool
    default: Any
    required: bool
    shows_default: bool | str
    """A text that is shown instead of the default, or whether it is shown."""


def options_of(command: Any, path: str = "") -> Iterator[Parameter]:
    if getattr(command, "hidden", False):
        return
    for parameter in command.params:
        kind = parameter.type_descriptor.annotation if hasattr(parameter, "type_descriptor") else None
        yield Parameter(
            path,
            parameter.opts[0],
            getattr(parameter, "help", None) or "",
            bool({int, float}.intersection((kind, *get_args(kind)))),
            bool(getattr(parameter, "is_flag", False)),
            parameter.default,
            parameter.required,
            getattr(parameter, "show_default", False) or False,
        )
    for name, each in getattr(command, "commands", {}).items():
        yield from options_of(each, f"{path} {name}".strip())


OPTIONS = list(options_of(typer.main.get_command(app)))
CONFIG_OPTIONS = {option.argument: option for option in all_options()}


def test_every_option_and_argument_has_a_help_text() -> None:
    """Of every command."""
    assert len(OPTIONS) > 100
    assert len({option.command for option in OPTIONS}) > 15
    assert not [option for option in OPTIONS if not option.help]


def test_every_number_has_a_unit() -> None:
    """An option in its table, others in their words."""
    numbers = [option for option in OPTIONS if option.number]
    assert {option.name for option in numbers} >= {"--seconds", "--speed", "--scale", "--seed", "key"}
    assert not [option for option in numbers if not any(unit in option.help for unit in UNITS)]
    for option in CONFIG_OPTIONS.values():
        numeric = {int, float}.intersection(str_free(option.type))
        assert option.unit or not numeric, option.name


def str_free(kind: Any) -> set[Any]:
    """All types within an annotation."""
    return {kind}.union(*(str_free(each) for each in get_args(kind)))


def test_every_option_shows_its_default() -> None:
    """Or that it is required; flags are off by default, and arguments describe their default."""
    for option in OPTIONS:
        if option.flag or option.required or option.name in ("--help", "files"):
            continue
        shown = isinstance(option.shows_default, str) or option.default not in (None, "")
        found = "(default: " in option.help or (option.shows_default and shown)
        assert found, option


def test_exit_statuses_are_documented(valgnatt_help: str) -> None:
    """At the end of the help of all, and in the README."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for text in (valgnatt_help, readme):
        found = " ".join(text.split())
        assert re.search(r"[Ee]xit status", found)
        for status in ("0", "1", "2", "130"):
            assert re.search(rf"\b{status}\b", found.lower().partition("exit status")[2][:400]), status


@pytest.fixture(scope="module")
def valgnatt_help() -> str:
    return run("--help").out


def run(*arguments: str, cwd: Path | None = None, **environ: str) -> Ended:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    variables = {**inherited, "XDG_STATE_HOME": str(cwd or "/nonexistent"), **environ}
    return run_command(*arguments, environ=variables, cwd=cwd)


# Mistakes.


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, small: GeneratedElection) -> Path:
    """A directory with malformed files."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "cut.json").write_text("{")
    (desk / "binary").write_bytes(bytes(range(128, 256)))
    (desk / "token").write_text("vgn_token\n")
    (desk / "empty").write_text("")
    (desk / "folder").mkdir()
    (desk / "wrong.toml").write_text("push_port = 'x'\nnonsense = 1\n")
    (desk / "counts.csv").write_text("unit;revision\n")
    return desk


PUSH = ("push", "--election", "e", "--token-file", "token", "--unchecked")
MISTAKES: dict[str, tuple[int, tuple[str, ...], str]] = {
    "no command": (2, ("nonsense",), "nonsense"),
    "no option": (2, ("serve", "--nonsense"), "--nonsense"),
    "not a number": (2, ("serve", "--push-port", "abc"), "--push-port"),
    "no port": (2, ("serve", "--push-port", "70000"), "65535"),
    "two doors on a port": (2, ("serve", "--push-port", "9000", "--feed-port", "9000"), "9000"),
    "no file of settings": (2, ("serve", "--config", "none.toml"), "none.toml"),
    "settings that are none": (2, ("serve", "--config", "binary"), "binary"),
    "settings with mistakes": (2, ("serve", "--config", "wrong.toml"), "nonsense"),
    "a data directory that is a file": (1, ("serve", "--data-dir", "cut.json", "--push-port", "0", "--feed-port", "0",
                                            "--admin-port", "0"), "cut.json"),
    "a data directory nowhere": (1, ("serve", "--data-dir", "/proc/none", "--push-port", "0", "--feed-port", "0",
                                     "--admin-port", "0"), "/proc/none"),
    "a certificate that is none": (1, ("serve", "--feed-tls-certificate", "cut.json"), "cut.json"),
    "a key alone": (2, ("serve", "--feed-tls-key", "cut.json"), "feed_tls_certificate"),
    "a map that is none": (1, ("serve", "--map", "cut.json"), "cut.json"),
    "no database": (1, ("election", "list"), "VALGNATT_DATABASE_URL"),
    "another database": (2, ("election", "list", "--database-url", "mysql://x"), "postgresql://"),
    "a database's port": (2, ("election", "list", "--database-url", "postgresql://h:port/x"), "postgresql://"),
    "ports of hosts": (2, ("election", "list", "--database-url", "postgresql://a,b/x?port=1,2,3"), "3 ports for 2"),
    "a database that is away": (1, ("election", "list", "--database-url", NOWHERE), "refused"),
    "a database of no host": (1, ("token", "list", "--database-url", "postgresql://no.host.invalid/x"), "not known"),
    "a database that is away, in serve": (1, ("serve", "--database-url", NOWHERE), "refused"),
    "no registry": (1, ("election", "load", "none.json", "--database-url", NOWHERE), "none.json"),
    "a registry cut off": (1, ("election", "load", "cut.json", "--database-url", NOWHERE), "cut.json"),
    "a registry that is no text": (1, ("election", "load", "binary", "--database-url", NOWHERE), "binary"),
    "a folder without a registry": (1, ("election", "load", "folder", "--database-url", NOWHERE), "folder"),
    "no time": (2, ("election", "embargo", "e", "--until", "tomorrow"), "tomorrow"),
    "no election named": (2, ("election", "close"), "election"),
    "no role": (2, ("token", "issue", "--election", "e", "--areas", "a", "--role", "king"), "king"),
    "no key": (2, ("token", "revoke", "first"), "key"),
    "no door": (2, ("watch", "--feed-url", "nonsense"), "nonsense"),
    "a door of another kind": (2, ("status", "--feed-url", "ftp://x"), "ftp://x"),
    "half an address": (2, ("watch", "--feed-url", "http://[::1"), "http://[::1"),
    "a door's port": (2, ("watch", "--feed-url", "http://h:99999"), "99999"),
    "nobody at the door": (1, ("status", "--feed-url", "http://127.0.0.1:1"), "127.0.0.1:1"),
    "doors of the doctor": (2, ("doctor", "--admin-url", "nonsense"), "--admin-url"),
    "no election to push for": (2, ("push", "counts.csv"), "--election"),
    "no token": (2, ("push", "--election", "e", "counts.csv"), "VALGNATT_TOKEN"),
    "no file with a token": (2, ("push", "--election", "e", "--token-file", "none", "counts.csv"), "none"),
    "a token that is a folder": (2, ("push", "--election", "e", "--token-file", "folder", "counts.csv"), "folder"),
    "a token that is no text": (2, ("push", "--election", "e", "--token-file", "binary", "counts.csv"), "binary"),
    "an empty token": (2, ("push", "--election", "e", "--token-file", "empty", "counts.csv"), "token"),
    "no counts": (2, (*PUSH, "none.csv"), "none.csv"),
    "counts cut off": (2, (*PUSH, "cut.json"), "cut.json"),
    "counts that are no text": (2, (*PUSH, "binary"), "binary"),
    "a table without its columns": (2, (*PUSH, "counts.csv"), "counts.csv"),
    "no place for receipts": (2, (*PUSH, "--receipts", "none/receipts.csv", "counts.csv"), "none"),
    "no place for an outbox": (1, (*PUSH, "--outbox", "/proc/none/outbox.db", "counts.csv"), "/proc/none"),
    "no data set": (1, ("replay", "none", "--database-url", NOWHERE), "none"),
    "no pace": (2, ("replay", "folder", "--speed", "0"), "--speed"),
    "two paces": (2, ("replay", "folder", "--speed", "1", "--seconds", "1"), "not both"),
    "a demo of nothing": (2, ("demo", "--data", "none"), "none"),
    "a demo of a folder": (1, ("demo", "--data", "folder"), "folder"),
    "a demo too short": (2, ("demo", "--seconds", "1"), "--seconds"),
    "no reason for a decision": (2, ("hold", "release", "u"), "--reason"),
    "a reason for another decision": (2, ("hold", "reject", "u", "--reason", "moved", "--token-file", "token"),
                                      "moved"),
    "nobody at the door to decide": (1, ("hold", "list", "--election", "e", "--token-file", "token", "--push-url",
                                         "http://127.0.0.1:1"), "127.0.0.1:1"),
    "rules cut off": (2, ("rules", "set", "cut.json", "--token-file", "token"), "cut.json"),
    "a recording nowhere": (1, ("rules", "try", "none"), "none"),
    "a file in the way": (2, ("generate", "cut.json"), "cut.json"),
    "no size": (2, ("generate", "made", "--scale", "0"), "scale"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported_without_a_traceback(name: str, desk: Path) -> None:
    """On standard error, with the cause and a status, and never a traceback or a password."""
    status, arguments, word = MISTAKES[name]
    ended = run(*arguments, cwd=desk, VALGNATT_DATA_DIR=str(desk / "data"))
    assert ended.status == status, ended
    assert ended.out == ""
    assert word in ended.err
    assert "Traceback" not in ended.err
    assert "s3cret" not in ended.err
    lines = ended.err.splitlines()
    assert lines[0].startswith("Usage: valgnatt") or len(lines) <= 2, ended.err


@pytest.mark.long
def test_a_port_in_use_is_reported_in_one_line(desk: Path) -> None:
    """With its number, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = ("--push-port", port, "--feed-port", "0", "--admin-port", "0")
        ended = run("serve", *ports, "--data-dir", str(desk / "taken"))
    assert (ended.status, ended.out) == (1, "")
    assert port in ended.err
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1].startswith("valgnatt: ")


def test_a_user_without_a_name_can_run_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user is a number."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert author() == f"{os.getuid()}@{socket.gethostname()}"


@pytest.fixture(scope="module")
def gateway(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    with served(make_database(postgres), heartbeat_s=0.2) as gateway:
        yield gateway


@pytest.fixture
async def sender(gateway: Gateway, small: GeneratedElection) -> Sender:
    return await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])


@pytest.mark.long
def test_statuses_are_0_1_and_2(gateway: Gateway, sender: Sender, database: Database, desk: Path) -> None:
    """Success, failure, usage error."""
    there, election = ("--feed-url", gateway.feed_url), ("--election", sender.election)
    assert run("status", *there, *election).status == 0
    assert run("status", *there, "--election", "none").status == 1
    assert run("status", *there, "--json=1").status == 2
    assert run("election", "list", VALGNATT_DATABASE_URL=database.url) == (0, "", "")
    assert run("election", "close", "none", VALGNATT_DATABASE_URL=database.url).status == 1
    assert run("election", "close", VALGNATT_DATABASE_URL=database.url).status == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGPIPE])
def test_an_interrupted_command_prints_nothing(gateway: Gateway, sender: Sender, number: int) -> None:
    """Status 130 after Ctrl-C; 1 if the reader of its output closes the pipe."""
    arguments = ("watch", "--json", "--feed-url", gateway.feed_url, "--election", sender.election)
    with Command(*arguments, environ=os.environ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        if number == signal.SIGINT:
            process.send_signal(number)
        else:
            process.stdout.close()
            push_something(sender)
        try:
            assert process.wait(30) == (130 if number == signal.SIGINT else 1)
        finally:
            process.kill()
        assert process.stderr.read() == ""


def push_something(sender: Sender) -> None:
    import json
    import urllib.request

    from tests.web.doors import a_report

    request = urllib.request.Request(
        sender.url(),
        json.dumps(a_report()).encode(),
        {**sender.headers, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201


# Completion.


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment with a command `valgnatt` and a separate home directory."""
    command = tmp_path / "bin" / "valgnatt"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gateway "$@"\n')
    command.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    root = str(Path(__file__).parents[1])
    path = f"{command.parent}:{inherited['PATH']}"
    return {**inherited, "PATH": path, "HOME": str(tmp_path), "PYTHONPATH": root}


def in_bash(script: str, environ: dict[str, str]) -> str:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    ended = subprocess.run(
        ["bash", "-c", f"{script}\ntrue"],
        env=environ,
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


COMPLETE = """
complete_words() {
    COMP_WORDS=(valgnatt "$@"); COMP_CWORD=$#; COMPREPLY=()
    _valgnatt_completion valgnatt; echo "${COMPREPLY[*]}"
}
complete_words el
complete_words election ''
complete_words serve --feed-w
"""


@pytest.mark.long
def test_completion_is_shown_and_works(shell: dict[str, str]) -> None:
    """Commands, those below them, and options."""
    output = in_bash(f'eval "$(valgnatt --show-completion)"\n{COMPLETE}', shell).splitlines()
    assert output == ["election", "load previous list embargo open close raise-revisions", "--feed-workers"]


@pytest.mark.long
def test_completion_is_installed(shell: dict[str, str]) -> None:
    """For the current shell, in the user's home directory; a new shell has it."""
    output = in_bash("valgnatt --install-completion", shell)
    assert "bash completion installed" in output
    installed = in_bash(f'source "$HOME/.bashrc"\n{COMPLETE}', shell).splitlines()
    assert installed[0] == "election"
    assert "--install-completion" in (Path(__file__).parents[1] / "README.md").read_text()

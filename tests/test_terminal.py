"""No text that a command prints can control the terminal, wherever it comes from."""

import ast
import asyncio
import json
import os
import pty
import re
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from rich.table import Table
from rich.text import Text

from gateway.characters import CONTROL, printable, printable_json, printable_lines
from gateway.journal.administration import administration
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from gateway.terminal import Terminal
from tests.counts import variants
from tests.fork_server import Command
from tests.running import running
from tests.web.doors import COUNTRY, a_registry, a_report

pytestmark = pytest.mark.long

HOSTILE = "\x1b[66;6H\x1b]0;owned\x07\x9b31m\u202e[/x][red][link=x]:smile:\r\x7f\u2028"
SHOWN = r"\x1b[66;6H\x1b]0;owned\x07\x9b31m\u202e[/x][red][link=x]:smile:\r\x7f\u2028"
TIMEOUT_S = 60.0
ROOT = Path(__file__).parents[1]
OWN_SEQUENCE = re.compile(r"\r?\x1b\[(?!66;)[0-9;?]*[A-Za-z]")
"""The control sequences of rich itself: colours and cursor movements."""


def check_harmless(printed: str, *, shows: bool = True) -> None:
    """Fail where a control character is left; `shows` that the text which had some is there."""
    assert "Traceback" not in printed, printed
    left = CONTROL.search(re.sub(r"[\n\t]", "", printed))
    assert left is None, (left, printed)
    assert not shows or SHOWN[:7] in printed, printed


# The parts.


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("a\nb\tc") == r"a\nb\tc"
    assert printable_lines("a\nb\tc\r") == "a\nb\tc\\r"
    assert printable("Kárášjohka 🎉") == "Kárášjohka 🎉"
    assert printable("\udcff\U000e0041") == r"\udcff\U000e0041"


def test_json_stays_equal() -> None:
    """Every control character, also one above the basic plane, becomes an escape of JSON."""
    document = {HOSTILE: [HOSTILE, "\U000e0041", "æ"]}
    text = printable_json(json.dumps(document, ensure_ascii=False))
    assert not CONTROL.search(text)
    assert "æ" in text
    assert json.loads(text) == document


@pytest.mark.parametrize("terminal", [False, True])
def test_whatever_is_drawn_is_text(terminal: bool) -> None:
    """In lines, titles, heads and cells of tables; given as str or as Text."""
    console = Terminal(force_terminal=terminal, width=1000)
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE))
    with console.capture() as captured:
        for each in (HOSTILE, Text(HOSTILE), table):
            console.print(each)
        console.say(HOSTILE, "red")
        console.print(HOSTILE, markup=True, emoji=True)
    printed = OWN_SEQUENCE.sub("", captured.get())
    check_harmless(printed)
    assert printed.count(r"owned") == printed.count(r"\x1b[66;6H") == 9
    assert (
        len(set(map(len, re.findall(r"^[┃│].*$", printed, re.MULTILINE)))) == 1
    )  # escaped before it is measured


WRITERS = {"gateway/output.py", "gateway/terminal.py", "gateway/web/count_reader.py"}
"""The only modules that may write to standard output and error, or create a console; the last is a process that answers
its push process by standard output.
"""


def test_no_other_part_writes_to_the_terminal() -> None:
    """So testing these two modules covers every command. Log lines are tested separately."""
    found = []
    for path in [
        *ROOT.glob("gateway/**/*.py"),
        *ROOT.glob("bench/__main__.py"),
        *ROOT.glob("bench/**/__init__.py"),
    ]:
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
            if text in (
                "print",
                "Console",
                "rich.console.Console",
                "sys.stdout.write",
                "sys.stderr.write",
            ) or (
                text in ("typer.echo", "typer.secho", "click.echo", "sys.stdout.buffer", "sys.stderr.buffer")
            ):
                found.append((name, text))
    assert {name for name, _ in found} == WRITERS
    assert {text for _, text in found} == {"Console", "sys.stdout.write", "sys.stdout.buffer"}


# Commands, against a gateway that means harm.


class HostileGateway:
    """Both doors; every text that it sends is hostile, and with `nonsense` its documents have a wrong shape."""

    def __init__(self, small: GeneratedElection) -> None:
        self.url = ""
        self.nonsense: Any = None
        areas = [{**area, "name": f"{HOSTILE}{area['name']}"} for area in small.registry["areas"]]
        parties = [{**party, "name": HOSTILE} for party in small.registry["parties"]]
        header = {**small.registry["election"], "id": "e", "name": HOSTILE}
        self._registry = {**small.registry, "election": header, "areas": areas, "parties": parties}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["HostileGateway"]:
        app = web.Application()
        app.router.add_get("/v1/elections/e/feed", self._feed)
        app.router.add_get("/v1/elections/e/push", self._push)
        app.router.add_get("/{path:.*}", self._document)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _document(self, request: web.Request) -> web.Response:
        documents: dict[str, Any] = {
            "/v1/elections": {"elections": [{"id": f"e{HOSTILE}", "rehearsal": False}] * 2},
            "/v1/elections/e": {"registry": self._registry},
            "/v1/elections/e/transfers": {
                "election": "e",
                "rehearsal": False,
                "sequence": 1,
                "server_time": "2025-09-08T22:36:55Z",
                "transfers": [self._transfer()],
            },
        }
        if request.path not in documents:
            code = "no_report" if "/reports/" in request.path else HOSTILE
            problem = {"type": f"urn:valgnatt:problem:{code}", "code": code, "detail": HOSTILE}
            return web.json_response(problem, status=404, content_type="application/problem+json")
        document = documents[request.path] if self.nonsense is None else self.nonsense
        return web.json_response(document)

    def _transfer(self) -> dict[str, Any]:
        counts = dict.fromkeys(("units", "reported", "accepted", "published", "embargoed"), 1)
        return {
            "name": HOSTILE, **counts, "oldest_unpublished_s": 99.0, "last_contact_at": "2025-09-08T22:36:55Z",
            "lag_s": {stage: {"p50": 0.1, "p99": 0.1} for stage in ("receipt", "applied", "written")},
            "municipality": "0301", "last_accepted_at": None,
        }  # fmt: skip

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        area = {
            "area": "vl", "name": HOSTILE, "parent": None, "units": {"total": 2, "reported": 1},
            "counts": {"day": {"ballots": 3, "votes": {HOSTILE: 3}}}, "published_at": None,
        } if self.nonsense is None else self.nonsense  # fmt: skip
        block = {
            "sequence": 1, "chain": "00", "published_at": None, "snapshot": True, "areas": 1,
            "server_time": "2025-09-08T22:36:55Z",
        }  # fmt: skip
        events = (
            f"event: area\ndata: {json.dumps(area)}\n\nevent: block\nid: {HOSTILE.replace(chr(13), '')}\n"
        )
        await answer.write(f"{events}data: {json.dumps(block)}\n\n".encode())
        await asyncio.sleep(TIMEOUT_S)
        return answer

    async def _push(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("valgnatt.push.v1",))
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "credit": 64} if self.nonsense is None else self.nonsense)
        async for message in socket:
            reported: dict[str, Any] = {
                "id": message.json()["id"], "outcome": "refused", "code": HOSTILE, "warnings": [HOSTILE],
                "violations": [{"path": HOSTILE, "detail": HOSTILE}, {}],
            }  # fmt: skip
            await socket.send_json({"type": "results", "credit": 64, "results": [reported]})
        return socket


@pytest.fixture
async def hostile(small: GeneratedElection) -> AsyncIterator[HostileGateway]:
    async with HostileGateway(small).listening() as gateway:
        yield gateway


async def output_of(
    *arguments: object, url: str = "", terminal: bool = False, until: str = "", **environ: str
) -> tuple[int, str]:
    """Run a command on a `terminal` or with pipes; return status and output. Ends it at `until`."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        attributes = termios.tcgetattr(theirs)
        attributes[1] &= ~termios.OPOST  # bytes come as they were written
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    environ = {
        **os.environ, "VALGNATT_TOKEN": "x" * 43, "VALGNATT_PUSH_URL": url, "VALGNATT_FEED_URL": url, "COLUMNS": "400",
        "LINES": "60", "TERM": "xterm", **environ,
    }  # fmt: skip
    process = await asyncio.to_thread(
        partial(Command, *arguments, environ=environ, stdout=theirs, stderr=theirs, text=False)
    )
    os.close(theirs)
    printed = b""
    overdue = asyncio.get_running_loop().call_later(TIMEOUT_S, process.kill)
    while piece := await asyncio.to_thread(_read, ours):
        printed += piece
        if until and until.encode() in printed:
            process.kill()
    status = await asyncio.to_thread(process.wait)
    overdue.cancel()
    os.close(ours)
    assert until or status >= 0, f"ended after {TIMEOUT_S} s: {printed!r}"
    return status, printed.decode("utf-8", "replace")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # a pseudo-terminal whose other side is closed
        return b""


BOARD = "3 ballots"
"""Text of a live display, which is shown on a terminal only."""
COMMANDS: list[tuple[tuple[str, ...], str]] = [
    (("status", "--election", "e"), ""),
    (("status", "--election", "e", "--json"), ""),
    (("status",), ""),
    (("watch", "--election", "e"), BOARD),
    (("watch", "--election", "e", "--json"), "ballots"),
    (("watch", "--election", "none"), ""),
    (("status", "--election", "none"), ""),
    (("push", "--election", "none", "--template"), ""),
    (("push", "--election", "e", HOSTILE), ""),
    (("push", f"--{HOSTILE}"), ""),
    ((HOSTILE,), ""),
    (("serve", f"--{HOSTILE}"), ""),
    (("serve", "--push-port", HOSTILE), ""),
    (("token", "issue", "--election", "e", "--areas", "a", "--expires", HOSTILE), ""),
    (("token", "issue", "--election", "e", "--areas", "a", "--role", HOSTILE), ""),
    (("election", "load", HOSTILE), ""),
    (("replay", HOSTILE), ""),
    (("demo", "--data", HOSTILE), ""),
    (("status", "--feed-url", f"x{HOSTILE}"), ""),
    (
        ("doctor", "--database-url", "postgresql://127.0.0.1:1/none", "--push-url", f"http://{HOSTILE}"),
        "",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "until", "terminal"),
    [(*each, terminal) for each in COMMANDS for terminal in (False, True) if terminal or each[1] != BOARD],
)
async def test_no_command_prints_control_characters_of_a_gateway(
    hostile: HostileGateway, arguments: tuple[str, ...], until: str, terminal: bool
) -> None:
    """From a gateway's documents, its refusals, its stream, and from the command line itself."""
    _, printed = await output_of(*arguments, url=hostile.url, terminal=terminal, until=until)
    assert until in printed
    check_harmless(OWN_SEQUENCE.sub("", printed), shows="--json" not in arguments)


async def test_push_prints_no_control_characters_of_files_and_answers(
    hostile: HostileGateway, tmp_path: Path
) -> None:
    """Names and values of files; codes, reasons and warnings of a gateway; to a pipe and to a terminal.

    At the same time, because each asks for the current report for READ_S.
    """
    pipe, terminal = tmp_path / "pipe", tmp_path / "terminal"
    for directory in (pipe, terminal):
        directory.mkdir()
    await asyncio.gather(
        expect_harmless_pushes(hostile, pipe, terminal=False),
        expect_harmless_pushes(hostile, terminal, terminal=True),
    )


async def expect_harmless_pushes(hostile: HostileGateway, directory: Path, *, terminal: bool) -> None:
    name = HOSTILE.replace("/", "")
    reports = {
        "bad.json": json.dumps(a_report(**{f"member{HOSTILE}": HOSTILE})),
        "unit.json": json.dumps(a_report(HOSTILE)),
        "bad.csv": f"unit,{HOSTILE.replace(chr(13), '').replace(chr(0x2028), '')},counted_at\n1,2,3\n",
        "good.json": json.dumps(a_report()),
        name: "",
    }
    for ending, text in reports.items():
        path = directory / f"{name}{ending}"
        path.write_text(text)
        outbox = ("--outbox", directory / "outbox.db")
        status, printed = await output_of(
            "push", "--election", "e", "--yes", *outbox, path, url=hostile.url, terminal=terminal
        )
        check_harmless(OWN_SEQUENCE.sub("", printed))
        assert status == (1 if ending == "good.json" else 2), printed
    assert SHOWN in printed or "unknown extension" in printed


@pytest.mark.parametrize(
    "nonsense",
    variants([
        [], 7, "text", {}, {"registry": 7}, {"registry": {"areas": {}}}, {"elections": {}},
        {"transfers": [{}]}, {"transfers": [{"name": 1}]}, {"type": "hello", "credit": "x"},
        {"type": "results", "credit": 1, "results": [7]}, {"area": HOSTILE}, {"area": []},
        {"area": "vl", "name": 1, "parent": None, "units": {}, "counts": {}, "published_at": None},
    ], [], {"elections": {}}, {"type": "results", "credit": 1, "results": [7]}, {"area": []}),
)  # fmt: skip
async def test_no_answer_of_another_shape_ends_a_command_with_a_traceback(
    hostile: HostileGateway, tmp_path: Path, nonsense: Any
) -> None:
    """It is one line, and status 1."""
    file = tmp_path / "good.json"
    file.write_text(json.dumps(a_report()))
    outbox = ("--outbox", tmp_path / "outbox.db")
    commands: Sequence[tuple[object, ...]] = (
        ("status",),
        ("status", "--election", "e"),
        ("watch", "--election", "e"),
        ("push", "--election", "e", "--yes", *outbox, file),
        ("push", "--election", "e", "--yes", "--unchecked", *outbox, file),
    )
    hostile.nonsense = nonsense
    for status, printed in await asyncio.gather(*(output_of(*each, url=hostile.url) for each in commands)):
        check_harmless(printed, shows=False)
        assert (status, len(printed.splitlines())) == (1, 1) or "unit" in printed, printed


async def test_an_election_that_was_loaded_before_such_names_were_refused_goes_on(
    postgres: EmbeddedPostgres, database: Any, small: GeneratedElection
) -> None:
    """Both doors serve it, and every command shows it escaped; only loading it again is refused."""
    registry = a_registry(small)
    async with administration(database.url, "test") as acts:
        election = await acts.load_election(registry)
        registry["areas"] = [{**area, "name": f"{HOSTILE}{area['name']}"} for area in registry["areas"]]
        registry["election"]["name"] = HOSTILE
        connection = await asyncpg.connect(database.url)
        try:
            await connection.execute(
                "UPDATE valgnatt.election SET registry = $1", json.dumps(registry, sort_keys=True).encode()
            )
        finally:
            await connection.close()
        issued = await acts.issue_token(election, [COUNTRY], note=HOSTILE)
    async with running(database) as gateway:
        environ = {
            "VALGNATT_TOKEN": issued.secret,
            "VALGNATT_PUSH_URL": gateway.push_url,
            "VALGNATT_DATABASE_URL": database.url,
        }
        for arguments in (
            ("election", "list"),
            ("token", "list"),
            ("status", "--all"),
            ("doctor", "--admin-url", gateway.admin_url),
        ):
            _, printed = await output_of(*arguments, url=gateway.feed_url, **environ)
            check_harmless(printed)

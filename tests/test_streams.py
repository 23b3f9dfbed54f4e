"""No standard stream ends a command with a traceback: closed, full, without a reader, or not UTF-8."""

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway import cli
from gateway.errors import GatewayError
from gateway.output import prepare_streams
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import variants
from tests.fork_server import run_command
from tests.web.doors import a_registry

pytestmark = pytest.mark.long

TIMEOUT_S = 30.0
NAME = "K\u00e1r\u00e1\u0161johka \u2013 \u65e5\u672c \U0001f5f3"
"""A name that no encoding but UTF-8 can show."""


@pytest.fixture
async def url(small: GeneratedElection) -> AsyncIterator[str]:
    """A feed door with one election, whose only municipality is NAME."""
    counts = dict.fromkeys(("units", "reported", "accepted", "published", "embargoed"), 1)
    stages = {stage: {"p50": 0.1, "p99": 0.1} for stage in ("receipt", "applied", "written")}
    transfer = {
        "municipality": "0301", "name": NAME, **counts, "oldest_unpublished_s": None,
        "last_contact_at": "2025-09-08T22:36:55Z", "last_accepted_at": None, "lag_s": stages,
    }  # fmt: skip
    documents = {
        "/v1/elections/e": {"registry": a_registry(small)},
        "/v1/elections/e/transfers": {
            "election": "e", "rehearsal": False, "sequence": 1, "server_time": "2025-09-08T22:36:55Z",
            "transfers": [transfer],
        },
    }  # fmt: skip

    async def document(request: web.Request) -> web.Response:
        return web.json_response(documents[request.path])

    application = web.Application()
    application.router.add_get("/{path:.*}", document)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


async def run(
    arguments: tuple[str, ...], url: str, redirected: str = "", **environ: str
) -> tuple[int, str, str]:
    """Run a command as a shell does, with redirected streams; return status, standard output and error."""
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "gateway", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "VALGNATT_FEED_URL": url, "COLUMNS": "120", **environ},
    )  # fmt: skip
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


STATUS = ("status", "--election", "e", "--all")
COMMANDS = [STATUS, (*STATUS, "--json"), ("push", "--election", "e", "--template"), ("--help",)]


@pytest.mark.parametrize("arguments", COMMANDS)
async def test_standard_output_that_cannot_be_written_is_named(arguments: tuple[str, ...], url: str) -> None:
    """With status 1; without a word where its reader has gone, as with `| head -1`."""
    full = "No space left on device"
    with open("/dev/full", "w") as device:  # noqa: ASYNC230
        assert await forked(arguments, url, device.fileno()) == (1, f"valgnatt: standard output: {full}\n")
    assert await run(arguments, url, ">&-") == (1, "", "valgnatt: standard output: closed\n")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert await forked(arguments, url, writing) == (1, "")
    finally:
        os.close(writing)


async def forked(arguments: tuple[str, ...], url: str, stdout: int) -> tuple[int, str]:
    """Run a command with an open standard output, which needs no start of Python; return status and standard error."""
    environ = {**os.environ, "VALGNATT_FEED_URL": url, "COLUMNS": "120"}
    ended = await asyncio.to_thread(run_command, *arguments, environ=environ, stdout=stdout)
    return ended.status, ended.err


@pytest.mark.parametrize("redirected", variants(["2>&-", "2> /dev/full", "2>&- <&-"], "2> /dev/full"))
async def test_messages_that_cannot_be_written_change_nothing(redirected: str, url: str) -> None:
    status, out, _ = await run(STATUS, url, redirected)
    assert (status, "K\u00e1r\u00e1\u0161johka" in out) == (0, True)
    assert await run(("push",), url, redirected) == (2, "", "")


@pytest.mark.parametrize("encoding", variants(["ascii", "iso8859-1"], "ascii"))
async def test_what_an_encoding_lacks_is_escaped(encoding: str, url: str) -> None:
    """In tables and messages as text, in JSON as JSON; a template is UTF-8 wherever it is written."""
    environ = {"LC_ALL": "C", "PYTHONIOENCODING": encoding}
    status, out, _ = await run(STATUS, url, **environ)
    assert (status, "\\u0161johka \\u2013 \\u65e5\\u672c \\U0001f5f3" in out) == (0, True), out
    assert "\\u2501" not in out  # the line below the head
    status, out, _ = await run((*STATUS, "--json"), url, **environ)
    assert (status, json.loads(out)["transfers"][0]["name"]) == (0, NAME)
    status, _, err = await run(("push", "--election", "e", "--token-file", NAME), url, **environ)
    assert (status, "\\u0161johka" in err) == (2, True), err
    ordinary = await run(("push", "--election", "e", "--template"), url)
    assert await run(("push", "--election", "e", "--template"), url, **environ) == ordinary


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ExceptionGroup("parts", [OSError(28, "No space left on device", "standard output")]),
         "standard output: No space left on device"),
        (ExceptionGroup("parts", [ExceptionGroup("more", [GatewayError("a.csv\x1b: wrong")]), OSError("gone")]),
         "a.csv\\x1b: wrong"),
        (PermissionError(13, "Permission denied", "/x/y\n"), "/x/y\\n: Permission denied"),
    ],
)  # fmt: skip
def test_an_error_of_a_part_among_others_is_reported_in_one_line(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless one of them is a mistake of the program."""

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(cli, "prepare_streams", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (1, f"valgnatt: {words}\n")
    error = ExceptionGroup("parts", [error, KeyError("x")])
    with pytest.raises(ExceptionGroup):
        cli.main()


class _Console(io.RawIOBase):
    """A console of Windows: a raw stream that is no file, although it has the descriptor of one."""

    def fileno(self) -> int:
        return 1

    def writable(self) -> bool:
        return True


def test_a_console_of_windows_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes characters; bytes would be shown in another encoding."""
    console = io.TextIOWrapper(io.BufferedWriter(_Console()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", console)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    prepare_streams()
    assert sys.stdout is console

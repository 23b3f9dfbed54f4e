"""Databases that the commands cannot use: wrong URLs, logins and poolers are named, and nobody waits for them."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import orjson
import pytest

from gateway.journal.session import SESSION
from gateway.reserved_ports import reserved_ports
from tests.conftest import Database
from tests.fork_server import run_command
from tests.journal.pooler import pooler

TIMEOUT_S = 60.0


def environment(**options: object) -> dict[str, str]:
    """Return an environment with these options and no others, with ports that the kernel chooses."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    ports = dict.fromkeys(("push_port", "feed_port", "admin_port"), 0)
    given = {**ports, "log_format": "json", **options}
    return environ | {f"VALGNATT_{name.upper()}": str(value) for name, value in given.items()}


async def run(*arguments: str, **options: object) -> tuple[int | None, str]:
    """Run a command; return its exit status and everything that it printed."""
    status, out, err = await asyncio.to_thread(
        partial(run_command, *arguments, environ=environment(**options))
    )
    return status, out + err


@pytest.mark.parametrize("option", ["database_url", "feed_database_url"])
@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://valgnatt:1#ss@127.0.0.1/valgnatt", "%23"),
        ("postgresql://valgnatt:p@127.0.0.1/valgnatt?channel_binding=require", "channel_binding"),
    ],
)
async def test_a_url_that_can_never_work_is_a_usage_error(option: str, url: str, named: str) -> None:
    """Of `serve` and of a command that uses the database; with the variable, and nothing of the password."""
    for command in (["serve"], ["election", "list"]):
        status, printed = await run(*command, **{option: url})
        assert status == 2, printed
        assert printed.startswith(f"VALGNATT_{option.upper()}: ")
        assert named in printed
        assert "1#ss" not in printed


async def test_a_parameter_that_is_ignored_is_a_warning(database: Database) -> None:
    """On standard error; the command succeeds."""
    url = f"{database.url}&keepalives=1&keepalives_idle=30&connect_timeout=10&channel_binding=prefer&gssencmode=disable"
    status, printed = await run("election", "list", database_url=url)
    assert status == 0, printed
    (line,) = printed.splitlines()
    assert line.startswith("warning: VALGNATT_DATABASE_URL: the parameter keepalives_idle is ignored: ")


async def test_no_command_uses_a_pooler_that_shares_sessions(database: Database, tmp_path: Path) -> None:
    """They end with status 1 and say what to set; so does `doctor` if only the feeds use it."""
    with pooler(
        tmp_path, [database.url, database.feed_url], "transaction", ignored=",".join(SESSION)
    ) as shared:
        url = shared.url(database.url)
        for command in (["serve"], ["election", "list"], ["db", "migrate"], ["doctor"]):
            status, printed = await run(*command, database_url=url)
            assert status == 1, printed
            assert "pool_mode = session" in printed
        status, printed = await run(
            "doctor", database_url=database.url, feed_database_url=shared.url(database.feed_url)
        )
        assert status == 1
        assert "feeds cannot log in: a pooler shares sessions" in printed
        status, printed = await run("serve", role="feed", feed_database_url=shared.url(database.feed_url))
        assert status == 1
        assert "pool_mode = session" in printed


def wrong_password(url: str) -> str:
    login, _, place = url.partition("@")
    return f"{login}x@{place}"


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[asyncio.StreamReader]:
    """Run `valgnatt serve`; yields its log."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve"), env=environment(**options), stdin=DEVNULL, stderr=PIPE
    )
    assert process.stderr is not None
    try:
        yield process.stderr
    finally:
        process.terminate()
        await process.communicate()


async def test_a_feed_with_a_wrong_login_is_reported_and_senders_are_served(database: Database) -> None:
    """In the log as an error, on the feed door and on the admin port; a machine of feeds alone ends."""
    wrong = wrong_password(database.feed_url)
    with reserved_ports(3) as (push, feed, admin):
        ports = {"push_port": push, "feed_port": feed, "admin_port": admin}
        async with (
            serving(database_url=database.url, feed_database_url=wrong, **ports) as lines,
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession() as http,
        ):
            while b"heads: unavailable until a setting is changed" not in (line := await lines.readline()):
                assert line
            event = orjson.loads(line)
            assert (event["level"], event["process"]) == ("error", "feed-0")
            assert "password authentication failed" in event["error"]
            async with http.get(f"http://127.0.0.1:{feed}/health/ready") as answer:
                assert (answer.status, await answer.json()) == (503, {"status": "unusable"})
            async with http.get(f"http://127.0.0.1:{feed}/v1/elections") as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "journal_unavailable")
            problem = ""
            while not problem:
                async with http.get(f"http://127.0.0.1:{admin}/health/ready") as answer:
                    problem = (await answer.json())["workers"]["feed-0"].get("problem", "")
            assert "password authentication failed" in problem
            status = 503
            while status != 200:
                with suppress(aiohttp.ClientConnectorError):  # its process may not listen yet
                    async with http.get(f"http://127.0.0.1:{push}/health/ready") as answer:
                        status = answer.status
    status, printed = await run("serve", role="feed", feed_database_url=wrong)
    assert status == 1
    assert "password authentication failed" in printed

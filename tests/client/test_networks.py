"""The commands of clients in difficult networks: behind proxies, portals and failing doors, as a person sees them."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from gateway.client.outbox import Outbox
from gateway.client.push_files import destination
from tests.client.doors import a_door, accepting
from tests.client.forward_proxy import forward_proxy
from tests.client.scripted import answer, scripted, web_page
from tests.fork_server import Command, Ended, run_command
from tests.running import Gateway, Sender
from tests.web.doors import a_report

pytestmark = pytest.mark.long

TIMEOUT_S = 30.0
NAMED = "gateway.invalid"
"""A name that only the proxy of a test can resolve."""


@asynccontextmanager
async def command(*arguments: object) -> AsyncIterator[Command]:
    """Start a command without the proxies of the environment of the tests."""
    process = await asyncio.to_thread(partial(Command, *arguments, environ=variables()))
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


def variables(**environ: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**clean, "VALGNATT_TOKEN": "token", **environ}


async def ended(*arguments: object, **environ: str) -> Ended:
    """Run a command to its end."""
    running = partial(run_command, *arguments, environ=variables(**environ))
    return await asyncio.to_thread(running)


async def wait_for_line(process: Command, words: str) -> str:
    """Return the first line on standard error that contains some words."""
    assert process.stderr is not None
    seen = ""
    while line := await asyncio.to_thread(process.stderr.readline):
        seen += line
        if words in line:
            return line
    raise AssertionError(f"{words!r} is not in {seen!r}")


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(a_report()))
    return path


def unchecked(tmp_path: Path, push_url: str, *more: object, election: str = "e") -> list[object]:
    """Return the arguments of a push that needs no feed door."""
    return [
        "push", "--unchecked", "--yes", "--election", election, "--outbox", tmp_path / "outbox.db",
        "--push-url", push_url, *more,
    ]  # fmt: skip


def of(url: str) -> str:
    """Return the URL of a door of this machine under a name that only the proxy knows."""
    return url.replace("127.0.0.1", NAMED).replace("localhost", NAMED)


async def test_every_command_goes_through_the_proxy_of_the_environment(
    gateway: Gateway, sender: Sender, tmp_path: Path, counts: Path
) -> None:
    """With its password, which nothing shows; `no_proxy` is honoured, and a proxy's refusal is named as such."""
    async with forward_proxy("me:se@cret") as proxy:
        there = f"127.0.0.1:{proxy.port}"
        urls = {"VALGNATT_PUSH_URL": of(gateway.push_url), "VALGNATT_FEED_URL": of(gateway.feed_url)}
        through = {"HTTP_PROXY": f"http://me:se%40cret@{there}", **urls, "VALGNATT_TOKEN": sender.secret}
        status = ["status", "--election", sender.election]
        push = ["push", "--yes", "--election", sender.election, "--outbox", tmp_path / "outbox.db", counts]
        shown, pushed, refused, direct, no_proxy = await asyncio.gather(
            ended(*status, **through),
            ended(*push, **through),
            ended(*status, **through | {"HTTP_PROXY": f"http://me:wrong@{there}"}),
            ended(*status, **through, NO_PROXY=NAMED),
            ended(*status, **through | {"HTTP_PROXY": "http://me:wrong@127.0.0.1:9"}),
        )
    assert (shown.status, pushed.status) == (0, 0), (shown, pushed)
    assert "1 receipt" in pushed.err
    assert set(proxy.requests) == {f"GET {NAMED}"}
    for each, words in (
        (refused, f"the proxy http://{there} (HTTP_PROXY) requires a user name and password"),
        (direct, "the host name cannot be resolved;"),
        (no_proxy, "cannot reach the proxy http://127.0.0.1:9 (HTTP_PROXY): Connection refused"),
    ):
        assert each.status == 1
        assert words in each.err
        assert len(each.err.splitlines()) == 1
        assert "wrong" not in each.err


async def test_reports_are_pushed_through_a_tunnel_to_a_door_with_tls(tmp_path: Path, counts: Path) -> None:
    """`https_proxy` is asked to CONNECT; SSL_CERT_FILE names the authority. Without it, push ends with the reason."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAMED).configure_cert(context)
    async with (
        a_door(web.get("/v1/elections/e/push", accepting), tls=context) as url,
        forward_proxy() as proxy,
    ):
        push = unchecked(tmp_path, of(url), counts)
        through = {"https_proxy": f"127.0.0.1:{proxy.port}"}
        untrusted = await ended(*push, **through)
        trusted = await ended(*push, **through, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    assert untrusted.status == 1
    assert "the certificate is not trusted" in untrusted.err
    assert "1 report without a receipt kept in the outbox" in untrusted.err
    assert trusted.status == 0, trusted.err
    assert set(proxy.requests) == {f"CONNECT {NAMED}"}


async def test_behind_a_proxy_that_passes_no_upgrade_reports_go_over_http(
    gateway: Gateway, sender: Sender, tmp_path: Path, counts: Path
) -> None:
    """This is said once, and every report gets its receipt."""
    async with forward_proxy(upgrades=False) as proxy:
        pushed = await ended(
            *unchecked(tmp_path, of(gateway.push_url), counts, election=sender.election),
            HTTP_PROXY=f"127.0.0.1:{proxy.port}", VALGNATT_TOKEN=sender.secret,
        )  # fmt: skip
    assert pushed.status == 0, pushed.err
    assert pushed.err.count("sent over HTTP instead") == 1
    assert "upgrade_required" in pushed.err
    assert "1 receipt" in pushed.err


async def test_push_says_why_nothing_is_sent_and_goes_on_when_it_can(tmp_path: Path, counts: Path) -> None:
    """A door that is not available while the command starts."""
    available = asyncio.Event()

    async def door(request: web.Request) -> web.StreamResponse:
        return await accepting(request) if available.is_set() else web.Response(status=502, text="<html>")

    routes = web.get("/v1/elections/e/push", door), web.post("/v1/elections/e/reports", door)
    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(*routes) as url,
        command(*unchecked(tmp_path, url, counts)) as process,
    ):
        line = await wait_for_line(process, "answered 502 Bad Gateway")
        assert url in line
        assert "1 report waiting, trying again" in line
        available.set()
        assert await asyncio.to_thread(process.wait) == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(302, Location="https://login.example/?next=x"), "redirected to https://login.example/ (302)"),
        (web_page(200), "answered 200 OK with a web page; this is not a push door"),
    ],
)
async def test_an_error_that_somebody_has_to_correct_ends_push_but_not_a_watch(
    tmp_path: Path, counts: Path, given: bytes, words: str
) -> None:
    """The reports stay in the outbox."""
    folder = tmp_path / "folder"
    folder.mkdir()
    async with scripted(lambda _: given) as server, asyncio.timeout(TIMEOUT_S):
        pushed = await ended(*unchecked(tmp_path, server.url, counts))
        async with command(*unchecked(tmp_path, server.url, "--watch", folder)) as process:
            line = await wait_for_line(process, words)
            assert "1 report waiting, trying again" in line
            assert process.poll() is None
    assert pushed.status == 1
    assert words in pushed.err
    assert f"valgnatt: {server.url}" in pushed.err.splitlines()[-1]
    outbox = Outbox(tmp_path / "outbox.db")
    assert len(list(outbox.waiting(destination(server.url, "e")))) == 1
    outbox.close()


async def test_readers_say_in_one_line_what_is_no_feed_door() -> None:
    """A web page instead of a document, for every command that reads."""
    async with scripted(lambda _: web_page(200)) as server:
        found = await asyncio.gather(
            *(
                ended(*arguments, "--feed-url", server.url)
                for arguments in (
                    ["status"],
                    ["watch", "--election", "e"],
                    ["push", "--template", "--election", "e"],
                )
            )
        )
    for each in found:
        assert (each.status, each.out) == (1, "")
        assert "with a web page; this is not a feed door" in each.err
        assert len(each.err.splitlines()) == 1

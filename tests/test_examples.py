"""Every example runs against a real gateway and does what it describes."""

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import expect

from gateway import client
from gateway.client import Answer, Block, FeedRefused, Publisher, PushRefused, Subscriber
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.client.mirrored import mirrored
from tests.counts import variants
from tests.election.naive_seats import with_seats
from tests.feed.test_previous import a_previous
from tests.running import Gateway, Sender, served
from tests.web.browsing import CHROMIUM, browsing, visiting
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, HERE, UNIT, a_registry, a_report, pushed, shown, units_of

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def gateway(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    with served(make_database(postgres), heartbeat_s=1) as gateway:
        yield gateway


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def sender(gateway: Gateway, small: GeneratedElection) -> Sender:
    """A sender for the whole country, in a separate election for the test."""
    return await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])


class Example:
    """A running example, read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def until(self, pattern: str) -> str:
        """Read up to a line that matches a pattern."""
        while line := await self.line():
            if re.search(pattern, line):
                return line
        assert self.process.stderr is not None
        raise AssertionError((await self.process.stderr.read()).decode())

    async def end(self) -> tuple[int, str]:
        """Wait for its end; return its status and the rest of its output."""
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await self.process.communicate()
        assert "Traceback" not in err.decode()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode() + err.decode()


@asynccontextmanager
async def running(sender: Sender, *command: str, **environ: str) -> AsyncIterator[Example]:
    reported = {
        "VALGNATT_PUSH_URL": sender.gateway.push_url,
        "VALGNATT_FEED_URL": sender.gateway.feed_url,
        "VALGNATT_TOKEN": sender.secret,
        **environ,
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **reported},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield Example(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def python(sender: Sender, name: str, *arguments: str) -> AbstractAsyncContextManager[Example]:
    return running(sender, sys.executable, str(EXAMPLES / name), *arguments)


@asynccontextmanager
async def newsroom(file: Path) -> AsyncIterator[str]:
    """A server on another origin, with a file."""
    application = web.Application()

    async def get(_: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    async def nothing(_: web.Request) -> web.Response:
        return web.Response(status=204)

    application.router.add_get("/" + file.name, get)
    application.router.add_get("/favicon.ico", nothing)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def test_every_example_is_listed_and_tested() -> None:
    """In the README of the examples, and in this module or, if it needs no package, in that about verifying by hand."""
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert set(re.findall(r"\]\((\w+\.\w+)\)", (EXAMPLES / "README.md").read_text())) == names
    by_hand = ROOT / "tests" / "transparency" / "test_by_hand.py"
    tested = Path(__file__).read_text() + by_hand.read_text()
    assert not [name for name in names if f'"{name}"' not in tested]


async def test_one_count_is_pushed_and_its_receipt_shown(sender: Sender, tmp_path: Path) -> None:
    """The second time it is a duplicate; for an invalid count the violations are shown."""
    file = tmp_path / "report.json"
    file.write_text(json.dumps(a_report()))
    for outcome in ("accepted", "duplicate"):
        async with python(sender, "push_one.py", sender.election, str(file)) as example:
            status, printed = await example.end()
        assert status == 0
        assert re.match(rf"{outcome}, published, sequence 1, digest [0-9a-f]{{64}}$", printed.strip())
    wrong = a_report(revision=2)
    wrong["counts"]["election_day"]["ballots"] += 1
    file.write_text(json.dumps(wrong))
    async with python(sender, "push_one.py", sender.election, str(file)) as example:
        status, printed = await example.end()
    assert status == 1
    assert "$.counts.election_day.ballots" in printed
    assert "(sum_mismatch)" in printed


async def test_a_night_is_pushed_followed_and_copied(
    sender: Sender, small: GeneratedElection, tmp_path: Path
) -> None:
    """Three examples at the same time: at the end the copy in SQLite has the official figures."""
    night, results = tmp_path / "reports.ndjson", tmp_path / "results.db"
    night.write_text("".join(json.dumps(line) + "\n" for line in small.reports))
    async with (
        python(sender, "newsroom_copy.py", sender.election, str(results)) as copying,
        python(sender, "follow.py", sender.election, HERE, "100") as following,
    ):
        assert (await copying.line()).endswith("everything")
        await following.until("^0\tnothing is published yet")
        async with python(sender, "push_night.py", sender.election, str(night)) as pushing:
            assert await pushing.end() == (0, f"{len(small.reports)}\taccepted\n")
        status, printed = await following.end()
        assert status == 0
        assert "reached at " in printed
        await copying.until(f"^{len(small.reports)}-")
        copying.process.send_signal(signal.SIGINT)
        assert (await copying.end())[0] == 130
    official = {line["area"]: line for line in small.official if line.get("final")}
    kept = sqlite3.connect(results)
    for area in (HERE, "0101"):
        wanted = {
            (category, party): votes
            for category, counts in official[area]["counts"].items()
            for party, votes in counts["votes"].items()
        }
        found = kept.execute("SELECT category, party, votes FROM votes WHERE area = ? AND votes > 0", (area,))
        assert {(category, party): votes for category, party, votes in found} == {
            name: votes for name, votes in wanted.items() if votes
        }
    kept.close()

    async with python(sender, "newsroom_copy.py", sender.election, str(results)) as copying:
        assert not (await copying.line()).endswith("everything")  # it continues from its position


async def test_a_newsroom_shows_seats_majorities_who_is_next_and_the_change(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """As the documents of the gateway have them, before anything is counted and afterwards."""
    registry = with_seats(a_registry(small), seats=10)
    parties = [each["code"] for each in registry["parties"]]
    registry["election"]["blocs"] = [
        {"name": "FL alone", "parties": parties[:1]},
        {"name": "All others", "parties": parties[1:]},
    ]
    election = await gateway.load(registry, a_previous(small))
    sender = await gateway.issue(election, [COUNTRY])
    await shown(gateway, election)
    async with python(sender, "seats.py", election) as example:
        status, printed = await example.end()
    assert status == 0
    units, districts = units_of(small), sum("seats" in each for each in registry["areas"])
    assert printed.splitlines()[0] == (
        f"A projection of {10 * districts} seats: 0 of {len(units)} units have reported"
    )
    counts = {"ballots": 900, "blank": 0, "rejected": 0, "votes": {"FL": 700, "NST": 200}}
    reports = [{**a_report(unit), "counts": {"election_day": counts}} for unit in units]
    receipts = await pushed(http, sender, *reports)
    await shown(gateway, election, receipts[-1]["sequence"])
    async with python(sender, "seats.py", election) as example:
        status, printed = await example.end()
    assert status == 0
    lines = printed.splitlines()
    assert lines[0].endswith(f"seats: {len(units)} of {len(units)} units have reported")
    table = await http.get(f"{gateway.feed_url}/v1/elections/{election}/seats")
    seats = (await table.json())["seats"]["by_party"]
    assert re.fullmatch(rf"FL +{seats['FL']['seats']}  [+-]\d+\.\d\d points", lines[1])
    assert f"FL alone: {seats['FL']['seats']}, a majority" in lines
    short = 5 * districts + 1 - seats["NST"]["seats"]
    assert f"All others: {seats['NST']['seats']}, {short} short" in lines
    assert re.search(r"\w+: \d+ more votes for \w+ take the last seat of \w+$", lines[-1])
    async with python(sender, "seats.py", "none") as example:
        assert (await example.end())[0] == 1


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"Chromium is not installed ({CHROMIUM})")
@pytest.mark.parametrize("origin", variants(["file", "http"], "file"))
async def test_the_page_runs_from_a_file_and_from_another_origin(
    sender: Sender, http: aiohttp.ClientSession, origin: str
) -> None:
    """It shows the present figures, and changes."""
    await pushed(http, sender, a_report(votes=10))
    query = f"?feed={sender.gateway.feed_url}&election={sender.election}&area={HERE}"
    page_file = EXAMPLES / "feed.html"
    script = page_file.read_text().partition("<script>\n")[2].partition("</script>")[0]
    assert len(script.splitlines()) <= 20
    async with newsroom(page_file) as elsewhere, browsing() as browser, visiting(browser) as visitor:
        url = page_file.as_uri() if origin == "file" else f"{elsewhere}/feed.html"
        page = await visitor.open(url + query)
        await expect(page.locator("#state")).to_have_text(
            re.compile(r"^Drøvheim: 1 of \d+ units, sequence 1$")
        )
        await expect(page.locator("tr").first).to_have_text("FL10")
        await pushed(http, sender, a_report(revision=2, votes=33))
        await expect(page.locator("tr").first).to_have_text("FL33")
        assert visitor.errors == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_request_of_curl_sh_is_answered(sender: Sender) -> None:
    """In order, each with the answer that its heading describes."""
    names = {"ELECTION": sender.election, "UNIT": UNIT, "AREA": HERE}
    async with running(sender, "sh", str(EXAMPLES / "curl.sh"), **names) as example:
        status, printed = await example.end()
    assert status == 0, printed
    parts = [part.partition("\n")[2].strip() for part in ("\n" + printed).split("\n# ")[1:]]
    first, again = parts[0].splitlines()
    assert first.endswith(" 201")
    assert again.endswith(" 200")
    assert json.loads(parts[1])["receipt"]["unit"] == UNIT
    assert json.loads(first.rpartition(" ")[0])["outcome"] == "accepted"
    assert parts[2].splitlines()[-3].startswith("sequence,published_at,area,")
    assert parts[3].startswith("<?xml")
    assert '{"@type":"ElectionResults.ElectionReport"' in parts[3]
    assert json.loads(parts[4])["report"]["unit"] == UNIT
    assert '"transfers"' in parts[5]
    assert "event: block" in parts[6]
    assert "event: publication" in parts[7]


# Mirrors.


@pytest.fixture
async def mirror(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, tmp_path: Path
) -> AsyncIterator[str]:
    """The URL of a mirror of the sender's election, in which one report is counted."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    async with mirrored(gateway, sender.election, tmp_path / "mirror") as url:
        yield url


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"Chromium is not installed ({CHROMIUM})")
async def test_a_page_of_twenty_lines_follows_a_mirror(
    sender: Sender, http: aiohttp.ClientSession, mirror: str
) -> None:
    """It shows the present figures with their age, and changes."""
    page_file = EXAMPLES / "mirror.html"
    script = page_file.read_text().partition("<script>\n")[2].partition("</script>")[0]
    assert len(script.splitlines()) <= 25
    async with browsing() as browser, visiting(browser) as visitor:
        page = await visitor.open(f"{page_file.as_uri()}?mirror={mirror}&election={sender.election}")
        await expect(page.locator("#state")).to_have_text(
            re.compile(r": 1 of \d+ units, sequence 1, \d+ s old$")
        )
        await expect(page.locator("tr").first).to_have_text("FL10")
        await pushed(http, sender, a_report(revision=2, votes=33), a_report("0602-0001", votes=5))
        await expect(page.locator("#state")).to_have_text(
            re.compile(r": 2 of \d+ units, sequence 3, \d+ s old$")
        )
        await expect(page.locator("tr").first).to_have_text("FL38")
        assert visitor.errors == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_reads_a_mirror(sender: Sender, http: aiohttp.ClientSession, mirror: str) -> None:
    """Each part as its heading describes; the delta after the snapshot once there is one."""

    async def parts() -> list[str]:
        async with running(
            sender, "sh", str(EXAMPLES / "mirror.sh"), MIRROR=mirror, ELECTION=sender.election
        ) as example:
            status, printed = await example.end()
        assert status == 0, printed
        return [part.partition("\n")[2].strip() for part in ("\n" + printed).split("\n# ")[1:]]

    table, live, files = await parts()
    assert table.startswith("area,name,level,")
    assert re.fullmatch(r"200\n304\nhistory \d{8}T\d{6}Z-[0-9a-f]{8}, sequence 1, written at 2\S+Z", live)
    assert files.splitlines()[-1].startswith('{"sequence":1,')
    await pushed(http, sender, a_report(revision=2, votes=33))
    async with asyncio.timeout(TIMEOUT_S):
        while "sequence 2," not in live:
            table, live, files = await parts()
    blocks = [line for line in files.splitlines() if line.startswith('{"sequence"')]
    assert [line.partition(",")[0] for line in blocks] == ['{"sequence":1', '{"sequence":2']


@pytest.mark.parametrize("package", ["pandas", "polars"])
async def test_the_results_are_a_data_frame(sender: Sender, mirror: str, package: str) -> None:
    """From a mirror as from the gateway; identifiers keep their zeros."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed, so examples/results_frame.py is not tested with it")
    for source in (mirror, None):
        show = f"print(it.with_{package}(it.address({sender.election!r}, {source!r})))"
        code = f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import results_frame as it; {show}"
        async with running(sender, sys.executable, "-c", code) as example:
            status, printed = await example.end()
        assert status == 0, printed
        assert re.search(rf"{HERE}\W+Drøvheim\W+FL\W+10\W", printed)


async def test_without_a_package_for_data_frames_the_example_says_what_to_install(sender: Sender) -> None:
    if {name for name in ("pandas", "polars") if find_spec(name) is not None}:
        pytest.skip("pandas or polars is installed")
    async with python(sender, "results_frame.py", sender.election) as example:
        status, printed = await example.end()
    assert (status, printed) == (1, "this example needs pandas or polars: pip install pandas\n")


async def test_a_subscriber_follows_a_mirror_as_it_follows_a_gateway(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, mirror: str
) -> None:
    """The copies are equal, whatever is selected, and one goes on from the cursor of the other."""
    selections: list[dict[str, str]] = [{}, {"areas": HERE}, {"levels": "country,county"}]
    async with asyncio.timeout(TIMEOUT_S):
        for selection in selections:
            async with (
                Subscriber(gateway.feed_url, sender.election, **selection) as streamed,  # type: ignore[arg-type]
                Subscriber(mirror, sender.election, **selection) as read,  # type: ignore[arg-type]
            ):
                assert (await streamed.wait_for(lambda _: True)).cursor == (
                    await read.wait_for(lambda _: True)
                ).cursor
            assert read.copy == streamed.copy
            assert read.source is not None
            assert (read.source.kind, read.source.url) == ("mirror", mirror)
        await pushed(http, sender, a_report(revision=2, votes=33))
        async with Subscriber(
            mirror, sender.election, cursor=read.cursor, copy=read.copy, levels="country,county"
        ) as later:
            block = await later.wait_for(lambda it: it.sequence == 2)
        assert not block.snapshot
        assert later.copy[COUNTRY]["counts"]["election_day"]["votes"]["FL"] == 33
        async with Subscriber(
            gateway.feed_url, sender.election, cursor=later.cursor, levels="country,county"
        ) as back:
            block = await back.wait_for(lambda _: True)
        assert (block.snapshot, dict(block.areas)) == (False, {})


# The library.


def test_the_library_lists_its_public_names() -> None:
    """In its docstring, with a description of each; the package is typed."""
    assert set(client.__all__) >= {"Publisher", "Subscriber", "Answer", "Block"}
    for name in client.__all__:
        assert getattr(client, name).__doc__
    for kind in (Publisher, Subscriber):
        public = [name for name in vars(kind) if not name.startswith("_") and callable(getattr(kind, name))]
        assert all(getattr(kind, name).__doc__ for name in public)
    assert (ROOT / "gateway" / "py.typed").exists()


async def test_a_subscriber_waits_for_the_sequence_of_a_receipt(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession
) -> None:
    """`wait_for` returns the block that contains it; the caller limits a wait that never ends."""
    async with (
        Publisher(gateway.push_url, sender.election, sender.secret) as publisher,
        Subscriber(gateway.feed_url, sender.election) as subscriber,
        asyncio.timeout(TIMEOUT_S),
    ):
        answer = await publisher.push(a_report(votes=21))
        assert isinstance(answer, Answer)
        wanted = answer.sequence
        assert wanted is not None
        block = await subscriber.wait_for(lambda it: it.sequence >= wanted)
        assert isinstance(block, Block)
        assert (block.sequence, subscriber.cursor) == (wanted, block.cursor)
        assert subscriber.copy[COUNTRY]["counts"]["election_day"]["votes"]["FL"] == 21
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await subscriber.wait_for(lambda it: it.sequence > 10)


async def test_a_subscriber_continues_from_a_saved_copy(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession
) -> None:
    """Only changes are read; with a cursor from another history, everything."""
    await pushed(http, sender, a_report(), a_report("0602-0001"))
    await shown(gateway, sender.election, 2)
    async with asyncio.timeout(TIMEOUT_S), Subscriber(gateway.feed_url, sender.election) as first:
        await first.wait_for(lambda it: it.sequence == 2)
    await pushed(http, sender, a_report(revision=2, votes=77))
    await shown(gateway, sender.election, 3)
    async with (
        asyncio.timeout(TIMEOUT_S),
        Subscriber(gateway.feed_url, sender.election, cursor=first.cursor, copy=first.copy) as second,
    ):
        assert second.sequence == 2
        block = await second.wait_for(lambda it: it.sequence == 3)
        assert not block.snapshot
        assert "0602" not in block.areas
        assert second.copy["0602"] == first.copy["0602"]
        assert second.copy[HERE]["counts"]["election_day"]["votes"]["FL"] == 77
    async with (
        asyncio.timeout(TIMEOUT_S),
        Subscriber(gateway.feed_url, sender.election, cursor="2-00000000", copy={"gone": {}}) as third,
    ):
        assert (await third.wait_for(lambda it: it.sequence == 3)).snapshot
        assert "gone" not in third.copy


async def test_a_subscription_that_cannot_be_served_raises_an_error_with_its_code(
    gateway: Gateway, sender: Sender
) -> None:
    """It is not retried for ever."""
    async with asyncio.timeout(TIMEOUT_S), Subscriber(gateway.feed_url, "none") as subscriber:
        with pytest.raises(FeedRefused):
            await subscriber.wait_for(lambda _: True)
    async with (
        asyncio.timeout(TIMEOUT_S),
        Publisher(gateway.push_url, sender.election, "no token") as publisher,
    ):
        with pytest.raises(PushRefused):
            await publisher.push(a_report())

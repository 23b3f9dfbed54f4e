"""`serve --mirror` and `valgnatt mirror`, as their users see them."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from gateway.reserved_ports import reserved_ports
from gateway.wire.mirror import ELECTIONS, decode_live, election_path, live_path, snapshot_path
from tests.fork_server import Command, Ended, run_command
from tests.running import Gateway, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry, a_report, pushed, until

ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mirror") / "files"


@pytest.fixture(scope="module")
def gateway(postgres: EmbeddedPostgres, files: Path) -> Iterator[Gateway]:
    """A gateway that writes a mirror, once a second."""
    with served(make_database(postgres), mirror=files, mirror_every_s=1) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def election(gateway: Gateway, small: GeneratedElection) -> str:
    """A released election with two reports."""

    async def make() -> str:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        async with aiohttp.ClientSession() as http:
            await pushed(http, sender, a_report(), a_report(revision=2))
        return election

    return asyncio.run(make())


def valgnatt(*arguments: object) -> Ended:
    return run_command(*arguments, environ=ENVIRON)


async def written(files: Path, election: str, sequence: int = 2) -> None:
    """Wait until `live.json` shows a sequence, and files beside it were written."""

    directory = files / election_path(election)
    needed = (
        files / ELECTIONS,
        directory.with_name(f"{election}.json"),
        directory / "results.csv",
        directory / "areas",
    )

    async def shown() -> bool:
        live = files / live_path(election)
        return (
            all(path.exists() for path in needed)
            and live.exists()
            and decode_live(live.read_bytes()).sequence >= sequence
        )

    await until(shown)


async def worker(gateway: Gateway) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{gateway.admin_url}/health/ready") as response,
    ):
        found: dict[str, Any] = (await response.json())["workers"]["mirror-0"]
        return found


async def test_serve_writes_a_mirror_in_a_process_that_gives_way_to_the_doors(
    gateway: Gateway, files: Path, election: str
) -> None:
    """Its age is in the metrics of the machine. If it is killed, the doors remain ready, and it goes on."""
    await written(files, election)
    before = decode_live((files / live_path(election)).read_bytes())
    pid = (await worker(gateway))["pid"]
    assert os.getpriority(os.PRIO_PROCESS, pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    samples = await gateway.metrics()
    assert samples[f'valgnatt_mirror_sequence{{process="mirror-0",election="{election}"}}'] == 2
    assert samples[f'valgnatt_mirror_age_seconds{{process="mirror-0",election="{election}"}}'] < 30
    assert samples['valgnatt_mirror_files_total{process="mirror-0"}'] > 10
    os.kill(pid, signal.SIGKILL)

    async def again() -> bool:
        now = await worker(gateway)
        return now["state"] == "ready" and now["pid"] != pid

    await until(again)
    assert (await gateway.metrics())['valgnatt_door_ready{door="feed"}'] == 1

    async def continued() -> bool:
        live = decode_live((files / live_path(election)).read_bytes())
        return live.written_at > before.written_at and live.history == before.history

    await until(continued)


async def test_the_check_says_in_words_what_is_wrong(gateway: Gateway, files: Path, election: str) -> None:
    """How old the files are, what is missing, and what is not in the mirror at all; status 1 if anything is."""
    await written(files, election)
    good = valgnatt("mirror", gateway.feed_url, files, "--check", "--election", election)
    assert (good.status, good.err) == (0, "")
    assert f"{election}  up to date: written " in good.out
    assert "sequence 2" in good.out
    live = decode_live((files / live_path(election)).read_bytes())
    wrong = valgnatt("mirror", gateway.feed_url, files, "--check", "-e", election, "-e", "none")
    assert wrong.status == 1
    assert "none" in wrong.out
    assert "not in the mirror" in wrong.out
    profile = live.profiles["country"]
    copy = files.with_name("copy")
    for path in (live_path(election), "v1/elections.json"):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes((files / path).read_bytes())
    old = orjson.loads((copy / live_path(election)).read_bytes()) | {"written_at": "2020-01-01T00:00:00Z"}
    (copy / live_path(election)).write_bytes(orjson.dumps(old))
    late = valgnatt("mirror", gateway.feed_url, copy, "--check", "-e", election)
    assert late.status == 1
    assert f"{election}  behind: written " in late.out
    name = snapshot_path(election, live.history, "country", profile.snapshot).split(f"{election}/")[1]
    assert name in late.out
    assert "results.csv is missing" in late.out


async def test_a_mirror_is_a_process_of_its_own_with_health_and_metrics(
    gateway: Gateway, election: str, tmp_path: Path
) -> None:
    """It ends with status 0 on SIGTERM. A second one of the same target does not start, and names the first."""
    with reserved_ports(1) as (port,):
        options = ("--election", election, "--every", 1, "--admin-port", port)
        with Command("mirror", gateway.feed_url, tmp_path / "files", *options, environ=ENVIRON) as process:
            try:
                await written(tmp_path / "files", election)
                second = await asyncio.to_thread(valgnatt, "mirror", gateway.feed_url, tmp_path / "files")
                assert second.status == 1
                assert "another mirror" in second.err
                assert f"process {process.pid}" in second.err
                health, text = await admin_documents(f"http://127.0.0.1:{port}")
                assert health == {"status": "ready", "behind_s": {}}
                assert f'valgnatt_mirror_sequence{{process="mirror",election="{election}"}} 2.0' in text
            finally:
                process.terminate()
            assert await asyncio.to_thread(process.wait, 30) == 0


async def admin_documents(url: str) -> tuple[Any, str]:
    """Return the health of a mirror, and its metrics."""
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}/health/ready") as response:
            health = await response.json()
        async with http.get(f"{url}/metrics") as response:
            return health, await response.text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("http://127.0.0.1:1", "files", "--every", "3"), "--every is 3, and not one of 1, 2, 5, 10, 30, 60"),
        (("127.0.0.1:1", "files"), "is not http://host:port"),
        (("http://127.0.0.1:1/?token=hunter2", "files"), "the URL of a door has no query"),
        (("http://127.0.0.1:1", "files", "--key", "x+y"), "--key: "),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[str, ...], message: str) -> None:
    done = valgnatt("mirror", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert "hunter2" not in done.err

"""A witness as a process: over HTTP, with several clients at once, through kills, and with hostile clients."""

import asyncio
import json
import os
import random
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from gateway.reserved_ports import reserved_port
from gateway.signer.witness_client import (
    Conflict,
    Cosigned,
    Newest,
    NotOffered,
    Refused,
    Unreachable,
    WitnessClient,
)
from gateway.transparency.ed25519 import generate
from gateway.transparency.note import COSIGNATURE, ED25519, VerifierKey
from gateway.transparency.witness_protocol import origin_hash
from gateway.witness.decision import Kept
from gateway.witness.directory import WitnessDirectoryUnusable, open_directory
from gateway.witness.state import StateLost, WitnessStateUnavailable
from gateway.witness.submission import BODY_MAX
from tests.counts import count
from tests.fork_server import run_command
from tests.web.doors import until
from tests.witness.logs import NAME, GrowingLog, Running, read_state
from tests.witness.processes import WitnessProcess, exchange, post

KILLS = count(3, full=60)
LONG_S = 30.0


class Logs:
    """A log of its own for every test, all followed by one witness."""

    def __init__(self) -> None:
        self.all = [GrowingLog(f"results.example.no/live/e{number}") for number in range(16)]
        self.unused = iter(self.all)


@pytest.fixture(scope="module")
def logs() -> Logs:
    return Logs()


@pytest.fixture
def log(logs: Logs) -> GrowingLog:
    return next(logs.unused)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("witness") / "w"


@pytest.fixture(scope="module")
def served(directory: Path, logs: Logs) -> Iterator[WitnessProcess]:
    with WitnessProcess(directory, *logs.all) as process:
        yield process


def client_of(process: WitnessProcess) -> WitnessClient:
    return WitnessClient(process.vkey, process.url, timeout_s=LONG_S)


def test_new_witness_shows_its_key(served: WitnessProcess, directory: Path) -> None:
    """And keeps the private one readable by its owner only."""
    assert f"key          {served.vkey}" in served.printed
    assert f"fingerprint  {served.vkey.fingerprint}" in served.printed
    assert (directory / "witness.vkey").read_text() == f"{served.vkey}\n"
    assert (directory / "witness.key").stat().st_mode & 0o777 == 0o600
    assert served.vkey.kind == COSIGNATURE


async def test_client_and_witness_agree(served: WitnessProcess, log: GrowingLog) -> None:
    """Our client gets cosignatures, sizes, refusals and the newest checkpoint from our witness."""
    async with client_of(served) as client:
        assert await client.newest(log.origin) == NotOffered()
        first = await client.submit(log.origin, 0, (), log.note(3))
        assert isinstance(first, Cosigned)
        assert await client.submit(log.origin, 0, (), log.note(9)) == Conflict(3)
        second = await client.submit(log.origin, 3, log.proof(3, 9), log.note(9))
        assert isinstance(second, Cosigned)
        newest = await client.newest(log.origin)
        assert isinstance(newest, Newest)
        assert (newest.checkpoint, newest.at) == (log.checkpoint(9), second.at)
        forked = await client.submit(log.origin, 9, (), GrowingLog(log.origin, shared=2).note(9))
        assert isinstance(forked, Refused)
        assert (forked.status, forked.inconsistent) == (409, True)
        unproven = await client.submit(log.origin, 9, (), log.note(12))
        assert isinstance(unproven, Refused)
        assert (unproven.status, unproven.inconsistent) == (422, True)
        stranger = GrowingLog("results.example.no/live/other")
        unknown = await client.submit(stranger.origin, 0, (), stranger.note(1))
        assert isinstance(unknown, Refused)
        assert (unknown.status, unknown.inconsistent) == (404, False)
        false = await client.submit(
            log.origin, 9, log.proof(9, 12), log.note(12, GrowingLog(log.origin, seed=9).key)
        )
        assert isinstance(false, Refused)
        assert false.status == 403


async def test_cosignature_of_another_key_is_refused_by_the_client(
    served: WitnessProcess, log: GrowingLog
) -> None:
    """Such as that of a witness that was set up anew at the same URL."""
    other = generate(NAME, COSIGNATURE).vkey
    async with WitnessClient(other, served.url, timeout_s=LONG_S) as client:
        answer = await client.submit(log.origin, 0, (), log.note(3))
        assert isinstance(answer, Refused)
        assert answer.status is None
        assert isinstance(await client.newest(log.origin), Refused)


async def test_of_submissions_at_once_one_is_cosigned(served: WitnessProcess, log: GrowingLog) -> None:
    """The others get the size of that one: checking and recording are one step."""
    forks = [log, *(GrowingLog(log.origin, shared=4 + number) for number in range(5))]
    bodies = [each.body(0, 10) for each in forks]
    async with aiohttp.ClientSession() as http:

        async def answer(body: bytes) -> tuple[int, str]:
            async with http.post(f"{served.url}/add-checkpoint", data=body) as response:
                return response.status, await response.text()

        answers = await asyncio.gather(*map(answer, bodies))
        assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409, 409]
        assert {text for status, text in answers if status == 409} == {"10\n"}


async def test_conflict_has_the_media_type_of_the_specification(
    served: WitnessProcess, log: GrowingLog
) -> None:
    """And a cosignature is text; neither may be cached."""
    conflict = await exchange(served.url, post(log.body(1, 5)))
    assert conflict.startswith(b"HTTP/1.1 409 ")
    assert b"\r\nContent-Type: text/x.tlog.size\r\n" in conflict
    assert conflict.endswith(b"\r\n\r\n0\n")
    cosigned = await exchange(served.url, post(log.body(0, 5)))
    assert cosigned.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nCache-Control: no-store\r\n" in cosigned
    assert "\r\n\r\n— witness.example.org/w1 ".encode() in cosigned


async def test_other_requests_are_refused(served: WitnessProcess, log: GrowingLog) -> None:
    """With the status that HTTP has for them."""
    body = log.body(0, 5)
    origin = origin_hash(log.origin).encode()
    for request, status in (
        (b"GET /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n", 405),
        (post(body, path="/other"), 404),
        (b"GET /%064d/checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n" % 0, 404),
        (b"GET /" + origin + b"/checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n", 404),
        (b"GET /" + origin + b"/other HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n", 404),
        (post(b"x" * (BODY_MAX + 1)), 413),
        (post(body + b"x" * 100), 400),
    ):
        answer = await exchange(served.url, request)
        assert answer.startswith(b"HTTP/1.1 %d " % status), (request[:60], answer[:80])


async def test_refused_fork_is_logged_shown_and_written(
    served: WitnessProcess, directory: Path, log: GrowingLog, tmp_path: Path
) -> None:
    """While the witness runs: `--check` ends with status 1, and writes both notes to hand on."""
    fork = GrowingLog(log.origin, shared=2)
    for body in (log.body(0, 5), fork.body(5, 5)):
        await exchange(served.url, post(body))

    async def logged() -> bool:
        errors = [json.loads(line) for line in served.log if '"error"' in line]
        return any("two root hashes" in each["event"] and each["log"] == log.origin for each in errors)

    await until(logged)
    arguments = ("witness", "--check", "--dir", directory, "--evidence", tmp_path / "evidence")
    ended = await asyncio.to_thread(run_command, *arguments, environ=os.environ)
    assert ended.status == 1
    assert f"FORK         {log.origin}: size 5" in ended.out
    notes = {file.read_bytes() for file in (tmp_path / "evidence").iterdir()}
    assert {fork.note(5), log.note(5)} <= notes


async def test_silent_and_slow_clients_delay_nobody(served: WitnessProcess, log: GrowingLog) -> None:
    """Connections that send nothing, half a head, or half a body."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    body = log.body(0, 5)
    idle = []
    for beginning in (b"", b"POST /add-check", post(body)[:-20]) * 5:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(beginning)
        idle.append(writer)
    async with client_of(served) as client:
        assert isinstance(await client.submit(log.origin, 0, (), log.note(5)), Cosigned)
    for writer in idle:
        writer.close()


async def test_cosigned_history_survives_kills(tmp_path: Path, log: GrowingLog) -> None:
    """SIGKILL while checkpoints are cosigned: what has left is known after the start, and nothing contradicts it."""
    directory, chance = tmp_path / "w", random.Random(5)
    left = 0

    async def submit(client: WitnessClient, running: asyncio.Event) -> None:
        nonlocal left
        old = left
        while not isinstance(answer := await client.submit(log.origin, old, log.proof(old, old + 1), log.note(old + 1)),
                             Unreachable):  # fmt: skip
            if isinstance(answer, Conflict):  # the last one was recorded, and its answer lost
                assert left <= answer.size <= left + 1
                old = answer.size
                continue
            assert isinstance(answer, Cosigned)
            old = left = old + 1
            running.set()

    for _ in range(KILLS):
        process = await asyncio.to_thread(WitnessProcess, directory, log)
        with process:
            async with client_of(process) as client:
                running = asyncio.Event()
                submitting = asyncio.ensure_future(submit(client, running))
                await running.wait()
                await asyncio.sleep(chance.random() * 0.05)  # in any phase of a submission
                process.kill()
                await submitting
    with Running(directory, log) as last:
        newest = last.state.newest(log.origin)
        assert newest is not None
        assert left <= newest.size <= left + 1
        assert newest.root == log.checkpoint(newest.size).root
        assert (
            last.ask(GrowingLog(log.origin, shared=left - 1).body(newest.size, newest.size + 1)).status == 422
        )


async def test_witness_serves_tls_health_and_metrics(tmp_path: Path, log: GrowingLog) -> None:
    """SIGHUP reloads the certificate and ends nothing; SIGTERM ends it with status 0."""
    authority = trustme.CA()
    certificate = tmp_path / "witness.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with reserved_port() as admin:
        options = ("--tls-certificate", certificate, "--admin-port", admin)
        process = await asyncio.to_thread(WitnessProcess, tmp_path / "w", log, options=options)
        with process:
            assert process.url.startswith("https://")
            async with aiohttp.ClientSession() as http:
                for _ in range(2):
                    async with http.post(
                        f"{process.url}/add-checkpoint", data=log.body(0, 5), ssl=trusting
                    ) as answer:
                        assert answer.status in (200, 409)
                    process.process.send_signal(signal.SIGHUP)
                async with http.get(f"http://127.0.0.1:{admin}/health/ready") as answer:
                    assert answer.status == 200
                async with http.get(f"http://127.0.0.1:{admin}/metrics") as answer:
                    metrics = await answer.text()
            assert f'valgnatt_witness_size{{log="{log.origin}"}} 5.0' in metrics
            assert f'valgnatt_witness_refused_total{{log="{log.origin}",status="409"}} 1.0' in metrics
            process.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.process.wait, LONG_S) == 0


def test_key_without_state_is_refused(tmp_path: Path, log: GrowingLog) -> None:
    """With this key the witness could cosign another history; the message says what to do."""
    Running(tmp_path / "w", log).close()
    (tmp_path / "w" / "state.sqlite").unlink()
    with pytest.raises(StateLost, match="set up a new witness with a new key"):
        open_directory(tmp_path / "w", NAME)
    ended = run_command(
        "witness",
        "--name",
        NAME,
        "--dir",
        tmp_path / "w",
        "--log",
        log.key.vkey,
        "--port",
        0,
        environ=os.environ,
    )
    assert ended.status == 1
    assert "the state of this witness is lost" in ended.err
    assert not (tmp_path / "w" / "state.sqlite").exists()


def test_state_of_another_key_is_refused(tmp_path: Path) -> None:
    """As after copying only one of the two files."""
    for name in ("a", "b"):
        Running(tmp_path / name).close()
    (tmp_path / "a" / "state.sqlite").replace(tmp_path / "b" / "state.sqlite")
    with pytest.raises(StateLost, match="another key"):
        open_directory(tmp_path / "b", NAME)


def test_state_without_key_is_refused_once_something_was_cosigned(tmp_path: Path, log: GrowingLog) -> None:
    """Before that, the start that created it was interrupted, and the next one goes on."""
    directory = tmp_path / "w"
    Running(directory, log).close()
    (directory / "witness.key").unlink()
    with Running(directory, log) as running:
        assert running.created
        running.ask(log.body(0, 5))
    (directory / "witness.key").unlink()
    with pytest.raises(WitnessDirectoryUnusable, match="without its key"):
        open_directory(directory, NAME)


def test_second_process_in_a_directory_is_refused(tmp_path: Path) -> None:
    """So two processes never answer with one key; reading is allowed."""
    with Running(tmp_path / "w"):
        with pytest.raises(WitnessStateUnavailable, match="another witness runs"):
            open_directory(tmp_path / "w", NAME)
        read_state(tmp_path / "w").close()


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """And a key that has another name."""
    Running(tmp_path / "w").close()
    with pytest.raises(WitnessDirectoryUnusable, match="keeps its name"):
        open_directory(tmp_path / "w", "witness.example.org/w2")
    (tmp_path / "w" / "witness.key").chmod(0o640)
    with pytest.raises(WitnessDirectoryUnusable, match="chmod 600"):
        open_directory(tmp_path / "w", NAME)


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    """With its name; nothing is created in its place."""
    Running(tmp_path / "w").close()
    for content in (b"", b"not a database, but long enough to be one" * 100):
        (tmp_path / "w" / "state.sqlite").write_bytes(content)
        with pytest.raises(WitnessStateUnavailable, match=r"state\.sqlite"):
            open_directory(tmp_path / "w", NAME)


def test_state_that_is_replaced_while_the_witness_runs_stops_it(tmp_path: Path, log: GrowingLog) -> None:
    """It would write to a file that nobody finds again."""
    with Running(tmp_path / "w", log) as running:
        running.ask(log.body(0, 5))
        (tmp_path / "w" / "state.sqlite").rename(tmp_path / "moved")
        with pytest.raises(WitnessStateUnavailable):
            running.ask(log.body(5, 9))


def test_full_disk_refuses_and_later_continues(tmp_path: Path, log: GrowingLog) -> None:
    """Nothing is cosigned that is not recorded."""
    with Running(tmp_path / "w", log) as running:
        running.ask(log.body(0, 5))
        (pages,) = running.state._db.execute("PRAGMA page_count").fetchone()
        running.state._db.execute(f"PRAGMA max_page_count = {pages}")
        sizes = [5]

        def fill() -> None:
            while True:
                assert running.ask(log.body(sizes[-1], sizes[-1] + 1)).status == 200
                sizes.append(sizes[-1] + 1)

        with pytest.raises(WitnessStateUnavailable, match="no space left"):
            fill()
        newest = running.state.newest(log.origin)
        assert newest is not None
        assert newest.size == sizes[-1]
        running.state._db.execute("PRAGMA max_page_count = 1000000")
        assert running.ask(log.body(sizes[-1], 600)).status == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name the witness with --name"),
        (("--name", "a b", "--log", "x"), "--log: not VKEY or VKEY=URL"),
        (
            ("--name", NAME, "--log", f"{VerifierKey('../a/live/b', ED25519, bytes(32))}=https://a.example"),
            "--log: the name of a log has",
        ),
        (("--name", NAME), "--log: no log to follow"),
        (("--name", NAME, "--evidence", "x"), "--evidence needs --check"),
        (("--name", NAME, "--tls-key", "x"), "--tls-key needs --tls-certificate"),
    ],
)
def test_usage_errors_have_status_2(arguments: tuple[str, ...], said: str) -> None:
    """And create nothing."""
    ended = run_command("witness", *arguments, environ=os.environ)
    assert ended.status == 2
    assert said in ended.err


def test_forks_of_evidence_are_kept_over_a_restart(tmp_path: Path, log: GrowingLog) -> None:
    """Evidence is in the state, too."""
    with Running(tmp_path / "w", log) as running:
        running.ask(log.body(0, 5))
        running.ask(GrowingLog(log.origin, shared=1).body(5, 5))
    with Running(tmp_path / "w", log) as running:
        assert [each.kind for each in running.state.evidence()] == [Kept.FORK]

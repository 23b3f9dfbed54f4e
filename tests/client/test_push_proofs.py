"""`valgnatt push` gets proofs of its reports without waiting for them, whatever the feed door does."""

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from gateway.client import log_door, proof_fetching, push_proofs
from gateway.client.outbox import Outbox
from gateway.client.push_command import PushOptions, push
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.client.commands import running_command
from tests.client.desk import Desk, until
from tests.client.scripted import Open, Request, answer, scripted
from tests.client.scripted_log import problem
from tests.counts import variants
from tests.running import Gateway, Sender, served
from tests.signer.signing import LOG_NAME, create_key
from tests.web.conftest import make_database
from tests.web.doors import HERE, OTHER_UNIT, UNIT, a_registry, a_report, pushed


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the signer."""
    return tmp_path_factory.mktemp("sign")


@pytest.fixture(scope="module")
def gateway(postgres: EmbeddedPostgres, signs: Path) -> Iterator[Gateway]:
    """A gateway that signs."""
    database = make_database(postgres)
    signing = {"signer_database_url": database.signer_url, "log_name": LOG_NAME, "sign_dir": signs}
    with served(database, push_workers=1, feed_workers=1, checkpoint_every_s=1, **signing) as gateway:
        yield gateway


@pytest.fixture
async def sender(gateway: Gateway, small: GeneratedElection, signs: Path) -> Sender:
    """A sender for one municipality, in an election with a log."""
    registry = a_registry(small)
    (signs.parent / registry["election"]["id"]).write_text(
        str(create_key(signs, registry["election"]["id"]).vkey)
    )
    return await gateway.issue(await gateway.load(registry), [HERE])


@pytest.fixture
def key(signs: Path, sender: Sender) -> Path:
    """A file with the key of the log."""
    return signs.parent / sender.election


def proofs_in(desk: Desk) -> list[tuple[str, int]]:
    outbox = Outbox(desk.outbox)
    try:
        return [(each.unit, each.revision) for each in outbox.proofs.stored(desk.to)]
    finally:
        outbox.close()


async def covered(gateway: Gateway, election: str, size: int) -> None:
    """Wait until the feed door shows a checkpoint of at least this size."""
    url = f"{gateway.feed_url}/v1/elections/{election}/log/checkpoint"
    async with aiohttp.ClientSession() as http, asyncio.timeout(30.0):
        while True:
            async with http.get(url) as found:
                if found.status == 200 and int((await found.read()).split(b"\n")[1]) >= size:
                    return
            await asyncio.sleep(0.05)


def verify(*arguments: object) -> tuple[int, str, str]:
    with running_command("verify", *arguments, environ=os.environ) as process:
        output, errors = process.communicate(timeout=60.0)
    assert "Traceback" not in errors
    return process.returncode, output, errors


async def test_a_later_run_gets_the_proofs_which_anybody_can_verify(
    desk: Desk, gateway: Gateway, sender: Sender, key: Path
) -> None:
    """Then the outbox agrees with the record, until somebody else reports with the token."""
    reports = [a_report(), a_report(OTHER_UNIT, revision=3)]
    status, output = await desk.push_here(desk.file("counts.ndjson", *reports))
    assert (status, "proof" in output.lower()) == (0, False)
    await covered(gateway, sender.election, 3)
    directory = desk.directory / "proofs"
    status, output = desk.push("--proofs", directory)
    assert (status, f"Wrote 2 proofs to {directory}." in output) == (0, True), output
    assert proofs_in(desk) == [(UNIT, 1), (OTHER_UNIT, 3)]
    files = sorted(directory.iterdir())
    assert [path.name for path in files] == [f"{UNIT}-1.tlog-proof", f"{OTHER_UNIT}-3.tlog-proof"]
    status, output, _ = verify("receipt", *files, "--key", key)
    assert (status, output.count("verified: ")) == (0, 2)
    record = (desk.outbox, gateway.feed_url, "-e", sender.election, "--key", key)
    status, output, errors = verify("outbox", *record)
    assert (status, errors) == (0, "")
    assert output.startswith("verified: all your 2 reports with a receipt are in the record")
    assert f"  your areas   {HERE} " in output, "the token's areas were stored"
    async with aiohttp.ClientSession() as http:
        await pushed(http, sender, a_report(revision=7, votes=900))
    await covered(gateway, sender.election, 4)
    status, _, errors = verify("outbox", *record)
    assert status == 1
    assert errors.startswith("valgnatt: not_mine: the record has 1 report of your areas")
    assert f"  unit {UNIT} " in errors


async def end_embargo(gateway: Gateway, election: str) -> None:
    """Let the embargo end with the next report."""
    connection = await asyncpg.connect(gateway.database.url)
    await connection.execute(
        "UPDATE valgnatt.embargo SET publish_from = clock_timestamp()"
        " WHERE election = (SELECT key FROM valgnatt.election WHERE id = $1)",
        election,
    )
    await connection.close()


async def test_an_embargoed_report_gets_its_proof_after_the_release(
    tmp_path: Path, gateway: Gateway, small: GeneratedElection, signs: Path
) -> None:
    """Its receipt had no sequence. Before the release, the log has no report, whoever asks."""
    registry = a_registry(small, publish_from=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    election = registry["election"]["id"]
    (tmp_path / "key").write_text(str(create_key(signs, election).vkey))
    desk = Desk(tmp_path, gateway, await gateway.issue(await gateway.load(registry), [HERE]))
    async with gateway.administration() as acts:
        await acts.open_election(election)
    await covered(gateway, election, 1)
    status, _ = await desk.push_here(desk.file("first.json", a_report()))
    assert (status, desk.answers()[0]["state"], desk.answers()[0]["sequence"]) == (0, "embargoed", "")
    record = (desk.outbox, gateway.feed_url, "-e", election, "--key", tmp_path / "key")
    status, _, errors = verify("outbox", *record)
    assert (status, "missing: no report is published yet" in errors) == (1, True), errors
    await desk.push_here()
    assert proofs_in(desk) == []
    await end_embargo(gateway, election)
    await desk.push_here(desk.file("second.json", a_report(OTHER_UNIT)))
    await covered(gateway, election, 3)
    status, _ = await desk.push_here()
    assert (status, proofs_in(desk)) == (0, [(UNIT, 1), (OTHER_UNIT, 1)])
    first, _ = desk.answers()
    assert (first["outcome"], first["state"], first["sequence"]) == ("duplicate", "published", "1")
    assert verify("outbox", *record)[0] == 0


@pytest.mark.long
async def test_a_watched_directory_gets_proofs_by_itself(
    desk: Desk, gateway: Gateway, sender: Sender
) -> None:
    """As files too, while it goes on."""
    watched, directory = desk.directory / "watched", desk.directory / "proofs"
    watched.mkdir()
    with desk.command("--watch", watched, "--settle-s", "0.2", "--proofs", directory) as process:
        (watched / "counts.json").write_text(json.dumps(a_report()))
        await asyncio.to_thread(until, lambda: list(directory.glob("*.tlog-proof")))
        process.terminate()
        process.communicate(timeout=30.0)
    assert (directory / f"{UNIT}-1.tlog-proof").is_file()


def options(desk: Desk, gateway: Gateway, sender: Sender, log_url: str) -> PushOptions:
    """Those of a push whose proofs come from another door."""
    return PushOptions(
        gateway.push_url,
        gateway.feed_url,
        sender.election,
        sender.secret,
        desk.outbox,
        desk.receipts,
        yes=True,
        log_url=log_url,
    )


HOSTILE = {
    "silent": lambda _: None,
    "slow": lambda _: Open(answer(200, b"c2sp", length=99_999)),
    "huge": lambda _: answer(200, b"x" * 3_000_000),
    "older": lambda _: problem(404, "not_found"),
    "without a log": lambda _: problem(404, "not_signed"),
    "broken": lambda _: b"",
}


@pytest.mark.parametrize("kind", variants(HOSTILE, "silent", "huge", "broken"))
async def test_no_feed_door_changes_anything_for_a_sender(
    kind: str, desk: Desk, gateway: Gateway, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with reports never waits for it: here a request would last until the test fails."""
    for module, name in ((log_door, "REQUEST_S"), (proof_fetching, "ROUND_S"), (push_proofs, "IDLE_S")):
        monkeypatch.setattr(module, name, 1000.0)
    first, second = (desk.file(f"{number}.json", a_report(revision=number)) for number in (1, 2))
    expected = [await desk.push_here(first), await desk.push_here(second)]
    other = Desk(desk.directory / "other", gateway, sender)
    other.directory.mkdir()
    again = (other.file(f"{number}.json", a_report(OTHER_UNIT, number)) for number in (1, 2))
    asked: list[Request] = []

    def script(request: Request) -> bytes | None:
        asked.append(request)
        return HOSTILE[kind](request)

    async with scripted(script) as feed:
        for path in again:
            assert await push(options(other, gateway, sender, feed.url), [path], None) == 0
    assert [status for status, _ in expected] == [0, 0]
    assert [each["outcome"] for each in other.answers()] == ["accepted", "accepted"]
    assert all("/log/checkpoint" in request.target for request in asked)
    assert proofs_in(other) == []


async def test_a_run_that_has_nothing_to_send_waits_no_longer_than_its_limit(
    desk: Desk, gateway: Gateway, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_proofs, "IDLE_S", 0.05)
    await desk.push_here(desk.file("counts.json", a_report()))
    async with scripted(lambda _: None) as feed:
        assert await push(options(desk, gateway, sender, feed.url), [], None) == 0


def test_a_directory_of_proofs_that_cannot_be_used_ends_the_command_before_it_sends(desk: Desk) -> None:
    (desk.directory / "file").write_text("")
    counts = desk.file("counts.json", a_report())
    for directory, words in (
        (desk.directory / "file", "is a file"),
        (desk.directory / "none" / "proofs", "no file can be created in this directory"),
    ):
        status, output = desk.push(counts, "--proofs", directory)
        assert (status, words in output) == (2, True), output
    status, output = desk.push("--watch", desk.directory, "--proofs", desk.directory)
    assert (status, "name another one" in output) == (2, True), output
    assert not desk.outbox.exists()

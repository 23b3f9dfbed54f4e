"""Implementations of other projects verify the signed record of a running gateway, and refuse one with a fault."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import GeneratedElection
from gateway.rehearsal.rehearse import GatewayUrls, rehearse
from gateway.rehearsal.schedule import as_fast_as_possible
from gateway.signer.directory import SignDirectory
from gateway.transparency.checkpoint import Checkpoint, open_checkpoint
from gateway.transparency.note import VerifierKey, parse_note
from gateway.transparency.policy import Policy
from gateway.transparency.proof_file import ProofFile
from gateway.verification.feed_record import open_record
from gateway.verification.record_verifier import RecordVerifier
from tests.client.doors import a_door
from tests.conftest import Database
from tests.counts import EXTENT, variants
from tests.running import Gateway, running, served
from tests.signer.signing import LOG_NAME, create_key
from tests.transparency.readers import Reader, read_log, readers
from tests.transparency.records import LOG_KEY, Fault, Night, a_night, base64_of
from tests.transparency.test_by_hand import by_openssl, example
from tests.verification.feed import PREFIX, Feed
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry, a_report, pushed, until
from tests.witness.processes import WitnessProcess

pytestmark = pytest.mark.long

READERS = readers()
OF_ENTRIES = [Fault.FLIPPED_BIT, Fault.TWO_SWAPPED, Fault.LAST_LEFT_OUT, Fault.SIZE_ABOVE, Fault.SIZE_BELOW]
OF_SIGNATURES = [Fault.OTHER_KEY, Fault.SIZE_CHANGED]
BATCHES = (200, 99, 1)
"""Reports after each of which a checkpoint is awaited: more than one entry bundle has, and exact ends of bundles."""


class SignedLog(NamedTuple):
    """A log of a running gateway, and what another implementation is to find in it."""

    url: str
    """The URL of the election."""
    key: VerifierKey
    witness: VerifierKey | None
    newest: Checkpoint
    checkpoints: int

    def expected(self, reader: Reader, proofs: int) -> dict[str, Any]:
        found = {"size": self.newest.size, "root": base64_of(self.newest.root)}
        found |= {"checkpoints": self.checkpoints, "proofs": proofs}
        if reader.knows_witnesses:
            found["cosignatures"] = 0 if self.witness is None else 1
        return found | ({"entries": self.newest.size} if reader.reads_entries else {})


def signed(directory: Path) -> dict[str, Any]:
    """Options of a gateway that signs."""
    return {"log_name": LOG_NAME, "sign_dir": directory, "checkpoint_every_s": 1}


async def wait_covered(
    http: aiohttp.ClientSession, url: str, key: VerifierKey, size: int, witness: VerifierKey | None = None
) -> SignedLog:
    """Wait until the door shows a checkpoint of this size, with the cosignature of the witness."""
    newest = Checkpoint("", 0, b"")

    async def covered() -> bool:
        nonlocal newest
        async with http.get(f"{url}/log/checkpoint") as answer:
            if answer.status == 200:
                note = parse_note(await answer.read())
                newest, _ = open_checkpoint(note, [key])
                cosigned = witness is None or any(witness.made(each) for each in note.signatures)
                return newest.size >= size and cosigned
        return False

    await until(covered)
    assert newest.size == size
    async with http.get(f"{url}/log/checkpoints", params={"after": "0", "limit": "1000"}) as answer:
        return SignedLog(url, key, witness, newest, len((await answer.read()).splitlines()))


@pytest.fixture(scope="module")
def small_log(
    postgres: EmbeddedPostgres, small: GeneratedElection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SignedLog]:
    """The record of a closed election with several checkpoints and a witness, at the door of a running gateway."""
    directory = tmp_path_factory.mktemp("sign")
    database = make_database(postgres)
    registry = a_registry(small)
    key = create_key(directory, registry["election"]["id"]).vkey

    async def fill(gateway: Gateway, witness: VerifierKey) -> SignedLog:
        election = await gateway.load(registry)
        sender = await gateway.issue(election, [COUNTRY])
        url = f"{gateway.feed_url}/v1/elections/{election}"
        size = 1
        async with aiohttp.ClientSession() as http:
            for count in BATCHES:
                await pushed(http, sender, *(a_report(revision=size + each) for each in range(count)))
                size += count
                await wait_covered(http, url, key, size, witness)
            async with gateway.administration() as acts:
                await acts.close_election(election)
            return await wait_covered(http, url, key, size + 1, witness)

    with WitnessProcess(tmp_path_factory.mktemp("witness"), str(key)) as witness:
        signing = {"signer_database_url": database.signer_url, **signed(directory)}
        signing["witnesses"] = f"{witness.vkey}={witness.url}"
        with served(database, push_workers=1, feed_workers=1, **signing) as gateway:
            yield asyncio.run(fill(gateway, witness.vkey))


def reader_of(name: str) -> Reader:
    reader = READERS[name]
    if reader.missing:
        pytest.skip(f"{name}: {reader.missing}")
    return reader


@pytest.mark.parametrize("name", READERS)
async def test_another_implementation_verifies_the_record_of_a_gateway(
    name: str, small_log: SignedLog
) -> None:
    """Checkpoints, tiles and all entries if it reads them, the proofs of reports, and cosignatures if it knows them."""
    reader = reader_of(name)
    sequences = [1, 2, 255, 256, 299, 300]
    answer = await read_log(
        reader, f"{small_log.url}/log", str(small_log.key), sequences, str(small_log.witness)
    )
    assert answer == small_log.expected(reader, len(sequences))


async def test_a_record_of_a_gateway_is_verified_by_hand(small_log: SignedLog, tmp_path: Path) -> None:
    """With openssl, and with the example that needs nothing but Python."""
    async with aiohttp.ClientSession() as http, http.get(f"{small_log.url}/log/checkpoint") as answer:
        note = await answer.read()
    status, output = await by_openssl(note, str(small_log.key), tmp_path, str(small_log.witness))
    assert (status, output.splitlines()[0]) == (0, "Signature Verified Successfully")
    status, output = await example(small_log.url, tmp_path)
    assert (status, output.count(base64_of(small_log.newest.root))) == (0, 1)


@asynccontextmanager
async def serving(night: Night) -> AsyncIterator[str]:
    """Serve a record with its proofs; yield the URL of its log."""

    async def proof(request: web.Request) -> web.Response:
        index = int(request.match_info["sequence"])
        proof = night.proof(index)
        return web.Response(body=ProofFile(index, proof.hashes, proof.note, night.entries[index]).encode())

    routes = [*Feed(night).routes(), web.get(f"{PREFIX}/log/proof/{{sequence}}", proof)]
    async with a_door(*routes) as url:
        yield f"{url}{PREFIX}/log"


@pytest.mark.parametrize("name", READERS)
async def test_another_implementation_refuses_a_record_with_a_fault(name: str) -> None:
    """Each fault alone; those of entries by readers of entries, and by all others in a proof of that entry."""
    reader = reader_of(name)
    for fault in variants([None, *OF_ENTRIES, *OF_SIGNATURES], Fault.FLIPPED_BIT):
        if fault in OF_ENTRIES[2:] and not reader.reads_entries:
            continue
        night = a_night(fault)
        changed = [len(night.entries) - 3] if fault in OF_ENTRIES[:2] else [1]
        async with serving(night) as url:
            answer = await read_log(reader, url, str(LOG_KEY.vkey), changed)
        assert isinstance(answer, str) is (fault is not None), (fault, answer)


@pytest.mark.timeout(600)
@pytest.mark.skipif(EXTENT != "full", reason="the whole recorded night is read with TESTS=full only")
async def test_other_implementations_verify_the_whole_recorded_night(
    database: Database, recorded: Path, tmp_path: Path
) -> None:
    """All 12 689 reports, pushed to a gateway that signs meanwhile."""
    directory = tmp_path / "sign"
    signing = {"signer_database_url": database.signer_url, **signed(directory)}
    async with (
        running(database, push_workers=1, feed_workers=1, **signing) as gateway,
        aiohttp.ClientSession() as http,
    ):
        rehearsal = await rehearse(
            DataSet.open(recorded),
            lambda times, _: as_fast_as_possible(times, 2.0),
            GatewayUrls(database.url, gateway.push_url, gateway.feed_url),
            author="test",
        )
        summary = await rehearsal.run()
        assert summary.publications == 12_689
        keys = SignDirectory(directory, LOG_NAME)
        log = keys.newest(rehearsal.election)
        assert log is not None
        (key,) = keys.keys(log).vkeys
        url = f"{gateway.feed_url}/v1/elections/{rehearsal.election}"
        whole = await wait_covered(http, url, key, 12_690)
        sequences = range(1, 12_690, 397)
        for name, reader in READERS.items():
            if reader.missing:
                sys.stderr.write(f"{name} does not read it: {reader.missing}\n")
                continue
            answer = await read_log(reader, f"{url}/log", str(key), sequences)
            assert answer == whole.expected(reader, len(sequences)), name
        async with open_record(url) as record:
            verifier = RecordVerifier(record, Policy.of_keys([key]))
            found = await verifier.verify(await verifier.checkpoint())
        assert (found.reports, found.figures_at, found.areas) == (12_689, 12_689, 3_863)
        status, output = await example(url, tmp_path)
        assert (status, output.count(base64_of(whole.newest.root))) == (0, 1)

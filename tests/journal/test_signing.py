"""What the signer's role reads and writes: openings, rounds, logs, checkpoints and cosignatures."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from gateway.election.log_record import Cosignature, LogHead, SignedCheckpoint
from gateway.journal.administration import Administration
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from gateway.journal.signing import AnotherSigner, CheckpointRefused, SigningJournal
from tests.conftest import Database
from tests.journal.makers import UNITS, a_registry, a_report, append

NOW = datetime(2025, 9, 8, 20, 0, tzinfo=UTC)
KEY = "results.example.no/live/e+12345678+AQID"
WITNESS = "witness.example+87654321+BAID"


@pytest.fixture
def database(shared_database: Database) -> Database:
    """The shared database."""
    return shared_database


def a_checkpoint(origin: str, size: int, signature: str = "AAAA") -> SignedCheckpoint:
    """Return a checkpoint whose root follows from its size; the journal verifies no signatures."""
    root = hashlib.sha256(b"%d" % size).digest()
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n\n"
    return SignedCheckpoint(size, root, NOW, f"{text}— {origin} {signature}\n")


async def head_of(signing: SigningJournal, election: str) -> LogHead:
    """Return the newest history of an election."""
    return [head for head in await signing.logs.heads() if head.id == election][-1]


async def opened(acts: Administration, journal: PostgresJournal, **header: object) -> tuple[str, int]:
    """Load an election whose embargo has ended, and end it; return its identifier and key."""
    election = await acts.load_election(a_registry(**header))
    key = (await journal.election(election)).key
    await append(journal, key, 1)
    return election, key


async def test_the_end_of_an_embargo_opens_the_election(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal, owner: Connection
) -> None:
    """In the same commit; the entry has the time of the release and the hash of the registry that feeds serve."""
    election = await acts.load_election(a_registry())
    key = (await journal.election(election)).key
    assert election not in {head.id for head in await signing.logs.heads()}
    await append(journal, key, 1)
    head = await head_of(signing, election)
    (published,) = [each for each in await signing.record.heads() if each.id == election]
    assert published.released_at is not None
    assert orjson.loads(head.opening) == {
        "election": election,
        "entry": "opening/1",
        "history": 1,
        "opened_at": published.released_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "previous": None,
        "registry": hashlib.sha256(await signing.record.registry(key)).hexdigest(),
        "rehearsal": False,
    }
    assert (head.history, head.closing, head.origin, head.size) == (1, None, None, 0)


async def test_rounds_checkpoints_and_cosignatures(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal
) -> None:
    """A signer declares its log, inserts larger checkpoints, and cosignatures that arrive later."""
    election, key = await opened(acts, journal)
    await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
    origin = f"results.example.no/live/{election}"
    first = await signing.begin_round(key, "a")
    assert (first.fence, first.previous_signer, first.previous_at) == (1, "", None)
    assert await signing.declare_log(key, 1, first.fence, origin, [KEY], [WITNESS])
    assert not await signing.declare_log(key, 1, first.fence, origin, [KEY], [WITNESS])
    one = a_checkpoint(origin, 1)
    assert await signing.insert_checkpoint(key, 1, first.fence, one)
    assert not await signing.insert_checkpoint(key, 1, first.fence, one)
    all_of_it = a_checkpoint(origin, 1 + len(UNITS))
    assert await signing.insert_checkpoint(key, 1, first.fence, all_of_it)
    cosignature = Cosignature(all_of_it.size, WITNESS, NOW, "— witness.example AAAA")
    assert await signing.add_cosignature(key, 1, cosignature)
    assert not await signing.add_cosignature(key, 1, cosignature)
    newer = Cosignature(all_of_it.size, WITNESS, NOW + timedelta(seconds=1), "— witness.example BBBB")
    before = await head_of(signing, election)
    assert await signing.add_cosignature(key, 1, newer)
    head = await head_of(signing, election)
    assert (head.origin, head.vkeys, head.witnesses, head.size) == (origin, [KEY], [WITNESS], all_of_it.size)
    assert head.changes != before.changes
    assert await signing.logs.checkpoints(key, 1, 0) == [one, all_of_it]
    assert await signing.logs.checkpoints(key, 1, 1) == [all_of_it]
    assert await signing.logs.cosignatures(key, 1, 1, all_of_it.size) == [newer]


async def test_a_checkpoint_is_larger_than_the_last_and_within_the_public_record(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal
) -> None:
    """Another note of the same size, a smaller one and one beyond the record are refused."""
    election, key = await opened(acts, journal)
    await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
    origin = f"results.example.no/live/{election}"
    fence = (await signing.begin_round(key, "a")).fence
    with pytest.raises(CheckpointRefused, match="does not have the origin"):
        await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 1))  # no log is declared
    await signing.declare_log(key, 1, fence, origin, [KEY], [])
    await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 5))
    for refused in (
        a_checkpoint(origin, 5, "BBBB"),
        a_checkpoint(origin, 4),
        a_checkpoint(origin, 2 + len(UNITS)),
        a_checkpoint("results.example.no/live/other", 6),
    ):
        with pytest.raises(CheckpointRefused):
            await signing.insert_checkpoint(key, 1, fence, refused)
    assert [each.size for each in await signing.logs.checkpoints(key, 1, 0)] == [5]


async def test_what_a_signer_writes_after_another_has_begun_a_round_is_refused(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal
) -> None:
    """Until it has begun a new round itself."""
    election, key = await opened(acts, journal)
    origin = f"results.example.no/live/{election}"
    first = await signing.begin_round(key, "a")
    await signing.declare_log(key, 1, first.fence, origin, [KEY], [])
    second = await signing.begin_round(key, "b")
    assert (second.previous_signer, second.fence) == ("a", first.fence + 1)
    with pytest.raises(AnotherSigner):
        await signing.insert_checkpoint(key, 1, first.fence, a_checkpoint(origin, 1))
    with pytest.raises(AnotherSigner):
        await signing.declare_log(key, 1, first.fence, origin, [KEY], [WITNESS])
    third = await signing.begin_round(key, "a")
    assert await signing.insert_checkpoint(key, 1, third.fence, a_checkpoint(origin, 1))

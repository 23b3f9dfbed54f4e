"""The signer on a real database: when it signs, what it signs, and what it refuses."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from gateway.journal.administration import Administration
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from gateway.signer.directory import SignDirectory
from gateway.transparency.checkpoint import Checkpoint, open_checkpoint
from gateway.transparency.entries import Closing, parse_closing
from gateway.transparency.note import parse_note
from gateway.transparency.origins import parse_origin
from gateway.transparency.tree import Tree
from tests.conftest import Database
from tests.journal.makers import UNITS, a_registry, a_report, append, until
from tests.signer.fake_witness import FakeWitness
from tests.signer.signing import LOG_NAME, Signing, create_key, signing

FAR = timedelta(days=1)


@pytest.fixture
def database(shared_database: Database) -> Database:
    """The shared database."""
    return shared_database


async def loaded(acts: Administration, journal: PostgresJournal, **header: object) -> tuple[str, int]:
    """Load an election; return its identifier and key."""
    election = await acts.load_election(a_registry(**header))
    return election, (await journal.election(election)).key


async def add(
    journal: PostgresJournal, key: int, revision: int = 1, units: int = 3, version: int = 1
) -> None:
    """Accept reports of some units."""
    await append(journal, key, version, *(a_report(unit, revision) for unit in UNITS[:units]))


async def entries_of(signed: Signing, election: str) -> list[bytes]:
    """Return what the log of an election consists of, as the signer's role reads it."""
    head = await signed.log(election)
    assert head is not None
    publications = await signed.journal.record.publications(head.key, 0, 10_000)
    closing = [] if head.closing is None else [head.closing]
    return [head.opening, *(each.body for each in publications), *closing]


def root_of(entries: list[bytes]) -> bytes:
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    return tree.root()


def refused(signed: Signing, election: str) -> str | None:
    """Return why an election is not signed, as the metrics have it."""
    state = signed.signer.states().get(election)
    return None if state is None else state.refused


async def test_everything_public_is_signed_with_the_key_of_the_log(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """The root follows from the stored bytes, and the note can be verified with the key alone."""
    election, key = await loaded(acts, journal)
    await add(journal, key)
    async with signing(database, tmp_path, live=[election]) as signed:
        checkpoint = await signed.wait_covered(election)
        entries = await entries_of(signed, election)
        assert (checkpoint.size, checkpoint.root) == (4, root_of(entries))
        vkeys = await signed.vkeys(election)
        opened, signers = open_checkpoint(parse_note(checkpoint.note.encode()), vkeys)
        assert opened == Checkpoint(f"{LOG_NAME}/live/{election}", 4, checkpoint.root)
        assert list(signers) == vkeys
        head = await signed.log(election)
        assert head is not None
        assert (head.origin, list(head.vkeys)) == (opened.origin, [str(each) for each in vkeys])
        await add(journal, key, revision=2)
        assert (await signed.wait_covered(election, 6)).size == 7


async def test_before_the_embargo_ends_only_the_opening_is_signed(
    database: Database, acts: Administration, journal: PostgresJournal, owner: Connection, tmp_path: Path
) -> None:
    """And everything at once when it has ended."""
    election, key = await loaded(acts, journal, publish_from=(datetime.now(UTC) + FAR).isoformat())
    await acts.open_election(election)
    await add(journal, key, version=2)
    async with signing(database, tmp_path, live=[election], every_s=60.0) as signed:
        assert (await signed.wait_covered(election, 0)).size == 1
        await owner.execute("UPDATE embargo SET publish_from = now() WHERE election = $1", key)
        await append(journal, key, (await journal.election(election)).version)
        assert (await signed.wait_covered(election, 3)).size == 4


async def test_a_closed_log_ends_with_its_closing_entry(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """It is signed at once, and nothing afterwards."""
    election, key = await loaded(acts, journal)
    await add(journal, key)
    async with signing(database, tmp_path, live=[election], every_s=60.0) as signed:
        await signed.wait_covered(election)
        await acts.close_election(election)

        async def last() -> bytes | None:
            head = await signed.log(election)
            return head.closing if head is not None and head.size == 5 else None

        closing = parse_closing(await until(last))
        assert isinstance(closing, Closing)
        assert closing.sequence == 3
        checkpoint = await signed.wait_covered(election)
        assert checkpoint.root == root_of(await entries_of(signed, election))


async def test_a_live_election_without_a_key_is_not_signed(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """A rehearsal is: its key is created. A key that is created later is found."""
    live, live_key = await loaded(acts, journal)
    rehearsal, rehearsal_key = await loaded(acts, journal, rehearsal=True)
    await add(journal, live_key)
    await add(journal, rehearsal_key)
    async with signing(database, tmp_path) as signed:
        checkpoint = await signed.wait_covered(rehearsal)
        assert checkpoint.note.startswith(f"{LOG_NAME}/rehearsal/{rehearsal}\n")
        head = await signed.log(live)
        assert head is not None
        assert (head.size, head.origin) == (0, None)
        create_key(tmp_path, live)
        await signed.wait_covered(live)


async def test_witnesses_cosign_and_one_that_does_not_answer_delays_nothing(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """Cosignatures are added to the checkpoint; they become fresh again while nothing is published."""
    election, key = await loaded(acts, journal)
    await add(journal, key)
    good, absent = FakeWitness(), FakeWitness("witness.example/absent", seed=8)
    absent.unreachable = True
    async with signing(database, tmp_path, [good, absent], live=[election], cosign_s=0.0) as signed:
        checkpoint = await signed.wait_covered(election)
        head = await signed.log(election)
        assert head is not None
        assert list(head.witnesses) == [str(good.vkey), str(absent.vkey)]

        async def at() -> set[datetime]:
            found = await signed.journal.logs.cosignatures(head.key, 1, 0, checkpoint.size)
            assert {each.witness for each in found} <= {str(good.vkey), str(absent.vkey)}
            return {each.at for each in found if each.size == checkpoint.size}

        first = await until(at)
        good.now += 100
        absent.unreachable = False
        absent.now = good.now

        async def both_fresh() -> bool:
            return await at() == {*first, *()} ^ first | {datetime.fromtimestamp(good.now, UTC)}

        await until(both_fresh)
        assert signed.signer.states()[election].witnesses == 2


async def test_cosignatures_are_refreshed_when_the_signer_starts(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """They may be old by then, and readers refuse a checkpoint whose cosignatures are."""
    election, key = await loaded(acts, journal)
    await add(journal, key)
    witness = FakeWitness()
    async with signing(database, tmp_path, [witness], live=[election]) as signed:
        await signed.wait_covered(election)
    asked = len(witness.submitted)
    async with signing(database, tmp_path, [witness], live=[election], cosign_s=3600.0):

        async def asked_again() -> bool:
            return len(witness.submitted) > asked

        await until(asked_again)


async def test_a_changed_body_is_refused_and_others_are_signed(
    database: Database, acts: Administration, journal: PostgresJournal, owner: Connection, tmp_path: Path
) -> None:
    """A superuser changes it, with digest and chain: the next full read notices. Undone, it is signed again."""
    election, key = await loaded(acts, journal)
    other, other_key = await loaded(acts, journal)
    await add(journal, key)
    await add(journal, other_key)
    async with signing(database, tmp_path, live=[election, other], full_read_s=0.3) as signed:
        await signed.wait_covered(election)
        before = await rewritten(owner, key, 2, a_report(UNITS[1], votes=11).body)

        async def is_refused() -> bool:
            return refused(signed, election) == "record_forked"

        await until(is_refused)
        await add(journal, other_key, revision=2)
        await signed.wait_covered(other, 6)
        await add(journal, key, revision=2)
        head = await signed.log(election)
        assert head is not None
        assert head.size == 4
        await rewritten(owner, key, 2, before)
        assert (await signed.wait_covered(election, 6)).size == 7
        assert refused(signed, election) is None


async def test_a_log_is_declared_again_also_if_nothing_is_to_be_signed(
    database: Database, acts: Administration, journal: PostgresJournal, owner: Connection, tmp_path: Path
) -> None:
    """Whether its row was changed or lost, or the signer has another witness than before."""
    election, key = await loaded(acts, journal)
    await add(journal, key)
    witness = FakeWitness()
    async with signing(database, tmp_path, live=[election]) as signed:
        await signed.wait_covered(election)
        before = await signed.log(election)
    await owner.execute("DELETE FROM log WHERE election = $1", key)
    async with signing(database, tmp_path, [witness], cosign_s=0.0) as signed:

        async def cosigned() -> bool:
            return bool(await signed.journal.logs.cosignatures(key, 1, 0, 99))

        await until(cosigned)
        head = await signed.log(election)
        assert head is not None
        assert before is not None
        assert (head.origin, head.vkeys, head.size) == (before.origin, before.vkeys, before.size)
        assert list(head.witnesses) == [str(witness.vkey)]


async def rewritten(owner: Connection, key: int, sequence: int, body: bytes) -> bytes:
    """Replace the body of a report as a superuser, with all digests and chains; return the one before."""
    before: bytes = await owner.fetchval(f"SELECT body FROM report_{key} WHERE sequence = $1", sequence)
    await owner.execute("SET session_replication_role = replica")
    await owner.execute(
        f"UPDATE report_{key} SET body = $2, digest = sha256($2) WHERE sequence = $1", sequence, body
    )
    rows = await owner.fetch(
        f"SELECT sequence, digest FROM report_{key} WHERE sequence > 0 ORDER BY sequence"
    )
    chain = bytes(32)
    for row in rows:
        chain = await owner.fetchval("SELECT sha256($1::bytea || $2::bytea)", chain, row["digest"])
        await owner.execute(f"UPDATE report_{key} SET chain = $2 WHERE sequence = $1", row["sequence"], chain)
    await owner.execute("UPDATE head SET chain = $2 WHERE election = $1", key, chain)
    await owner.execute("RESET session_replication_role")
    return before


async def test_two_keys_sign_in_two_lines(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """From the next checkpoint on; readers that know either key accept it."""
    election, key = await loaded(acts, journal)
    await add(journal, key)
    async with signing(database, tmp_path, live=[election]) as signed:
        await signed.wait_covered(election)
        log = signed.directory.newest(election)
        assert log is not None
        signed.directory.add(log)
        await add(journal, key, revision=2)
        checkpoint = await signed.wait_covered(election, 6)
        for vkey in (vkeys := await signed.vkeys(election)):
            assert open_checkpoint(parse_note(checkpoint.note.encode()), [vkey])[1] == (vkey,)
        assert len(vkeys) == 2
        head = await signed.log(election)
        assert head is not None
        assert list(head.vkeys) == [str(each) for each in vkeys]


async def test_a_witness_that_knows_more_than_the_record_is_believed(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """After a restore of both the database and the directory, only the witness knows that something is lost."""
    election, key = await loaded(acts, journal)
    await add(journal, key)
    witness = FakeWitness()
    async with signing(database, tmp_path / "one", [witness], live=[election]) as signed:
        await signed.wait_covered(election)
        signing_key = (await signed.vkeys(election))[0]
    known = witness.newest_by_origin[signing_key.name]
    (skey,) = SignDirectory(tmp_path / "one", LOG_NAME).keys(parse_origin(signing_key.name)).signing
    larger = Checkpoint(signing_key.name, 9, bytes(32)).signed_by(skey)
    witness.newest_by_origin[signing_key.name] = structs.replace(
        known, checkpoint=Checkpoint(signing_key.name, 9, bytes(32)), note=larger
    )
    async with signing(database, tmp_path / "one", [witness]) as signed:

        async def is_refused() -> bool:
            return refused(signed, election) == "record_behind"

        await until(is_refused)
        await add(journal, key, revision=2)
        head = await signed.log(election)
        assert head is not None
        assert head.size == 4

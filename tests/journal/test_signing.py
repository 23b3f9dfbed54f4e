"""What the signer's role reads and writes: openings, rounds, logs, checkpoints and cosignatures."""

import asyncio
import base64
import hashlib
import random
import re
import string
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import orjson
import pytest

from gateway.election.log_record import Cosignature, LogHead, SignedCheckpoint
from gateway.election.report import canonical
from gateway.election.validation import ValidReport
from gateway.errors import ElectionStarted, GatewayError, Refused
from gateway.journal.administration import Administration
from gateway.journal.connection import open_pool
from gateway.journal.log import LogRecord
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.session import Connection
from gateway.journal.signing import AnotherSigner, CheckpointRefused, SignerTooFast, SigningJournal
from gateway.transparency.entries import (
    Closing,
    Opening,
    Previous,
    parse_closing,
    parse_opening,
    registry_hash,
)
from tests.conftest import Database
from tests.counts import examples
from tests.journal.holding import decide, hold
from tests.journal.makers import TIMEOUT_S, UNITS, a_registry, a_report, append, sequences
from tests.shown import blocks

FUTURE = datetime(2050, 1, 1, tzinfo=UTC)
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


def some_openings(number: int) -> list[tuple[str, bytes, datetime]]:
    """Return identifiers, registries and times as they may be, the same in every run."""
    chosen = random.Random(16)
    start, characters = string.ascii_lowercase + string.digits, "åé\"\\/\u2028\U0001f5f3\u200d '{}"
    found = []
    for _ in range(number):
        identifier = chosen.choice(start) + "".join(chosen.choices(f"{start}._-", k=chosen.randrange(64)))
        header: dict[str, object] = {"id": identifier, "name": "".join(chosen.choices(characters, k=9))}
        if chosen.randrange(3):
            header["rehearsal"] = bool(chosen.randrange(2))
        areas = [
            {"id": "no", "election": {"rehearsal": True}, "name": "".join(chosen.choices(characters, k=9))}
        ]
        microseconds = chosen.choice((0, 1, 10, 999_999, chosen.randrange(1_000_000)))
        at = datetime(2025, 9, 8, tzinfo=UTC) + timedelta(
            seconds=chosen.randrange(10**9), microseconds=microseconds
        )
        found.append((identifier, canonical({"areas": areas, "election": header}), at))
    return found


async def test_openings_in_sql_are_those_of_the_format(owner: Connection) -> None:
    """Byte for byte, whatever the identifier, the registry and the time."""
    chosen = some_openings(examples(500))
    rows = await owner.fetch(
        "SELECT opening_bytes(s.id, s.registry, 1, s.at, NULL) AS entry"
        " FROM unnest($1::text[], $2::bytea[], $3::timestamptz[]) WITH ORDINALITY AS s (id, registry, at, place)"
        " ORDER BY s.place",
        *zip(*chosen, strict=True),
    )
    for row, (identifier, registry, at) in zip(rows, chosen, strict=True):
        opening = Opening(
            election=identifier,
            opened_at=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            registry=registry_hash(registry),
            rehearsal=orjson.loads(registry)["election"].get("rehearsal", False),
        )
        assert row["entry"] == opening.encode()
        assert parse_opening(row["entry"]) == opening


async def test_an_act_opens_an_election_and_the_end_of_the_embargo_changes_nothing(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal
) -> None:
    """The entry is public at once, and a checkpoint of size 1 can be inserted under the embargo, but no larger one."""
    identifier = await acts.load_election(a_registry(publish_from=FUTURE.isoformat(), rehearsal=True))
    key = (await journal.election(identifier)).key
    entry = await acts.open_election(identifier)
    assert await acts.open_election(identifier) == entry
    assert parse_opening(entry).rehearsal
    await append(
        journal, key, (await journal.election(identifier)).version, *(a_report(unit) for unit in UNITS)
    )
    head = await head_of(signing, identifier)
    assert (head.opening, head.closing) == (entry, None)
    origin = f"results.example.no/rehearsal/{identifier}"
    fence = (await signing.begin_round(key, "a")).fence
    await signing.declare_log(key, 1, fence, origin, [KEY], [])
    with pytest.raises(CheckpointRefused, match="more than may be shown"):
        await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 2))
    assert await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 1))


async def test_what_a_misbehaving_signer_inserted_is_not_shown_under_the_embargo(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal, owner: Connection
) -> None:
    """Only the opening and checkpoints of size 1 are."""
    identifier = await acts.load_election(a_registry(publish_from=FUTURE.isoformat()))
    key = (await journal.election(identifier)).key
    await acts.open_election(identifier)
    for size in (1, 5):
        await owner.execute("INSERT INTO checkpoint VALUES ($1, 1, $2, sha256(''), now(), 'x')", key, size)
        await owner.execute("INSERT INTO cosignature VALUES ($1, 1, $2, 'w', now(), 'x')", key, size)
    assert [each.size for each in await signing.logs.checkpoints(key, 1, 0)] == [1]
    assert [each.size for each in await signing.logs.cosignatures(key, 1, 0, 9)] == [1]
    assert (await head_of(signing, identifier)).size == 1


async def test_an_opened_election_keeps_its_registry_and_its_previous_election(
    acts: Administration, owner: Connection
) -> None:
    """Also if nothing is accepted; the same registry may be loaded again. The database refuses other programs."""
    registry = a_registry(publish_from=FUTURE.isoformat())
    identifier = await acts.load_election(registry)
    await acts.open_election(identifier)
    assert await acts.load_election(registry) == identifier
    registry["parties"].append({"code": "D", "name": "Party D"})
    with pytest.raises(ElectionStarted, match="opened"):
        await acts.load_election(registry)
    for statement in (
        "UPDATE election SET registry = registry || '\\x20' WHERE id = $1",
        "INSERT INTO previous SELECT key, '{}' FROM election WHERE id = $1",
    ):
        with pytest.raises(asyncpg.PostgresError, match="fixed"):
            await owner.execute(statement, identifier)
    for statement in ("UPDATE opening SET opened_at = now()", "DELETE FROM opening", "TRUNCATE opening"):
        with pytest.raises(asyncpg.PostgresError, match="never changed"):
            await owner.execute(statement)


async def test_a_new_history_names_the_one_before(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal
) -> None:
    """Its log begins anew, and the checkpoints of the earlier history remain."""
    identifier, key = await opened(acts, journal)
    await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
    origin = f"results.example.no/live/{identifier}"
    fence = (await signing.begin_round(key, "a")).fence
    await signing.declare_log(key, 1, fence, origin, [KEY], [])
    checkpoint = a_checkpoint(origin, 5)
    await signing.insert_checkpoint(key, 1, fence, checkpoint)
    previous = Previous(origin=origin, root=base64.b64encode(checkpoint.root).decode(), shared=2, size=9)
    with pytest.raises(Refused, match="the newest history"):
        await acts.start_history(identifier, msgspec.structs.replace(previous, origin="another"), "lost")
    with pytest.raises(Refused, match="cannot share 99 reports"):
        await acts.start_history(identifier, msgspec.structs.replace(previous, shared=99), "lost")
    entry = await acts.start_history(identifier, previous, "the disk was lost")
    assert await acts.start_history(identifier, previous, "again") == entry
    opening = parse_opening(entry)
    assert (opening.history, opening.previous) == (2, previous)
    first, second = [head for head in await signing.logs.heads() if head.id == identifier]
    assert (first.history, first.size, second.history, second.size, second.origin) == (1, 5, 2, 0, None)
    with pytest.raises(CheckpointRefused, match="not the newest"):
        await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 6))
    await signing.declare_log(key, 2, fence, f"{origin}/2", [KEY], [])
    await signing.insert_checkpoint(key, 2, fence, a_checkpoint(f"{origin}/2", 1))
    assert await signing.logs.checkpoints(key, 1, 0) == [checkpoint]


async def test_the_closing_entry_is_there_once_nothing_can_follow(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal
) -> None:
    """It covers the last report, and neither appends nor acts change its bytes or add to the record."""
    identifier, key = await opened(acts, journal)
    await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
    assert (await head_of(signing, identifier)).closing is None
    await acts.close_election(identifier)
    entry = (await head_of(signing, identifier)).closing
    (published,) = [each for each in await signing.record.heads() if each.id == identifier]
    assert entry is not None
    assert published.closed_at is not None
    assert (
        entry
        == Closing(
            chain=published.chain.hex(),
            closed_at=published.closed_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            sequence=len(UNITS),
        ).encode()
    )
    assert parse_closing(entry).sequence == len(UNITS)
    await acts.close_election(identifier)
    await acts.issue_token(identifier, ["no"])
    await acts.raise_revisions(identifier, "a-1")
    version = (await journal.election(identifier)).version
    refused = await append(journal, key, version, a_report("a-1", revision=2))
    assert sequences(refused) == [None]
    assert (await head_of(signing, identifier)).closing == entry
    origin = f"results.example.no/live/{identifier}"
    fence = (await signing.begin_round(key, "a")).fence
    await signing.declare_log(key, 1, fence, origin, [KEY], [])
    with pytest.raises(CheckpointRefused, match="more than may be shown"):
        await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, len(UNITS) + 3))
    await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, len(UNITS) + 2))


async def test_an_election_that_is_closed_under_embargo_has_its_closing_after_the_release(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal, owner: Connection
) -> None:
    """Also without any report."""
    identifier = await acts.load_election(a_registry(publish_from=FUTURE.isoformat()))
    key = (await journal.election(identifier)).key
    await acts.open_election(identifier)
    await acts.close_election(identifier)
    assert (await head_of(signing, identifier)).closing is None
    await owner.execute("UPDATE embargo SET publish_from = now() WHERE election = $1", key)
    await append(journal, key, (await journal.election(identifier)).version)
    entry = (await head_of(signing, identifier)).closing
    assert entry is not None
    assert (parse_closing(entry).sequence, parse_closing(entry).chain) == (0, "00" * 32)


async def test_two_signers_take_turns_and_never_write_in_a_round_of_the_other(
    acts: Administration, journal: PostgresJournal, database: Database, owner: Connection
) -> None:
    """With real sessions at the same time: each checkpoint is written by the signer that began the last round."""
    identifier, key = await opened(acts, journal)
    origin = f"results.example.no/live/{identifier}"
    written: list[tuple[int, int]] = []
    refused = 0

    async def sign(name: str) -> None:
        nonlocal refused
        async with open_pool(database.signer_url, signer=True, max_size=1) as pool:
            signing = SigningJournal(pool)
            while (await head_of(signing, identifier)).size <= len(UNITS):
                size = (await head_of(signing, identifier)).size + 1
                fence = (await signing.begin_round(key, name)).fence
                try:
                    await signing.declare_log(key, 1, fence, origin, [KEY], [])
                    if await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, size)):
                        written.append((size, fence))
                except AnotherSigner:
                    refused += 1
                except CheckpointRefused:
                    pass  # the other one has inserted a larger one since

    await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
    await asyncio.gather(sign("a"), sign("b"))
    assert [size for size, _ in sorted(written)] == list(range(1, len(UNITS) + 2))
    assert sorted(written) == sorted(written, key=lambda each: each[1])
    assert await owner.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_whatever_a_signer_locks_neither_appends_nor_feeds_nor_acts_wait(
    acts: Administration, journal: PostgresJournal, database: Database
) -> None:
    """Even with an open transaction in which it has written everything that it may write."""
    identifier, key = await opened(acts, journal)
    origin = f"results.example.no/live/{identifier}"
    signer = await asyncpg.connect(database.signer_url)
    try:
        await signer.execute("BEGIN")
        fence = await signer.fetchval("SELECT fence FROM valgnatt_signing.begin_round($1, 'x', false)", key)
        declare = "SELECT valgnatt_signing.declare_log($1, 1, $2, $3, $4, $5)"
        await signer.execute(declare, key, fence, origin, [KEY], [WITNESS])
        checkpoint = a_checkpoint(origin, 1)
        insert = "SELECT valgnatt_signing.insert_checkpoint($1, 1, $2, $3, $4, $5, $6)"
        await signer.execute(insert, key, fence, 1, checkpoint.root, NOW, checkpoint.note)
        cosign = "SELECT valgnatt_signing.add_cosignature($1, 1, $2, $3, $4, '— w AAAA')"
        await signer.execute(cosign, key, 1, WITNESS, NOW)
        async with asyncio.timeout(TIMEOUT_S), open_pool(database.feed_url, feed=True) as pool:
            appended = await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
            assert None not in sequences(appended)
            assert await LogRecord(pool).checkpoints(key, 1, 0) == []
            assert len(await PublicRecord(pool).publications(key, 0, 100)) == len(UNITS)
            await acts.issue_token(identifier, ["no"])
            await acts.close_election(identifier)
    finally:
        signer.terminate()


async def test_a_signer_cannot_write_without_end(
    acts: Administration,
    journal: PostgresJournal,
    signing: SigningJournal,
    owner: Connection,
    database: Database,
) -> None:
    """Writes, checkpoints and cosignatures are bounded in number, and each in bytes and in time."""
    identifier, key = await opened(acts, journal)
    await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
    origin = f"results.example.no/live/{identifier}"
    fence = (await signing.begin_round(key, "a")).fence
    many = [f"w{number}+12345678+AQID" for number in range(17)]
    for vkeys, witnesses in (
        ([], []),
        ([KEY] * 9, []),
        ([KEY], many),
        (["k" * 2000], []),
        ([KEY], ["a\nb+12345678+AQID"]),
    ):
        with pytest.raises(CheckpointRefused, match="an origin, 1 to 8 keys"):
            await signing.declare_log(key, 1, fence, origin, vkeys, witnesses)
    await signing.declare_log(key, 1, fence, origin, [KEY], many[:16])
    one = a_checkpoint(origin, 1)
    with pytest.raises(GatewayError):
        await signing.insert_checkpoint(
            key, 1, fence, msgspec.structs.replace(one, note=one.note + "x" * 8192)
        )
    async with open_pool(database.signer_url, signer=True, max_size=1) as pool, pool.acquire() as login:
        insert = "SELECT valgnatt_signing.insert_checkpoint($1, 1, $2, $3, $4, {}, $5)"
        for at in (
            "'infinity'",
            "'1969-12-31Z'",
            "'10000-01-01Z'",
            "'4000-01-01 BC'",
        ):  # programs cannot read them
            with pytest.raises(asyncpg.CheckViolationError):
                await login.execute(insert.format(at), key, fence, 1, one.root, one.note)
    await signing.insert_checkpoint(key, 1, fence, one)
    line = "— w AAAA"
    for witness in many[:16]:
        await signing.add_cosignature(key, 1, Cosignature(1, witness, NOW, line))
    with pytest.raises(CheckpointRefused, match="signature line of a witness"):
        await signing.add_cosignature(key, 1, Cosignature(1, many[16], NOW, line))
    await signing.declare_log(key, 1, fence, origin, [KEY], many[16:])
    for cosignature in (
        Cosignature(1, many[16], NOW, line),  # the 17th of this checkpoint
        Cosignature(2, many[16], NOW, line),
        Cosignature(1, many[16], NOW, f"— w {'A' * 1024}"),
        Cosignature(1, many[16], NOW, f"{line}\n{line}"),
    ):
        with pytest.raises(CheckpointRefused, match="signature line of a witness"):
            await signing.add_cosignature(key, 1, cosignature)
    await owner.execute("UPDATE signer SET checkpoints = 100000000000 WHERE election = $1", key)
    with pytest.raises(SignerTooFast, match="more than one checkpoint per second"):
        await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 2))
    await owner.execute(
        "UPDATE signer SET writes = 0, writes_at = clock_timestamp() + interval '1 hour' WHERE election = $1",
        key,
    )
    with pytest.raises(SignerTooFast, match="too many writes"):
        await signing.begin_round(key, "a")


async def test_only_the_append_that_ends_the_embargo_reads_or_writes_an_opening(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Appends before and after it touch none of the tables of logs, so they cost what they did."""
    identifier = await acts.load_election(a_registry(publish_from=FUTURE.isoformat()))
    key = (await journal.election(identifier)).key
    source_of = "SELECT prosrc FROM pg_proc WHERE oid = $1::text::regproc"
    functions = ("valgnatt.append_v4", "valgnatt.append_v3", "valgnatt.release")
    for source in [await owner.fetchval(source_of, each) for each in functions]:
        assert not re.search(r"opening|checkpoint|signer|valgnatt\.log|open\(", source)
    touched = (
        "SELECT sum(seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd) FROM pg_stat_xact_user_tables"
        " WHERE relname IN ('opening', 'log', 'checkpoint', 'cosignature', 'signer', 'election')"
    )

    async def touches(*reports: ValidReport) -> int:
        """Return how often an append touches them."""
        async with owner.transaction():
            before = int(await owner.fetchval(touched))
            await hold(owner, key, *reports, rule=None)
            return int(await owner.fetchval(touched)) - before

    assert await touches(a_report("a-1")) == 0
    await owner.execute("UPDATE embargo SET publish_from = now() WHERE election = $1", key)
    assert await touches(a_report("a-2")) > 0
    assert await touches(a_report("a-3")) == 0
    triggers = await owner.fetch(
        "SELECT tgname FROM pg_trigger WHERE tgrelid IN ('head'::regclass, 'report'::regclass, $1::regclass)"
        " AND NOT tgisinternal ORDER BY 1",
        f"report_{key}",
    )
    assert {row[0] for row in triggers} == {"report_revision", "report_stands"}


async def test_a_closed_election_has_its_closing_once_its_holds_are_decided(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal, owner: Connection
) -> None:
    """A report that is released after the closing is before the closing entry, whose bytes then stay."""
    identifier, key = await opened(acts, journal)
    held = [a_report("a-1"), a_report("a-2")]
    await hold(owner, key, *held)
    await acts.close_election(identifier)
    assert (await head_of(signing, identifier)).closing is None
    await decide(owner, key, held[0], release=True)
    assert (await head_of(signing, identifier)).closing is None
    await decide(owner, key, held[1], release=False)
    entry = (await head_of(signing, identifier)).closing
    assert entry is not None
    assert parse_closing(entry).sequence == 1
    await decide(owner, key, held[0], release=True)  # again
    await hold(owner, key, a_report("a-3"))
    await hold(owner, key, a_report("a-3"), rule=None)
    assert (await head_of(signing, identifier)).closing == entry


async def test_a_checkpoint_is_never_changed_and_its_owner_can_remove_a_false_one(
    acts: Administration, journal: PostgresJournal, signing: SigningJournal, owner: Connection
) -> None:
    """Only with the statements of docs/security.md, for one that nobody has signed; then the signer can go on."""
    identifier, key = await opened(acts, journal)
    await append(journal, key, 1, *(a_report(unit) for unit in UNITS))
    origin = f"results.example.no/live/{identifier}"
    fence = (await signing.begin_round(key, "a")).fence
    await signing.declare_log(key, 1, fence, origin, [KEY], [])
    await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 1))
    await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 9))
    for statement in ("UPDATE checkpoint SET note = note", "DELETE FROM checkpoint", "TRUNCATE checkpoint"):
        with pytest.raises(asyncpg.PostgresError, match="never changed"):
            await owner.execute(statement)
    (remove,) = [
        each.text for each in blocks("security.md") if "DELETE FROM valgnatt.checkpoint" in each.text
    ]
    await owner.execute(remove.replace("ELECTION", identifier).replace("4711", "9"))
    assert [each.size for each in await signing.logs.checkpoints(key, 1, 0)] == [1]
    assert await signing.insert_checkpoint(key, 1, fence, a_checkpoint(origin, 8))
    with pytest.raises(asyncpg.PostgresError, match="never changed"):
        await owner.execute("DELETE FROM checkpoint")

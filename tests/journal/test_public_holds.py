"""What the role of the feed can read of holds: nothing before the release, and no more than the standby has."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from gateway.election.hold_list import HoldLine, next_hold_chain
from gateway.election.record import CHAIN_START, Head
from gateway.journal.administration import Administration
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import FETCHED_MAX, PublicRecord
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.journal.holding import RULE, decide, hold
from tests.journal.makers import FAR, a_registry, a_report

MEMBERS = {"at", "digest", "number", "reason", "revision", "rules", "state", "unit"}


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own election, and needs nothing more."""
    return shared_database


async def loaded(acts: Administration, journal: PostgresJournal, publish_from: datetime) -> int:
    identifier = await acts.load_election(a_registry(publish_from=publish_from.isoformat()))
    return (await journal.election(identifier)).key


@pytest.fixture
async def embargoed(acts: Administration, journal: PostgresJournal) -> int:
    """An election whose embargo ends in an hour."""
    return await loaded(acts, journal, datetime.now(UTC) + FAR)


@pytest.fixture
async def released(acts: Administration, journal: PostgresJournal) -> int:
    """An election whose embargo has ended."""
    return await loaded(acts, journal, datetime.now(UTC))


async def head_of(record: PublicRecord, election: int) -> Head:
    (head,) = [head for head in await record.heads() if head.key == election]
    return head


async def some_holds(owner: Connection, election: int) -> None:
    """Make a hold that is superseded by another, which is released; one that is rejected; and one that stays open."""
    await hold(owner, election, a_report("b-1", 1), rule=None)
    await hold(owner, election, a_report("a-1", 1), a_report("a-2", 1))
    await hold(owner, election, a_report("a-1", 2))
    await decide(owner, election, a_report("a-1", 2), release=True)
    await decide(owner, election, a_report("a-2", 1), release=False)
    await hold(owner, election, a_report("a-3", 7))


LINES = [
    ("a-1", 1, "held", None),
    ("a-2", 1, "held", None),
    ("a-1", 1, "superseded", None),
    ("a-1", 2, "held", None),
    ("a-1", 2, "released", "confirmed"),
    ("a-2", 1, "rejected", "duplicate"),
    ("a-3", 7, "held", None),
]
"""Unit, revision, state and reason of the lines of `some_holds`."""


def assert_listed(lines: list[HoldLine]) -> None:
    """Assert that these are the lines of `some_holds`, numbered and chained, and without anything else."""
    found = [json.loads(each.line) for each in lines]
    assert [(each["unit"], each["revision"], each["state"], each["reason"]) for each in found] == LINES
    assert all(set(each) == MEMBERS and each["rules"] == [RULE] for each in found)
    assert [each["number"] for each in found] == [each.number for each in lines] == [*range(1, 8)]
    chain = CHAIN_START
    for each in lines:
        chain = next_hold_chain(chain, each.line)
        assert each.chain == chain
        assert each.line == json.dumps(json.loads(each.line), separators=(",", ":"), sort_keys=True).encode()
    digests = [each["digest"] for each in found]
    assert digests == [None] * 4 + [a_report("a-1", 2).digest.hex()] + [None] * 2


async def test_the_list_of_holds_is_empty_until_the_release_and_then_complete(
    embargoed: int, record: PublicRecord, owner: Connection
) -> None:
    """Neither a line nor how many there are is shown before; then also those of the embargo."""
    before = await head_of(record, embargoed)
    await some_holds(owner, embargoed)
    assert await head_of(record, embargoed) == before
    assert (before.hold_lines, before.hold_chain) == (0, CHAIN_START)
    for after in (0, -1, 3):
        assert await record.hold_lines(embargoed, after, 1000) == []
    await owner.execute("UPDATE embargo SET publish_from = clock_timestamp() WHERE election = $1", embargoed)
    await hold(owner, embargoed)
    lines = await record.hold_lines(embargoed, 0, 1000)
    assert_listed(lines)
    head = await head_of(record, embargoed)
    assert (head.sequence, head.hold_lines, head.hold_chain) == (2, 7, lines[-1].chain)


async def test_the_list_is_read_in_parts(released: int, record: PublicRecord, owner: Connection) -> None:
    """Up to a number of lines after a number; each says since when its unit has been held, across revisions."""
    await some_holds(owner, released)
    lines = await record.hold_lines(released, 0, 3) + await record.hold_lines(released, 3, 1000)
    assert_listed(lines)
    assert await record.hold_lines(released, 7, 1000) == []
    assert len({each.since for each in lines if each.unit == "a-1"}) == 1
    assert lines[6].since > lines[0].since


async def test_a_publication_says_whether_and_why_it_was_held(
    released: int, record: PublicRecord, owner: Connection
) -> None:
    """Since when the unit had been held, and the codes of the rules; it was placed when it was released."""
    await hold(owner, released, a_report("b-1", 1), rule=None)
    (alone,) = await record.publications(released, 0, 9)
    assert (alone.held_since, alone.held_rules) == (None, None)
    await some_holds(owner, released)
    first, second = await record.publications(released, 0, 9)
    assert first == alone
    assert await record.publications(released, 0, FETCHED_MAX + 1) == [first, second]
    lines = await record.hold_lines(released, 0, 9)
    assert (second.unit, second.held_since, second.held_rules) == ("a-1", lines[0].since, [RULE])
    assert second.received_at < second.accepted_at == second.published_at > lines[3].since


async def test_holds_are_shown_only_as_far_as_the_standby_has_them(
    released: int, record: PublicRecord, owner: Connection
) -> None:
    """A line whose append is not confirmed yet is not shown, nor are its number and its chain."""
    await some_holds(owner, released)
    lines = await record.hold_lines(released, 0, 9)
    appends = await owner.fetch("SELECT append FROM hold_line WHERE election = $1 ORDER BY number", released)
    for confirmed in range(appends[-1][0] + 1):
        await owner.execute(
            "UPDATE head SET confirmed_append = $2 WHERE election = $1", released, max(confirmed, 1)
        )
        shown = [line for line, row in zip(lines, appends, strict=True) if row[0] <= max(confirmed, 1)]
        assert await record.hold_lines(released, 0, 9) == shown
        head = await head_of(record, released)
        assert (head.hold_lines, head.hold_chain) == (
            len(shown),
            shown[-1].chain if shown else CHAIN_START,
        )


async def test_feeds_of_the_version_before_read_the_record_as_they_did(
    released: int, record: PublicRecord, reader: Connection, owner: Connection
) -> None:
    """While the gateways of an installation are replaced, they call the functions that they know."""
    await some_holds(owner, released)
    rows = await reader.fetch("SELECT * FROM valgnatt_public.elections()")
    head = await head_of(record, released)
    (found,) = [tuple(row) for row in rows if row["key"] == released]
    assert Head(*found) == Head(*found[:10])
    assert found[6:9] == (head.sequence, head.chain, head.accepted)
    rows = await reader.fetch("SELECT * FROM valgnatt_public.record($1, $2, $3)", released, 0, 9)
    new = await record.publications(released, 0, 9)
    assert [tuple(row) for row in rows] == [
        (
            each.sequence, each.published_at, each.unit, each.revision, each.digest, each.chain, each.body,
            each.received_at, each.accepted_at,
        )
        for each in new
    ]  # fmt: skip


def test_the_chain_of_the_list_is_as_the_contract_describes_it() -> None:
    """SHA-256 over the previous value and the SHA-256 of the line."""
    first = hashlib.sha256(bytes(32) + hashlib.sha256(b"{}").digest()).digest()
    assert next_hold_chain(CHAIN_START, b"{}") == first

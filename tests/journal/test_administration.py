"""Administrative acts: what may change when, the audit trail, and that no append uses an outdated version."""

import asyncio
import hashlib
import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from gateway.errors import ElectionStarted, ElectionUnknown, MalformedPrevious, MalformedRegistry, Refused
from gateway.journal.administration import TOKEN_PREFIX, Administration, administration
from gateway.journal.db_errors import Unstorable, VersionChanged
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.journal.conftest import AUTHOR
from tests.journal.holding import decide, hold
from tests.journal.makers import (
    FAR,
    MUNICIPALITIES,
    PASSED,
    UNITS,
    a_registry,
    a_report,
    append,
    sequences,
    until,
    waiting_for_locks,
)


@pytest.fixture
def database(shared_database: Database) -> Database:
    """The shared database: each test uses separate elections."""
    return shared_database


def in_the_future(**offset: int) -> str:
    """Return a future time in the notation of a registry."""
    return (datetime.now(UTC) + FAR + timedelta(**offset)).isoformat()


async def acts_of(owner: Connection, election: str) -> list[tuple[str, str, str]]:
    """Return kind, author and detail of each act, in order."""
    rows = await owner.fetch(
        "SELECT a.kind, a.author, a.detail FROM act a JOIN election e ON e.key = a.election"
        " WHERE e.id = $1 ORDER BY a.key",
        election,
    )
    return [tuple(row) for row in rows]


async def accept(journal: PostgresJournal, election: str, *units: str) -> None:
    """Append a report for each unit."""
    row = await journal.election(election)
    await append(journal, row.key, row.version, *[a_report(unit) for unit in units])


# Registries.


async def test_a_loaded_election_has_the_given_registry_and_embargo(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """A new election has its registry, its embargo and no tokens; the act is recorded with its author."""
    document = a_registry(rehearsal=True)
    election = await acts.load_election(document)
    row = await journal.election(election)
    assert row.registry.document == document
    assert (row.version, row.publish_from, row.released, row.closed, row.tokens) == (
        1,
        PASSED,
        False,
        False,
        [],
    )
    areas = 1 + len(MUNICIPALITIES) + len(UNITS)
    assert await acts_of(owner, election) == [("load", AUTHOR, f"{areas} areas, {len(UNITS)} units")]
    (summary,) = [each for each in await acts.elections() if each.id == election]
    assert (summary.name, summary.rehearsal, summary.accepted) == ("An election", True, 0)


async def test_loading_an_unchanged_registry_changes_nothing(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Neither the version nor the acts change, even with accepted reports or a different order of members."""
    document = a_registry()
    election = await acts.load_election(document)
    for _ in range(2):
        again = dict(reversed(deepcopy(document).items()))
        assert await acts.load_election(again) == election
        assert (await journal.election(election)).version == 1
        assert len(await acts_of(owner, election)) == 1
        await accept(journal, election, "a-1")


async def test_a_registry_is_replaced_before_the_first_report(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """The new registry replaces the old one as a new version, and the act records the differences."""
    document = a_registry()
    election = await acts.load_election(document)
    later = in_the_future()
    document["election"]["publish_from"] = later
    document["areas"].append({"id": "b-7", "name": "b-7", "level": "precinct", "parent": "b"})
    await acts.load_election(document)
    row = await journal.election(election)
    assert row.version == 2
    assert row.publish_from == datetime.fromisoformat(later)
    assert "b-7" in row.registry.units
    (_, (kind, author, detail)) = await acts_of(owner, election)
    assert (kind, author) == ("load", AUTHOR)
    assert "publish_from" in detail
    assert "b-7 is new" in detail


async def test_a_registry_cannot_be_replaced_after_the_first_report(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """A different registry is refused with a list of the differences, and nothing changes."""
    document = a_registry()
    election = await acts.load_election(document)
    await accept(journal, election, "a-1")
    other = deepcopy(document)
    other["election"]["name"] = "Another election"
    other["areas"] = [each for each in other["areas"] if each["id"] != "b-6"]
    other["parties"].append({"code": "D", "name": "Party D"})
    with pytest.raises(ElectionStarted) as refused:
        await acts.load_election(other)
    for difference in ("$.election.name", "area b-6 is missing", "party D is new"):
        assert difference in str(refused.value)
    row = await journal.election(election)
    assert (row.version, row.registry.document) == (1, document)
    assert len(await acts_of(owner, election)) == 1


async def test_an_invalid_registry_is_not_loaded(acts: Administration) -> None:
    """The error lists every problem, and nothing is changed."""
    document = a_registry()
    document["areas"][3]["parent"] = "nowhere"
    del document["election"]["name"]
    with pytest.raises(MalformedRegistry) as refused:
        await acts.load_election(document)
    assert len(refused.value.problems) >= 2
    assert document["election"]["id"] not in [each.id for each in await acts.elections()]


def a_previous(**votes: int) -> dict[str, Any]:
    """Return the previous election of `a_registry`, with the votes of one municipality."""
    return {
        "format": "valgnatt-previous/1",
        "election": {"id": "before", "name": "The one before", "date": "2021-09-13"},
        "source": "made up",
        "areas": {"a": {"votes": votes or {"A": 3}}},
    }


async def test_a_previous_election_is_loaded_and_fixed_with_the_registry(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """In one act; one that is not named again is kept, and None removes it."""
    document = a_registry()

    async def stored() -> dict[str, Any] | None:
        found = await owner.fetchval(
            "SELECT valgnatt_public.previous(key) FROM election WHERE id = $1", election
        )
        return found and json.loads(found)

    election = await acts.load_election(document, a_previous())
    assert await stored() == a_previous()
    assert (await acts_of(owner, election))[0][2].endswith("units, a previous election")
    await acts.load_election(document)
    await acts.load_election(document, dict(reversed(a_previous().items())))
    assert (await journal.election(election)).version == 1
    await acts.load_election(document, a_previous(A=4))
    assert await stored() == a_previous(A=4)
    await acts.load_election(document, None)
    assert await stored() is None
    await acts.load_election(document, a_previous(B=1))
    assert (await journal.election(election)).version == 4
    details = [detail for _, _, detail in await acts_of(owner, election)][1:]
    assert details == [
        "again: area a of the previous election",
        "again: the previous election is missing",
        "again: the previous election is new",
    ]
    await accept(journal, election, "a-1")
    await acts.load_election(document)
    await acts.load_election(document, a_previous(B=1))
    for other in (None, a_previous()):
        with pytest.raises(ElectionStarted, match="previous election"):
            await acts.load_election(document, other)
    assert await stored() == a_previous(B=1)


async def test_a_previous_election_has_to_fit_its_registry(acts: Administration) -> None:
    """Also one that was loaded before; nothing is changed then."""
    document = a_registry()
    with pytest.raises(MalformedPrevious, match=r"\$\.areas\.a\.votes\.X: is not a party"):
        await acts.load_election(document, a_previous(X=1))
    assert document["election"]["id"] not in [each.id for each in await acts.elections()]
    await acts.load_election(document, a_previous(C=1))
    without = {**document, "parties": document["parties"][:2]}
    with pytest.raises(MalformedPrevious) as refused:
        await acts.load_election(without)
    assert refused.value.problems == (
        "the previous election loaded before does not fit this registry: load it again or remove it",
        "$.areas.a.votes.C: is not a party of the registry; add its votes to `other`",
    )
    await acts.load_election(without, a_previous(B=1))


async def test_replacing_a_registry_keeps_a_moved_embargo(
    acts: Administration, journal: PostgresJournal
) -> None:
    """Other corrections do not restore the old time; a changed time in the registry takes effect."""
    document = a_registry(publish_from=in_the_future())
    election = await acts.load_election(document)
    moved = datetime.now(UTC) + 3 * FAR
    await acts.move_embargo(election, moved)
    document["election"]["name"] = "A better name"
    await acts.load_election(document)
    assert (await journal.election(election)).publish_from == moved
    document["election"]["publish_from"] = in_the_future(hours=1)
    await acts.load_election(document)
    row = await journal.election(election)
    assert row.publish_from == datetime.fromisoformat(document["election"]["publish_from"])


async def test_a_registry_cannot_restore_an_embargo_that_has_ended(
    acts: Administration, journal: PostgresJournal
) -> None:
    """A release is final. It opens the election, so no other registry is accepted from then on, whatever its time."""
    document = a_registry()
    election = await acts.load_election(document)
    await accept(journal, election)
    for publish_from in (in_the_future(), (PASSED - FAR).isoformat()):
        document["election"]["publish_from"] = publish_from
        with pytest.raises(ElectionStarted, match="opened"):
            await acts.load_election(document)
    row = await journal.election(election)
    assert (row.version, row.publish_from, row.released) == (1, PASSED, True)


async def test_concurrent_loads_of_an_election_load_it_once(database: Database, owner: Connection) -> None:
    """All callers get the same identifier, and one act is recorded."""
    document = a_registry()

    async def load(author: str) -> str:
        async with administration(database.url, author) as acts:
            return await acts.load_election(document)

    loaded = await asyncio.gather(*[load(f"author-{number}") for number in range(5)])
    assert set(loaded) == {document["election"]["id"]}
    assert len(await acts_of(owner, loaded[0])) == 1


@pytest.mark.parametrize("first", ["append", "load"])
async def test_a_load_and_an_append_are_serialized(
    acts: Administration, journal: PostgresJournal, owner: Connection, first: str
) -> None:
    """The first to lock the head wins: the load is refused, or the append must be validated again."""
    document = a_registry()
    election = await acts.load_election(document)
    key = (await journal.election(election)).key
    document["parties"].append({"code": "D", "name": "Party D"})
    starts: dict[str, Any] = {
        "append": lambda: append(journal, key, 1, a_report()),
        "load": lambda: acts.load_election(document),
    }
    racing: dict[str, asyncio.Task[Any]] = {}
    async with owner.transaction():
        await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", key)
        for number, name in enumerate(sorted(starts, key=lambda name: name != first), 1):
            racing[name] = asyncio.create_task(starts[name]())
            await until(partial(waiting_for_locks, owner, number))
    await asyncio.wait(racing.values())
    row = await journal.election(election)
    if first == "append":
        assert sequences(racing["append"].result()) == [1]
        assert isinstance(racing["load"].exception(), ElectionStarted)
        assert row.version == 1
    else:
        assert racing["load"].result() == election
        assert isinstance(racing["append"].exception(), VersionChanged)
        assert row.version == 2
        assert sequences(await append(journal, key, 2, a_report())) == [1]


# Embargo and close.


async def test_an_embargo_can_be_moved_to_a_later_time(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """An embargo that has not ended can be moved repeatedly, also after reports were accepted."""
    election = await acts.load_election(a_registry(publish_from=in_the_future()))
    await accept(journal, election, "a-1")
    for number in range(2, 5):
        publish_from = datetime.now(UTC) + number * FAR
        await acts.move_embargo(election, publish_from)
        row = await journal.election(election)
        assert (row.publish_from, row.version) == (publish_from, number)
    assert [each[:2] for each in await acts_of(owner, election)] == [
        ("load", AUTHOR),
        *[("embargo", AUTHOR)] * 3,
    ]


async def test_an_embargo_cannot_be_moved_to_an_earlier_time(
    acts: Administration, journal: PostgresJournal
) -> None:
    """An earlier time is refused; the same time changes nothing, so the command can be repeated."""
    election = await acts.load_election(a_registry(publish_from=in_the_future()))
    end = (await journal.election(election)).publish_from
    await acts.move_embargo(election, end)
    for earlier in (end - timedelta(microseconds=1), PASSED):
        with pytest.raises(Refused):
            await acts.move_embargo(election, earlier)
    row = await journal.election(election)
    assert (row.publish_from, row.version) == (end, 1)


async def test_an_embargo_that_has_ended_cannot_be_moved(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """This applies as soon as the time is reached, even before an append has recorded the release."""
    election = await acts.load_election(a_registry())
    assert not (await journal.election(election)).released
    with pytest.raises(Refused):
        await acts.move_embargo(election, datetime.now(UTC) + FAR)
    await accept(journal, election)
    assert (await journal.election(election)).released
    with pytest.raises(Refused):
        await acts.move_embargo(election, datetime.now(UTC) + FAR)
    assert len(await acts_of(owner, election)) == 1


async def test_a_closed_election_accepts_no_reports(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """An append validated against the open election fails with VersionChanged; closing again changes nothing."""
    election = await acts.load_election(a_registry())
    await accept(journal, election, "a-1", "a-2")
    key = (await journal.election(election)).key
    await acts.close_election(election)
    with pytest.raises(VersionChanged):
        await append(journal, key, 1, a_report("a-3"))
    await acts.close_election(election)
    row = await journal.election(election)
    assert (row.closed, row.version) == (True, 2)
    assert [each[0] for each in await acts_of(owner, election)] == ["load", "close"]
    (summary,) = [each for each in await acts.elections() if each.id == election]
    assert summary.closed_at is not None
    assert summary.accepted == 2


async def test_acts_on_an_unknown_election_raise_an_error(acts: Administration) -> None:
    """Closing, moving the embargo and issuing a token raise ElectionUnknown."""
    for act in (
        acts.close_election("none"),
        acts.move_embargo("none", datetime.now(UTC)),
        acts.issue_token("none", ["no"]),
    ):
        with pytest.raises(ElectionUnknown):
            await act


# Ceilings of revisions.


async def test_a_revision_ceiling_is_raised_one_step_above_the_current_revision(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """It is raised again only once reports reach it; each raise is a recorded act and a new version."""
    election = await acts.load_election(a_registry())
    key = (await journal.election(election)).key
    assert (await journal.election(election)).ceilings == {}
    current, version = 2_000_000_000, 1
    for number in range(3):
        await append(journal, key, version, a_report(revision=current))
        for _ in range(2):
            raised = await acts.raise_revisions(election, "a-1")
            assert (raised.newest, raised.ceiling) == (current, current + 1_000_000)
        row = await journal.election(election)
        assert (row.ceilings, row.version) == ({"a-1": raised.ceiling}, number + 2)
        current, version = raised.ceiling, row.version
    assert (await acts_of(owner, election))[1:] == [
        ("revisions", AUTHOR, f"unit a-1, at {each}: up to {each + 1_000_000}")
        for each in (2_000_000_000, 2_001_000_000, 2_002_000_000)
    ]


async def test_a_revision_ceiling_that_is_high_enough_is_not_raised(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """No act is recorded, so repeating the command does not use up revisions."""
    election = await acts.load_election(a_registry())
    await accept(journal, election, "a-1")
    for unit, current in (("a-1", 1), ("a-2", 0)):
        raised = await acts.raise_revisions(election, unit)
        assert (raised.newest, raised.ceiling) == (current, 2_000_000_000)
    row = await journal.election(election)
    assert (row.ceilings, row.version) == ({}, 1)
    assert len(await acts_of(owner, election)) == 1


async def test_only_units_have_a_revision_ceiling(acts: Administration) -> None:
    """Other areas and unknown names are refused; an unknown election raises ElectionUnknown."""
    election = await acts.load_election(a_registry())
    for area in ("a", "no", "nowhere"):
        with pytest.raises(Refused, match=f"'{area}' is not a unit"):
            await acts.raise_revisions(election, area)
    with pytest.raises(ElectionUnknown):
        await acts.raise_revisions("none", "a-1")


async def test_a_revision_ceiling_ends_at_the_largest_integer(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """The last step is shorter; after the last revision the act is refused with the reason."""
    election = await acts.load_election(a_registry())
    key = (await journal.election(election)).key
    await owner.execute("INSERT INTO revision_ceiling VALUES ($1, 'a-1', 2147000000)", key)
    await append(journal, key, 1, a_report(revision=2_147_000_000))
    assert (await acts.raise_revisions(election, "a-1")).ceiling == 2_147_483_647
    await append(journal, key, 2, a_report(revision=2_147_483_647))
    with pytest.raises(Refused, match="no report can follow"):
        await acts.raise_revisions(election, "a-1")


async def test_the_database_rejects_revisions_above_the_ceiling(
    acts: Administration, journal: PostgresJournal
) -> None:
    """The database enforces the ceiling even if a push process does not; revisions below it are decided normally."""
    election = await acts.load_election(a_registry())
    key = (await journal.election(election)).key
    for revision in (2_000_000_001, 2_147_483_647):
        with pytest.raises(Unstorable):
            await append(journal, key, 1, a_report(revision=revision))
    assert sequences(await append(journal, key, 1, a_report(revision=2_000_000_000))) == [1]
    await acts.raise_revisions(election, "a-1")
    assert sequences(await append(journal, key, 2, a_report(revision=2_001_000_000))) == [2]
    with pytest.raises(Unstorable):
        await append(journal, key, 2, a_report("a-2", revision=2_000_000_001))


# Tokens.


async def test_only_the_digest_of_a_token_is_stored(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """The secret of 256 random bits is returned once; no table and no repr contains it."""
    election = await acts.load_election(a_registry())
    issued = await acts.issue_token(election, ["a", "b-1"], role="operator", note="for the tally hall")
    assert issued.secret.startswith(TOKEN_PREFIX)
    assert len(issued.secret) >= len(TOKEN_PREFIX) + 43
    assert issued.secret not in repr(issued)
    row = await journal.election(election)
    assert row.version == 2
    (token,) = row.tokens
    assert token.key == issued.key
    assert token.digest == hashlib.sha256(issued.secret.encode()).digest()
    assert (token.areas, token.role, token.expires_at) == (frozenset(["a", "b-1"]), "operator", None)
    for table in ("election", "head", "report", "token", "contact", "act"):
        for stored in await owner.fetch(f"SELECT t::text FROM {table} AS t"):
            assert issued.secret not in stored[0]
            assert issued.secret.encode().hex() not in stored[0]


async def test_a_batch_of_tokens_is_issued_entirely_or_not_at_all(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """One act issues all tokens; an unknown area or an empty list of areas refuses them all."""
    election = await acts.load_election(a_registry())
    wanted = [([each], f"note {each}") for each in MUNICIPALITIES]
    expires_at = datetime.now(UTC) + FAR
    issued = await acts.issue_tokens(election, wanted, expires_at=expires_at)
    assert len({each.secret for each in issued}) == len(wanted)
    for bad in ([*wanted, (["nowhere"], "")], [*wanted, ([], "")]):
        with pytest.raises(Refused):
            await acts.issue_tokens(election, bad)
    summaries = await acts.tokens(election)
    assert [(each.areas, each.note, each.expires_at) for each in summaries] == [
        (areas, note, expires_at) for areas, note in wanted
    ]
    assert (await journal.election(election)).version == 2
    assert [each[0] for each in await acts_of(owner, election)] == ["load", "token issue"]


async def test_a_revoked_token_is_removed_from_the_election(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Its row is kept; an append that used it fails with VersionChanged; revoking again changes nothing."""
    election = await acts.load_election(a_registry())
    first, second = await acts.issue_tokens(election, [(["a"], "Hall"), (["b"], "")])
    row = await journal.election(election)
    revoked = await acts.revoke_token(first.key)
    assert (revoked.election, revoked.areas, revoked.note, revoked.revoked_at) == (
        election,
        ["a"],
        "Hall",
        None,
    )
    with pytest.raises(VersionChanged):
        await append(journal, row.key, row.version, a_report())
    revoked_at = (await acts.tokens(election))[0].revoked_at
    assert revoked_at is not None
    await acts.revoke_token(first.key)
    after = await journal.election(election)
    assert [token.key for token in after.tokens] == [second.key]
    assert after.version == row.version + 1
    assert [each.revoked_at for each in await acts.tokens(election)] == [revoked_at, None]
    assert (await acts_of(owner, election))[-1] == ("token revoke", AUTHOR, str(first.key))
    assert len(await acts_of(owner, election)) == 3


async def test_an_unknown_token_cannot_be_revoked(acts: Administration) -> None:
    """The act is refused."""
    with pytest.raises(Refused):
        await acts.revoke_token(1_000_000_000)


async def test_the_last_contact_of_a_token_is_stored(acts: Administration, journal: PostgresJournal) -> None:
    """The latest time is kept regardless of the order of reports; an unknown token is not an error."""
    election = await acts.load_election(a_registry())
    issued = await acts.issue_token(election, ["a"])
    late, early = datetime.now(UTC), datetime.now(UTC) - FAR
    for at in (early, late, early):
        await journal.record_contacts({issued.key: at, 1_000_000_000: at})
    assert [each.last_contact_at for each in await acts.tokens(election)] == [late]
    row = await journal.election(election)
    assert await journal.contacts(row.key) == {"a": late}


async def test_every_act_is_recorded_with_its_author_and_time(database: Database, owner: Connection) -> None:
    """Each kind of act is recorded in order, with its author and time."""
    began_at = datetime.now(UTC) - timedelta(seconds=1)
    async with administration(database.url, "olga") as olga, administration(database.url, "per") as per:
        election = await olga.load_election(a_registry(publish_from=in_the_future()))
        issued = await per.issue_token(election, ["a"])
        await olga.move_embargo(election, datetime.now(UTC) + 2 * FAR)
        await per.revoke_token(issued.key)
        await olga.close_election(election)
    assert [each[:2] for each in await acts_of(owner, election)] == [
        ("load", "olga"),
        ("token issue", "per"),
        ("embargo", "olga"),
        ("token revoke", "per"),
        ("close", "olga"),
    ]
    times = [row[0] for row in await owner.fetch("SELECT at FROM act ORDER BY key DESC LIMIT 5")]
    assert began_at < times[-1] < times[0] < datetime.now(UTC) + timedelta(seconds=1)


# Queries for senders.


async def test_the_newest_report_of_a_unit_is_the_highest_revision(
    acts: Administration, journal: PostgresJournal
) -> None:
    """Of one unit and of several, under embargo or not; there is none before the first report."""
    election = await acts.load_election(a_registry(publish_from=in_the_future()))
    row = await journal.election(election)
    assert await journal.newest_report(row.key, "a-1") is None
    appended = await append(journal, row.key, 1, a_report("a-1", 2), a_report("a-1", 7), a_report("a-2", 9))
    stored = await journal.newest_report(row.key, "a-1")
    assert stored is not None
    assert (stored.revision, stored.sequence, stored.body) == (7, 2, a_report("a-1", 7).body)
    assert (stored.accepted_at, stored.released_at) == (appended.at, None)
    found = {each.unit: each for each in await journal.newest_reports(row.key, ["a-1", "a-2", "b-1", "none"])}
    assert found.keys() == {"a-1", "a-2"}
    assert (found["a-1"].body, found["a-1"].sequence, found["a-1"].released_at) == (stored.body, 2, None)
    assert await journal.newest_reports(row.key, []) == []


async def test_reading_the_reports_of_no_units_appends_nothing(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """A file of counts may name no unit of the sender; then there is nothing to be durable."""
    row = await journal.election(await acts.load_election(a_registry()))
    appends = "SELECT appends FROM head WHERE election = $1"
    before = await owner.fetchval(appends, row.key)
    assert await journal.newest_reports(row.key, []) == []
    assert await owner.fetchval(appends, row.key) == before
    assert await journal.newest_reports(row.key, ["a-1"]) == []
    assert await owner.fetchval(appends, row.key) > before


async def test_transfers_count_accepted_reports_per_unit(
    acts: Administration, journal: PostgresJournal
) -> None:
    """`transfers` returns only the requested units."""
    until = in_the_future()
    election = await acts.load_election(a_registry(publish_from=until))
    row = await journal.election(election)
    appended = await append(journal, row.key, 1, a_report("a-1", 2), a_report("a-1", 7), a_report("a-2", 9))
    hidden_until, (found,) = await journal.transfers(row.key, ["a-1", "b-1"])
    assert hidden_until == datetime.fromisoformat(until)
    assert (found.unit, found.accepted, found.last_accepted_at) == ("a-1", 2, appended.at)
    assert await journal.transfers(row.key, ["b-1"]) == (hidden_until, [])


async def test_transfers_say_since_when_a_unit_is_held(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """A held report is not counted as accepted until it is released."""
    election = await acts.load_election(a_registry(publish_from=in_the_future()))
    row = await journal.election(election)
    await hold(owner, row.key, a_report("a-1", 1), rule=None)
    await hold(owner, row.key, a_report("a-1", 2), a_report("a-2", 1))
    since = await owner.fetchval("SELECT since FROM hold WHERE election = $1 AND unit = 'a-1'", row.key)
    await hold(owner, row.key, a_report("a-1", 3))
    _, found = await journal.transfers(row.key, ["a-1", "a-2", "b-1"])
    assert [
        (each.unit, each.accepted, each.held_since) for each in sorted(found, key=lambda each: each.unit)
    ] == [
        ("a-1", 1, since),
        ("a-2", 0, since),
    ]
    await decide(owner, row.key, a_report("a-1", 3), release=True)
    await decide(owner, row.key, a_report("a-2", 1), release=False)
    _, (found_again,) = await journal.transfers(row.key, ["a-1", "a-2"])
    assert (found_again.unit, found_again.accepted, found_again.held_since) == ("a-1", 2, None)

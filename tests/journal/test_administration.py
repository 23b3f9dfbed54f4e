"""Administrative acts: what may change when, who did it, and that no append rests on what has changed."""

import asyncio
import hashlib
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from gateway.errors import ElectionStarted, ElectionUnknown, MalformedRegistry, Refused
from gateway.journal.administration import TOKEN_PREFIX, Administration, administration
from gateway.journal.connection import Connection, Unstorable, VersionChanged
from gateway.journal.postgres import PostgresJournal
from tests.conftest import Database
from tests.journal.conftest import AUTHOR
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
    """Each test has elections of its own, and needs no more."""
    return shared_database


def ahead(**apart: int) -> str:
    """A time that lies ahead, as a registry writes it."""
    return (datetime.now(UTC) + FAR + timedelta(**apart)).isoformat()


async def acts_of(owner: Connection, election: str) -> list[tuple[str, str, str]]:
    """Kind, author and detail of each act, in order."""
    rows = await owner.fetch(
        "SELECT a.kind, a.author, a.detail FROM act a JOIN election e ON e.key = a.election"
        " WHERE e.id = $1 ORDER BY a.key",
        election,
    )
    return [tuple(row) for row in rows]


async def accept(journal: PostgresJournal, election: str, *units: str) -> None:
    row = await journal.election(election)
    await append(journal, row.key, row.version, *[a_report(unit) for unit in units])


# Registries.


async def test_a_loaded_election_is_there_as_it_was_given(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Its registry, its embargo, no token; and the act is recorded with its author."""
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


async def test_loading_the_same_again_changes_nothing(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """No version, no act; also once reports are accepted, and however its members are ordered."""
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
    """The new one stands, as another version, and what differs is recorded."""
    document = a_registry()
    election = await acts.load_election(document)
    later = ahead()
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


async def test_a_registry_stands_once_a_report_is_accepted(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Another one is refused, with the differences named, and nothing changes."""
    document = a_registry()
    election = await acts.load_election(document)
    await accept(journal, election, "a-1")
    other = deepcopy(document)
    other["election"]["name"] = "Another election"
    other["areas"] = [each for each in other["areas"] if each["id"] != "b-6"]
    other["parties"].append({"code": "D", "name": "Party D"})
    with pytest.raises(ElectionStarted) as refused:
        await acts.load_election(other)
    for difference in ("$.election.name", "area b-6 is gone", "party D is new"):
        assert difference in str(refused.value)
    row = await journal.election(election)
    assert (row.version, row.registry.document) == (1, document)
    assert len(await acts_of(owner, election)) == 1


async def test_a_registry_with_mistakes_is_not_loaded(acts: Administration) -> None:
    """It is refused with every mistake before anything is touched."""
    document = a_registry()
    document["areas"][3]["parent"] = "nowhere"
    del document["election"]["name"]
    with pytest.raises(MalformedRegistry) as refused:
        await acts.load_election(document)
    assert len(refused.value.problems) >= 2
    assert document["election"]["id"] not in [each.id for each in await acts.elections()]


async def test_a_replaced_registry_leaves_a_moved_embargo_where_it_is(
    acts: Administration, journal: PostgresJournal
) -> None:
    """A misprint that is put right does not bring back the old time; another time in the registry is a new one."""
    document = a_registry(publish_from=ahead())
    election = await acts.load_election(document)
    moved = datetime.now(UTC) + 3 * FAR
    await acts.move_embargo(election, moved)
    document["election"]["name"] = "A better name"
    await acts.load_election(document)
    assert (await journal.election(election)).publish_from == moved
    document["election"]["publish_from"] = ahead(hours=1)
    await acts.load_election(document)
    row = await journal.election(election)
    assert row.publish_from == datetime.fromisoformat(document["election"]["publish_from"])


async def test_a_registry_does_not_bring_back_an_embargo_that_has_ended(
    acts: Administration, journal: PostgresJournal
) -> None:
    """The flag never closes again, so a later time would promise what nothing keeps; an earlier one is harmless."""
    document = a_registry()
    election = await acts.load_election(document)
    await accept(journal, election)
    document["election"]["publish_from"] = ahead()
    with pytest.raises(Refused):
        await acts.load_election(document)
    row = await journal.election(election)
    assert (row.version, row.publish_from, row.released) == (1, PASSED, True)
    document["election"]["publish_from"] = (PASSED - FAR).isoformat()
    await acts.load_election(document)
    assert (await journal.election(election)).publish_from == PASSED - FAR


async def test_an_election_loaded_by_several_at_once_is_loaded_once(
    database: Database, owner: Connection
) -> None:
    """The others find it there."""
    document = a_registry()

    async def load(author: str) -> str:
        async with administration(database.url, author) as acts:
            return await acts.load_election(document)

    loaded = await asyncio.gather(*[load(f"author-{number}") for number in range(5)])
    assert set(loaded) == {document["election"]["id"]}
    assert len(await acts_of(owner, loaded[0])) == 1


@pytest.mark.parametrize("first", ["append", "load"])
async def test_a_load_and_an_append_come_one_after_the_other(
    acts: Administration, journal: PostgresJournal, owner: Connection, first: str
) -> None:
    """Whichever has the head first: the load is refused, or the append is turned back to be checked again."""
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


async def test_an_embargo_moves_to_a_later_time(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """As often as needed, while it has not passed; also once reports are accepted."""
    election = await acts.load_election(a_registry(publish_from=ahead()))
    await accept(journal, election, "a-1")
    for number in range(2, 5):
        until_then = datetime.now(UTC) + number * FAR
        await acts.move_embargo(election, until_then)
        row = await journal.election(election)
        assert (row.publish_from, row.version) == (until_then, number)
    assert [each[:2] for each in await acts_of(owner, election)] == [
        ("load", AUTHOR),
        *[("embargo", AUTHOR)] * 3,
    ]


async def test_an_embargo_never_moves_to_an_earlier_time(
    acts: Administration, journal: PostgresJournal
) -> None:
    """The same time again changes nothing, so the act can be repeated."""
    election = await acts.load_election(a_registry(publish_from=ahead()))
    end = (await journal.election(election)).publish_from
    await acts.move_embargo(election, end)
    for earlier in (end - timedelta(microseconds=1), PASSED):
        with pytest.raises(Refused):
            await acts.move_embargo(election, earlier)
    row = await journal.election(election)
    assert (row.publish_from, row.version) == (end, 1)


async def test_an_embargo_that_has_passed_does_not_move(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Neither when the time is reached, though no append has noticed, nor when the flag is set."""
    election = await acts.load_election(a_registry())
    assert not (await journal.election(election)).released
    with pytest.raises(Refused):
        await acts.move_embargo(election, datetime.now(UTC) + FAR)
    await accept(journal, election)
    assert (await journal.election(election)).released
    with pytest.raises(Refused):
        await acts.move_embargo(election, datetime.now(UTC) + FAR)
    assert len(await acts_of(owner, election)) == 1


async def test_a_close_ends_the_taking_of_reports(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """An append that rests on the open election is turned back; closing again changes nothing."""
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


async def test_acts_on_an_election_that_is_not_there_say_so(acts: Administration) -> None:
    """Each of them."""
    for act in (
        acts.close_election("none"),
        acts.move_embargo("none", datetime.now(UTC)),
        acts.issue_token("none", ["no"]),
    ):
        with pytest.raises(ElectionUnknown):
            await act


# Ceilings of revisions.


async def test_a_ceiling_is_raised_one_step_above_the_current_revision(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Again only once reports have come up to it; each is an act with author and figures, and another version."""
    election = await acts.load_election(a_registry())
    key = (await journal.election(election)).key
    assert (await journal.election(election)).ceilings == {}
    current, version = 2_000_000_000, 1
    for number in range(3):
        await append(journal, key, version, a_report(revision=current))
        for _ in range(2):
            raised = await acts.raise_revisions(election, "a-1")
            assert (raised.current, raised.ceiling) == (current, current + 1_000_000)
        row = await journal.election(election)
        assert (row.ceilings, row.version) == ({"a-1": raised.ceiling}, number + 2)
        current, version = raised.ceiling, row.version
    assert (await acts_of(owner, election))[1:] == [
        ("revisions", AUTHOR, f"unit a-1, at {each}: up to {each + 1_000_000}")
        for each in (2_000_000_000, 2_001_000_000, 2_002_000_000)
    ]


async def test_a_ceiling_that_is_high_enough_stays_where_it_is(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Without an act: so nobody uses up numbers by repeating it."""
    election = await acts.load_election(a_registry())
    await accept(journal, election, "a-1")
    for unit, current in (("a-1", 1), ("a-2", 0)):
        raised = await acts.raise_revisions(election, unit)
        assert (raised.current, raised.ceiling) == (current, 2_000_000_000)
    row = await journal.election(election)
    assert (row.ceilings, row.version) == ({}, 1)
    assert len(await acts_of(owner, election)) == 1


async def test_only_a_unit_has_a_ceiling(acts: Administration) -> None:
    """Neither an area above it nor another name; an election that is not there is named."""
    election = await acts.load_election(a_registry())
    for area in ("a", "no", "nowhere"):
        with pytest.raises(Refused, match=f"'{area}' is not a unit"):
            await acts.raise_revisions(election, area)
    with pytest.raises(ElectionUnknown):
        await acts.raise_revisions("none", "a-1")


async def test_a_ceiling_ends_at_the_highest_number_there_is(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """The last step is shorter; after the last number the act is refused, and says that nothing can follow."""
    election = await acts.load_election(a_registry())
    key = (await journal.election(election)).key
    await owner.execute("INSERT INTO revision_ceiling VALUES ($1, 'a-1', 2147000000)", key)
    await append(journal, key, 1, a_report(revision=2_147_000_000))
    assert (await acts.raise_revisions(election, "a-1")).ceiling == 2_147_483_647
    await append(journal, key, 2, a_report(revision=2_147_483_647))
    with pytest.raises(Refused, match="no report can follow"):
        await acts.raise_revisions(election, "a-1")


async def test_the_database_refuses_what_is_above_the_ceiling_from_every_writer(
    acts: Administration, journal: PostgresJournal
) -> None:
    """Also from a process that knows nothing of ceilings; what is below is decided as ever."""
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


async def test_only_the_digest_of_a_token_is_kept(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """256 random bits, told once: no column of any table holds them, nor does the object's own text."""
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


async def test_tokens_are_issued_together_or_not_at_all(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Many in one act; an unknown area or none at all refuses the whole."""
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


async def test_a_revoked_token_is_gone_from_the_election(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Its row stays for the record; an append that rests on it is turned back; revoking again changes nothing."""
    election = await acts.load_election(a_registry())
    first, second = await acts.issue_tokens(election, [(["a"], ""), (["b"], "")])
    row = await journal.election(election)
    await acts.revoke_token(first.key)
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


async def test_a_token_that_is_not_there_cannot_be_revoked(acts: Administration) -> None:
    """It says so."""
    with pytest.raises(Refused):
        await acts.revoke_token(1_000_000_000)


async def test_the_last_contact_of_a_token_is_kept(acts: Administration, journal: PostgresJournal) -> None:
    """The latest time counts, in whatever order processes tell; an unknown token is no error."""
    election = await acts.load_election(a_registry())
    issued = await acts.issue_token(election, ["a"])
    late, early = datetime.now(UTC), datetime.now(UTC) - FAR
    for at in (early, late, early):
        await journal.record_contacts({issued.key: at, 1_000_000_000: at})
    assert [each.last_contact_at for each in await acts.tokens(election)] == [late]
    row = await journal.election(election)
    assert await journal.contacts(row.key) == {"a": late}


async def test_every_act_has_its_author_and_time(database: Database, owner: Connection) -> None:
    """Whoever did it, whatever it was."""
    began_at = datetime.now(UTC) - timedelta(seconds=1)
    async with administration(database.url, "olga") as olga, administration(database.url, "per") as per:
        election = await olga.load_election(a_registry(publish_from=ahead()))
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


# What a sender may read back.


async def test_a_sender_reads_the_current_report_of_a_unit(
    acts: Administration, journal: PostgresJournal
) -> None:
    """The one of the highest revision, embargoed or not; None before the first."""
    election = await acts.load_election(a_registry(publish_from=ahead()))
    row = await journal.election(election)
    assert await journal.current_report(row.key, "a-1") is None
    appended = await append(journal, row.key, 1, a_report("a-1", 2), a_report("a-1", 7), a_report("a-2", 9))
    stored = await journal.current_report(row.key, "a-1")
    assert stored is not None
    assert (stored.revision, stored.sequence, stored.body) == (7, 2, a_report("a-1", 7).body)
    assert (stored.accepted_at, stored.released_at) == (appended.at, None)


async def test_transfers_count_what_is_accepted_by_unit(
    acts: Administration, journal: PostgresJournal
) -> None:
    """For the units asked about, and those only."""
    election = await acts.load_election(a_registry(publish_from=ahead()))
    row = await journal.election(election)
    appended = await append(journal, row.key, 1, a_report("a-1", 2), a_report("a-1", 7), a_report("a-2", 9))
    released, (found,) = await journal.transfers(row.key, ["a-1", "b-1"])
    assert not released
    assert (found.unit, found.accepted, found.last_accepted_at) == ("a-1", 2, appended.at)
    assert await journal.transfers(row.key, ["b-1"]) == (False, [])

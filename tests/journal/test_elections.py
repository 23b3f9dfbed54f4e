"""What a push process knows of elections and tokens: found when new, turned back when old, asked for within bounds."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from gateway.election.outcome import Refusal
from gateway.election.registry_reading import read_registry
from gateway.election.validation import ValidReport
from gateway.errors import ElectionUnknown, JournalUnavailable
from gateway.journal.administration import Administration
from gateway.journal.db_errors import VersionChanged
from gateway.journal.elections import REFRESH_MIN_S, Elections, ElectionVersion
from gateway.journal.postgres import ElectionRow, PostgresJournal
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.journal.makers import TIMEOUT_S, a_registry, a_report, a_token, a_version, append, sequences

NOW = datetime(2025, 9, 8, 20, 0, tzinfo=UTC)


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own elections, which is enough isolation."""
    return shared_database


class Renewed(list[ElectionVersion]):
    """The versions that were announced, in order."""

    def versions(self, election: str) -> list[int]:
        return [each.version for each in self if each.id == election]


@pytest.fixture
def renewed() -> Renewed:
    return Renewed()


@pytest.fixture
def elections(journal: PostgresJournal, renewed: Renewed) -> Elections:
    return Elections(journal, renewed.append)


class FakeJournal(PostgresJournal):
    """Elections that are made up, and a count of how often they are asked for."""

    def __init__(self) -> None:
        self.rows: dict[str, ElectionRow] = {}
        self.asked_at: list[float] = []
        self.error: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    def put(self, key: int = 1, version: int = 1) -> str:
        registry = read_registry(a_registry(id="made-up"))
        self.rows[registry.id] = ElectionRow(
            key, version, registry, registry.publish_from, True, False, [a_token(1)]
        )
        return registry.id

    async def versions(self) -> dict[str, tuple[int, bool]]:
        self.asked_at.append(asyncio.get_running_loop().time())
        await self.answering.wait()
        if self.error is not None:
            raise self.error
        return {identifier: (row.version, row.released) for identifier, row in self.rows.items()}

    async def election(self, identifier: str) -> ElectionRow:
        row = self.rows.get(identifier)
        await self.answering.wait()
        if row is None:
            raise ElectionUnknown(identifier)
        return row


# ElectionVersion.


def test_a_token_is_valid_until_it_expires() -> None:
    """At that time it becomes invalid, for requests and for reports that wait."""
    issued = a_token(1, digest=_digest("secret"), expires_at=NOW)
    version = a_version(tokens=[issued])
    before = NOW - timedelta(microseconds=1)
    token = version.find_token("secret", before)
    assert token is not None
    assert token.key == 1
    assert version.valid_token(1, before) is token
    for late in (NOW, NOW + timedelta(days=1)):
        assert version.find_token("secret", late) is None
        assert version.valid_token(1, late) is None
    assert version.find_token("another", before) is None
    assert version.valid_token(2, before) is None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def test_a_token_covers_the_units_of_its_areas() -> None:
    """All below them and no others; an area that is no longer in the registry covers nothing."""
    version = a_version(tokens=[a_token(1, "a", "b-2"), a_token(2, "gone"), a_token(3)])
    some, none, all_units = (version.valid_token(key, NOW) for key in (1, 2, 3))
    assert some is not None
    assert none is not None
    assert all_units is not None
    assert "a-1" in some.scope
    assert "b-2" in some.scope
    assert "b-1" not in some.scope
    assert "a-1" not in none.scope
    assert "b-1" in all_units.scope
    assert some.scope is some.scope


def test_a_report_is_checked_again_by_token_and_registry() -> None:
    """The token must be valid and cover the unit, and the registry must allow the report."""
    version = a_version(tokens=[a_token(1, "a", expires_at=NOW), a_token(2, "a")])
    valid = a_report("a-1")
    again = version.check_again(2, valid, NOW)
    assert isinstance(again, ValidReport)
    assert (again.body, again.digest) == (valid.body, valid.digest)
    assert version.check_again(1, valid, NOW) == Refusal("token_revoked", "a-1", 1)
    assert version.check_again(9, valid, NOW) == Refusal("token_revoked", "a-1", 1)
    forbidden = version.check_again(2, a_report("b-1"), NOW)
    assert isinstance(forbidden, Refusal)
    assert forbidden.code == "unit_forbidden"


# Elections in Postgres.


async def test_an_election_and_its_tokens_are_found_as_soon_as_they_are_made(
    elections: Elections, acts: Administration, renewed: Renewed
) -> None:
    """A token that was just issued is never rejected as invalid."""
    await elections.refresh()
    with pytest.raises(ElectionUnknown):
        await elections.find("not-there-yet")
    election = await acts.load_election(a_registry())
    assert (await elections.find(election)).id == election
    first = await acts.issue_token(election, ["a"])
    version, token = await elections.authenticate(election, first.secret)
    assert token is not None
    assert (token.key, token.areas) == (first.key, frozenset(["a"]))
    second = await acts.issue_token(election, ["b"])
    _, token = await elections.authenticate(election, second.secret)
    assert token is not None
    assert token.key == second.key
    assert renewed.versions(election) == [1, 2, 3]
    assert version.find_token(second.secret, NOW) is None, "a version is not changed, it is replaced"


async def test_a_revoked_token_is_rejected_by_the_append_and_then_unknown(
    elections: Elections, acts: Administration, journal: PostgresJournal
) -> None:
    """A copy from before the act still has it, but an append that is based on that copy is rejected."""
    election = await acts.load_election(a_registry())
    issued = await acts.issue_token(election, ["a"])
    version, token = await elections.authenticate(election, issued.secret)
    assert token is not None
    await acts.revoke_token(issued.key)
    with pytest.raises(VersionChanged):
        await append(journal, version.key, version.version, a_report())
    present = await elections.renew(election)
    assert present.check_again(token.key, a_report(), NOW) == Refusal("token_revoked", "a-1", 1)
    assert (await elections.authenticate(election, issued.secret))[1] is None


async def test_a_token_of_one_election_is_not_valid_for_another(
    elections: Elections, acts: Administration
) -> None:
    """Even if it names the same areas."""
    one, other = [await acts.load_election(a_registry()) for _ in range(2)]
    issued = await acts.issue_token(one, ["no"])
    assert (await elections.authenticate(other, issued.secret))[1] is None
    assert (await elections.authenticate(one, issued.secret))[1] is not None


async def test_the_version_follows_every_act(
    elections: Elections, acts: Administration, renewed: Renewed
) -> None:
    """Registry, embargo, close: each is read at the next refresh; unchanged elections are not read again."""
    document = a_registry(publish_from=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    election = await acts.load_election(document)
    await elections.refresh()
    document["parties"].append({"code": "D", "name": "Party D"})
    await acts.load_election(document)
    await elections.refresh()
    await elections.refresh()
    later = datetime.now(UTC) + timedelta(hours=2)
    await acts.move_embargo(election, later)
    await elections.refresh()
    await acts.close_election(election)
    await elections.refresh()
    assert renewed.versions(election) == [1, 2, 3, 4]
    version = await elections.find(election)
    assert "D" in version.registry.party_codes
    assert (version.publish_from, version.closed) == (later, True)


async def test_the_version_follows_a_database_that_lost_an_act(
    elections: Elections, acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """After a failover that lost the last act its number is lower, and appends continue at that version."""
    election = await acts.load_election(a_registry())
    await acts.issue_token(election, ["a"])
    assert (await elections.find(election)).version == 2
    await owner.execute(
        "UPDATE head SET version = 1 WHERE election = (SELECT key FROM election WHERE id = $1)", election
    )
    version = await elections.renew(election)
    assert sequences(await append(journal, version.key, version.version, a_report())) == [1]
    assert (await elections.find(election)).version == 1


async def test_the_elections_are_followed_until_cancelled(
    elections: Elections, acts: Administration, renewed: Renewed
) -> None:
    """A requested refresh is made soon, and the elections are known after the first one."""
    election = await acts.load_election(a_registry())
    following = asyncio.create_task(elections.run())
    async with asyncio.timeout(TIMEOUT_S):
        await elections.wait_known()
        assert election in [each.id for each in elections.known()]
        await acts.close_election(election)
        while renewed.versions(election) != [1, 2]:
            elections.refresh_soon()
            await asyncio.sleep(0.005)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


# How often is asked.


async def test_unknown_tokens_share_a_refresh() -> None:
    """However many arrive at once, Postgres is asked once for all that arrived before."""
    journal = FakeJournal()
    elections = Elections(journal, lambda _: None)
    election = journal.put()
    await elections.refresh()
    journal.asked_at.clear()
    guessed, named = await asyncio.gather(
        asyncio.gather(*[elections.authenticate(election, f"guess {number}") for number in range(200)]),
        asyncio.gather(*[elections.find(f"guess-{number}") for number in range(200)], return_exceptions=True),
    )
    assert all(token is None for _, token in guessed)
    assert all(isinstance(each, ElectionUnknown) for each in named)
    assert len(journal.asked_at) <= 2


async def test_refreshes_for_unknown_tokens_are_limited() -> None:
    """A client that sends unknown tokens again and again has to wait."""
    journal = FakeJournal()
    elections = Elections(journal, lambda _: None)
    election = journal.put()
    for number in range(5):
        assert (await elections.authenticate(election, f"guess {number}"))[1] is None
    apart = [late - early for early, late in zip(journal.asked_at, journal.asked_at[1:], strict=False)]
    assert len(apart) >= 4
    assert min(apart) >= 0.9 * REFRESH_MIN_S


async def test_a_known_token_causes_no_refresh() -> None:
    """Nor does its election: the hot path makes no query."""
    journal = FakeJournal()
    journal.rows["made-up"] = _with_token("secret")
    elections = Elections(journal, lambda _: None)
    await elections.refresh()
    for _ in range(10):
        assert (await elections.authenticate("made-up", "secret"))[1] is not None
    assert len(journal.asked_at) == 1


def _with_token(secret: str, version: int = 1) -> ElectionRow:
    registry = read_registry(a_registry(id="made-up"))
    token = a_token(1, digest=_digest(secret))
    return ElectionRow(1, version, registry, registry.publish_from, True, False, [token])


async def test_while_postgres_is_unavailable_no_token_is_rejected() -> None:
    """A token that cannot be looked up is not unknown: the error is that Postgres does not answer."""
    journal = FakeJournal()
    elections = Elections(journal, lambda _: None)
    election = journal.put()
    await elections.refresh()
    journal.error = JournalUnavailable("no answer")
    answers = await asyncio.gather(
        *[elections.authenticate(election, f"new {number}") for number in range(20)],
        *[elections.find(f"new-{number}") for number in range(20)],
        return_exceptions=True,
    )
    assert [type(each) for each in answers] == [JournalUnavailable] * 40
    assert len(journal.asked_at) <= 3
    journal.error = None
    assert (await elections.authenticate(election, "new"))[1] is None


async def test_a_caller_that_is_cancelled_does_not_answer_for_others() -> None:
    """A refresh that was cancelled has found nothing; the next in turn refreshes itself."""
    journal = FakeJournal()
    elections = Elections(journal, lambda _: None)
    election = journal.put()
    await elections.refresh()
    journal.rows[election] = _with_token("new", version=2)
    journal.answering.clear()
    hasty = asyncio.create_task(elections.authenticate(election, "other"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(elections.authenticate(election, "new"))
    while len(journal.asked_at) < 2:  # noqa: ASYNC110 - changed by a call
        await asyncio.sleep(0.001)
    hasty.cancel()
    journal.answering.set()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    assert (await waiting)[1] is not None


async def test_an_older_reading_never_replaces_a_newer_one() -> None:
    """Reads follow one another, so the last one that is made is the last one that is kept."""
    journal = FakeJournal()
    renewed = Renewed()
    elections = Elections(journal, renewed.append)
    election = journal.put(version=1)
    journal.answering.clear()
    slow = asyncio.create_task(elections.renew(election))
    await asyncio.sleep(0)
    journal.put(version=2)
    quick = asyncio.create_task(elections.renew(election))
    await asyncio.sleep(0)
    journal.answering.set()
    await asyncio.gather(slow, quick)
    assert renewed.versions(election) == [1, 2]
    assert (await elections.find(election)).version == 2


async def test_an_election_loaded_again_is_another_one() -> None:
    """Under another key it is renewed even if its version is the same; once removed, it is unknown."""
    journal = FakeJournal()
    elections = Elections(journal, lambda _: None)
    election = journal.put(key=1)
    assert (await elections.find(election)).key == 1
    del journal.rows[election]
    await elections.refresh()
    with pytest.raises(ElectionUnknown):
        await elections.find(election)
    journal.put(key=2)
    assert (await elections.find(election)).key == 2


async def test_a_release_that_a_failover_lost_is_noticed(
    elections: Elections, acts: Administration, journal: PostgresJournal, owner: Connection, renewed: Renewed
) -> None:
    """The version shows it, without any report and with the same number: the embargo can be lifted again."""
    election = await acts.load_election(a_registry())
    version = await elections.find(election)
    assert not version.released
    await append(journal, version.key, version.version)
    await elections.refresh()
    assert (await elections.find(election)).released
    await owner.execute(
        "UPDATE embargo SET released_at = NULL, released_by = NULL WHERE election = $1", version.key
    )
    await elections.refresh()
    await elections.refresh()
    announced = [(each.version, each.released) for each in renewed if each.id == election]
    assert announced == [(1, False), (1, True), (1, False)]


async def test_an_older_refresh_drops_nothing_that_a_newer_one_found() -> None:
    """Refreshes follow one another, so an election that one of them has not seen yet is kept."""
    journal = SlowFirstLook()
    elections = Elections(journal, lambda _: None)
    slow = asyncio.create_task(elections.refresh())
    await journal.reached.wait()
    election = journal.put()
    quick = asyncio.create_task(elections.refresh())
    for _ in range(10):
        await asyncio.sleep(0)
    journal.going_on.set()
    await asyncio.gather(slow, quick)
    assert [each.id for each in elections.known()] == [election]


async def test_a_refresh_drops_nothing_that_was_renewed_after_it_began() -> None:
    """It only knows what existed before."""
    journal = SlowFirstLook()
    elections = Elections(journal, lambda _: None)
    slow = asyncio.create_task(elections.refresh())
    await journal.reached.wait()
    election = journal.put()
    await elections.renew(election)
    journal.going_on.set()
    await slow
    assert [each.id for each in elections.known()] == [election]


class SlowFirstLook(FakeJournal):
    """One whose first answer is old by the time it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.going_on = asyncio.Event()

    async def versions(self) -> dict[str, tuple[int, bool]]:
        found = await super().versions()
        if len(self.asked_at) == 1:
            self.reached.set()
            await self.going_on.wait()
        return found

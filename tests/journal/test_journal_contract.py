"""The decisions of every journal: one suite for the one in memory and those in a simulated and in a real Postgres."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.election.record import CHAIN_START
from gateway.election.validation import ValidReport
from gateway.errors import ElectionUnknown
from gateway.journal.administration import Administration
from gateway.journal.db_errors import Unstorable, VersionChanged
from gateway.journal.decisions import Appended, Closed, Conflict, Decision, Known, New, Stale
from gateway.journal.judging import Journal
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.counts import examples
from tests.journal.makers import (
    FAR,
    PASSED,
    UNITS,
    a_registry,
    a_report,
    append,
    chain_of,
    refuse_in_postgres,
    sequences,
)
from tests.journal.memory import MemoryJournal
from tests.simulation.database import SimulatedDatabase
from tests.simulation.journal import journal as journal_of
from tests.simulation.real_time import RealClient, RealTime
from tests.simulation.rows import Election

Row = tuple[int, str, int, bytes, bytes, datetime]
"""Sequence, unit, revision, digest, chain, accepted_at."""


class Subject(Protocol):
    """An election of a journal, and the acts that befall it."""

    key: int
    version: int

    @property
    def journal(self) -> Journal:
        """Where it is kept."""

    async def close(self) -> None:
        """Close the election, which makes it another version the first time."""

    async def change(self) -> None:
        """Make it another version by an act that changes nothing for reports."""

    async def pretend_last_append(self, at: datetime) -> None:
        """Have the last append be of this time."""

    async def embargo_ends(self, at: datetime) -> None:
        """Have the embargo end at this time."""

    async def record(self) -> list[Row]:
        """Return all that is accepted, in order."""

    async def refuse(self, unit: str) -> None:
        """Make reports of a unit impossible to store."""


class MemorySubject:
    def __init__(self, publish_from: datetime) -> None:
        self.journal = MemoryJournal(publish_from=publish_from)
        self.key = self.journal.key
        self.version = 1

    async def close(self) -> None:
        if not self.journal.closed:
            self.journal.closed = True
            await self.change()

    async def change(self) -> None:
        self.journal.version += 1
        self.version = self.journal.version

    async def pretend_last_append(self, at: datetime) -> None:
        self.journal.last_at = at

    async def embargo_ends(self, at: datetime) -> None:
        self.journal.publish_from = at

    async def record(self) -> list[Row]:
        return [
            (each.sequence, each.unit, each.revision, each.digest, each.chain, each.accepted_at)
            for each in self.journal.record
        ]

    async def refuse(self, unit: str) -> None:
        self.journal.unstorable.add(unit)


class SimulatedSubject:
    """An election in a simulated Postgres."""

    def __init__(self, publish_from: datetime) -> None:
        self._database = SimulatedDatabase(RealTime(), standby=True, pace=0.0)
        document = a_registry(publish_from=publish_from.isoformat())
        self.key = self._database.load(document)
        self.version = 1
        self._id: str = document["election"]["id"]
        self.journal = journal_of(self._database, RealClient(), require_standby=False)

    @property
    def _rows(self) -> Election:
        return self._database.primary.tables.elections[self.key]

    async def close(self) -> None:
        await self._database.close(self._id)
        self.version = self._rows.head.version

    async def change(self) -> None:
        await self._database.change_version(self._id)
        self.version += 1

    async def pretend_last_append(self, at: datetime) -> None:
        self._rows.apply(msgspec.structs.replace(self._rows.head, last_at=at))

    async def embargo_ends(self, at: datetime) -> None:
        self._rows.apply(msgspec.structs.replace(self._rows.embargo, publish_from=at))

    async def record(self) -> list[Row]:
        return [
            (each.sequence, each.unit, each.revision, each.digest, each.chain, each.accepted_at)
            for each in self._rows.reports
        ]

    async def refuse(self, unit: str) -> None:
        self._database.unstorable[unit] = None


class PostgresSubject:
    def __init__(self, journal: PostgresJournal, acts: Administration, owner: Connection) -> None:
        self.journal = journal
        self.version = 1
        self.key = 0
        self._id = ""
        self._acts = acts
        self._owner = owner

    async def load(self, publish_from: datetime) -> None:
        self._id = await self._acts.load_election(a_registry(publish_from=publish_from.isoformat()))
        self.key = (await self.journal.election(self._id)).key

    async def close(self) -> None:
        await self._acts.close_election(self._id)
        self.version = (await self.journal.versions())[self._id][0]

    async def change(self) -> None:
        await self._acts.issue_token(self._id, ["no"])
        self.version += 1

    async def pretend_last_append(self, at: datetime) -> None:
        await self._owner.execute("UPDATE head SET last_at = $2 WHERE election = $1", self.key, at)

    async def embargo_ends(self, at: datetime) -> None:
        await self._owner.execute("UPDATE embargo SET publish_from = $2 WHERE election = $1", self.key, at)

    async def record(self) -> list[Row]:
        rows = await self._owner.fetch(
            "SELECT sequence, unit, revision, digest, chain, accepted_at FROM report"
            " WHERE election = $1 ORDER BY sequence",
            self.key,
        )
        return [tuple(row) for row in rows]

    async def refuse(self, unit: str) -> None:
        await refuse_in_postgres(self._owner, self.key, unit)


Make = Callable[..., Awaitable[Subject]]


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own elections, which is enough isolation."""
    return shared_database


@pytest.fixture
def make_memory() -> Make:
    async def make(publish_from: datetime = PASSED) -> Subject:
        return MemorySubject(publish_from)

    return make


@pytest.fixture
def make_simulated() -> Make:
    async def make(publish_from: datetime = PASSED) -> Subject:
        return SimulatedSubject(publish_from)

    return make


@pytest.fixture
def make_postgres(journal: PostgresJournal, acts: Administration, owner: Connection) -> Make:
    async def make(publish_from: datetime = PASSED) -> Subject:
        subject = PostgresSubject(journal, acts, owner)
        await subject.load(publish_from)
        return subject

    return make


@pytest.fixture(params=["memory", "simulated", "postgres"])
def make(request: pytest.FixtureRequest) -> Make:
    """Make an election in one of the journals."""
    made: Make = request.getfixturevalue(f"make_{request.param}")
    return made


def decisions(appended: Appended, reports: Sequence[ValidReport]) -> list[tuple[Any, ...]]:
    """Put each decision into the words of the contract's table."""
    return [in_words(*each) for each in zip(appended.decisions, reports, strict=True)]


def in_words(decision: Decision, valid: ValidReport) -> tuple[Any, ...]:
    match decision:
        case New():
            return "accepted", decision.sequence
        case Known():
            return "duplicate", decision.sequence
        case Conflict():
            return "conflict", decision.sequence
        case Closed():
            assert valid.report.revision > decision.current_revision
            return "closed", decision.current_revision
        case Stale():
            assert valid.report.revision <= decision.current_revision
            return "stale", decision.current_revision


async def decide(subject: Subject, *reports: ValidReport) -> list[tuple[Any, ...]]:
    """Append a batch and return its decisions."""
    return decisions(await append(subject.journal, subject.key, subject.version, *reports), reports)


TABLE: dict[str, tuple[list[list[tuple[str, int, int]]], list[tuple[Any, ...]]]] = {
    # batches of (unit, revision, votes), and what is decided about the last of them
    "a first report, of any revision, is accepted": ([[("a-1", 7, 1)]], [("accepted", 1)]),
    "the highest revision below every ceiling is accepted": (
        [[("a-1", 2_000_000_000, 1)]],
        [("accepted", 1)],
    ),
    "a revision above the current one is accepted, gap or not": (
        [[("a-1", 1, 1)], [("a-1", 2, 1)], [("a-1", 9, 1)]],
        [("accepted", 3)],
    ),
    "an identical state under a new revision is accepted": (
        [[("a-1", 1, 1)], [("a-1", 2, 1)]],
        [("accepted", 2)],
    ),
    "the current revision again is a duplicate": (
        [[("a-1", 1, 1)], [("a-1", 1, 1)]],
        [("duplicate", 1)],
    ),
    "an older revision again is a duplicate of its first": (
        [[("a-1", 1, 1)], [("a-1", 2, 2)], [("a-1", 5, 3)], [("a-1", 2, 2)]],
        [("duplicate", 2)],
    ),
    "the current revision with another content is a conflict": (
        [[("a-1", 1, 1)], [("a-1", 1, 2)]],
        [("conflict", 1)],
    ),
    "an older revision with another content is a conflict": (
        [[("a-1", 1, 1)], [("a-1", 2, 2)], [("a-1", 1, 2)]],
        [("conflict", 1)],
    ),
    "a revision never accepted below the current one is stale": (
        [[("a-1", 5, 1)], [("a-1", 3, 1)]],
        [("stale", 5)],
    ),
    "a revision left out before is stale": (
        [[("a-1", 1, 1)], [("a-1", 3, 1)], [("a-1", 2, 1)]],
        [("stale", 3)],
    ),
    "several revisions in a batch are all accepted": (
        [[("a-1", 1, 1), ("a-1", 2, 2), ("a-1", 4, 3)]],
        [("accepted", 1), ("accepted", 2), ("accepted", 3)],
    ),
    "a lower revision behind a higher one in a batch is stale": (
        [[("a-1", 3, 1), ("a-1", 1, 1)]],
        [("accepted", 1), ("stale", 3)],
    ),
    "a duplicate within a batch is one": (
        [[("a-1", 1, 1), ("a-1", 1, 1), ("a-1", 1, 1)]],
        [("accepted", 1), ("duplicate", 1), ("duplicate", 1)],
    ),
    "a conflict within a batch is one": (
        [[("a-1", 1, 1), ("a-1", 1, 2), ("a-1", 2, 2)]],
        [("accepted", 1), ("conflict", 1), ("accepted", 2)],
    ),
    "a batch is decided report by report": (
        [
            [("a-1", 2, 1), ("a-2", 1, 1)],
            [("a-1", 1, 1), ("a-1", 3, 1), ("a-2", 1, 1), ("a-1", 2, 9), ("a-1", 3, 1), ("a-1", 4, 1)],
        ],
        [
            ("stale", 2),
            ("accepted", 3),
            ("duplicate", 2),
            ("conflict", 1),
            ("duplicate", 3),
            ("accepted", 4),
        ],
    ),
    "units are independent of each other": (
        [[("a-1", 5, 1)], [("a-2", 1, 1), ("b-1", 5, 1), ("a-1", 6, 1)]],
        [("accepted", 2), ("accepted", 3), ("accepted", 4)],
    ),
    "sequences follow the order of the batch": (
        [[("b-3", 1, 1), ("a-1", 1, 1), ("b-1", 1, 1), ("a-2", 1, 1)]],
        [("accepted", 1), ("accepted", 2), ("accepted", 3), ("accepted", 4)],
    ),
}


@pytest.mark.parametrize("case", TABLE)
async def test_each_report_is_decided_as_the_contract_defines_it(make: Make, case: str) -> None:
    """The table of reports and decisions; reports that are refused or repeated leave no trace."""
    subject = await make()
    batches, expected = TABLE[case]
    accepted = []
    for batch in batches:
        reports = [a_report(*each) for each in batch]
        decided = await decide(subject, *reports)
        accepted += [
            valid for valid, decision in zip(reports, decided, strict=True) if decision[0] == "accepted"
        ]
    assert decided == expected
    assert [row[1:4] for row in await subject.record()] == [
        (valid.report.unit, valid.report.revision, valid.digest) for valid in accepted
    ]


async def test_a_duplicate_has_the_time_at_which_the_first_was_accepted(make: Make) -> None:
    """However often a report is sent."""
    subject = await make()
    first = await append(subject.journal, subject.key, subject.version, a_report())
    again = await append(subject.journal, subject.key, subject.version, a_report())
    assert again.decisions == [Known(1, first.at)]
    assert again.at >= first.at


async def test_sequences_have_no_gap_and_the_chain_runs_through_them(make: Make) -> None:
    """Whatever is refused or repeated in between, the record counts 1, 2, 3 and its chain verifies."""
    subject = await make()
    for revision in (2, 1, 2, 3, 3, 5, 4):
        await decide(subject, *[a_report(unit, revision) for unit in UNITS[:3]])
    rows = await subject.record()
    assert [row[0] for row in rows] == list(range(1, 10))
    assert [row[4] for row in rows] == chain_of([row[3] for row in rows])


async def test_each_election_has_its_own_record(make: Make) -> None:
    """The same unit and revision in another election is another report, with its own sequence and chain."""
    one, other = await make(), await make()
    await decide(one, a_report("a-1"), a_report("a-2"))
    assert await decide(other, a_report("a-2")) == [("accepted", 1)]
    assert (await other.record())[0][4] == chain_of([a_report("a-2").digest], CHAIN_START)[0]


async def test_an_empty_batch_is_an_append_too(make: Make) -> None:
    """It decides nothing and advances the clock."""
    subject = await make()
    first = await append(subject.journal, subject.key, subject.version)
    second = await append(subject.journal, subject.key, subject.version)
    assert list(first.decisions) == []
    assert second.at >= first.at
    assert await subject.record() == []


async def test_a_closed_election_accepts_no_new_report(make: Make) -> None:
    """A new revision is refused, and none in its batch counts as a revision before it."""
    subject = await make()
    await decide(subject, a_report("a-1", 2))
    await subject.close()
    decided = await decide(
        subject, a_report("a-1", 7), a_report("a-1", 5), a_report("a-1", 7), a_report("a-2", 1)
    )
    assert decided == [("closed", 2), ("closed", 2), ("closed", 2), ("closed", 0)]
    assert len(await subject.record()) == 1


async def test_a_closed_election_still_knows_its_reports(make: Make) -> None:
    """Duplicates, conflicts and stale revisions are decided as before it was closed."""
    subject = await make()
    await decide(subject, a_report("a-1", 2), a_report("a-1", 4))
    await subject.close()
    decided = await decide(
        subject, a_report("a-1", 2), a_report("a-1", 4), a_report("a-1", 4, votes=1), a_report("a-1", 3)
    )
    assert decided == [("duplicate", 1), ("duplicate", 2), ("conflict", 2), ("stale", 4)]


async def test_a_batch_checked_by_another_version_is_rejected(make: Make) -> None:
    """None of it is appended, even if it is empty; at the current version it is."""
    subject = await make()
    before = subject.version
    await subject.change()
    with pytest.raises(VersionChanged):
        await append(subject.journal, subject.key, before, a_report())
    with pytest.raises(VersionChanged):
        await append(subject.journal, subject.key, before)
    with pytest.raises(VersionChanged):
        await append(subject.journal, subject.key, subject.version + 1, a_report())
    assert await decide(subject, a_report()) == [("accepted", 1)]


async def test_an_election_that_is_not_there_is_unknown(make: Make) -> None:
    """An append to it raises ElectionUnknown."""
    subject = await make()
    with pytest.raises(ElectionUnknown):
        await append(subject.journal, subject.key + 1000, 1, a_report())


async def test_the_first_append_after_the_embargo_releases_the_election(make: Make) -> None:
    """Reports before it are accepted under embargo; the release is set once."""
    subject = await make(datetime.now(UTC) + FAR)
    assert (await append(subject.journal, subject.key, subject.version, a_report())).released_at is None
    end = datetime.now(UTC)
    await subject.embargo_ends(end)
    opening = await append(subject.journal, subject.key, subject.version)
    assert opening.released_at == opening.at >= end
    later = await append(subject.journal, subject.key, subject.version, a_report(revision=2))
    assert later.released_at == opening.released_at
    assert sequences(later) == [2]


async def test_a_release_is_never_undone(make: Make) -> None:
    """Even if the end of the embargo were moved to a later time."""
    subject = await make()
    opening = await append(subject.journal, subject.key, subject.version)
    assert opening.released_at is not None
    await subject.embargo_ends(datetime.now(UTC) + FAR)
    later = await append(subject.journal, subject.key, subject.version, a_report())
    assert later.released_at == opening.released_at


async def test_the_clock_never_goes_back(make: Make) -> None:
    """If the last append has a later time than the clock shows, the next one has that time too."""
    subject = await make()
    ahead = datetime.now(UTC) + timedelta(hours=2)
    await subject.pretend_last_append(ahead)
    first = await append(subject.journal, subject.key, subject.version, a_report())
    second = await append(subject.journal, subject.key, subject.version, a_report(revision=2))
    assert first.at == second.at == ahead
    assert [row[5] for row in await subject.record()] == [ahead, ahead]


async def test_a_clock_that_is_set_back_does_not_delay_the_release(make: Make) -> None:
    """The embargo is over for good once an append had a later time."""
    end = datetime.now(UTC) + FAR
    subject = await make(end)
    await subject.pretend_last_append(end + timedelta(seconds=1))
    appended = await append(subject.journal, subject.key, subject.version)
    assert appended.released_at == appended.at == end + timedelta(seconds=1)


async def test_a_batch_with_a_report_that_cannot_be_stored_is_not_appended(make: Make) -> None:
    """The writer has to find that report; the sequences of the batch are given to others."""
    subject = await make()
    await subject.refuse("a-3")
    with pytest.raises(Unstorable):
        await append(
            subject.journal, subject.key, subject.version, a_report("a-1"), a_report("a-3"), a_report("a-2")
        )
    assert await subject.record() == []
    assert await decide(subject, a_report("a-2"), a_report("a-1")) == [("accepted", 1), ("accepted", 2)]


async def test_a_predecessor_is_the_report_with_the_next_lower_revision(make: Make) -> None:
    """For any revision, accepted or not, in the order requested."""
    subject = await make()
    two, five, other = a_report("a-1", 2), a_report("a-1", 5, votes=3), a_report("a-2", 1)
    await decide(subject, two, five, other)
    asked = [("a-1", 9), ("a-1", 5), ("a-2", 2), ("a-1", 4), ("a-1", 2), ("a-1", 1), ("b-1", 1)]
    found = await subject.journal.predecessors(subject.key, asked)
    assert list(found) == [five.body, two.body, other.body, two.body, None, None, None]
    assert list(await subject.journal.predecessors(subject.key, [])) == []


_reports = st.builds(
    a_report, st.sampled_from(UNITS[:3]), st.integers(1, 5), st.integers(1, 2)
)  # few of each, so that they meet
_steps = st.lists(
    st.one_of(st.lists(_reports, max_size=8), st.sampled_from(["change", "close", "clock"])), max_size=8
)


@given(steps=_steps)
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_all_journals_make_the_same_decisions(
    make_memory: Make, make_simulated: Make, make_postgres: Make, steps: list[Any]
) -> None:
    """On any batches and acts, the journals in memory and in both databases agree, including record and chain."""
    subjects = await make_memory(), await make_simulated(), await make_postgres()
    for step in steps:
        decided = []
        for subject in subjects:
            if step == "change":
                await subject.change()
            elif step == "close":
                await subject.close()
            elif step == "clock":
                await subject.pretend_last_append(datetime.now(UTC) + FAR)
            else:
                decided.append(await decide(subject, *step))
        assert not decided or decided[0] == decided[1] == decided[2]
    asked = [(unit, revision) for unit in UNITS[:3] for revision in range(1, 7)]
    kept = [
        (
            [row[:5] for row in await subject.record()],
            list(await subject.journal.predecessors(subject.key, asked)),
        )
        for subject in subjects
    ]
    assert kept[0] == kept[1] == kept[2]

"""Held reports in the journal: what appends and decisions do with them, with several push processes."""

import asyncio
from typing import Any

import asyncpg
import orjson
import pytest
from msgspec import structs

from gateway.election.outcome import Receipt
from gateway.election.rules import evaluation
from gateway.election.rules.current import CurrentReports
from gateway.election.validation import ValidReport
from gateway.errors import ElectionStarted, JournalUnavailable
from gateway.journal import appending, postgres
from gateway.journal.administration import Administration, RevisionCeiling
from gateway.journal.connection import open_pool
from gateway.journal.decisions import Evaluated
from gateway.journal.evaluator import START
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.journal.makers import FAR, UNITS, a_registry, a_report, refuse_in_postgres, until
from tests.journal.push_processes import DUPLICATES, ODD_TIME, Process, odd, processes, rules, verify

OTHER = 1
"""The place of another sender than the first."""
COUNTED = {
    "counts": {"election_day": {"ballots": 300, "blank": 0, "rejected": 0, "votes": {"A": 170, "B": 130}}}
}
"""Figures that the rules for duplicates compare."""
NOTHING_FOUND = Evaluated(START.chain, START.hold_chain, [1], [None])


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own election, which is enough isolation."""
    return shared_database


async def an_election(acts: Administration, policy: Any = None, **header: Any) -> str:
    """Load an election, with ODD_TIME unless other rules are given, and issue the tokens of ten senders."""
    election = await acts.load_election(a_registry(rules=ODD_TIME if policy is None else policy, **header))
    await acts.issue_tokens(election, [(["no"], "")] * 10)
    return election


def shown(outcome: Any) -> tuple[str, str | None]:
    """Outcome and state of a receipt, or outcome and code."""
    if isinstance(outcome, Receipt):
        return outcome.outcome, outcome.state
    return "refused", outcome.code


# Revisions.


@pytest.mark.parametrize(
    ("before", "report", "expected"),
    [
        ([], odd(), ("accepted", "held")),
        ([odd()], odd(revision=2), ("accepted", "held")),
        ([odd()], a_report(revision=2), ("accepted", "published")),
        ([odd()], odd(), ("duplicate", "held")),
        ([odd(), a_report(revision=2)], odd(), ("duplicate", "superseded")),
        ([odd(), "reject"], odd(), ("duplicate", "rejected")),
        ([odd(), "release"], odd(), ("duplicate", "published")),
        ([odd()], odd(votes=11), ("refused", "revision_conflict")),
        ([odd(), "reject"], odd(votes=11), ("refused", "revision_conflict")),
        ([odd(), "release"], odd(votes=11), ("refused", "revision_conflict")),
        ([odd(revision=3)], a_report(revision=2), ("refused", "stale_revision")),
        ([odd(revision=3), "reject"], a_report(revision=2), ("refused", "stale_revision")),
        ([odd(revision=3), "release"], a_report(revision=2), ("refused", "stale_revision")),
        ([odd(revision=3), "reject"], a_report(revision=4), ("accepted", "published")),
        ([a_report(), odd(revision=2, votes=20), "reject"], a_report(), ("duplicate", "published")),
    ],
)
async def test_a_revision_is_decided_as_the_contract_defines_it(
    acts: Administration,
    owner: Connection,
    database: Database,
    before: list[Any],
    report: ValidReport,
    expected: Any,
) -> None:
    """Held, rejected and superseded revisions count as accepted; a newer revision supersedes a hold."""
    async with processes(database.url, await an_election(acts)) as (process,):
        for step in before:
            if step == "release":
                await process.release(
                    before[0] if before[0].report.counted_at.startswith("2025-01") else before[1]
                )
            elif step == "reject":
                await process.reject(before[-2])
            else:
                await process.push(step)
        (outcome,) = await process.push(report)
        assert shown(outcome) == expected
        if expected[1] == "stale_revision":
            assert outcome.current_revision == 3
        await verify(owner, process.version.key)


async def test_the_revisions_of_a_unit_in_one_batch_are_published_unless_they_are_held(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """A hold within the batch is superseded within it; the reports of others are not delayed."""
    batch = [
        a_report(),
        odd(revision=2, votes=20),
        a_report("b-1"),
        odd(revision=3, votes=30),
        a_report(revision=4, votes=12),
        odd("b-2"),
    ]
    async with processes(database.url, await an_election(acts)) as (process,):
        outcomes = await process.push(*batch)
        assert [(each.state, each.sequence) for each in outcomes] == [
            ("published", 1), ("superseded", None), ("published", 2), ("superseded", None), ("published", 3),
            ("held", None),
        ]  # fmt: skip
        assert [shown(each)[1] for each in await process.push(*batch)] == [
            "published", "superseded", "published", "superseded", "published", "held",
        ]  # fmt: skip
        rows = await owner.fetch(
            "SELECT unit, revision, state FROM hold_line WHERE election = $1 ORDER BY number",
            process.version.key,
        )
        assert [tuple(row) for row in rows] == [
            ("a-1", 2, "held"), ("a-1", 2, "superseded"), ("a-1", 3, "held"), ("a-1", 3, "superseded"),
            ("b-2", 1, "held"),
        ]  # fmt: skip
        await verify(owner, process.version.key)


async def test_a_held_report_has_a_receipt_that_says_why(acts: Administration, database: Database) -> None:
    """Since when, and the codes of the rules; after the decision also when and why. `since` survives a new revision."""
    async with processes(database.url, await an_election(acts)) as (process,):
        (first,) = await process.push(odd())
        assert (first.state, first.sequence, first.published_at) == ("held", None, None)
        assert (first.hold.since, first.hold.rules, first.hold.decided_at) == (
            first.accepted_at,
            ("odd_time",),
            None,
        )
        (second,) = await process.push(odd(revision=2))
        assert second.accepted_at > first.accepted_at == second.hold.since
        decided = await process.release(odd(revision=2))
        (repeated,) = await process.push(odd(revision=2))
        assert (repeated.accepted_at, repeated.sequence) == (second.accepted_at, 1)
        assert repeated.published_at == decided.at == repeated.hold.decided_at
        assert (repeated.hold.since, repeated.hold.reason) == (first.accepted_at, "confirmed")
        await process.push(odd(revision=3, votes=11))
        await process.reject(odd(revision=3, votes=11))
        stored = await process.journal.newest_report(process.version.key, "a-1")
        assert stored is not None
        assert (stored.revision, stored.state, stored.current_revision) == (3, "rejected", 2)
        assert stored.previous == odd(revision=2).body


async def test_a_repeated_report_has_the_warnings_of_its_first_receipt(
    acts: Administration, database: Database
) -> None:
    """Those of rules depend on what was current then, so they are stored with the report, also of a held one."""
    policy = rules(
        odd_time={"do": "hold"},
        duplicate_elsewhere={"do": "warn", "ballots": 100},
        fell={"do": "warn", "ballots": 0, "permille": 0},
    )
    copy = a_report("b-1", **COUNTED)
    fallen = odd("a-2", 2, 5)
    async with processes(database.url, await an_election(acts, policy)) as (process,):
        (sound, _) = await process.push(a_report("a-1", **COUNTED), a_report("a-2", votes=50))
        assert sound.warnings == ("above_eligible",)
        (warned,) = await process.push(copy)
        assert (warned.state, warned.warnings) == ("published", ("above_eligible", "duplicate_elsewhere"))
        (held,) = await process.push(fallen)
        assert (held.state, held.hold.rules) == ("held", ("odd_time",))
        assert held.warnings == ("figures_fell", "fell")
        await process.push(a_report("b-1", 2, 11))
        await process.release(fallen)
        await process.push(a_report("a-2", 3, 11))
        for report, first in ((copy, warned), (fallen, held)):
            (again,) = await process.push(report)
            assert (again.outcome, again.warnings) == ("duplicate", first.warnings)


# Several processes.


async def test_a_rule_sees_what_other_processes_placed(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """Whichever process is behind: its append is refused under the lock and repeated with what is new."""
    async with processes(database.url, await an_election(acts, DUPLICATES), 2) as (one, two):
        await one.push(a_report("a-1"))
        await two.push(a_report("a-2"))
        await one.push(a_report("a-3", **COUNTED))
        (held,) = await two.push(a_report("b-1", **COUNTED), sender=OTHER)
        assert (held.state, held.hold.rules) == ("held", ("duplicate_elsewhere",))
        (held,) = await one.push(a_report("b-2", **COUNTED), sender=OTHER)
        assert held.state == "held"
        await two.release(a_report("b-2", **COUNTED))
        (held,) = await one.push(a_report("a-4", **COUNTED), sender=OTHER)
        assert held.state == "held", "the released report is compared with too"
        await verify(owner, one.version.key)


async def test_the_same_report_sent_to_two_processes_at_once_is_held_once(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """One receipt is `accepted`, the other `duplicate`; of two equal counts of different units, one is held."""
    async with processes(database.url, await an_election(acts, DUPLICATES), 2) as both:
        await both[0].push(a_report("a-1", **COUNTED))
        copy = a_report("b-1", **COUNTED)
        found = await asyncio.gather(*(each.push(copy, sender=OTHER) for each in both))
        assert sorted(shown(outcome) for (outcome,) in found) == [("accepted", "held"), ("duplicate", "held")]
        other = {
            "counts": {
                "election_day": {"ballots": 250, "blank": 0, "rejected": 0, "votes": {"A": 150, "C": 100}}
            }
        }
        for number in range(2, 6):
            pair = a_report(f"a-{number}", number, **other), a_report(f"b-{number}", number, **other)
            found = await asyncio.gather(
                *(each.push(report, sender=OTHER) for each, report in zip(both, pair, strict=True))
            )
            assert sorted(outcome.state for (outcome,) in found) == ["held", "published"]
        await verify(owner, both[0].version.key)


async def test_one_process_alone_appends_in_one_call(
    acts: Administration, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the head lock first only after another process has placed something, and not for long."""
    locks: list[int] = []
    locked = PostgresJournal.locked

    def counted(self: PostgresJournal, election: int, version: int, known: Any) -> Any:
        locks.append(known.accepted)
        return locked(self, election, version, known)

    monkeypatch.setattr(PostgresJournal, "locked", counted)
    async with processes(database.url, await an_election(acts), 2) as (one, two):
        for revision in range(1, 5):
            await one.push(a_report("a-1", revision))
        assert locks == []
        await two.push(a_report("a-2"))
        assert locks == [4]
        for revision in range(5, 40):
            await one.push(a_report("a-1", revision))
        assert 2 <= len(locks) <= 18


async def test_a_process_that_starts_reads_the_record_in_slices(
    acts: Administration, owner: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows current reports, newest revisions and open holds before its first append; the embargo ends meanwhile."""
    monkeypatch.setattr("gateway.journal.continuation.CONTINUATION_MAX", 3)
    election = await an_election(
        acts, rules(odd_time={"do": "hold"}, duplicate_elsewhere={"do": "hold", "ballots": 100}, most_open=2)
    )
    async with processes(database.url, election) as (first,):
        for number in range(1, 7):
            await first.push(a_report(f"a-{number}", **COUNTED) if number == 1 else a_report(f"a-{number}"))
        await first.push(odd("b-1"))
    async with processes(database.url, election) as (second,):
        second.writer.request_append()
        held, limited, stale = await second.push(
            a_report("b-2", **COUNTED), odd("b-3"), a_report("b-1", 1, 12), sender=OTHER
        )
        assert (held.state, limited.state, stale.code) == ("held", "published", "revision_conflict")
        await verify(owner, second.version.key)


async def test_the_end_of_an_embargo_does_not_wait_until_the_record_is_read(
    acts: Administration, owner: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process that was started reads a long record for its rules, it makes the append that ends the embargo."""
    monkeypatch.setattr("gateway.journal.continuation.CONTINUATION_MAX", 2)
    later = await owner.fetchval("SELECT clock_timestamp() + $1::interval", FAR)
    election = await an_election(acts, publish_from=later.isoformat())
    async with processes(database.url, election) as (first,):
        key = first.version.key
        await first.push(*(a_report(unit) for unit in UNITS))
    await owner.execute("UPDATE embargo SET publish_from = clock_timestamp() WHERE election = $1", key)
    reading = asyncio.Event()
    continuation = PostgresJournal.continuation

    async def slow_continuation(self: PostgresJournal, election: int, known: Any) -> Any:
        if known.accepted > 4:
            await reading.wait()
        return await continuation(self, election, known)

    monkeypatch.setattr(PostgresJournal, "continuation", slow_continuation)
    async with processes(database.url, election) as (second,):
        second.writer.request_append()

        async def released() -> Any:
            return await owner.fetchval("SELECT released_at FROM embargo WHERE election = $1", key)

        assert await until(released)
        reading.set()
        (receipt,) = await second.push(a_report("a-1", 2))
        assert receipt.state == "published"


async def test_a_record_that_is_another_one_than_before_is_read_from_its_start(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """As after a failover that lost a part of it: the chain shows it, also if the number of reports is the same."""
    async with processes(database.url, await an_election(acts, DUPLICATES)) as (process,):
        await process.push(a_report("a-1", **COUNTED))
        evaluator = process.writer._appends._evaluator
        assert evaluator is not None
        evaluator.ends = structs.replace(evaluator.ends, chain=bytes(32))
        evaluator._current = CurrentReports(evaluator.registry)
        (held,) = await process.push(a_report("b-1", **COUNTED))
        assert held.state == "held"
        assert process.writer._appends._evaluator is not evaluator
        await verify(owner, process.version.key)


async def test_a_process_that_ends_with_the_lock_loses_nothing_and_delays_others_no_longer_than_a_limit(
    acts: Administration, owner: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session ends by itself, or by the server if the process is silent; then others append."""
    monkeypatch.setattr(postgres, "LOCK_IDLE_MS", 300)
    assert appending.LOCK_IDLE_MS < 5000, "others wait 5 s for a lock"
    election = await an_election(acts)
    async with processes(database.url, election) as (process,), open_pool(database.url) as pool:
        version = process.version
        await process.push(a_report("a-1"))
        stalled = PostgresJournal(pool)

        async def stall() -> None:
            async with stalled.locked(version.key, version.version, START) as lock:
                assert [each.body for each in lock.continuation.reports] == [a_report("a-1").body]
                (receipt,) = await process.push(a_report("a-2"))
                assert receipt.sequence == 2
                await lock.append([a_report("a-3")], [receipt.accepted_at], NOTHING_FOUND)

        with pytest.raises(JournalUnavailable):
            await stall()
        with pytest.raises(ZeroDivisionError):
            await _fail_with_lock(stalled, process)
        (receipt,) = await process.push(a_report("a-4"))
        assert receipt.sequence == 3
        await verify(owner, version.key)


async def test_under_the_lock_no_statement_is_prepared_and_few_reports_are_read_at_once(
    acts: Administration, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that waits for a stopped process within a statement, or to send it more, knows no limit."""
    monkeypatch.setattr(postgres, "LOCKED_BYTES", 2 * len(a_report().body))
    election = await an_election(acts)
    reports = [a_report(unit) for unit in UNITS[:5]]
    async with processes(database.url, election) as (process,), open_pool(database.url) as pool:
        version = process.version
        await process.push(*reports)
        async with PostgresJournal(pool).locked(version.key, version.version, START) as lock:
            assert [each.body for each in lock.continuation.reports] == [each.body for each in reports]
            rows = await lock._connection.fetch(
                "SELECT statement, prepare_time < now() AS before FROM pg_prepared_statements"
            )
            before = {row["statement"] for row in rows if row["before"]}
            assert any("append_v4" in each for each in before)
            assert len(rows) == len(before) + 1, "only this question was prepared since"


async def test_a_change_of_the_election_while_the_record_is_read_ends_no_writer(
    acts: Administration, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The append that was requested is made at the new version."""
    monkeypatch.setattr("gateway.journal.continuation.CONTINUATION_MAX", 2)
    election = await an_election(acts)
    async with processes(database.url, election, 2) as (one, two):
        await two.push(a_report())
        await one.push(*(a_report(unit, 2) for unit in UNITS))
        known = two.version
        await one.set_policy(rules(odd_time={"do": "warn"}))
        two.writer.request_append()
        assert await two.writer.holding_now(known, [a_report().report]) == [()]
        (receipt,) = await two.push(odd(revision=3))
        assert receipt.state == "published"


async def _fail_with_lock(journal: PostgresJournal, process: Process) -> None:
    async with journal.locked(process.version.key, process.version.version, START):
        raise ZeroDivisionError


async def test_a_report_that_postgres_refuses_takes_no_other_with_it(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """The batch is split, and each part is judged again: the rules know only what is committed."""
    async with processes(database.url, await an_election(acts, DUPLICATES)) as (process,):
        await refuse_in_postgres(owner, process.version.key, "a-2")
        counted, refused, copy, sound = await process.push(
            a_report("a-1"),
            a_report("a-2", **COUNTED),
            a_report("b-1", **COUNTED),
            a_report("b-2", **COUNTED),
        )
        assert refused.code == "unstorable"
        assert [each.state for each in (counted, copy, sound)] == ["published"] * 3, (
            "the growth of a-2 never was"
        )
        (held,) = await process.push(a_report("a-3", **COUNTED))
        assert held.state == "held"
        await verify(owner, process.version.key)


# Decisions.


async def test_a_decision_is_made_once_and_repeated_with_its_first_answer(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """In the order given; the released report follows everything placed before."""
    async with processes(database.url, await an_election(acts), 2) as (one, two):
        held = [odd("a-1"), odd("a-2"), odd("a-3")]
        await one.push(*held)
        await two.push(a_report("b-1"))
        first = await two.release(held[1], held[0], reason="moved", note="both halves")
        assert [(each.unit, each.state, each.sequence) for each in first.decided] == [
            ("a-2", "released", 2), ("a-1", "released", 3),
        ]  # fmt: skip
        again = await one.release(held[0], held[1], held[0], reason="confirmed", note="other")
        assert [each.sequence for each in again.decided] == [3, 2, 3]
        assert {each.decided_at for each in again.decided} == {first.at}
        rejected = await one.reject(held[2])
        assert [(each.state, each.sequence) for each in rejected.decided] == [("rejected", None)]
        rows = await one.journal.holds(one.version.key, ["a-1", "a-2", "a-3"], ended=True)
        assert {(row.unit, row.reason, row.note, row.decided_by) for row in rows} == {
            ("a-1", "moved", "both halves", 99), ("a-2", "moved", "both halves", 99), ("a-3", "typing_error", "", 99),
        }  # fmt: skip
        await verify(owner, one.version.key)


async def test_a_decision_that_does_not_apply_to_one_report_changes_nothing(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """Each conflict is named with its cause, the state, the newest revision and the earlier decision."""
    async with processes(database.url, await an_election(acts)) as (process,):
        await process.push(odd("a-1"), odd("a-2"), odd("a-3"), odd("a-4"), a_report("a-5"))
        await process.push(a_report("a-2", 2), odd("a-4", 2, 11))
        await process.reject(odd("a-3"))
        decision = await process.release(
            odd("a-1"), odd("a-2"), odd("a-3"), odd("a-4"), a_report("a-5"), odd("b-1"), odd("a-1", votes=11)
        )
        assert decision.decided == ()
        assert [(each.unit, each.code, each.state, each.newest_revision) for each in decision.conflicts] == [
            ("a-2", "superseded", "superseded", 2),
            ("a-3", "decided_otherwise", "rejected", 1),
            ("a-4", "superseded", "superseded", 2),
            ("a-5", "not_held", None, 1),
            ("b-1", "not_held", None, None),
            ("a-1", "revision_conflict", "open", 1),
        ]
        assert decision.conflicts[1].reason == "typing_error"
        assert [row.unit for row in await process.journal.holds(process.version.key, ["a-1", "a-4"])] == [
            "a-1",
            "a-4",
        ]
        await verify(owner, process.version.key)


async def test_a_decision_applies_to_a_later_revision_with_the_same_counts(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """Also after several; the decision on the later one is the answer for the earlier one."""
    async with processes(database.url, await an_election(acts)) as (process,):
        await process.push(odd(), odd(revision=2, status="final"), odd(revision=5))
        decision = await process.release(odd())
        assert [(each.revision, each.state, each.sequence) for each in decision.decided] == [
            (5, "released", 1)
        ]
        assert (await process.release(odd(revision=2, status="final"))).decided == decision.decided
        assert [each.code for each in (await process.reject(odd())).conflicts] == ["decided_otherwise"]
        await verify(owner, process.version.key)


async def test_a_decision_follows_a_bounded_number_of_revisions(
    acts: Administration, database: Database
) -> None:
    """A sender that repeats its counts again and again makes no decision keep the head lock for long."""
    async with processes(database.url, await an_election(acts)) as (process,):
        await process.push(*(odd(revision=revision) for revision in range(1, 203)))
        assert [each.code for each in (await process.release(odd())).conflicts] == ["superseded"]
        (decided,) = (await process.release(odd(revision=2))).decided
        assert (decided.revision, decided.state) == (202, "released")


async def test_decisions_are_made_after_the_election_is_closed(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """Closing ends the acceptance of reports only."""
    election = await an_election(acts)
    async with processes(database.url, election) as (process,):
        await process.push(odd("a-1"), odd("a-2"))
        still_held = await acts.close_election(election)
        assert [(each.unit, each.revision, each.codes) for each in still_held] == [
            ("a-1", 1, ["odd_time"]), ("a-2", 1, ["odd_time"]),
        ]  # fmt: skip
        assert [shown(each) for each in await process.push(odd("a-1"), odd("a-3"))] == [
            ("duplicate", "held"), ("refused", "election_closed"),
        ]  # fmt: skip
        assert [each.sequence for each in (await process.release(odd("a-1"))).decided] == [1]
        await verify(owner, process.version.key)


async def test_a_report_released_early_is_embargoed_and_an_open_hold_outlasts_the_embargo(
    acts: Administration, record: PublicRecord, owner: Connection, database: Database
) -> None:
    """The end of the embargo publishes everything placed, and waits for no decision."""
    soon = await owner.fetchval("SELECT clock_timestamp() + interval '1 second'")
    election = await an_election(acts, publish_from=(soon + FAR).isoformat())
    async with processes(database.url, election) as (process,):
        key = process.version.key
        await process.push(a_report("b-1"), odd("a-1"), odd("a-2"))
        await process.release(odd("a-1"))
        (early,) = await process.push(odd("a-1"))
        assert (early.state, early.sequence, early.published_at) == ("embargoed", None, None)
        assert await record.publications(key, 0, 10) == []
        await owner.execute("UPDATE embargo SET publish_from = clock_timestamp() WHERE election = $1", key)
        process.writer.request_append()

        async def published() -> Any:
            return await record.publications(key, 0, 10)

        assert [(each.unit, each.sequence) for each in await until(published)] == [("b-1", 1), ("a-1", 2)]
        assert [row.unit for row in await process.journal.holds(key, ["a-1", "a-2"])] == ["a-2"]
        await process.release(odd("a-2"))
        assert [each.unit for each in await record.publications(key, 2, 10)] == ["a-2"]
        await verify(owner, key)


# Limits.


async def test_a_rule_that_fails_holds_nothing(
    acts: Administration, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report gets the warning `not_judged`; the other rules can still hold it."""

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(evaluation, "FUNCTIONS", {**evaluation.FUNCTIONS, "fell": fails})
    policy = rules(fell={"do": "hold"}, odd_time={"do": "hold"})
    async with processes(database.url, await an_election(acts, policy)) as (process,):
        placed, held = await process.push(a_report("a-1"), odd("a-2"))
        assert (placed.state, placed.warnings) == ("published", ("not_judged",))
        assert (held.state, held.warnings, held.hold.rules) == ("held", ("not_judged",), ("odd_time",))
        assert (
            process.metrics.registry.get_sample_value(
                "valgnatt_rules_failed_total", {"election": process.version.id, "rule": "fell"}
            )
            == 2.0
        )


async def test_open_holds_are_limited_in_all_and_per_token(acts: Administration, database: Database) -> None:
    """Beyond the limits a rule only warns; a newer revision of a held report takes the place of its hold."""
    policy = rules(odd_time={"do": "hold"}, most_open=10)
    async with processes(database.url, await an_election(acts, policy), 2) as (one, two):
        states = [each.state for each in await one.push(*(odd(f"a-{n}") for n in range(1, 4)))]
        assert states == ["held", "held", "published"], "a fifth of the open holds for each token"
        (newer,) = await one.push(odd("a-1", 2, 11))
        assert newer.state == "held"
        for sender, unit in enumerate(("b-1", "b-2", "b-3", "b-4", "b-5", "b-6", "a-4", "a-5"), start=2):
            (outcome,) = await two.push(odd(unit), sender=sender)
            assert outcome.state == "held"
        (over,) = await one.push(odd("a-6"), sender=OTHER)
        assert (over.state, over.warnings) == ("published", ("odd_time",))
        assert (
            one.metrics.registry.get_sample_value(
                "valgnatt_holds_limited_total", {"election": one.version.id, "rule": "odd_time"}
            )
            == 2.0
        )
        await two.reject(odd("b-1"))
        (held,) = await one.push(odd("a-6", 2, 12), sender=OTHER)
        assert held.state == "held"


async def test_a_change_of_the_policy_applies_in_every_process_from_its_commit(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """It is recorded and raises the version; it neither holds nor releases what was accepted before."""
    async with processes(database.url, await an_election(acts), 2) as (one, two):
        await one.push(odd("a-1"))
        await two.push(a_report("a-2"))
        assert await one.journal.policy(one.version.key) is None
        assert await one.set_policy(rules()) is True
        assert await one.set_policy(rules()) is False
        assert (await one.journal.election(one.version.id)).version == two.version.version + 1
        (placed,) = await two.push(odd("a-3"))
        assert (placed.state, placed.warnings) == ("published", ())
        (still,) = await two.push(odd("a-1"))
        assert still.state == "held"
        row = await one.journal.policy(one.version.key)
        assert row is not None
        assert (one.version.registry.read_policy(orjson.loads(row.document)).is_off, row.author) == (True, 99)
        assert (
            await owner.fetchval(
                "SELECT author FROM act WHERE election = $1 AND kind = 'rules'", one.version.key
            )
            == "token 99"
        )
        await two.set_policy(ODD_TIME)
        (held,) = await one.push(odd("a-4"))
        assert held.state == "held"
        await two.release(odd("a-1"))
        await verify(owner, one.version.key)


async def test_nothing_of_a_hold_can_be_changed_or_removed(
    acts: Administration, owner: Connection, database: Database
) -> None:
    """Also by the owner: it ends once, and lines of the list stay."""
    async with processes(database.url, await an_election(acts)) as (process,):
        await process.push(odd("a-1"), odd("a-2"))
        await process.reject(odd("a-1"))
        key = process.version.key
        for statement in (
            f"UPDATE hold SET body = '' WHERE election = {key} AND unit = 'a-2'",
            f"UPDATE hold SET state = 'open', ended_at = NULL, append = NULL WHERE election = {key} AND unit = 'a-1'",
            f"UPDATE hold_{key} SET reason = 'other' WHERE unit = 'a-1'",
            f"DELETE FROM hold WHERE election = {key}",
            f"DELETE FROM hold_{key}",
            f"TRUNCATE hold_{key}",
            f"UPDATE hold_line SET line = '' WHERE election = {key}",
            f"DELETE FROM hold_line_{key}",
            "DELETE FROM rules",
        ):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await owner.execute(statement)
            assert refused.value.sqlstate == "VG003", statement
        await verify(owner, key)


async def test_a_held_report_counts_for_what_depends_on_accepted_reports(
    acts: Administration, database: Database
) -> None:
    """The registry cannot change after it, and the ceiling of its unit is raised above its revision."""
    election = await an_election(acts)
    high = 1_999_999_000
    async with processes(database.url, election) as (process,):
        await process.push(odd(revision=high))
        with pytest.raises(ElectionStarted):
            await acts.load_election(a_registry(id=election, rules=rules()))
        assert await acts.raise_revisions(election, "a-1") == RevisionCeiling(high, high + 1_000_000)


async def test_a_process_that_knows_no_rules_appends_only_where_none_was_ever_set(
    acts: Administration, owner: Connection
) -> None:
    """While the gateways of an installation are replaced, nothing is placed past a rule."""
    arrays = "'{a-1}', '{1}', '{\"\\\\x00\"}', '{\"\\\\x00\"}', '{2025-09-08}', false"
    free = await acts.load_election(a_registry())
    held = await an_election(acts)
    for election, code in ((free, None), (held, "VG005")):
        key = await owner.fetchval("SELECT key FROM election WHERE id = $1", election)
        statement = f"SELECT (append_v2({key}, 1, {arrays})).sequences"
        if code is None:
            assert await owner.fetchval(statement) == [1]
        else:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await owner.fetchval(statement)
            assert refused.value.sqlstate == code


async def test_the_rules_say_what_they_would_hold_now(acts: Administration, database: Database) -> None:
    """With everything that any process has placed; nothing where they are off, or the process is ending."""
    election = await an_election(acts, DUPLICATES)
    copied = a_report("b-1", **COUNTED)
    async with processes(database.url, election, 2) as (one, two):
        ask = [copied.report, a_report().report]
        assert await two.writer.holding_now(two.version, ask) == [(), ()]
        await one.push(a_report(**COUNTED))
        assert await two.writer.holding_now(two.version, ask) == [("duplicate_elsewhere",), ()]
        assert await one.writer.holding_now(one.version, ask) == [("duplicate_elsewhere",), ()]
        off = {code: {"do": "off"} for code in one.version.policy.settings()}
        await one.set_policy(off)
        version = await one._renew()
        assert await one.writer.holding_now(version, ask) == [None, None]
        two.writer.close()
        assert await two.writer.holding_now(two.version, ask) == [None, None]

"""Push processes as the tests of holds need them: a writer on a journal in Postgres, and reports that rules hold."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.election.outcome import Outcome
from gateway.election.record import CHAIN_START, next_chain
from gateway.election.rules.policy import RULES
from gateway.election.validation import ValidReport
from gateway.journal.connection import open_pool
from gateway.journal.elections import Elections, ElectionVersion
from gateway.journal.holds import HoldDecision, HoldName, HoldsDecided
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from gateway.journal.writer import BatchWriter, PendingReport
from gateway.telemetry.metrics import PushMetrics
from tests.journal.makers import TIMEOUT_S, a_report

LONG_BEFORE = "2025-01-08T22:36:55+01:00"
"""A time of counting for which the rule `odd_time` holds a report."""


def rules(**settings: Any) -> dict[str, Any]:
    """Return the registry member `rules` with some rules, and all others off."""
    off: dict[str, Any] = {code: {"do": "off"} for code in RULES}
    return off | settings


ODD_TIME = rules(odd_time={"do": "hold"})
DUPLICATES = rules(duplicate_elsewhere={"do": "hold", "ballots": 100})


def odd(unit: str = "a-1", revision: int = 1, votes: int = 10, **members: Any) -> ValidReport:
    """Return a report that ODD_TIME holds."""
    return a_report(unit, revision, votes, counted_at=LONG_BEFORE, **members)


class _Answers:
    """Collects the outcomes of one submission."""

    def __init__(self, expected: int) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.complete = asyncio.Event()
        self._expected = expected

    def resolve(self, key: int, outcome: Outcome) -> None:
        """See `OutcomeReceiver`."""
        assert key not in self.outcomes
        self.outcomes[key] = outcome
        if len(self.outcomes) == self._expected:
            self.complete.set()

    def flush(self) -> None:
        """See `OutcomeReceiver`."""


class Process:
    """A push process: a journal with its own connections, and a writer of one election."""

    def __init__(self, journal: PostgresJournal, version: ElectionVersion, senders: Sequence[int]) -> None:
        self.journal = journal
        self.senders = senders
        self.metrics = PushMetrics()
        self.elections = Elections(journal, lambda _: None)
        self.version = version
        self.writer = BatchWriter(
            journal,
            version,
            self._renew,
            self.metrics,
            pending_max=1000,
            batch_max=1000,
            on_availability=lambda _: None,
        )

    async def _renew(self) -> ElectionVersion:
        self.version = await self.elections.renew(self.version.id)
        return self.version

    async def push(self, *reports: ValidReport, sender: int = 0) -> list[Any]:
        """Submit reports as one request, and wait for their outcomes; `sender` is the place of its token."""
        answers = _Answers(len(reports))
        token = self.senders[sender]
        now = datetime.now(UTC)
        pending = [  # each is received at a time of its own, however fast the machine is
            PendingReport(token, valid, now + timedelta(microseconds=key), answers, key)
            for key, valid in enumerate(reports)
        ]
        self.writer.submit(token, pending, credited=False)
        async with asyncio.timeout(TIMEOUT_S):
            await answers.complete.wait()
        return [answers.outcomes[key] for key in range(len(reports))]

    async def decide(self, release: bool, *reports: ValidReport, **members: Any) -> HoldsDecided:
        """Decide on held reports."""
        await self._renew()
        named = [HoldName(each.report.unit, each.report.revision, each.digest) for each in reports]
        reason = "confirmed" if release else "typing_error"
        decision = HoldDecision(
            **{"release": release, "holds": named, "reason": reason, "note": "", "token": 99, **members}
        )
        return await self.journal.decide(self.version.key, self.version.version, decision)

    async def release(self, *reports: ValidReport, **members: Any) -> HoldsDecided:
        """Release held reports."""
        return await self.decide(True, *reports, **members)

    async def reject(self, *reports: ValidReport, **members: Any) -> HoldsDecided:
        """Reject held reports."""
        return await self.decide(False, *reports, **members)

    async def set_policy(self, document: dict[str, Any]) -> bool:
        """Change the policy."""
        await self._renew()
        return await self.journal.set_policy(
            self.version.key, self.version.version, orjson.dumps(document), 99
        )


@asynccontextmanager
async def processes(url: str, election: str, number: int = 1) -> AsyncIterator[Sequence[Process]]:
    """Run push processes of one election; leaving closes them and sees that each ends."""
    async with AsyncExitStack() as pools:
        started = []
        for _ in range(number):
            journal = PostgresJournal(await pools.enter_async_context(open_pool(url, max_size=4)))
            row = await journal.election(election)
            senders = sorted(token.key for token in row.tokens)
            started.append(Process(journal, ElectionVersion(election, row), senders))
        async with asyncio.TaskGroup() as tasks:
            for process in started:
                tasks.create_task(process.writer.run())
            try:
                yield started
            finally:
                for process in started:
                    process.writer.close()


async def verify(owner: Connection, election: int) -> None:
    """Check the record and the list of holds of an election: gapless, chained, and consistent with each other."""
    async with owner.transaction(isolation="repeatable_read"):  # all of one moment: appends may still commit
        head = await owner.fetchrow("SELECT * FROM head WHERE election = $1", election)
        reports = await owner.fetch("SELECT * FROM report WHERE election = $1 ORDER BY sequence", election)
        lines = await owner.fetch("SELECT * FROM hold_line WHERE election = $1 ORDER BY number", election)
        holds = await owner.fetch("SELECT * FROM hold WHERE election = $1", election)
    assert head is not None
    verify_rows(head, reports, lines, holds)


def verify_rows(
    head: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
    holds: Sequence[Mapping[str, Any]],
) -> None:
    """Check rows of the tables of one election, see `verify`."""
    assert [row["sequence"] for row in reports] == list(range(1, head["accepted"] + 1))
    chain = CHAIN_START
    newest: dict[str, int] = {}
    last_at = None
    for row in reports:
        chain = next_chain(chain, row["digest"])
        assert (row["chain"], row["digest"]) == (chain, hashlib.sha256(row["body"]).digest())
        assert row["revision"] > newest.get(row["unit"], 0), "revisions of a unit rise along the record"
        newest[row["unit"]] = row["revision"]
        assert last_at is None or row["accepted_at"] >= last_at
        last_at = row["accepted_at"]
    assert head["chain"] == chain
    assert [row["number"] for row in lines] == list(range(1, head["hold_lines"] + 1))
    chain = CHAIN_START
    states: dict[tuple[str, int], str] = {}
    for row in lines:
        chain = hashlib.sha256(chain + hashlib.sha256(row["line"]).digest()).digest()
        assert row["chain"] == chain
        line = orjson.loads(row["line"])
        assert orjson.dumps(line, option=orjson.OPT_SORT_KEYS) == row["line"], "canonical"
        name = row["unit"], row["revision"]
        assert (line["number"], line["unit"], line["revision"], line["state"]) == (
            row["number"], *name, row["state"],
        )  # fmt: skip
        assert (states.get(name) is None) == (row["state"] == "held"), "one beginning, then one end"
        assert states.get(name) in (None, "held")
        assert (line["digest"] is not None) == (row["state"] == "released")
        assert (line["reason"] is not None) == (row["state"] in ("released", "rejected"))
        states[name] = row["state"]
    assert head["hold_chain"] == chain
    placed = {(row["unit"], row["revision"]): row for row in reports}
    open_units = [row["unit"] for row in holds if row["state"] == "open"]
    assert len(open_units) == len(set(open_units)) == head["open_holds"]
    for row in holds:
        name = row["unit"], row["revision"]
        assert states.pop(name) == {"open": "held"}.get(row["state"], row["state"])
        assert (name in placed) == (row["state"] == "released"), "published exactly if it was released"
        if row["state"] == "released":
            assert (placed[name]["digest"], placed[name]["sequence"]) == (row["digest"], row["sequence"])
        if row["state"] == "open":
            assert row["revision"] > newest.get(row["unit"], 0), "an open hold is the unit's newest revision"
            assert row["revision"] == max(each["revision"] for each in holds if each["unit"] == row["unit"])
    assert not states

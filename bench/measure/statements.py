"""CPU of Postgres per report in elections of two sizes, by the statements of a push and a feed process alone.

The statements are those for a whole election that arrives at once: appends, predecessors that a push process does not
have in memory, and reads of the record. Nothing else runs but an idle push process. The larger election consists of
copies of the smaller one, with their own units, whose reports arrive in turns.

Both sizes begin with a new server that has had one small election and creates its WAL files, and end with a checkpoint.
Otherwise, what a small election changed would be written after the measurement, and what a large one changed during it.

What bounds the ratio is that of a bare table, which is measured likewise.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from bench.figures import Result, Row, Series, Target, counted
from bench.load.checked import Checker
from bench.load.local import gateway
from bench.load.processes import cpu_s
from bench.load.target import create_election, without_rules
from bench.measure.bare_table import fill_bare_table
from bench.measure.load import Generated
from gateway.election.report import digest_of
from gateway.election.validation import ValidReport
from gateway.journal.connection import acquired, open_pool
from gateway.journal.postgres import PostgresJournal
from gateway.journal.predecessors import Predecessors
from gateway.journal.record import PublicRecord

BATCH = 180
"""Reports per append: what a push process takes when the whole election arrives at once over 357 connections."""
PAGE = 1000
"""Publications that a feed process reads at most after each append."""
ELECTIONS = 5
"""Elections of the smaller size in a round: together they fill several WAL files."""
ROUNDS = 4
"""Rounds of the smaller size, half of them before the larger one, and half after it."""
GOAL = 9


class Cost(msgspec.Struct, frozen=True):
    """CPU of all processes of Postgres, in µs per report."""

    until_read: float
    """Until the last report was read."""
    with_checkpoint: float


async def measure_statements(election: Generated, copies: int, result: Result) -> None:
    """Add the rows for `copies` of an election, beside a single one, to a result."""
    registry = without_rules(election.registry)
    reports = Checker(registry).check_all(election.bodies())
    before = [await _cost(registry, reports, 1, ELECTIONS) for _ in range(ROUNDS // 2)]
    large = await _cost(registry, reports, copies, 1)
    small = [*before, *[await _cost(registry, reports, 1, ELECTIONS) for _ in range(ROUNDS - ROUNDS // 2)]]
    bare_small = [await _bare_cost_us(reports, 1, ELECTIONS) for _ in range(ROUNDS // 2)]
    bare_large = await _bare_cost_us(reports, copies, 1)
    what = f"CPU of Postgres per report, election × {copies}, by the statements alone"
    result.rows += [
        Row.compared(
            f"{what}, a checkpoint included",
            Series(what, "µs", [large.with_checkpoint]),
            Series("election × 1", "µs", [each.with_checkpoint for each in small]),
            Target(1.3, most=True),
            goal=GOAL,
        ),
        Row.compared(
            f"{what}, without a checkpoint",
            Series(what, "µs", [large.until_read]),
            Series("election × 1", "µs", [each.until_read for each in small]),
        ),
        Row.compared(
            f"the same of a bare table with the same indexes, one look-up and one INSERT per report, × {copies}",
            Series("bare table", "µs", [bare_large]),
            Series("bare table, × 1", "µs", bare_small),
        ),
    ]
    result.notes.append(
        f"statements alone: {counted(copies * len(reports), 'report')}, beside rounds of {ELECTIONS} elections of"
        f" {counted(len(reports), 'report')} each; {BATCH} reports per append"
    )


async def _cost(
    registry: dict[str, Any], reports: Sequence[ValidReport], copies: int, elections: int
) -> Cost:
    """Return what elections of some copies cost a new server, which has them one after the other."""
    async with (
        gateway(role="push") as home,
        open_pool(home.database_url, max_size=1) as appends,
        open_pool(home.database_url, max_size=1) as lookups,
        open_pool(home.feed_database_url, feed=True, max_size=1) as reads,
    ):
        first, *created = [await create_election(home, registry) for _ in range(1 + elections)]
        statements = _Statements(PostgresJournal(appends), PostgresJournal(lookups), PublicRecord(reads))
        await statements.execute(
            first.id, _copied(reports, 1)
        )  # connections are made, and statements planned
        before = cpu_s(home.postmaster)
        for each in created:
            await statements.execute(each.id, _copied(reports, copies))
        read = cpu_s(home.postmaster) - before
        await appends.execute("CHECKPOINT")
        written = cpu_s(home.postmaster) - before
    total = elections * copies * len(reports)
    return Cost(1e6 * read / total, 1e6 * written / total)


async def _bare_cost_us(reports: Sequence[ValidReport], copies: int, elections: int) -> float:
    """Return what the reports cost a new server if they are inserted into a bare table, a checkpoint included."""
    async with (
        gateway(role="push") as home,
        open_pool(home.database_url, max_size=1) as pool,
        acquired(pool) as connection,
    ):
        await fill_bare_table(connection, _copied(reports, 1), BATCH)  # as above
        before = cpu_s(home.postmaster)
        for _ in range(elections):
            await fill_bare_table(connection, _copied(reports, copies), BATCH)
        await connection.execute("CHECKPOINT")
        return 1e6 * (cpu_s(home.postmaster) - before) / (elections * copies * len(reports))


class _Statements:
    """The statements of a push process, of which lookups overlap with the next append, and those of a feed process."""

    def __init__(self, appends: PostgresJournal, lookups: PostgresJournal, record: PublicRecord) -> None:
        self._appends = appends
        self._lookups = lookups
        self._record = record

    async def execute(self, identifier: str, reports: Iterator[ValidReport]) -> None:
        """Append all reports of an election, and read them."""
        election = await self._appends.election(identifier)
        predecessors = Predecessors(self._lookups)
        read = 0
        while batch := list(islice(reports, BATCH)):
            received = [datetime.now(UTC)] * len(batch)
            appended = await self._appends.append(
                election.key, election.version, batch, received, predecessors=predecessors.lacking
            )
            await predecessors.find(election.key, [valid.report for valid in batch], appended)
            page = await self._record.publications(election.key, read, PAGE)
            read += len(page)
            assert read == appended.accepted, f"{read} of {appended.accepted} reports were read"


def _copied(reports: Sequence[ValidReport], copies: int) -> Iterator[ValidReport]:
    """Yield each report once per copy of its election, in an order that is random but always the same."""
    order, places = random.Random(1), list(range(copies))
    for valid in reports:
        order.shuffle(places)
        for place in places:
            unit = f"{place:02}{valid.report.unit}"
            body = valid.body.replace(b'"unit":"', b'"unit":"%02d' % place)
            yield ValidReport(msgspec.structs.replace(valid.report, unit=unit), body, digest_of(body))

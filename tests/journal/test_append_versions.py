"""`append_v4` decides as `append_v3`: the same random batches, appended to two elections, leave the same rows."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any

import asyncpg
import pytest

from gateway.election.validation import ValidReport
from gateway.journal.administration import Administration
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.counts import count
from tests.journal.holding import RULE
from tests.journal.makers import UNITS, a_registry, a_report

SEEDS = range(count(12, full=200))
APPENDS = 25
FUTURE, PASSED = datetime(2100, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
CHAIN_START = bytes(32)
TABLES = {
    "head": "version, closed_at IS NOT NULL, accepted, chain, last_at, appends, confirmed_append, confirmed,"
    " hold_lines, open_holds",
    "embargo": "released_at, released_by",
    "report": "sequence, unit, revision, received_at, accepted_at, digest, chain, body, warnings",
    "hold": "unit, revision, digest, counts_digest, body, token, received_at, accepted_at, since, rules, codes,"
    " warnings, state, ended_at, reason, sequence, append",
    "hold_line": "number, at, unit, revision, state, append",
}
"""The columns of each table that are compared. The lines of holds, and so their chain, have times in them."""


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each history has its own elections, which is enough isolation."""
    return shared_database


class Twins:
    """Two elections that get the same batches, one by each version of the function."""

    def __init__(self, owner: Connection, old: int, new: int) -> None:
        self.keys = {"append_v3": old, "append_v4": new}
        self._owner = owner
        self._appends: dict[int, dict[datetime, int]] = {old: {}, new: {}}

    async def execute(self, statement: str, *arguments: object) -> None:
        """Execute a statement, of which the last argument is the election, for both."""
        for key in self.keys.values():
            await self._owner.execute(statement, *arguments, key)

    async def append(self, *arguments: object, predecessors: bool) -> asyncpg.Record | None:
        """Append a batch to both, compare what is returned, and return what the new version did; None: an error."""
        rows: list[Any] = []
        for function, key in self.keys.items():
            values = (key, *arguments, *([predecessors] if function == "append_v4" else []))
            places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
            try:
                rows.append(await self._owner.fetchrow(f"SELECT * FROM {function}({places})", *values))
            except asyncpg.PostgresError as error:
                rows.append((error.sqlstate, str(error)))
            else:
                times = self._appends[key]
                if not rows[-1]["behind"]:
                    times.setdefault(rows[-1]["at"], len(times))
        old, new = rows
        if isinstance(old, tuple) or isinstance(new, tuple):
            assert old == new
            return None
        names = [name for name in dict(old) if name != "hold_chain"]
        assert self._comparable("append_v4", (new[name] for name in names)) == self._comparable(
            "append_v3", (old[name] for name in names)
        )
        assert isinstance(new, asyncpg.Record)
        return new

    async def compare_rows(self) -> None:
        """Compare every row of both."""
        for table, columns in TABLES.items():
            rows = {
                function: [
                    self._comparable(function, row)
                    for row in await self._owner.fetch(
                        f"SELECT {columns} FROM {table} WHERE election = $1 ORDER BY 1, 2", key
                    )
                ]
                for function, key in self.keys.items()
            }
            assert rows["append_v4"] == rows["append_v3"]

    async def current(self) -> dict[str, bytes]:
        """Return the body of the current report of each unit."""
        rows = await self._owner.fetch(
            "SELECT DISTINCT ON (unit) unit, body FROM report WHERE election = $1 ORDER BY unit, revision DESC",
            self.keys["append_v4"],
        )
        return {row["unit"]: row["body"] for row in rows}

    async def head(self) -> asyncpg.Record:
        """Return the head, which is the same but for the chain of holds."""
        row = await self._owner.fetchrow("SELECT * FROM head WHERE election = $1", self.keys["append_v3"])
        assert row is not None
        return row

    def _comparable(self, function: str, values: Iterable[Any]) -> list[Any]:
        """Return values in which times of appends are replaced by their numbers."""
        times = self._appends[self.keys[function]]

        def replaced(value: Any) -> Any:
            if isinstance(value, list):
                return [replaced(each) for each in value]
            return times.get(value, value) if isinstance(value, datetime) else value

        return [replaced(each) for each in values]


def _batch(random: Random, revisions: dict[str, int], most: int) -> list[ValidReport]:
    """Return reports of which most are new, and some are duplicates, in conflict or stale, or of the same unit."""
    units = (
        random.sample(UNITS, min(most, len(UNITS)))
        if random.random() < 0.7
        else random.choices(UNITS, k=most)
    )
    steps = (1,) if random.random() < 0.6 else (1, 1, 0, -1, 3)
    return [
        a_report(unit, max(1, revisions.get(unit, 0) + random.choice(steps)), random.choice((10, 10, 10, 11)))
        for unit in units
    ]


def _findings(random: Random, count: int, *, holds: bool) -> tuple[list[Any] | None, ...]:
    """Return the tokens, rules, codes, warnings and digests of counts of a batch; nulls if no rule fired."""
    if not holds:
        warnings = [random.choice((None, '["a"]')) for _ in range(count)] if random.random() < 0.1 else None
        return None, None, None, warnings, None
    held = [random.random() < 0.3 for _ in range(count)]
    rules = [json.dumps([{"code": RULE}]) if each else None for each in held]
    codes = [json.dumps([RULE]) if each else None for each in held]
    digests = [hashlib.sha256(bytes([each])).digest() for each in held]
    return [1] * count, rules, codes, [None] * count, digests


@pytest.mark.parametrize("seed", SEEDS)
async def test_both_versions_of_append_decide_alike_and_leave_the_same_rows(
    seed: int, acts: Administration, owner: Connection
) -> None:
    """New, known, conflicting, stale and held reports, at wrong versions and chains, before and after closing."""
    random = Random(seed)
    keys = []
    embargoed = random.random() < 0.5
    for _ in range(2):
        registry = a_registry(publish_from=(FUTURE if embargoed else PASSED).isoformat())
        identifier = await acts.load_election(registry)
        keys.append(await owner.fetchval("SELECT key FROM election WHERE id = $1", identifier))
    twins = Twins(owner, *keys)
    holds_from = random.choice((0, 15, APPENDS, APPENDS))
    closed_from = random.choice((20, APPENDS))
    released_from = random.randrange(APPENDS)
    revisions: dict[str, int] = {}
    usual = 0
    for number in range(APPENDS):
        if number == closed_from:
            await twins.execute("UPDATE head SET closed_at = $1 WHERE election = $2", PASSED)
        if embargoed and number == released_from:
            await twins.execute("UPDATE embargo SET publish_from = $1 WHERE election = $2", PASSED)
        head = await twins.head()
        batch = _batch(random, revisions, random.choice((0, 1, 1, 2, 3, 4, 12)))
        chains: tuple[bytes | None, bytes | None] = None, None
        if not head["hold_lines"] and random.random() < 0.3:
            chains = random.choice((head["chain"], head["chain"], CHAIN_START)), CHAIN_START
        current = await twins.current()
        row = await twins.append(
            head["version"] + (random.random() < 0.05),
            *chains,
            [each.report.unit for each in batch],
            [each.report.revision for each in batch],
            [each.digest for each in batch],
            [each.body for each in batch],
            [datetime.now(UTC)] * len(batch),
            *_findings(random, len(batch), holds=number >= holds_from),
            random.random() < 0.05,
            predecessors=random.random() < 0.5,
        )
        await twins.compare_rows()
        if row is None or row["behind"]:
            continue
        for place, each in enumerate(batch):
            if row["sequences"][place] is not None or (row["held_since"] and row["held_since"][place]):
                revisions[each.report.unit] = each.report.revision
        if row["predecessors"] is not None:
            usual += 1
            units = [each.report.unit for each in batch]
            assert row["predecessors"] == [
                current.get(unit) if unit not in units[:place] else None for place, unit in enumerate(units)
            ]
    assert usual > 0 or holds_from == 0, "predecessors were returned"

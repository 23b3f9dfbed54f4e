"""Reports of a real election without end: each unit reports again and again, what it reported, under new revisions.

Report n is sender n mod S's; a sender's units take turns. So every sender has the same to send, and the next report
of a unit is at least S reports away.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import orjson

from bench.load.local import Local
from gateway.election.registry import read_registry
from gateway.election.validation import Scope, Validator, ValidReport
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.replay import rehearsal_of
from gateway.rehearsal.schedule import as_fast_as_possible

PASSED_S = -60.0
"""The embargo has passed, so that every report becomes public at once."""


class Supply:
    """The reports of one data set, by number."""

    def __init__(self, dataset: DataSet) -> None:
        self.registry = dataset.registry
        reports: dict[str, dict[str, list[dict[str, object]]]] = {}
        for each in dataset.reports():
            units = reports.setdefault(each.municipality, {})
            units.setdefault(each.report["unit"], []).append(each.report)
        self.senders = list(reports)
        self._units = [list(units.values()) for units in reports.values()]

    def body(self, number: int) -> bytes:
        """Return a report as it is sent."""
        turn, sender = divmod(number, len(self.senders))
        units = self._units[sender]
        revision, unit = divmod(turn, len(units))
        recorded = units[unit]
        return orjson.dumps({**recorded[revision % len(recorded)], "revision": revision + 1})

    def whole_turns(self, reports: int) -> int:
        """Return about so many reports, so that each sender has as many as the others."""
        return max(1, round(reports / len(self.senders))) * len(self.senders)


class Ground:
    """An election of its own at our own gateway, and how much of its supply is used. Nothing of it is sent twice."""

    def __init__(self, local: Local, supply: Supply, election: str, tokens: Sequence[str]) -> None:
        self.local = local
        self.supply = supply
        self.election = election
        self.tokens = tokens
        self._next = 0

    def take(self, reports: int) -> list[bytes]:
        """Return the next reports; the first is the first sender's."""
        count = self.supply.whole_turns(reports)
        found = [self.supply.body(self._next + place) for place in range(count)]
        self._next += count
        return found

    def write(self, reports: int, file: Path) -> int:
        """Write the next reports into a file, one a line; return how many."""
        bodies = self.take(reports)
        file.write_bytes(b"\n".join(bodies) + b"\n")
        return len(bodies)


async def ground(local: Local, supply: Supply) -> Ground:
    """Make an election of its own, with a token for each sender."""
    started = datetime.now(UTC)
    document = rehearsal_of(supply.registry, started, as_fast_as_possible([started], PASSED_S))
    async with administration(local.database_url, "bench") as acts:
        election = await acts.load_election(document)
        issued = await acts.issue_tokens(election, [([sender], "bench") for sender in supply.senders])
    await asyncio.sleep(0.01)  # identifiers of rehearsals differ by the millisecond
    return Ground(local, supply, election, [token.secret for token in issued])


class Checked:
    """Turns bodies into reports as they are after the gateway has checked them."""

    def __init__(self, supply: Supply) -> None:
        registry = read_registry(supply.registry)
        self._validator = Validator(registry)
        self._scope = Scope(registry, frozenset({registry.root.id}))

    def __call__(self, bodies: Sequence[bytes]) -> list[ValidReport]:
        """Check them."""
        found = []
        for body in bodies:
            valid = self._validator.check(body, self._scope)
            assert isinstance(valid, ValidReport), f"the supply has a report that is refused: {valid}"
            found.append(valid)
        return found


async def faults_of(ground: Ground, receipts: int, most: int | None = None) -> list[str]:
    """Look at the journal of an election: are as many reports there as have receipts, and is each what it says it is.

    `most`: there may be up to so many, where a load was cut off with reports under way.
    """
    connection = await asyncpg.connect(ground.local.database_url)
    faults = []
    try:
        found = await connection.fetchrow(
            "SELECT e.key, h.accepted, h.chain FROM valgnatt.election e JOIN valgnatt.head h ON h.election = e.key"
            " WHERE e.id = $1",
            ground.election,
        )
        assert found is not None
        key, accepted, chain = found
        drawn, rows = bytes(32), 0
        async with connection.transaction():
            async for row in connection.cursor(
                "SELECT sequence, digest, chain, body FROM valgnatt.report WHERE election = $1 ORDER BY sequence",
                key,
                prefetch=2000,
            ):
                rows += 1
                drawn = hashlib.sha256(drawn + row["digest"]).digest()
                whole = row["sequence"] == rows and row["chain"] == drawn
                if not whole or hashlib.sha256(row["body"]).digest() != row["digest"]:
                    faults.append(f"report {row['sequence']} is not what it says, or not in its place")
                    break
    finally:
        await connection.close()
    if not receipts <= accepted <= (receipts if most is None else most):
        faults.append(f"{receipts} receipts, but {accepted} reports in the journal")
    if not faults and (rows != accepted or drawn != chain):
        faults.append(f"the head says {accepted} reports, and {rows} are there, or its chain is another")
    return faults

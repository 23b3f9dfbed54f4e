"""An endless supply of reports of a real election: each unit reports its counts again under new revisions.

Report n belongs to sender n mod S; the units of a sender take turns. So every sender has the same number of reports,
and two reports of one unit are at least S reports apart.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import orjson

from bench.load.local import Local
from bench.load.target import Data, create_election, without_rules


class Supply:
    """The reports of one data set, by number.

    They start again after the last one; figures fall then, so all rules are off.
    """

    def __init__(self, data: Data) -> None:
        self.registry = without_rules(data.registry)
        reports: dict[str, dict[str, list[dict[str, object]]]] = {}
        for each in data.reports():
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
        """Return about `reports`, rounded so that every sender has the same number."""
        return max(1, round(reports / len(self.senders))) * len(self.senders)


class Stock:
    """A supply at an election of our own gateway, and how much of it is used. No report is sent twice."""

    def __init__(self, local: Local, supply: Supply, election: str, tokens: Sequence[str]) -> None:
        self.local = local
        self.supply = supply
        self.election = election
        self.tokens = tokens
        self._next = 0

    def take(self, reports: int) -> list[bytes]:
        """Return the next reports; the first belongs to the first sender."""
        count = self.supply.whole_turns(reports)
        bodies = [self.supply.body(self._next + place) for place in range(count)]
        self._next += count
        return bodies

    def write(self, reports: int, file: Path) -> int:
        """Write the next reports to a file, one per line; return how many."""
        bodies = self.take(reports)
        file.write_bytes(b"\n".join(bodies) + b"\n")
        return len(bodies)


async def stock(local: Local, supply: Supply) -> Stock:
    """Create an election for a supply, with one token per sender."""
    created = await create_election(local, supply.registry, [[sender] for sender in supply.senders])
    return Stock(local, supply, created.id, created.secrets)


async def journal_faults(stock: Stock, receipts: int, most: int | None = None) -> list[str]:
    """Check the journal of an election: one report per receipt, each with its digest and its place in the chain.

    `most`: there may be up to so many reports, because a load was cut off while requests were in flight.
    """
    connection = await asyncpg.connect(stock.local.database_url)
    faults = []
    try:
        head = await connection.fetchrow(
            "SELECT e.key, h.accepted, h.chain FROM valgnatt.election e JOIN valgnatt.head h ON h.election = e.key"
            " WHERE e.id = $1",
            stock.election,
        )
        assert head is not None
        key, accepted, chain = head
        expected, rows = bytes(32), 0
        async with connection.transaction():
            async for row in connection.cursor(
                "SELECT sequence, digest, chain, body FROM valgnatt.report WHERE election = $1 ORDER BY sequence",
                key,
                prefetch=2000,
            ):
                rows += 1
                expected = hashlib.sha256(expected + row["digest"]).digest()
                in_place = row["sequence"] == rows and row["chain"] == expected
                if not in_place or hashlib.sha256(row["body"]).digest() != row["digest"]:
                    faults.append(
                        f"report {row['sequence']} does not match its digest, its sequence or the chain"
                    )
                    break
    finally:
        await connection.close()
    if not receipts <= accepted <= (receipts if most is None else most):
        faults.append(f"{receipts} receipts, but {accepted} reports in the journal")
    if not faults and (rows != accepted or expected != chain):
        faults.append(f"the head has {accepted} reports and the journal {rows}, or their chains differ")
    return faults

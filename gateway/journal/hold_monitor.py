"""The holds in the metrics of push processes: the open ones, and how many began and ended.

The list of holds is read once, and then only its new lines, so a collection costs the same however long it is.
"""

from collections import Counter
from datetime import datetime

import asyncpg
import msgspec

from gateway.journal.session import Connection
from gateway.telemetry.hold_metrics import ElectionHolds

LINES_MAX = 20_000
"""Lines of the list of holds that are counted in one collection, some 20 ms; the others follow in the next ones."""

_ELECTIONS = """
SELECT e.key, e.id, h.hold_lines, CASE WHEN m.released_at IS NULL THEN m.publish_from END AS embargo_end
FROM head h JOIN election e ON e.key = h.election JOIN embargo m ON m.election = h.election
WHERE h.closed_at IS NULL OR h.open_holds > 0
"""
_OPEN = """
SELECT k.election, k.codes[1] AS rule, count(*) AS open, min(k.since) AS oldest
FROM hold k WHERE k.state = 'open' GROUP BY k.election, k.codes[1]
"""
_NEW_LINES = """
SELECT l.state, convert_from(l.line, 'UTF8')::json -> 'rules' ->> 0 AS rule, count(*) AS lines
FROM hold_line l WHERE l.election = $1 AND l.number > $2 AND l.number <= $3 GROUP BY 1, 2
"""


class _Counted(msgspec.Struct):
    """The lines of the list of holds of one election, as far as they are counted."""

    lines: int = 0
    totals: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)


class _Open(msgspec.Struct):
    by_rule: dict[str, int] = msgspec.field(default_factory=dict)
    oldest: datetime | None = None


class HoldMonitor:
    """Collects the holds of all elections that take reports or have open holds."""

    def __init__(self) -> None:
        self._counted: dict[int, _Counted] = {}
        self._elections: list[asyncpg.Record] = []
        self._open: dict[int, _Open] = {}

    async def collect(self, connection: Connection, timeout_s: float) -> None:
        """Collect once. Raises the errors of asyncpg."""
        elections = await connection.fetch(_ELECTIONS, timeout=timeout_s)
        opened: dict[int, _Open] = {}
        for row in await connection.fetch(_OPEN, timeout=timeout_s):
            each = opened.setdefault(row["election"], _Open())
            each.by_rule[row["rule"]] = row["open"]
            each.oldest = min(row["oldest"], each.oldest or row["oldest"])
        left = LINES_MAX
        for row in elections:
            counted = self._counted.setdefault(row["key"], _Counted())
            if row["hold_lines"] < counted.lines:  # another database, or an earlier state of it
                counted = self._counted[row["key"]] = _Counted()
            upto = min(row["hold_lines"], counted.lines + left)
            if upto > counted.lines:
                left -= upto - counted.lines
                for line in await connection.fetch(
                    _NEW_LINES, row["key"], counted.lines, upto, timeout=timeout_s
                ):
                    counted.totals[line["rule"], line["state"]] += line["lines"]
                counted.lines = upto
        self._elections, self._open = elections, opened

    def holds(self, now: datetime) -> dict[str, ElectionHolds]:
        """Return the holds of each election as last collected, with ages at `now`."""
        found = {}
        for row in self._elections:
            each = self._open.get(row["key"], _Open())
            end = row["embargo_end"]
            found[row["id"]] = ElectionHolds(
                open=each.by_rule,
                totals=self._counted[row["key"]].totals,
                oldest_s=max(0.0, (now - each.oldest).total_seconds()) if each.oldest is not None else 0.0,
                embargo_end=end.timestamp() if end is not None else None,
            )
        return found

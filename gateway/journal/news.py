"""What a push process has not read yet of an election's record and list of holds, which its rules compare with."""

from collections.abc import Sequence

import asyncpg
import msgspec

from gateway.journal.decisions import Ends
from gateway.journal.session import Connection

NEWS_MAX = 500
"""Reports that are read at once."""
LOCKED_MAX = 64
"""Reports that are read at once under the head lock, some 100 kB, which the buffers of a socket take: a server that
waits for a process to read more has no limit, and keeps the lock."""

REPORTS = (
    "SELECT r.body, r.chain, r.sequence FROM report r"
    " WHERE r.election = $1 AND r.sequence >= $2 AND r.sequence <= $3 ORDER BY r.sequence"
)
LINES = (
    "SELECT l.unit, l.revision, l.state, h.token, l.chain, l.number FROM hold_line l"
    " JOIN hold h ON h.election = l.election AND h.unit = l.unit AND h.revision = l.revision"
    " WHERE l.election = $1 AND h.election = $1 AND l.number >= $2 AND l.number <= $3 ORDER BY l.number"
)


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A report in the record."""

    body: bytes
    chain: bytes


class HoldLine(msgspec.Struct, frozen=True, gc=False):
    """A beginning or an end of a hold."""

    unit: str
    revision: int
    state: str
    """`held` at the beginning."""
    token: int
    """The sender's."""
    chain: bytes


class News(msgspec.Struct, frozen=True):
    """What follows some position in the record and some line of the list of holds, both in order."""

    reports: Sequence[Placed]
    lines: Sequence[HoldLine]
    follows: bool
    """Whether the record and the list had the chains that they were expected to have; otherwise they are not the same
    ones as before, as after a failover that lost a part."""
    complete: bool
    """Whether that is everything up to `ends`."""
    ends: Ends


async def read_ends(connection: Connection, election: int) -> Ends | None:
    """Return where an election's record and list of holds end; None if there is no such election."""
    row = await connection.fetchrow(
        "SELECT h.accepted, h.chain, h.hold_lines, h.hold_chain FROM head h WHERE h.election = $1", election
    )
    return Ends(*row) if row is not None else None


async def read_news(
    connection: Connection, election: int, known: Ends, ends: Ends, at_once: int | None = None
) -> News:
    """Return what lies between two ends, NEWS_MAX reports and as many lines at most; `at_once` reports at a time."""
    reports: list[asyncpg.Record] = []
    lines: Sequence[asyncpg.Record] = ()
    if ends.accepted > known.accepted:
        last = min(ends.accepted, known.accepted + NEWS_MAX)
        step = at_once or NEWS_MAX + 1
        for first in range(known.accepted, last + 1, step):
            reports += await connection.fetch(REPORTS, election, first, min(last, first + step - 1))
    if ends.hold_lines > known.hold_lines:
        lines = await connection.fetch(
            LINES,
            election,
            known.hold_lines,
            min(ends.hold_lines, known.hold_lines + NEWS_MAX),
        )
    placed, record_follows = _after(
        reports, "sequence", known.accepted, known.chain, ends.accepted, ends.chain
    )
    listed, list_follows = _after(
        lines, "number", known.hold_lines, known.hold_chain, ends.hold_lines, ends.hold_chain
    )
    return News(
        [Placed(row["body"], row["chain"]) for row in placed],
        [HoldLine(*tuple(row)[:5]) for row in listed],
        record_follows and list_follows,
        known.accepted + len(placed) == ends.accepted and known.hold_lines + len(listed) == ends.hold_lines,
        ends,
    )


def _after(
    rows: Sequence[asyncpg.Record], number: str, known: int, known_chain: bytes, end: int, end_chain: bytes
) -> tuple[Sequence[asyncpg.Record], bool]:
    """Return the rows after a number, and whether the row with that number has the chain that is known."""
    if end <= known:
        return (), end == known and end_chain == known_chain
    if known == 0:
        return rows, True
    return rows[1:], bool(rows) and rows[0][number] == known and rows[0]["chain"] == known_chain

"""What a push process has not read yet of an election's record and list of holds, which its rules compare with."""

from collections.abc import Sequence

import asyncpg
import msgspec

from gateway.journal.decisions import Ends
from gateway.journal.session import Connection

CONTINUATION_MAX = 500
"""Reports that are read at once."""
AT_ONCE_MAX = 64
"""Reports that are read at once under the head lock."""
LOCKED_BYTES = 64 << 10
"""Bytes of reports that are read at once under the head lock, if they are more than one. If the process is stopped, the
buffers of its socket take them and the server's last message; a server that waits to send keeps the lock, without a
limit."""

REPORTS = (
    "SELECT r.body, r.chain, r.sequence FROM report r"
    " WHERE r.election = $1 AND r.sequence >= $2 AND r.sequence <= $3 ORDER BY r.sequence"
)
SOME_REPORTS = (
    "SELECT s.body, s.chain, s.sequence FROM ("
    "  SELECT r.body, r.chain, r.sequence, sum(octet_length(r.body)) OVER (ORDER BY r.sequence) AS size"
    "  FROM report r WHERE r.election = $1 AND r.sequence >= $2 AND r.sequence <= $3) s"
    " WHERE s.size <= $4 OR s.sequence = $2 ORDER BY s.sequence"
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


class HoldChange(msgspec.Struct, frozen=True, gc=False):
    """A beginning or an end of a hold."""

    unit: str
    revision: int
    state: str
    """That of its line in the list of holds; `hold_list.BEGINNING` at the beginning."""
    token: int
    """The sender's."""
    chain: bytes


class Continuation(msgspec.Struct, frozen=True):
    """Reports after a position in the record, and lines after one of the list of holds, both in order."""

    reports: Sequence[Placed]
    lines: Sequence[HoldChange]
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


async def read_continuation(
    connection: Connection, election: int, known: Ends, ends: Ends, bytes_max: int | None = None
) -> Continuation:
    """Return what is between two ends, CONTINUATION_MAX reports and as many lines at most.

    Reports are read `bytes_max` at a time, if that is given.
    """
    reports: list[asyncpg.Record] = []
    lines: Sequence[asyncpg.Record] = ()
    if ends.accepted > known.accepted:
        first, last = known.accepted, min(ends.accepted, known.accepted + CONTINUATION_MAX)
        if bytes_max is None:
            reports += await connection.fetch(REPORTS, election, first, last)
        else:
            while first <= last:
                found = await connection.fetch(
                    SOME_REPORTS, election, first, min(last, first + AT_ONCE_MAX - 1), bytes_max
                )
                reports += found
                first = (found[-1]["sequence"] if found else last) + 1
    if ends.hold_lines > known.hold_lines:
        lines = await connection.fetch(
            LINES,
            election,
            known.hold_lines,
            min(ends.hold_lines, known.hold_lines + CONTINUATION_MAX),
        )
    placed, record_follows = _after(
        reports, "sequence", known.accepted, known.chain, ends.accepted, ends.chain
    )
    listed, list_follows = _after(
        lines, "number", known.hold_lines, known.hold_chain, ends.hold_lines, ends.hold_chain
    )
    return Continuation(
        [Placed(row["body"], row["chain"]) for row in placed],
        [HoldChange(*tuple(row)[:5]) for row in listed],
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

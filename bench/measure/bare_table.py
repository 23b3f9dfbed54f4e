"""Growth of a bare table: the least that reports of a larger election can cost Postgres more than those of a small one.

The table has the columns and indexes of the journal's reports. As an append does, each transaction looks up the newest
revision of each unit, and inserts the reports. There are no functions of the gateway, and no other statements.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from gateway.election.validation import ValidReport
from gateway.journal.session import Connection

_CREATE = """
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.report;
CREATE TABLE bench.report (
    election integer, sequence bigint, unit text, revision integer, received_at timestamptz, accepted_at timestamptz,
    digest bytea, chain bytea, body bytea,
    PRIMARY KEY (election, sequence), UNIQUE (election, unit, revision)
)
"""
_LOOK_UP = """
SELECT max(r.revision) FROM unnest($1::text[]) AS s (unit) CROSS JOIN LATERAL (
    SELECT r.revision FROM bench.report r WHERE r.election = 1 AND r.unit = s.unit ORDER BY r.revision DESC LIMIT 1) r
"""
_INSERT = """
INSERT INTO bench.report
SELECT 1, s.* FROM unnest(
    $1::bigint[], $2::text[], $3::integer[], $4::timestamptz[], $4::timestamptz[], $5::bytea[], $5::bytea[], $6::bytea[]
) AS s
"""


async def fill_bare_table(connection: Connection, reports: Iterator[ValidReport], batch_size: int) -> None:
    """Create the table, or an empty one in its place, and insert all reports, `batch_size` per transaction."""
    await connection.execute(_CREATE)
    sequence = 0
    while batch := list(islice(reports, batch_size)):
        units = [valid.report.unit for valid in batch]
        async with connection.transaction():
            await connection.execute(_LOOK_UP, units)
            await connection.execute(
                _INSERT,
                range(sequence + 1, sequence + len(batch) + 1),
                units,
                [valid.report.revision for valid in batch],
                [datetime.now(UTC)] * len(batch),
                [valid.digest for valid in batch],
                [valid.body for valid in batch],
            )
        sequence += len(batch)

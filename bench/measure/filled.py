"""Fill a journal without a push process: append in batches, as the writer does, one after the other."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.load.checked import Checker
from bench.load.local import Local
from bench.load.target import Data, create_election
from gateway.election.validation import ValidReport
from gateway.journal.connection import open_pool
from gateway.journal.postgres import PostgresJournal
from gateway.trimmed_json import dumps_trimmed

BATCH = 1000


async def append_all(
    journal: PostgresJournal, election: str, reports: Sequence[ValidReport], batch_size: int = BATCH
) -> float:
    """Append reports to an election; return in how many seconds Postgres took them."""
    opened = await journal.election(election)
    started = time.perf_counter()
    for first in range(0, len(reports), batch_size):
        batch = reports[first : first + batch_size]
        await journal.append(opened.key, opened.version, batch, [datetime.now(UTC)] * len(batch))
    return time.perf_counter() - started


async def fill(local: Local, document: dict[str, object], bodies: Sequence[bytes]) -> tuple[str, float]:
    """Append reports to a new election; return its identifier, and in how many seconds Postgres took them."""
    reports = Checker(document).check_all(bodies)
    created = await create_election(local, document)
    return created.id, await append_to(local, created.id, reports)


async def append_to(local: Local, election: str, reports: Sequence[ValidReport]) -> float:
    """Append reports to an election of our own gateway; return in how many seconds Postgres took them."""
    async with open_pool(local.database_url, max_size=4) as pool:
        return await append_all(PostgresJournal(pool), election, reports)


async def postgres_alone(local: Local, data: Data) -> float:
    """Return how many reports per second Postgres takes over one connection."""
    bodies = [dumps_trimmed(each.report) for each in data.reports()]
    _, seconds = await fill(local, data.registry, bodies)
    return len(bodies) / seconds

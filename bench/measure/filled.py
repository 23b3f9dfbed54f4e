"""A journal that is filled without a push process: the writer's own append, one batch after the other."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.load.local import Local
from bench.load.target import Election
from gateway.election.registry import read_registry
from gateway.election.validation import Scope, Validator, ValidReport
from gateway.journal.administration import administration
from gateway.journal.connection import open_pool
from gateway.journal.postgres import PostgresJournal
from gateway.rehearsal.replay import rehearsal_of
from gateway.rehearsal.schedule import as_fast_as_possible
from gateway.trimmed_json import dumps_trimmed

BATCH = 1000
PASSED_S = -60.0


async def fill(local: Local, document: dict[str, object], bodies: Sequence[bytes]) -> tuple[str, float]:
    """Append reports to a new election; return its identifier, and in how many seconds Postgres took them."""
    registry = read_registry(document)
    validator, scope = Validator(registry), Scope(registry, frozenset({registry.root.id}))
    reports = []
    for body in bodies:
        valid = validator.check(body, scope)
        assert isinstance(valid, ValidReport), f"a report is refused: {valid}"
        reports.append(valid)
    now = datetime.now(UTC)
    async with administration(local.database_url, "bench") as acts:
        election = await acts.load_election(rehearsal_of(document, now, as_fast_as_possible([now], PASSED_S)))
    async with open_pool(local.database_url, max_size=4) as pool:
        journal = PostgresJournal(pool)
        held = await journal.election(election)
        started = time.perf_counter()
        for first in range(0, len(reports), BATCH):
            batch = reports[first : first + BATCH]
            await journal.append(held.key, held.version, batch, [datetime.now(UTC)] * len(batch))
        seconds = time.perf_counter() - started
    return election, seconds


async def postgres_alone(local: Local, dataset: Election) -> float:
    """Return how many reports a second Postgres takes from one connection."""
    bodies = [dumps_trimmed(each.report) for each in dataset.reports()]
    _, seconds = await fill(local, dataset.registry, bodies)
    return len(bodies) / seconds

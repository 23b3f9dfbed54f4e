"""Helpers shared by the tests of the journal: a small election, its reports, and waiting for a condition."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.election.record import CHAIN_START, next_chain
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import canonical, decode_report, digest_of
from gateway.election.validation import ValidReport
from gateway.journal.connection import connect
from gateway.journal.decisions import Appended, Known, New
from gateway.journal.elections import ElectionVersion
from gateway.journal.judging import Journal
from gateway.journal.postgres import ElectionRow, TokenRow
from gateway.journal.session import Connection

TIMEOUT_S = 20.0
"""How long to wait for a condition before the test fails; normally none takes a second."""
PASSED = datetime(2025, 9, 8, 19, 0, tzinfo=UTC)
"""The end of an embargo that has passed."""
FAR = timedelta(hours=1)
MUNICIPALITIES = ("a", "b")
UNITS = tuple(f"{municipality}-{number}" for municipality in MUNICIPALITIES for number in range(1, 7))
ELIGIBLE = 100
"""Eligible voters of every unit."""

_numbers = itertools.count(1)


def a_registry(**header: Any) -> dict[str, Any]:
    """Return the registry of a country with two municipalities of six units each, under a unique identifier."""
    areas: list[dict[str, Any]] = [{"id": "no", "name": "No", "level": "country", "parent": None}]
    areas += [{"id": each, "name": each, "level": "municipality", "parent": "no"} for each in MUNICIPALITIES]
    areas += [
        {"id": unit, "name": unit, "level": "precinct", "parent": unit[0], "eligible": ELIGIBLE}
        for unit in UNITS
    ]
    return {
        "format": "election-registry/1",
        "election": {
            "id": f"election-{next(_numbers)}",
            "name": "An election",
            "date": "2025-09-08",
            "publish_from": PASSED.isoformat(),
            "timezone": "Europe/Oslo",
            "categories": ["advance", "election_day"],
            **header,
        },
        "areas": areas,
        "parties": [{"code": code, "name": f"Party {code}"} for code in "ABC"],
    }


def a_report(unit: str = "a-1", revision: int = 1, votes: int = 10, **members: Any) -> ValidReport:
    """Return a validated report in which party A has `votes` votes."""
    document = {
        "unit": unit,
        "revision": revision,
        "counted_at": "2025-09-08T22:36:55+02:00",
        "status": "preliminary",
        "counts": {"election_day": {"ballots": votes, "blank": 0, "rejected": 1, "votes": {"A": votes}}},
        **members,
    }
    body = canonical(document)
    return ValidReport(decode_report(body), body, digest_of(body))


def a_version(
    registry: Registry | None = None,
    *,
    key: int = 1,
    version: int = 1,
    tokens: Sequence[TokenRow] = (),
    released: bool = True,
    closed: bool = False,
) -> ElectionVersion:
    """Return a version of an election, as a push process holds it."""
    registry = registry or read_registry(a_registry())
    row = ElectionRow(key, version, registry, registry.publish_from, released, closed, tokens)
    return ElectionVersion(registry.id, row)


def a_token(key: int, *areas: str, digest: bytes = b"", expires_at: datetime | None = None) -> TokenRow:
    """Return a token for `areas`, or for the whole country if none are given."""
    return TokenRow(key, digest or bytes([key]) * 32, frozenset(areas or ("no",)), "sender", expires_at)


@asynccontextmanager
async def connected(url: str, *, feed: bool = False, statement_s: float = 5.0) -> AsyncIterator[Connection]:
    """Open a single connection as the gateway does outside its pool."""
    connection = await connect(url, feed=feed, statement_s=statement_s)
    try:
        yield connection
    finally:
        connection.terminate()


async def append(
    journal: Journal, election: int, version: int, *reports: ValidReport, received: datetime | None = None
) -> Appended:
    """Append a batch, received at `received` or just now."""
    times = [received or datetime.now(UTC)] * len(reports)
    return await journal.append(election, version, reports, times)


def sequences(appended: Appended) -> list[int | None]:
    """Return the sequence of each report that an append accepted; None for the others."""
    return [decision.sequence if isinstance(decision, New) else None for decision in appended.decisions]


def known_sequences(appended: Appended) -> list[int | None]:
    """Return the sequence of each report that was already known; None for the others."""
    return [decision.sequence if isinstance(decision, Known) else None for decision in appended.decisions]


@asynccontextmanager
async def database_set(owner: Connection, name: str, value: str) -> AsyncIterator[None]:
    """Set a parameter for all sessions of the database that start inside the block."""
    database = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")
    try:
        yield
    finally:
        await owner.execute(f"ALTER DATABASE {database} RESET {name}")


def chain_of(digests: Sequence[bytes], start: bytes = CHAIN_START) -> list[bytes]:
    """Return the chain value after each digest."""
    chains = [start]
    for digest in digests:
        chains.append(next_chain(chains[-1], digest))
    return chains[1:]


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until `condition` returns a true value, and return that value."""
    async with asyncio.timeout(TIMEOUT_S):
        while not (found := await condition()):  # noqa: ASYNC110 - the state of the database can only be polled
            await asyncio.sleep(0.005)
        return found


async def waiting_for_locks(connection: Connection, number: int) -> bool:
    """Return whether at least `number` statements wait for a lock."""
    found: int = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return found >= number


async def refuse_in_postgres(owner: Connection, election: int, unit: str) -> None:
    """Make Postgres reject every report of a unit with a data error (check_violation)."""
    await owner.execute(
        "CREATE OR REPLACE FUNCTION refuse_unit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'rejected by the test' USING ERRCODE = 'check_violation'; END $$"
    )
    await owner.execute(
        f"CREATE TRIGGER refuse_{election}_{unit.replace('-', '_')} BEFORE INSERT ON report FOR EACH ROW"
        f" WHEN (NEW.election = {election} AND NEW.unit = '{unit}') EXECUTE FUNCTION refuse_unit()"
    )

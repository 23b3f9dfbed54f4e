"""What tests of the journal share: a small election, reports of it, and how to wait for a fact."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.election.record import CHAIN_START, next_chain
from gateway.election.registry import Registry, read_registry
from gateway.election.report import canonical, decode_report, digest_of
from gateway.election.validation import ValidReport
from gateway.journal.connection import Connection, connect
from gateway.journal.elections import ElectionVersion
from gateway.journal.postgres import Appended, ElectionRow, Journal, Known, New, TokenRow

PATIENCE_S = 20.0
"""How long a fact is waited for before the test fails; none of them takes a second."""
PASSED = datetime(2025, 9, 8, 19, 0, tzinfo=UTC)
"""An embargo's end that lies behind us."""
FAR = timedelta(hours=1)
MUNICIPALITIES = ("a", "b")
UNITS = tuple(f"{municipality}-{number}" for municipality in MUNICIPALITIES for number in range(1, 7))
ELIGIBLE = 100
"""Of every unit."""

_numbers = itertools.count(1)


def a_registry(**header: Any) -> dict[str, Any]:
    """A country of two municipalities with six units each, with a unique identifier."""
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
    """A report in which party A has so many votes, as validation hands it on."""
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
) -> ElectionVersion:
    """A version of an election, as a push process knows it."""
    registry = registry or read_registry(a_registry())
    row = ElectionRow(key, version, registry, registry.publish_from, released, False, tokens)
    return ElectionVersion(registry.id, row)


def a_token(key: int, *areas: str, digest: bytes = b"", expires_at: datetime | None = None) -> TokenRow:
    """A token for some areas, the whole country where none are given."""
    return TokenRow(key, digest or bytes([key]) * 32, frozenset(areas or ("no",)), "sender", expires_at)


@asynccontextmanager
async def connected(url: str, *, feed: bool = False, statement_s: float = 5.0) -> AsyncIterator[Connection]:
    """A connection as the gateway opens it outside the pool."""
    connection = await connect(url, feed=feed, statement_s=statement_s)
    try:
        yield connection
    finally:
        connection.terminate()


async def append(
    journal: Journal, election: int, version: int, *reports: ValidReport, received: datetime | None = None
) -> Appended:
    """Append a batch that was received just now."""
    times = [received or datetime.now(UTC)] * len(reports)
    return await journal.append(election, version, reports, times)


def sequences(appended: Appended) -> list[int | None]:
    """The sequence of each report that an append accepted; None for one that it did not."""
    return [decision.sequence if isinstance(decision, New) else None for decision in appended.decisions]


def known_sequences(appended: Appended) -> list[int | None]:
    """The sequence of each report that was known already; None for one that was not."""
    return [decision.sequence if isinstance(decision, Known) else None for decision in appended.decisions]


@asynccontextmanager
async def database_set(owner: Connection, name: str, value: str) -> AsyncIterator[None]:
    """Set a parameter for all sessions of the database that begin from now on."""
    database = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")
    try:
        yield
    finally:
        await owner.execute(f"ALTER DATABASE {database} RESET {name}")


def chain_of(digests: Sequence[bytes], start: bytes = CHAIN_START) -> list[bytes]:
    """The chain through some digests."""
    chains = [start]
    for digest in digests:
        chains.append(next_chain(chains[-1], digest))
    return chains[1:]


async def until(fact: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until `fact` is true and return what it says."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await fact()):  # noqa: ASYNC110 - a fact of the database is asked for
            await asyncio.sleep(0.005)
        return found


async def waiting_for_locks(connection: Connection, number: int) -> bool:
    """Whether so many statements wait for a lock."""
    found: int = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return found >= number


async def refuse_in_postgres(owner: Connection, election: int, unit: str) -> None:
    """Make Postgres raise an error due to the data for every report of a unit."""
    await owner.execute(
        "CREATE OR REPLACE FUNCTION refuse_unit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$"
    )
    await owner.execute(
        f"CREATE TRIGGER refuse_{election}_{unit.replace('-', '_')} BEFORE INSERT ON report FOR EACH ROW"
        f" WHEN (NEW.election = {election} AND NEW.unit = '{unit}') EXECUTE FUNCTION refuse_unit()"
    )

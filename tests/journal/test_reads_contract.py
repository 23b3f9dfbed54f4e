"""What is read of a journal: the simulated Postgres answers every question as a real one does, after the same story."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson
import pytest

from gateway.election.record import CHAIN_START
from gateway.journal.administration import NewToken, administration
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import open_pool
from gateway.journal.connection_pool import Pool
from gateway.journal.decisions import Ends
from gateway.journal.elections import ElectionVersion
from gateway.journal.log import LogRecord
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from tests.conftest import Database
from tests.journal.makers import FAR, UNITS, a_registry, a_report, connected
from tests.journal.push_processes import ODD_TIME, Process, odd, rules
from tests.simulation.database import SimulatedDatabase
from tests.simulation.journal import open_pool as simulated_pool
from tests.simulation.real_time import RealClient, RealTime

SEEN = datetime(2025, 9, 8, 20, 0, tzinfo=UTC)
START = Ends(0, CHAIN_START, 0, CHAIN_START)
AT = re.compile(rb'"(at|opened_at|closed_at)":"[^"]*"')


@pytest.fixture
def database(shared_database: Database) -> Database:
    """The test has its own election, which is enough isolation."""
    return shared_database


class Site:
    """An election, a push process that accepts reports for it, and the record as a feed reads it."""

    def __init__(self, pool: Pool, feed: Pool, election: str) -> None:
        self.id = election
        self.journal = PostgresJournal(pool)
        self.record = PublicRecord(feed)
        self.logs = LogRecord(feed)
        self.confirmations = PostgresConfirmations(pool)
        self.process: Process

    async def begin(self) -> None:
        """Read the election, and begin to accept reports."""
        row = await self.journal.election(self.id)
        self.key, self.token = row.key, row.tokens[0].key
        self.process = Process(self.journal, ElectionVersion(self.id, row), [self.token])

    async def end_embargo(self) -> None:
        """Let the embargo end now."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the election."""
        raise NotImplementedError

    async def observe(self) -> dict[str, Any]:
        """Return everything that can be read, without what differs between two runs of the same story."""
        journal, key = self.journal, self.key
        found = {
            "heads": [each for each in await self.record.heads() if each.key == key],
            "publications": await self.record.publications(key, 0, 100),
            "some publications": await self.record.publications(key, 1, 2),
            "hold lines": await self.record.hold_lines(key, 0, 100),
            "some hold lines": await self.record.hold_lines(key, 1, 1),
            "unapplied": sorted(await self.record.unapplied(key, 1), key=lambda each: each.unit),
            "public contacts": await self.record.contacts(key),
            "previous": await self.record.previous(key),
            "registry": orjson.loads(await self.record.registry(key)),
            "logs": [each for each in await self.logs.heads() if each.key == key],
            "versions": (await journal.versions())[self.id],
            "newest": await journal.newest_reports(key, UNITS),
            "transfers": await journal.transfers(key, UNITS),
            "contacts": await journal.contacts(key),
            "holds": await journal.holds(key, UNITS),
            "all holds": await journal.holds(key, UNITS, ended=True),
            "policy": await journal.policy(key),
            "continuation": await journal.continuation(key, START),
            "unconfirmed": (await self.confirmations.unconfirmed()).get(self.id),
        }
        row = await journal.election(self.id)
        found["election"] = (
            row.version,
            row.publish_from,
            row.released,
            row.closed,
            len(row.tokens),
            row.policy,
        )
        async with journal.locked(key, row.version, START) as locked:
            found["locked"] = locked.continuation
        found["transfers"][1].sort(key=lambda each: each.unit)
        return found


class PostgresSite(Site):
    """In a real Postgres."""

    database: Database

    async def end_embargo(self) -> None:
        async with connected(self.database.url) as owner:
            await owner.execute("UPDATE embargo SET publish_from = now() WHERE election = $1", self.key)

    async def close(self) -> None:
        async with administration(self.database.url, "test") as acts:
            await acts.close_election(self.id)


class SimulatedSite(Site):
    """In a simulated one."""

    database: SimulatedDatabase

    async def end_embargo(self) -> None:
        rows = self.database.primary.tables.elections[self.key]
        rows.apply(msgspec.structs.replace(rows.embargo, publish_from=datetime.now(UTC)))

    async def close(self) -> None:
        await self.database.close(self.id)


@asynccontextmanager
async def postgres(database: Database, document: dict[str, Any]) -> AsyncIterator[Site]:
    async with administration(database.url, "test") as acts:
        await acts.load_election(document)
        await acts.issue_known_tokens(document["election"]["id"], [NewToken(["a"], "a note")])
    async with open_pool(database.url) as pool, open_pool(database.feed_url, feed=True) as feed:
        site = PostgresSite(pool, feed, document["election"]["id"])
        site.database = database
        yield site


@asynccontextmanager
async def simulated(document: dict[str, Any]) -> AsyncIterator[Site]:
    database = SimulatedDatabase(RealTime(), standby=False, pace=0.0)
    database.load(document, [NewToken(["a"], "a note")])
    await database.change_version(document["election"]["id"])  # as the issue of a token does
    client = RealClient()
    site = SimulatedSite(
        simulated_pool(database, client), simulated_pool(database, client), document["election"]["id"]
    )
    site.database = database
    yield site


async def story(site: Site) -> list[dict[str, Any]]:
    """Accept, hold, decide, publish and close; return what could be read in between."""
    await site.begin()
    process = site.process
    writing = asyncio.create_task(process.writer.run())
    observed = [await site.observe()]
    await process.push(a_report("a-1"), a_report("a-2"), odd("a-3"), odd("b-1", votes=20))
    await site.journal.record_contacts({site.token: SEEN})
    await site.journal.record_contacts({site.token: SEEN - timedelta(seconds=9)})
    observed.append(await site.observe())
    await process.push(odd("a-3", 2), a_report("a-1", 4, votes=7), odd("a-1", 5, votes=9), odd("b-2"))
    await process.release(odd("a-3"))
    await process.reject(odd("b-1", votes=20))
    refused = await process.release(odd("b-2"), a_report("a-2"), odd("b-1", votes=20))
    observed.append({**await site.observe(), "refused": refused})
    await site.end_embargo()
    observed.append(await site.observe())
    await process.push(a_report("b-2", 3), a_report("b-3"))
    released = await process.release(odd("a-1", 5, votes=9))
    observed.append({**await site.observe(), "released": released})
    await process.set_policy(rules(odd_time={"do": "warn"}))
    await process.push(odd("b-4"), odd("b-5", 2))
    await site.close()
    observed.append(await site.observe())
    process.writer.close()
    await writing
    return observed


def comparable(value: Any, site: Site, times: list[datetime]) -> Any:
    """Replace what differs between two runs: times by their order, keys, chains of lines, times in lines."""
    if isinstance(value, msgspec.Struct):
        members = msgspec.structs.asdict(value)
        members.pop("hold_chain", None)
        return type(value).__name__, comparable(members, site, times)
    if isinstance(value, dict):
        return {
            name: each == site.key
            if name == "key"
            else each == site.token
            if name == "token"
            else None
            if name == "chain" and "state" in value
            else comparable(each, site, times)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [comparable(each, site, times) for each in value]
    if isinstance(value, datetime):
        return f"time {sorted(set(times)).index(value)}"
    return AT.sub(b"", value) if isinstance(value, bytes) else value


def times_in(value: Any) -> list[datetime]:
    """Return all times."""
    if isinstance(value, datetime):
        return [value]
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        value = list(value.values())
    return [at for each in value for at in times_in(each)] if isinstance(value, list | tuple) else []


async def test_both_databases_answer_the_same_questions_alike(database: Database) -> None:
    """Before and after the end of an embargo, with open and ended holds, another policy, and a closed election."""
    publish_from = (datetime.now(UTC) + FAR).isoformat()
    document = a_registry(rules=ODD_TIME, publish_from=publish_from)
    found = []
    for opening in (postgres(database, document), simulated(document)):
        async with opening as site:
            observed = await story(site)
            times = times_in(observed)
            found.append([comparable(each, site, times) for each in observed])
    for step, (real, double) in enumerate(zip(*found, strict=True)):
        for question, answer in real.items():
            assert double[question] == answer, (step, question)

"""After a commit: feeds see only what the synchronous standby has, and are notified after the append."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import pytest

from gateway.errors import JournalUnavailable
from gateway.journal import announcer as announcer_module
from gateway.journal.administration import administration
from gateway.journal.announcer import Announcer
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import open_pool
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.journal.notifications import CHANNEL
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import Head, PublicRecord
from gateway.journal.session import Connection
from tests.journal.makers import FAR, TIMEOUT_S, a_registry, a_report, append, connected, until
from tests.journal.standbys import cancel_wait, standby_missing

QUEUE_PAGES = 64
"""The smallest permitted size of the notification queue, in pages of 8 kB."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that tests can make wait for a standby, with a small notification queue."""
    directory = tmp_path_factory.mktemp("server")
    os.chmod(directory, 0o755)
    settings = {"max_notify_queue_pages": str(QUEUE_PAGES)}
    with EmbeddedPostgres(directory / "data", durable=False, settings=settings) as server:
        asyncio.run(migrate(server.url, dedicated=True))
        yield server


@dataclass
class Site:
    """An election, the journal of a push process and the record as a feed reads it."""

    server: EmbeddedPostgres
    owner: Connection
    journal: PostgresJournal
    announcer: Announcer
    record: PublicRecord
    nudged: list[str]
    id: str
    key: int
    version: int

    async def head(self) -> Head:
        """Return the head of the record as a feed sees it."""
        (head,) = [head for head in await self.record.heads() if head.key == self.key]
        return head

    async def until_shown(self, sequence: int) -> None:
        """Wait until a feed may show the record up to `sequence`."""

        async def shown() -> bool:
            return (await self.head()).sequence == sequence

        await until(shown)

    async def append(self, *units: str, revision: int = 1) -> None:
        """Append one report per unit."""
        await append(self.journal, self.key, self.version, *(a_report(unit, revision) for unit in units))

    @asynccontextmanager
    async def standby_missing(self) -> AsyncIterator[None]:
        """Make commits wait for a standby that does not exist, except those of `owner`."""
        async with standby_missing(self.server.url, self.owner):
            await self.owner.execute("SET synchronous_commit = local")
            yield

    async def append_without_standby(self, *units: str, revision: int = 1) -> None:
        """Append, and cancel the wait for the standby: the commit is on the primary, and perhaps nowhere else."""
        appending = asyncio.ensure_future(self.append(*units, revision=revision))
        await cancel_wait(self.owner)
        with pytest.raises(JournalUnavailable, match="standby"):
            await appending


@pytest.fixture
async def site(server: EmbeddedPostgres) -> AsyncIterator[Site]:
    """A released election."""
    async with a_site(server, datetime.now(UTC)) as site:
        yield site


@asynccontextmanager
async def a_site(server: EmbeddedPostgres, publish_from: datetime) -> AsyncIterator[Site]:
    async with (
        administration(server.url, "olga") as acts,
        open_pool(server.url) as pool,
        open_pool(server.url, max_size=1) as announcing,
        open_pool(server.feed_url, feed=True) as reading,
    ):
        owner = await asyncpg.connect(server.url, server_settings={"search_path": "valgnatt"})
        identifier = await acts.load_election(a_registry(publish_from=publish_from.isoformat()))
        announcer = Announcer(PostgresConfirmations(announcing))
        journal = PostgresJournal(pool, announcer)
        row = await journal.election(identifier)
        nudged: list[str] = []
        running = asyncio.create_task(announcer.run(nudged.append))
        try:
            yield Site(
                server,
                owner,
                journal,
                announcer,
                PublicRecord(reading),
                nudged,
                identifier,
                row.key,
                row.version,
            )
        finally:
            running.cancel()
            await asyncio.wait((running,))
            owner.terminate()


async def test_without_a_standby_a_commit_is_shown_at_once(site: Site) -> None:
    """The append itself confirms the commit; no confirmation is written."""
    await site.append("a-1", "a-2")
    head = await site.head()
    assert (head.sequence, head.accepted) == (2, 2)
    assert await site.owner.fetchval("SELECT append FROM confirmation WHERE election = $1", site.key) == 0


async def test_a_commit_missing_on_the_standby_is_not_shown_until_it_is_confirmed(site: Site) -> None:
    """A commit whose wait for the standby was cancelled has no receipt, and no feed may show it."""
    await site.append("a-1")
    async with site.standby_missing():
        await site.append_without_standby("a-2")
        head = await site.head()
        assert (head.sequence, head.accepted) == (1, 2)
        (shown,) = await site.record.publications(site.key, 0, 100)
        assert head.chain == shown.chain
        assert await site.record.unapplied(site.key, 1) == []
    await site.append()
    head = await site.head()
    assert (head.sequence, head.accepted) == (2, 2)
    assert [each.unit for each in await site.record.publications(site.key, 0, 100)] == ["a-1", "a-2"]


async def test_a_release_missing_on_the_standby_is_not_shown(server: EmbeddedPostgres) -> None:
    """A release is set by an append like any other, so a failover could undo it."""
    async with a_site(server, datetime.now(UTC) + FAR) as site:
        await site.append("a-1")
        async with site.standby_missing():
            await site.owner.execute("UPDATE embargo SET publish_from = now() WHERE election = $1", site.key)
            await site.append_without_standby()
            assert await site.owner.fetchval(
                "SELECT released_at IS NOT NULL FROM embargo WHERE election = $1", site.key
            )
            head = await site.head()
            assert (head.released_at, head.sequence, head.accepted) == (None, 0, 0)
            assert await site.record.publications(site.key, 0, 100) == []
        await site.append()
        head = await site.head()
        assert head.released_at is not None
        assert head.sequence == 1


async def test_a_confirmed_commit_is_shown(site: Site) -> None:
    """A confirmation of an append that this server has advances what is shown, and never moves it back."""
    async with site.standby_missing():
        await site.append_without_standby("a-1", "a-2", "a-3")
        assert (await site.head()).sequence == 0
        site.announcer.committed(site.key, append=1, accepted=2, released=True)
        await site.announcer.wait_announced()
        await site.until_shown(2)
        for append_number, accepted, shown in ((99, 99, 2), (1, 3, 3), (1, 1, 3)):
            site.announcer.committed(site.key, append=append_number, accepted=accepted, released=True)
            await site.announcer.wait_announced()
            await site.until_shown(shown)


async def test_an_unconfirmed_append_triggers_another_append(site: Site) -> None:
    """The next append that waits for the standby confirms all earlier ones, so one is requested."""
    async with site.standby_missing():
        await site.append_without_standby("a-1")

        async def nudged() -> bool:
            return site.id in site.nudged

        await until(nudged)


async def test_a_failed_confirmation_is_retried(site: Site) -> None:
    """A confirmation whose session was terminated is written again."""
    async with site.standby_missing():
        await site.append_without_standby("a-1")
        async with connected(site.server.url) as locking:
            await locking.execute("BEGIN; LOCK TABLE confirmation IN ACCESS EXCLUSIVE MODE")
            site.announcer.committed(site.key, append=1, accepted=1, released=True)
            await until(
                lambda: site.owner.fetchval(
                    "SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity"
                    " WHERE query LIKE '%confirm%' AND wait_event_type = 'Lock'"
                )
            )
            await locking.execute("ROLLBACK")  # a commit would wait for the standby
        await site.until_shown(1)


async def test_feeds_are_notified_of_appends_only_after_the_release(server: EmbeddedPostgres) -> None:
    """Under the embargo not even the time of an append is revealed."""
    notifications_received: asyncio.Queue[object] = asyncio.Queue()
    async with (
        asyncio.timeout(TIMEOUT_S),
        a_site(server, datetime.now(UTC) + FAR) as site,
        connected(server.feed_url, feed=True) as listening,
    ):
        await listening.add_listener(CHANNEL, lambda *payload: notifications_received.put_nowait(payload[-1]))
        await site.append("a-1")
        await site.append()
        await site.owner.execute("SELECT pg_notify($1, 'sentinel')", CHANNEL)
        assert await notifications_received.get() == "sentinel"
        await site.owner.execute("UPDATE embargo SET publish_from = now() WHERE election = $1", site.key)
        await site.append()
        assert await notifications_received.get() == ""
        await site.append("a-2")
        assert await notifications_received.get() == ""


class Counting:
    """Confirmations that are only counted."""

    def __init__(self) -> None:
        self.notified = 0
        self.confirmed: list[int] = []

    async def confirm(self, election: int, append: int, accepted: int) -> None:
        self.confirmed.append(append)

    async def notify(self) -> None:
        self.notified += 1

    async def unconfirmed(self) -> dict[str, int]:
        return {}


async def test_commits_soon_after_an_announcement_share_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is announced at once, and the last is not forgotten."""
    monkeypatch.setattr(announcer_module, "PAUSE_S", 0.3)
    counting = Counting()
    announcer = Announcer(counting)
    running = asyncio.create_task(announcer.run(lambda election: None))
    async with asyncio.timeout(TIMEOUT_S):
        announcer.committed(1, append=1, accepted=1, released=True)
        await announcer.wait_announced()
        assert (counting.notified, counting.confirmed) == (1, [1])
        for append_number in range(2, 100):
            announcer.committed(1, append=append_number, accepted=append_number, released=True)
            await asyncio.sleep(0)
        await announcer.wait_announced()
    assert (counting.notified, counting.confirmed) == (2, [1, 99])
    running.cancel()
    await asyncio.wait((running,))


async def test_appends_and_acts_succeed_while_the_notification_queue_is_full(site: Site) -> None:
    """Any login may NOTIFY, and a listener that leaves its transaction open keeps the queue from emptying."""
    if site.owner.get_server_version().major < 17:
        pytest.skip("only Postgres 17 and later can make the queue small enough")
    async with connected(site.server.feed_url, feed=True) as stuck, connected(site.server.url) as flooding:
        await stuck.execute("LISTEN other")
        await stuck.execute("BEGIN; SELECT * FROM valgnatt_public.elections()")
        text = "x" * 7900
        with pytest.raises(asyncpg.PostgresError, match="too many notifications"):
            await flood(flooding, text)
        await site.append("a-1")
        assert (await site.head()).sequence == 1
        async with administration(site.server.url, "olga") as acts:
            await acts.issue_token(site.id, ["a"])
            await acts.close_election(site.id)


async def flood(connection: Connection, text: str) -> None:
    """Send more notifications than the queue can hold."""
    for number in range(4 * QUEUE_PAGES):
        await connection.execute(f"NOTIFY other, '{number}{text}'")

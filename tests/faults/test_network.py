"""Broken, silent and slow networks between the gateway, Postgres, senders and readers; see `night`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import Database
from tests.counts import count, full_only
from tests.faults import night as night_module
from tests.faults.night import Addresses, Night, a_night
from tests.faults.servers import Link, PostgresLink, Server, a_link, a_server, links_to
from tests.running import running

pytestmark = pytest.mark.long

LOAD: dict[str, Any] = {"senders": count(3, full=12), "rate": count(9, full=120)}
LATE_S = 2.0
"""The maximum delay for clients that a fault does not affect; normally some hundredths of a second."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without faults: the tests disturb the network to it."""
    with a_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@asynccontextmanager
async def night_with_database_links(
    server: Server, **load: Any
) -> AsyncIterator[tuple[PostgresLink, PostgresLink, Night]]:
    """Run a night whose gateway has a link to Postgres for its push door and one for its feed door."""
    async with links_to(server) as (push, feed, database), running(database) as gateway:
        addresses = Addresses([gateway.push_url], [gateway.feed_url], server.url)
        async with a_night(addresses, **{**LOAD, **load}) as night:
            yield push, feed, night
        assert gateway.logged_errors() == []


def first_outcomes(night: Night) -> dict[tuple[str, int], str]:
    """Return the first outcome of each report that its sender received, apart from `retry`."""
    found: dict[tuple[str, int], str] = {}
    for sender in night.senders:
        for push in sender.pushes:
            found.setdefault((push.unit, push.revision), push.answer.outcome)
    return found


def journal_was_unavailable(night: Night) -> bool:
    """Return whether a sender was asked to retry because the journal was unavailable."""
    return any("journal_unavailable" in answer for answer in night.answer_log.answers)


# Between the gateway and Postgres.


async def test_a_report_whose_commit_answer_is_lost_is_retried_and_becomes_a_duplicate(
    server: Server,
) -> None:
    """The retry gets the original receipt, and the report has one publication.

    If the append never reached Postgres, the sender is asked to retry as well, and the retry is accepted.
    """
    async with night_with_database_links(server) as (link, _, night):
        committed, lost = [], []
        for _ in range(count(1, full=2)):
            committed += await link.lose("answer")
            await night.wait_progress()
            lost += await link.lose("append")
            await night.wait_progress()
        await night.settle()
        outcomes = first_outcomes(night)
        assert [outcomes[each] for each in committed] == ["duplicate"] * len(committed)
        assert [outcomes[each] for each in lost] == ["accepted"] * len(lost)
        assert journal_was_unavailable(night)


@full_only
async def test_a_report_whose_commit_answer_never_arrives_times_out_and_becomes_a_duplicate(
    server: Server,
) -> None:
    """The connection is half-open, so the gateway waits for the answer until its time limit."""
    async with night_with_database_links(server) as (link, _, night):
        committed = await link.lose("answer, silently")
        await night.wait_progress()
        await night.settle()
        outcomes = first_outcomes(night)
        assert [outcomes[each] for each in committed] == ["duplicate"] * len(committed)
        assert journal_was_unavailable(night)


@full_only
async def test_reset_connections_to_postgres_are_replaced_and_no_receipt_is_lost(server: Server) -> None:
    """The connections of each door are reset, and then those of both doors while new ones are refused."""
    async with night_with_database_links(server) as (push, feed, night):
        feed.cut()
        await night.readers_catch_up()
        push.cut()
        await night.wait_progress()
        with push.down(), feed.down():
            await asyncio.sleep(2.0)
            before = night.receipts
        await night.wait_progress()
        assert night.receipts > before
        await night.settle()
        assert journal_was_unavailable(night)


@full_only
async def test_a_slow_network_to_postgres_delays_answers_but_loses_none(
    server: Server,
) -> None:
    """With 300 ms per direction a commit takes more than 0.6 s; batches grow, so the throughput is kept.

    There are so many reports that the pool has its connections before: to open one then would take several seconds. An
    append that finds a new version of the election, which was loaded just before, is repeated after reading it.
    """
    load = {"senders": count(12, full=24), "rate": count(72, full=240)}
    async with night_with_database_links(server, **load) as (push, feed, night):
        with push.slow(0.3), feed.slow(0.3):
            await night.wait_progress()
            await night.wait_progress()
        await night.settle()
        assert not journal_was_unavailable(night)
        assert night.answer_log.slowest_s < 4.0


@full_only
async def test_a_silent_network_to_postgres_delays_answers_and_then_causes_retries(
    server: Server,
) -> None:
    """A short silence only delays answers; during a longer one waiting senders are asked to retry."""
    async with night_with_database_links(server) as (push, feed, night):
        with push.silent(), feed.silent():
            await asyncio.sleep(2.0)
        await night.wait_progress()
        assert not journal_was_unavailable(night)
        with push.silent(), feed.silent():
            await asyncio.sleep(9.0)
            assert journal_was_unavailable(night)
        await night.wait_progress()
        await night.settle()


@full_only
async def test_half_open_connections_to_postgres_are_replaced_after_one_time_limit(server: Server) -> None:
    """The peer of every connection is gone without notice, while new connections work."""
    async with night_with_database_links(server) as (push, feed, night):
        push.make_half_open()
        feed.make_half_open()
        await night.wait_progress()
        await night.settle()
        assert night.longest_receipt_gap_s() < 12.0
        assert night.max_lag_s() < 12.0


# Between the gateway and its clients.


@asynccontextmanager
async def night_with_client_links(
    database: Database, **config: object
) -> AsyncIterator[tuple[Link, Link, Night]]:
    """Run a night whose senders and readers each reach their door through a link."""
    async with AsyncExitStack() as opened:
        gateway = await opened.enter_async_context(running(database, **config))
        push, feed = [
            await opened.enter_async_context(a_link(urlsplit(url).port or 0))
            for url in (gateway.push_url, gateway.feed_url)
        ]
        addresses = Addresses([push.url], [feed.url], database.url)
        async with a_night(addresses, **LOAD) as night:
            yield push, feed, night
        assert gateway.logged_errors() == []


async def disturb(link: Link, night: Night) -> None:
    """Disturb a link in several ways in turn; all clients have to recover after each."""
    link.cut()
    await night.wait_progress()
    with link.slow(0.3):
        await night.wait_progress()
    with link.silent():
        await asyncio.sleep(2.5)
    await night.wait_progress()
    with link.down():
        await asyncio.sleep(2.0)
    await night.wait_progress()


@full_only
async def test_readers_behind_a_bad_network_resume_from_their_cursors(database: Database) -> None:
    """No reader misses a publication or gets a second snapshot, and senders are not affected."""
    async with night_with_client_links(database) as (_, link, night):
        await disturb(link, night)
        await night.settle()
        assert all(reader.connections >= 3 for reader in night.readers)
        assert night.longest_receipt_gap_s() < LATE_S


@full_only
async def test_senders_behind_a_bad_network_lose_no_report(database: Database) -> None:
    """Reports without an answer are sent again, and readers stay connected."""
    async with night_with_client_links(database) as (link, _, night):
        await disturb(link, night)
        await night.settle()
        assert all(reader.connections == 1 for reader in night.readers)


@full_only
async def test_readers_with_half_open_connections_reconnect_when_heartbeats_are_missing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers detect a half-open connection by the missing heartbeats."""
    monkeypatch.setattr(night_module, "READ_TIMEOUT_S", 4.0)
    async with night_with_client_links(database, heartbeat_s=2) as (_, link, night):
        link.make_half_open()
        await night.wait_progress()
        await night.settle()
        assert all(reader.connections == 2 for reader in night.readers)
        assert night.longest_receipt_gap_s() < LATE_S

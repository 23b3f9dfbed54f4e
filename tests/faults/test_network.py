"""Networks between the gateway, Postgres, senders and readers break, fall silent and slow down; see `night`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import Database
from tests.counts import count
from tests.faults import night as night_module
from tests.faults.night import RATE, SENDERS, Addresses, Night, a_night
from tests.faults.servers import Line, PostgresLine, Server, a_line, a_server, lines_to
from tests.running import running

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]

LOAD: dict[str, Any] = {"senders": 12, "rate": count(72, full=120)}
LATE_S = 2.0
"""By how much one may be late for whom nothing is broken; some hundredths are usual."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nothing is done to: it is the way there that breaks."""
    with a_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@asynccontextmanager
async def a_night_behind_lines(
    server: Server, **load: Any
) -> AsyncIterator[tuple[PostgresLine, PostgresLine, Night]]:
    """A night whose gateway has two lines to Postgres, of its push door and of its feed door."""
    async with lines_to(server) as (push, feed, database), running(database) as gateway:
        addresses = Addresses([gateway.push_url], [gateway.feed_url], server.url)
        async with a_night(addresses, **{**LOAD, **load}) as night:
            yield push, feed, night
        assert gateway.complaints() == []


def first_answers(night: Night) -> dict[tuple[str, int], str]:
    """Return what became of each report, as its sender was told first: apart from `retry`."""
    found: dict[tuple[str, int], str] = {}
    for sender in night.senders:
        for push in sender.pushes:
            found.setdefault((push.unit, push.revision), push.answer.outcome)
    return found


def told_unavailable(night: Night) -> bool:
    """Whether some sender was told to come back because the journal was away."""
    return any("journal_unavailable" in answer for answer in night.seen.answers)


# Between the gateway and Postgres.


async def test_a_commit_whose_answer_is_lost_is_told_to_be_sent_again_and_is_then_a_duplicate(
    server: Server,
) -> None:
    """Nobody knows whether it is durable until it comes again; then it has its first receipt, and one publication.

    To the sender it looks the same where the append never reached Postgres; then it is accepted when it comes again.
    """
    async with a_night_behind_lines(server) as (line, _, night):
        committed, lost = [], []
        for _ in range(2):
            committed += await line.lose("answer")
            await night.goes_on()
            lost += await line.lose("append")
            await night.goes_on()
        await night.settle()
        answers = first_answers(night)
        assert [answers[each] for each in committed] == ["duplicate"] * len(committed)
        assert [answers[each] for each in lost] == ["accepted"] * len(lost)
        assert told_unavailable(night)


async def test_a_commit_whose_answer_never_comes_is_given_up_and_is_then_a_duplicate(server: Server) -> None:
    """The connection is half-open, and nothing says so: the answer is waited for as long as one may take."""
    async with a_night_behind_lines(server) as (line, _, night):
        committed = await line.lose("answer, silently")
        await night.goes_on()
        await night.settle()
        answers = first_answers(night)
        assert [answers[each] for each in committed] == ["duplicate"] * len(committed)
        assert told_unavailable(night)


async def test_a_network_to_postgres_that_is_cut_costs_a_connection_and_no_receipt(server: Server) -> None:
    """That of one door, of the other, and of both for some seconds in which none is let in."""
    async with a_night_behind_lines(server) as (push, feed, night):
        feed.cut()
        await night.readers_catch_up()
        push.cut()
        await night.goes_on()
        with push.down(), feed.down():
            await asyncio.sleep(2.0)
            before = night.receipts
        await night.goes_on()
        assert night.receipts > before
        await night.settle()
        assert told_unavailable(night)


async def test_a_slow_network_to_postgres_makes_batches_larger_and_delays_every_answer_a_little(
    server: Server,
) -> None:
    """With 300 ms each way a commit takes more than half a second, and how much goes into it does not matter."""
    async with a_night_behind_lines(server, senders=SENDERS, rate=RATE) as (push, feed, night):
        with push.slow(0.3), feed.slow(0.3):
            await night.goes_on()
            await night.goes_on()
        await night.settle()
        assert not told_unavailable(night)
        assert night.seen.slowest_s < 2.5


async def test_a_network_to_postgres_that_falls_silent_is_waited_for_and_then_given_up(
    server: Server,
) -> None:
    """What is short just makes answers late; in a longer silence all who wait are told to come back."""
    async with a_night_behind_lines(server) as (push, feed, night):
        with push.silent(), feed.silent():
            await asyncio.sleep(2.0)
        await night.goes_on()
        assert not told_unavailable(night)
        with push.silent(), feed.silent():
            await asyncio.sleep(9.0)
            assert told_unavailable(night)
        await night.goes_on()
        await night.settle()


async def test_half_open_connections_to_postgres_are_given_up_one_answer_late(server: Server) -> None:
    """The other end of every connection is gone, and nobody said so; new ones are as good as ever."""
    async with a_night_behind_lines(server) as (push, feed, night):
        push.forget()
        feed.forget()
        await night.goes_on()
        await night.settle()
        assert night.without_receipts_s() < 12.0
        assert night.behind_s() < 12.0


# Between the gateway and those at its doors.


@asynccontextmanager
async def a_night_before_lines(
    database: Database, **config: object
) -> AsyncIterator[tuple[Line, Line, Night]]:
    """A night whose senders and readers have a line to their door."""
    async with AsyncExitStack() as opened:
        gateway = await opened.enter_async_context(running(database, **config))
        push, feed = [
            await opened.enter_async_context(a_line(urlsplit(url).port or 0))
            for url in (gateway.push_url, gateway.feed_url)
        ]
        addresses = Addresses([push.url], [feed.url], database.url)
        async with a_night(addresses, **LOAD) as night:
            yield push, feed, night
        assert gateway.complaints() == []


async def vexed(line: Line, night: Night) -> None:
    """Do to a line what a bad network does, one after the other; after each everybody has to come back."""
    line.cut()
    await night.goes_on()
    with line.slow(0.3):
        await night.goes_on()
    with line.silent():
        await asyncio.sleep(2.5)
    await night.goes_on()
    with line.down():
        await asyncio.sleep(2.0)
    await night.goes_on()


async def test_readers_behind_a_bad_network_come_back_to_where_they_were(database: Database) -> None:
    """Cut, late, silent, away: none misses a publication or is sent all anew, and senders notice nothing."""
    async with a_night_before_lines(database) as (_, line, night):
        await vexed(line, night)
        await night.settle()
        assert all(reader.connections >= 3 for reader in night.readers)
        assert night.without_receipts_s() < LATE_S


async def test_senders_behind_a_bad_network_lose_no_report(database: Database) -> None:
    """Cut, late, silent, away: what has no answer is sent again, and readers notice nothing but the pause."""
    async with a_night_before_lines(database) as (line, _, night):
        await vexed(line, night)
        await night.settle()
        assert all(reader.connections == 1 for reader in night.readers)


async def test_readers_whose_connection_is_half_open_come_back_when_they_miss_the_heartbeat(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing arrives and nothing ends; the silence itself tells them."""
    monkeypatch.setattr(night_module, "SILENCE_S", 4.0)
    async with a_night_before_lines(database, heartbeat_s=2) as (_, line, night):
        line.forget()
        await night.goes_on()
        await night.settle()
        assert all(reader.connections == 2 for reader in night.readers)
        assert night.without_receipts_s() < LATE_S

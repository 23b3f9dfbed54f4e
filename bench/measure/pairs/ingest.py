"""ingest: durable reports/s over WebSocket, beside Postgres alone, FastAPI with an INSERT per request, and NATS."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg

from bench.figures import Result, Row, Skipped, Target, Unavailable, counted
from bench.load.checked import Checker
from bench.load.local import Local, gateway, open_data_set
from bench.load.processes import cpu_s, program
from bench.load.pusher import Order, Pushed
from bench.load.pushing import pushing
from bench.load.supply import Stock, Supply, journal_faults, stock
from bench.measure.filled import append_all
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Round, Rounds, alternate
from bench.peers import fastapi, nats
from bench.peers.wrk import HOW, request, write_requests, wrk
from gateway.journal.connection import open_pool
from gateway.journal.postgres import PostgresJournal

BATCHES = (200, 500, 1000)
"""Batch sizes for Postgres alone; the best result is the ceiling."""
CONNECTIONS = 64
PER = 10_000
BUSY_MAX = 0.95
"""A generator that uses more of a core than this measures itself."""
PROCESSES = 2
"""Push processes of the side with several: as many as the reference machine has cores."""
OURS, BURST, SEVERAL = "WebSocket", "WebSocket, several frames per write", "WebSocket, several push processes"
ALONE, FASTAPI, NATS = "Postgres alone", "FastAPI", "NATS"

FASTAPI_MOST_S = 8_000
"""Requests per second that are prepared for FastAPI; beyond that, requests would be repeated."""
PEER_TABLE = """
DROP SCHEMA IF EXISTS peer CASCADE;
CREATE SCHEMA peer;
CREATE TABLE peer.report (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit        text NOT NULL,
    revision    integer NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    body        bytea NOT NULL,
    UNIQUE (unit, revision)
);
"""


async def measure(options: Options) -> Result:
    """Measure the pair."""
    async with AsyncExitStack() as stack:
        supply = Supply(await stack.enter_async_context(open_data_set(options.data)))
        local = await stack.enter_async_context(gateway(role="all" if options.feed else "push"))
        several = await stack.enter_async_context(
            gateway(role="push", push_workers=PROCESSES, database_url=local.database_url)
        )
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-peers-")))
        grounds = await stock(local, supply), await stock(local, supply)
        return await Ingest(options, local, several, *grounds, scratch).measure()


class Ingest:
    """The pair while it is measured."""

    def __init__(
        self, options: Options, local: Local, several: Local, ours: Stock, alone: Stock, scratch: Path
    ) -> None:
        self._options = options
        self._local = local
        self._several = several
        """A gateway with several push processes on the same journal."""
        self._ours = ours
        self._alone = alone
        self._scratch = scratch
        self._rounds = Rounds()
        self._pair = Result("ingest")
        self._receipts = 0
        self._rows = 0

    async def measure(self) -> Result:
        """Run the rounds of every side, then measure latency, then check the journal."""
        options, pair = self._options, self._pair
        async with AsyncExitStack() as stack:
            sides: dict[str, Round] = {
                OURS: partial(self._push, OURS, 1),
                SEVERAL: partial(self._push, SEVERAL, 1, gateway=self._several),
            }
            if options.burst > 1:
                sides[BURST] = partial(self._push, BURST, options.burst)
            sides[ALONE] = await stack.enter_async_context(self._postgres())
            for name, side in ((FASTAPI, self._fastapi), (NATS, self._nats)):
                try:
                    sides[name] = await stack.enter_async_context(side())
                except Unavailable as error:
                    pair.skipped.append(Skipped.of(error))
            await alternate(options.rounds, sides)
        await self._half_load()
        pair.invalid += await journal_faults(self._ours, self._receipts)
        pair.invalid += await journal_faults(self._alone, self._rows)
        self._add_rows()
        return pair

    def _add_rows(self) -> None:
        rounds, pair, senders = self._rounds, self._pair, len(self._ours.tokens)
        ours, alone = rounds[OURS], rounds.best(ALONE + ", batches")
        what = f"durable reports/s, WebSocket, one report per frame, {senders} senders"
        together = f"{what}, {PROCESSES} push processes"
        pair.rows = [
            Row.compared(together, rounds[SEVERAL], None, Target(20_000, 27_000)),
            Row.compared(together, rounds[SEVERAL], alone, Target(0.25, 0.35)),
            Row.compared(what, ours, None, Target(20_000, 27_000)),
            Row.compared(what, ours, alone, Target(0.25, 0.35)),
        ]
        shown = [ours, rounds[SEVERAL], alone]
        if FASTAPI in rounds:
            pair.rows.append(Row.compared(what, ours, rounds[FASTAPI], Target(10)))
            shown.append(rounds[FASTAPI])
        if NATS in rounds:
            pair.rows.append(Row.compared(what, ours, rounds[NATS]))
            shown.append(rounds[NATS])
        if BURST in rounds:
            several = f"the same, {self._options.burst} frames per write"
            pair.rows.append(Row.compared(several, rounds[BURST], alone))
            shown.append(rounds[BURST])
        for part, most in (("p50", 8.0), ("p99", 25.0)):
            series = rounds[f"time to receipt at half load, {part}"]
            pair.rows.append(Row.compared(series.name, series, None, Target(most, most=True)))
            shown.append(series)
        pair.figures = rounds.others(*shown)

    async def _push(self, side: str, burst: int, rate: float = 0.0, gateway: Local | None = None) -> None:
        """Push the next reports of the supply, through another `gateway` if one is given."""
        options, local, postmaster = self._options, gateway or self._local, self._local.postmaster
        reports = round(rate * options.seconds) if rate else options.reports
        file = self._scratch / "reports"
        self._ours.write(reports, file)
        limit_s = 10 * options.seconds + reports / 1000
        order = Order(
            local.push_url, self._ours.election, list(self._ours.tokens), str(file), burst, rate, limit_s
        )
        push_pids = [pid for name, pid in (await local.pids()).items() if name.startswith("push-")]
        async with pushing(order) as go:
            before = sum(map(cpu_s, push_pids)), cpu_s(postmaster)
            pushed = await go()
            after = sum(map(cpu_s, push_pids)), cpu_s(postmaster)
        self._receipts += pushed.outcomes.get("accepted", 0)
        self._check(side, pushed)
        if rate:
            for part, seconds in (("p50", pushed.p50_s), ("p99", pushed.p99_s)):
                self._rounds.add(f"{side}, {part}", "ms", 1000 * seconds)
            self._rounds.add(f"{side}, delay of the generator itself, p99", "ms", 1000 * pushed.late_p99_s)
            self._rounds.add(f"{side}, offered", "reports/s", rate)
        else:
            self._rounds.add(side, "reports/s", pushed.reports / pushed.seconds)
        self._rounds.add_cpu(
            side,
            {"push processes": after[0] - before[0], "Postgres": after[1] - before[1], "generator": pushed.cpu_s},
            pushed.reports, PER, "reports",
        )  # fmt: skip

    def _check(self, side: str, pushed: Pushed) -> None:
        if pushed.outcomes != {"accepted": pushed.reports}:
            self._pair.invalid.append(
                f"{side}: of {pushed.reports} reports {pushed.outcomes}, {pushed.unanswered} unanswered"
            )
        if pushed.retried:
            self._pair.notes.append(
                f"{side}: {counted(pushed.retried, 'report')} sent again after the outcome retry"
            )
        if pushed.cpu_s > BUSY_MAX * pushed.seconds:
            self._pair.notes.append(f"{side}: the generator used a whole core, so it may be the bottleneck")

    async def _half_load(self) -> None:
        rate = self._rounds[OURS].median / 2
        for _ in range(self._options.rounds):
            await self._push("time to receipt at half load", 1, rate)

    @asynccontextmanager
    async def _postgres(self) -> AsyncIterator[Round]:
        """Postgres alone: appends like those of the writer, to a separate election, one batch after the other."""
        checker = Checker(self._alone.supply.registry)
        async with open_pool(self._local.database_url, max_size=4) as pool:
            journal = PostgresJournal(pool)

            async def one_round() -> None:
                for size in BATCHES:
                    reports = checker.check_all(self._alone.take(self._options.reports))
                    before = cpu_s(self._local.postmaster), time.process_time()
                    seconds = await append_all(journal, self._alone.election, reports, size)
                    taken = {
                        "Postgres": cpu_s(self._local.postmaster) - before[0],
                        "asyncpg": time.process_time() - before[1],
                    }
                    self._rows += len(reports)
                    name = f"{ALONE}, batches of {size}"
                    self._rounds.add(name, "reports/s", len(reports) / seconds)
                    self._rounds.add_cpu(name, taken, len(reports), PER, "reports")

            yield one_round

    @asynccontextmanager
    async def _fastapi(self) -> AsyncIterator[Round]:
        """FastAPI with one INSERT per request, in the same Postgres, loaded by wrk."""
        program("wrk", HOW)
        await _execute(self._local.database_url, PEER_TABLE)
        url = self._local.database_url
        async with fastapi.served("one_insert", self._options.out / "peers", DATABASE_URL=url) as app:
            supply, place = self._ours.supply, 0
            host = app.url.removeprefix("http://")

            async def one_round() -> None:
                nonlocal place
                count = round(FASTAPI_MOST_S * self._options.seconds)
                bodies = [supply.body(place + number) for number in range(count)]
                place += count
                file = self._scratch / "requests"
                write_requests((request(host, "/reports", body) for body in bodies), file)
                before = cpu_s(app.pid), cpu_s(self._local.postmaster)
                load = await wrk(app.url, file, connections=CONNECTIONS, seconds=self._options.seconds)
                taken = {
                    "uvicorn": cpu_s(app.pid) - before[0],
                    "Postgres": cpu_s(self._local.postmaster) - before[1],
                }
                if load.bad_statuses or load.socket_errors:
                    self._pair.invalid.append(f"FastAPI: {load}")
                self._rounds.add(FASTAPI, "reports/s", load.requests_s)
                self._rounds.add_cpu(FASTAPI, taken, load.requests, PER, "reports")

            yield one_round

    @asynccontextmanager
    async def _nats(self) -> AsyncIterator[Round]:
        """NATS JetStream that flushes before it acknowledges, with as many senders and as many messages in flight."""
        async with nats.served(self._scratch) as server:
            supply = self._ours.supply

            async def one_round() -> None:
                bodies = [supply.body(number) for number in range(supply.whole_turns(self._options.reports))]
                before = cpu_s(server.pid)
                found = await asyncio.to_thread(nats.publish, server.port, bodies, len(supply.senders))
                self._rounds.add(NATS, "reports/s", len(bodies) / found.seconds)
                self._rounds.add_cpu(
                    NATS, {"nats-server": cpu_s(server.pid) - before}, len(bodies), PER, "reports"
                )

            yield one_round


async def _execute(database_url: str, statements: str) -> None:
    """Execute SQL statements."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()

"""ingest: durable reports/s over WebSocket, beside Postgres alone, FastAPI with an INSERT per request, and NATS.

The ceiling of one push process is `bench.peers.bare_ingest`, a process that takes the same reports without any check.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from bench.figures import Result, Row, Skipped, Target, Unavailable, counted
from bench.load.checked import Checker
from bench.load.local import Local, gateway, open_data_set
from bench.load.plan import Planner
from bench.load.processes import cpu_s, program
from bench.load.pusher import Order, Pushed
from bench.load.pushing import pushing
from bench.load.supply import Stock, Supply, journal_faults, stock
from bench.load.target import create_election
from bench.measure.filled import append_all
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Round, Rounds, alternate
from bench.peers import fastapi, nats
from bench.peers.bare_ingest import bare_ingest
from bench.peers.wrk import HOW, request, write_requests, wrk
from gateway.journal.connection import open_pool
from gateway.journal.postgres import PostgresJournal
from gateway.rehearsal.dataset import DataSet

BATCHES = (200, 500, 1000)
"""Batch sizes for Postgres alone; the best result is the ceiling."""
CONNECTIONS = 64
PER = 10_000
BUSY_MAX = 0.95
"""A generator that uses more of a core than this measures itself."""
PROCESSES = 2
"""Push processes of the side with several: as many as the reference machine has cores."""
OURS, BURST, SEVERAL = "WebSocket", "WebSocket, several frames per write", "WebSocket, several push processes"
RULED = "WebSocket, recommended rules and a signer"
ALONE, FASTAPI, NATS = "Postgres alone", "FastAPI", "NATS"
BARE = "one process without any check"
HALF_LOAD, PER_CPU_S = "time to receipt at half load", "per CPU second"
BESIDE_FASTAPI, BESIDE_POSTGRES = Target(10), Target(0.5)

FASTAPI_MOST_S = 8_000
"""Requests per second that are prepared for FastAPI; beyond that, requests would be repeated."""


async def measure(options: Options) -> Result:
    """Measure the pair."""
    async with AsyncExitStack() as stack:
        dataset = await stack.enter_async_context(open_data_set(options.data))
        supply = Supply(dataset)
        local = await stack.enter_async_context(gateway(role="all" if options.feed else "push"))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-peers-")))
        grounds = await stock(local, supply), await stock(local, supply)
        return await Ingest(options, dataset, local, *grounds, scratch).measure()


class Ingest:
    """The pair while it is measured."""

    def __init__(
        self,
        options: Options,
        dataset: DataSet,
        local: Local,
        ours: Stock,
        alone: Stock,
        scratch: Path,
    ) -> None:
        self._options = options
        self._dataset = dataset
        self._local = local
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
            sides: dict[str, Round] = {OURS: partial(self._push, OURS, 1)}
            sides[BARE] = await stack.enter_async_context(self._bare())
            sides[ALONE] = await stack.enter_async_context(self._postgres())
            peers = {FASTAPI: self._fastapi}
            if not options.goals_only:
                sides[SEVERAL] = self._several
                peers[NATS] = self._nats
                if options.burst > 1:
                    sides[BURST] = partial(self._push, BURST, options.burst)
            sides[RULED] = await stack.enter_async_context(self._with_rules())
            for name, side in peers.items():
                try:
                    sides[name] = await stack.enter_async_context(side())
                except Unavailable as error:
                    pair.skipped.append(Skipped.of(error))
            await alternate(options.rounds, sides)
        if not options.goals_only:
            await self._half_load()
        pair.invalid += await journal_faults(self._ours, self._receipts)
        pair.invalid += await journal_faults(self._alone, self._rows)
        self._add_rows()
        return pair

    def _add_rows(self) -> None:
        rounds, pair, senders = self._rounds, self._pair, len(self._ours.tokens)
        ours, alone, per_cpu_s = (
            rounds[OURS],
            rounds.best(ALONE + ", batches"),
            rounds[f"{OURS}, {PER_CPU_S}"],
        )
        what = f"durable reports/s, WebSocket, one report per frame, {senders} senders"
        if FASTAPI in rounds:
            peer = rounds[f"{FASTAPI}, {PER_CPU_S}"]
            of_cpu = f"the same per CPU second of the server and Postgres, {senders} senders"
            pair.rows += [
                Row.compared(what, ours, rounds[FASTAPI], BESIDE_FASTAPI, goal=1),
                Row.compared(of_cpu, per_cpu_s, peer, BESIDE_FASTAPI, goal=1),
            ]
            bare, bare_per_cpu_s = rounds[BARE], rounds[f"{BARE}, {PER_CPU_S}"]
            ceiling = "the ceiling: one process that reads, decodes, commits and answers without any check"
            pair.rows += [
                Row.compared(f"{ceiling}, reports/s", bare, rounds[FASTAPI]),
                Row.compared(f"{ceiling}, per CPU second of it and Postgres", bare_per_cpu_s, peer),
            ]
        pair.rows.append(Row.compared(what, ours, alone, BESIDE_POSTGRES, goal=2))
        more = {
            RULED: "the same, recommended rules and a signer",
            SEVERAL: f"the same, {PROCESSES} push processes",
            BURST: f"the same, {self._options.burst} frames per write",
        }
        pair.rows += [
            Row.compared(text, rounds[side], alone) for side, text in more.items() if side in rounds
        ]
        if NATS in rounds:
            pair.rows.append(Row.compared(what, ours, rounds[NATS]))
        for part in ("p50", "p99"):
            if (series := rounds.get(f"{HALF_LOAD}, {part}")) is not None:
                pair.rows.append(Row.compared(series.name, series))
        shown = [each for row in pair.rows for each in (row.ours, row.beside) if each is not None]
        pair.figures = rounds.others(*shown)

    async def _push(self, side: str, burst: int, rate: float = 0.0, gateway: Local | None = None) -> None:
        """Push the next reports of the supply, through another `gateway` if one is given."""
        options, local = self._options, gateway or self._local
        reports = round(rate * options.seconds) if rate else options.reports
        file = self._scratch / "reports"
        self._ours.write(reports, file)
        limit_s = 10 * options.seconds + reports / 1000
        order = Order(
            local.push_url, self._ours.election, list(self._ours.tokens), str(file), burst, rate, limit_s
        )
        self._receipts += (await self._push_to(local, side, order)).outcomes.get("accepted", 0)

    async def _several(self) -> None:
        """Push through a gateway with several push processes on the same journal."""
        url = self._local.database_url
        async with gateway(role="push", push_workers=PROCESSES, database_url=url) as several:
            await self._push(SEVERAL, 1, gateway=several)

    async def _push_to(self, local: Local, side: str, order: Order) -> Pushed:
        """Push to a gateway, and add the figures of the round."""
        push_pids = [pid for name, pid in (await local.pids()).items() if name.startswith("push-")]
        return await self._push_order(side, order, push_pids, local.postmaster or self._local.postmaster)

    async def _push_order(self, side: str, order: Order, push_pids: Sequence[int], postmaster: int) -> Pushed:
        """Push to processes, and add the figures of the round."""
        rate = order.rate
        async with pushing(order) as go:
            before = sum(map(cpu_s, push_pids)), cpu_s(postmaster)
            pushed = await go()
            after = sum(map(cpu_s, push_pids)), cpu_s(postmaster)
        self._check(side, pushed)
        if rate:
            for part, seconds in (("p50", pushed.p50_s), ("p99", pushed.p99_s)):
                self._rounds.add(f"{side}, {part}", "ms", 1000 * seconds)
            self._rounds.add(f"{side}, delay of the generator itself, p99", "ms", 1000 * pushed.late_p99_s)
            self._rounds.add(f"{side}, offered", "reports/s", rate)
        else:
            self._add_rate(side, pushed.reports, pushed.seconds, sum(after) - sum(before))
        self._rounds.add_cpu(
            side,
            {"push processes": after[0] - before[0], "Postgres": after[1] - before[1], "generator": pushed.cpu_s},
            pushed.reports, PER, "reports",
        )  # fmt: skip
        return pushed

    def _add_rate(self, side: str, reports: int, seconds: float, cpu_seconds: float) -> None:
        """Add how many reports were durable per second, and per CPU second of a server and Postgres."""
        self._rounds.add(side, "reports/s", reports / seconds)
        if cpu_seconds:
            self._rounds.add(f"{side}, {PER_CPU_S}", "reports per CPU s", reports / cpu_seconds)

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
            await self._push(HALF_LOAD, 1, rate)

    @asynccontextmanager
    async def _with_rules(self) -> AsyncIterator[Round]:
        """One push process with the recommended rules and a signer: each round pushes the recorded election."""
        dataset, file = self._dataset, self._scratch / "recorded"
        registry = {**dataset.registry, "election": {**dataset.registry["election"], "rules": "recommended"}}
        plan = Planner(dataset.reports()).recorded()
        senders = list(dict.fromkeys(each.sender for each in plan))
        turns = [senders.index(each.sender) for each in plan]
        file.write_bytes(b"".join(each.body + b"\n" for each in plan))
        keys = self._scratch / "keys"
        async with gateway(role="push", sign_dir=keys, log_name="measured.example") as local:

            async def one_round() -> None:
                created = await create_election(local, registry, [[sender] for sender in senders])
                order = Order(local.push_url, created.id, created.secrets, str(file), senders=turns)
                await self._push_to(local, RULED, order)

            yield one_round

    @asynccontextmanager
    async def _bare(self) -> AsyncIterator[Round]:
        """One process that takes reports from as many senders without any check, in the same Postgres."""
        bare = Stock(self._local, self._ours.supply, "bare", self._ours.tokens)
        file = self._scratch / "reports"
        async with bare_ingest(self._local.database_url) as served:

            async def one_round() -> None:
                reports = bare.write(self._options.reports, file)
                limit_s = 10 * self._options.seconds + reports / 1000
                order = Order(served.url, bare.election, list(bare.tokens), str(file), limit_s=limit_s)
                await self._push_order(BARE, order, [served.pid], self._local.postmaster)

            yield one_round

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
        async with fastapi.one_insert(self._local.database_url, self._options.out / "peers") as app:
            supply, place = self._ours.supply, 0
            host = app.url.removeprefix("http://")

            async def one_round() -> None:
                nonlocal place
                count = round(FASTAPI_MOST_S * self._options.seconds)
                bodies = [supply.body(place + number) for number in range(count)]
                place += count
                file = self._scratch / "requests"
                write_requests((request(host, fastapi.REPORTS, body) for body in bodies), file)
                before = cpu_s(app.pid), cpu_s(self._local.postmaster)
                load = await wrk(app.url, file, connections=CONNECTIONS, seconds=self._options.seconds)
                taken = {
                    "uvicorn": cpu_s(app.pid) - before[0],
                    "Postgres": cpu_s(self._local.postmaster) - before[1],
                }
                if load.bad_statuses or load.socket_errors:
                    self._pair.invalid.append(f"FastAPI: {load}")
                self._add_rate(FASTAPI, load.requests, load.seconds, sum(taken.values()))
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

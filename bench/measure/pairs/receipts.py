"""receipts: time to receipt at 1000 reports/s in an open model, beside FastAPI, and beside a bare commit of one row.

Each report is sent when it is due, whatever the answers to earlier ones, by as many senders as the election has, over
one connection each. The senders do not wait for each other either, so the times at which reports are due are those of
a Poisson process. A latency starts when a report is due. FastAPI gets its reports at the same times over as many
connections. In rounds of their own, as many bare commits of one row are made at a steady pace, over a connection of
their own, while reports are pushed. The ceiling is one process that takes the same frames at the same times, decodes,
commits and answers them without any check.
"""

import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bench.figures import Result, Row, Skipped, Target, Unavailable, counted
from bench.load import committer, poster
from bench.load.generating import generator
from bench.load.local import Local, gateway, open_data_set
from bench.load.plan import independent_times
from bench.load.processes import cpu_s
from bench.load.pusher import Order, Pushed
from bench.load.pushing import pushing
from bench.load.supply import Stock, Supply, journal_faults, stock
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Round, Rounds, alternate
from bench.peers import bare_ingest, fastapi

RATE = 1000.0
PER = 10_000
LATE_S = 60.0
"""How long the last answers may take, in s."""
OURS, FASTAPI = "Valgnatt", "FastAPI"
CEILING = "one process without any check"
LOADED, BARE = "Valgnatt, beside bare commits", "bare commit of one row"
POSTER, COMMITTER = "bench.load.poster", "bench.load.committer"


async def measure(options: Options) -> Result:
    """Measure the pair."""
    async with AsyncExitStack() as stack:
        supply = Supply(await stack.enter_async_context(open_data_set(options.data)))
        local = await stack.enter_async_context(gateway(role="all" if options.feed else "push"))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-peers-")))
        ceiling = await stack.enter_async_context(bare_ingest.bare_ingest(local.database_url))
        receipts = Receipts(options, local, await stock(local, supply), ceiling, scratch)
        try:
            receipts.fastapi = await stack.enter_async_context(
                fastapi.one_insert(local.database_url, options.out / "peers")
            )
        except Unavailable as error:
            receipts.pair.skipped.append(Skipped.of(error))
        return await receipts.measure()


class Receipts:
    """The pair while it is measured."""

    def __init__(
        self, options: Options, local: Local, ours: Stock, ceiling: bare_ingest.Served, scratch: Path
    ) -> None:
        self._options = options
        self._local = local
        self._ours = ours
        self._ceiling = ceiling
        self._bare = Stock(local, ours.supply, "bare", ours.tokens)
        self._file = scratch / "reports"
        self._rounds = Rounds()
        self._receipts = 0
        self._posted = 0
        self.pair = Result("receipts")
        self.fastapi: fastapi.Served | None = None

    async def measure(self) -> Result:
        """Run the rounds of every side, then check the journal."""
        sides: dict[str, Round] = {OURS: partial(self._push, OURS)}
        if self.fastapi is not None:
            sides[FASTAPI] = partial(self._post, self.fastapi)
        sides[CEILING] = self._push_bare
        sides[LOADED] = self._beside_commits
        await alternate(self._options.rounds, sides)
        self.pair.invalid += await journal_faults(self._ours, self._receipts)
        self._add_rows()
        return self.pair

    async def _push(self, side: str) -> None:
        push = (await self._local.pids())["push-0"]
        pushed = await self._push_to(side, self._ours, self._local.push_url, push)
        self._receipts += pushed.outcomes.get("accepted", 0)

    async def _push_bare(self) -> None:
        await self._push_to(CEILING, self._bare, self._ceiling.url, self._ceiling.pid)

    async def _push_to(self, side: str, source: Stock, url: str, pid: int) -> Pushed:
        """Push reports of `source` to a process at a URL, and add the figures of the round."""
        reports, postmaster = source.write(self._options.receipts, self._file), self._local.postmaster
        order = Order(
            url, source.election, list(source.tokens), str(self._file), rate=RATE,
            due_s=independent_times(RATE, reports), limit_s=LATE_S + reports / RATE,
        )  # fmt: skip
        async with pushing(order) as go:
            before = cpu_s(pid), cpu_s(postmaster)
            pushed = await go()
            taken = {"process": cpu_s(pid) - before[0], "Postgres": cpu_s(postmaster) - before[1]}
        if pushed.outcomes != {"accepted": pushed.reports}:
            self.pair.invalid.append(
                f"{side}: of {pushed.reports} reports {pushed.outcomes}, {pushed.unanswered} unanswered"
            )
        self._note(side, pushed.p50_s, pushed.p99_s, pushed.late_p99_s)
        self._rounds.add_cpu(side, {**taken, "generator": pushed.cpu_s}, reports, PER, "reports")
        return pushed

    async def _post(self, app: fastapi.Served) -> None:
        supply, senders = self._ours.supply, len(self._ours.tokens)
        count = supply.whole_turns(self._options.receipts)
        bodies = [supply.body(self._posted + number) for number in range(count)]
        self._posted += count
        self._file.write_bytes(b"\n".join(bodies) + b"\n")
        order = poster.Order(
            app.port, fastapi.REPORTS, str(self._file), senders, independent_times(RATE, count),
            limit_s=LATE_S + count / RATE,
        )  # fmt: skip
        async with generator(POSTER, order) as started:
            before = cpu_s(app.pid), cpu_s(self._local.postmaster)
            started.tell("go")
            posted = await started.result(poster.Posted, order.limit_s + LATE_S)
            taken = {
                "uvicorn": cpu_s(app.pid) - before[0],
                "Postgres": cpu_s(self._local.postmaster) - before[1],
            }
        if posted.statuses != {201: count}:
            self.pair.invalid.append(
                f"{FASTAPI}: of {count} reports {posted.statuses}, {posted.unanswered} unanswered"
            )
        self._note(FASTAPI, posted.p50_s, posted.p99_s, posted.late_p99_s)
        self._rounds.add_cpu(FASTAPI, {**taken, "generator": posted.cpu_s}, count, PER, "reports")

    async def _beside_commits(self) -> None:
        """Push, and commit single rows at the same pace meanwhile."""
        least = self._options.receipts
        limit_s = LATE_S + least / RATE
        order = committer.Order(self._local.database_url, RATE, least, limit_s)
        async with generator(COMMITTER, order) as started:
            started.tell("go")
            await self._push(LOADED)
            started.tell("stop")
            committed = await started.result(committer.Committed, limit_s)
        for part, seconds in (("p50", committed.p50_s), ("p99", committed.p99_s)):
            self._rounds.add(f"{BARE}, {part}", "ms", 1000 * seconds)
        if committed.commits < least:
            self.pair.notes.append(f"{BARE}: only {counted(committed.commits, 'commit')} in {limit_s:.0f} s")
        self._rounds.add(f"{BARE}, rate", "commits/s", committed.commits / committed.seconds)

    def _note(self, side: str, p50_s: float, p99_s: float, late_s: float) -> None:
        for part, seconds in (("p50", p50_s), ("p99", p99_s)):
            self._rounds.add(f"{side}, {part}", "ms", 1000 * seconds)
        self._rounds.add(f"{side}, delay of the generator itself, p99", "ms", 1000 * late_s)

    def _add_rows(self) -> None:
        rounds, pair, senders = self._rounds, self.pair, len(self._ours.tokens)
        load = f"{RATE:g} reports/s, open model, {senders} senders"
        for part, target in (("p50", Target(1 / 3, most=True)), ("p99", Target(1 / 5, most=True))):
            ours, peer = rounds[f"{OURS}, {part}"], rounds.get(f"{FASTAPI}, {part}")
            what = f"time to receipt at {load}, {part}"
            if peer is not None:
                pair.rows.append(Row.compared(what, ours, peer, target, goal=4))
            else:
                pair.rows.append(Row.compared(what, ours))
        for part, limit in (("p50", None), ("p99", Target(5, most=True))):
            ours, beside = rounds[f"{LOADED}, {part}"], rounds[f"{BARE}, {part}"]
            what = f"time to receipt at {load}, beside {RATE:g} bare commits/s, {part}"
            pair.rows.append(Row.compared(what, ours, beside, limit, goal=5 if limit is not None else 0))
        for part in ("p50", "p99"):
            if (peer := rounds.get(f"{FASTAPI}, {part}")) is not None:
                what = f"the least that is possible: {BARE} on a connection of its own, {part}"
                pair.rows.append(Row.compared(what, rounds[f"{BARE}, {part}"], peer))
                what = f"the ceiling: one process that reads, decodes, commits and answers without any check, {part}"
                pair.rows.append(Row.compared(what, rounds[f"{CEILING}, {part}"], peer))
        shown = [each for row in pair.rows for each in (row.ours, row.beside) if each is not None]
        pair.figures = rounds.others(*shown)

"""http: durable reports/s, one report per request, beside a bare aiohttp handler; both loaded by wrk."""

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bench.figures import Result, Row, Skipped, Target, Unavailable
from bench.load.local import Local, gateway, open_data_set
from bench.load.processes import cpu_s, program
from bench.load.supply import Stock, Supply, journal_faults, stock
from bench.measure.ceilings import bare_handler
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Round, Rounds, alternate
from bench.peers.wrk import HOW, Load, request, write_requests, wrk

CONNECTIONS = 64
PREPARED_PER_S = 25_000
"""Requests per second that are prepared; no request may be sent twice."""
PER = 10_000
OURS, BARE = "HTTP", "bare aiohttp handler"


async def measure(options: Options) -> Result:
    """Measure the pair."""
    pair = Result("http")
    try:
        require_wrk()
    except Unavailable as error:
        pair.skipped.append(Skipped.of(error))
        return pair
    async with AsyncExitStack() as stack:
        bare_url = await stack.enter_async_context(bare_handler())
        supply = Supply(await stack.enter_async_context(open_data_set(options.data)))
        local = await stack.enter_async_context(gateway(role="all" if options.feed else "push"))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-peers-")))
        await Requests(options, local, await stock(local, supply), scratch, pair).measure(bare_url)
    return pair


def require_wrk() -> None:
    """Raise Unavailable where wrk is not installed."""
    program("wrk", HOW)


class Requests:
    """The pair while it is measured."""

    def __init__(self, options: Options, local: Local, ours: Stock, scratch: Path, pair: Result) -> None:
        self._options = options
        self._local = local
        self._ours = ours
        self._file = scratch / "requests"
        self._bare_file = scratch / "bare"
        self._pair = pair
        self._rounds = Rounds()
        self._receipts = 0
        self._with_bare = False

    async def measure(self, bare_url: str | None) -> None:
        """Run the rounds of both sides with the same requests, or ours alone, and check the journal."""
        sides: dict[str, Round] = {OURS: self._push}
        self._with_bare = bare_url is not None
        if bare_url is not None:
            sides[BARE] = partial(self._bare, bare_url)
        await alternate(self._options.rounds, sides)
        in_flight = self._options.rounds * CONNECTIONS
        self._pair.invalid += await journal_faults(self._ours, self._receipts, self._receipts + in_flight)
        rounds = self._rounds
        what = f"durable reports/s, HTTP, one report per request, {CONNECTIONS} connections, one push process"
        shown = [rounds[side] for side in sides]
        if bare_url is not None:
            self._pair.rows.append(Row.compared(what, shown[0], shown[1], Target(0.45), goal=3))
        else:
            self._pair.rows.append(Row.compared(what, shown[0]))
        self._pair.figures = rounds.others(*shown)

    async def _push(self) -> None:
        local = self._local
        bodies = self._ours.take(round(PREPARED_PER_S * self._options.seconds))
        path = f"/v1/elections/{self._ours.election}/reports"
        self._write(self._file, local.push_url, path, bodies)
        if self._with_bare:
            self._write(self._bare_file, local.push_url, "/", bodies)
        pid = (await local.pids())["push-0"]
        before = cpu_s(pid), cpu_s(local.postmaster)
        load = await self._load(OURS, local.push_url, self._file)
        taken = {"push process": cpu_s(pid) - before[0], "Postgres": cpu_s(local.postmaster) - before[1]}
        self._rounds.add_cpu(OURS, taken, load.requests, PER, "reports")
        self._receipts += load.requests - load.bad_statuses
        if load.requests > len(bodies):
            self._pair.invalid.append("HTTP: more requests than were prepared, so some were sent twice")

    async def _bare(self, url: str) -> None:
        await self._load(BARE, url, self._bare_file)

    def _write(self, file: Path, url: str, path: str, bodies: Sequence[bytes]) -> None:
        host, tokens = urlsplit(url).netloc, self._ours.tokens
        senders = len(tokens)
        write_requests(
            (request(host, path, body, tokens[place % senders]) for place, body in enumerate(bodies)), file
        )

    async def _load(self, side: str, url: str, file: Path) -> Load:
        load = await wrk(url, file, connections=CONNECTIONS, seconds=self._options.seconds)
        if load.bad_statuses or load.socket_errors:
            self._pair.invalid.append(f"{side}: {load}")
        self._rounds.add(side, "requests/s", load.requests_s)
        self._rounds.add(f"{side}: time to response, p50", "ms", 1000 * load.p50_s)
        self._rounds.add(f"{side}: time to response, p99", "ms", 1000 * load.p99_s)
        return load

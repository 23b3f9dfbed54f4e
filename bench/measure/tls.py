"""TLS: night, latency and HTTP with TLS on both ports, beside the same without TLS; deliveries: `peers tls`."""

import tempfile
from pathlib import Path

from bench.figures import Result, Row, Series, Skipped, Unavailable
from bench.load.certificates import create_certificate
from bench.load.local import Local, gateway, open_data_set
from bench.load.supply import Supply, stock
from bench.measure.latency import RATE, follow
from bench.measure.night import SUBSCRIBERS, push_all
from bench.measure.options import Options
from bench.measure.pairs import http
from bench.measure.pairs.options import Options as PairOptions
from gateway.rehearsal.dataset import DataSet

CROWD = 1_000
CLEAR, TLS = "without TLS", "TLS"


class Sides:
    """The figures of both sides."""

    def __init__(self, options: Options, dataset: DataSet, scratch: Path) -> None:
        self._options = options
        self._dataset = dataset
        self._scratch = scratch
        self._crowd = options.readers[0] if options.readers else CROWD
        self.measured = Result("tls")
        self._figures: dict[tuple[str, str], dict[str, float]] = {}

    async def measure(self, side: str, local: Local) -> None:
        """Measure one side."""
        seconds = self._options.seconds / 2
        pushed = await push_all(local, self._dataset)
        self._add(
            f"{pushed.reports} reports at once: last of {SUBSCRIBERS} subscribers complete",
            "s",
            side,
            pushed.seconds,
        )
        self.measured.notes.append(f"{side}: all reports at once: {pushed.text}")
        self.measured.invalid += pushed.faults
        (followed,) = await follow(local, self._dataset, [self._crowd], seconds, self.measured.invalid)
        what = (
            f"commit → subscriber's socket, {RATE:g} reports/s, {self._crowd} readers: newest of each block"
        )
        self._add(f"{what}, p50", "ms", side, 1000 * followed.seen.p50_s)
        self._add(f"{what}, p99", "ms", side, 1000 * followed.seen.p99_s)
        await self._requests(side, local, seconds)

    async def _requests(self, side: str, local: Local, seconds: float) -> None:
        try:
            http.require_wrk()
        except Unavailable as error:
            if side == TLS:
                self.measured.skipped.append(Skipped.of(error))
            return
        pair = Result("http")
        ours = await stock(local, Supply(self._dataset))
        options = PairOptions(rounds=1, seconds=max(1.0, 2 * seconds / 3))
        await http.Requests(options, local, ours, self._scratch, pair).measure(None)
        self.measured.invalid += pair.invalid
        (row,) = pair.rows
        self._add(row.what, row.ours.unit, side, row.ours.median)

    def _add(self, what: str, unit: str, side: str, value: float) -> None:
        self._figures.setdefault((what, unit), {})[side] = value

    def result(self) -> Result:
        """Return the rows of both sides."""
        self.measured.rows = [
            Row.single(f"{TLS}: {what}", sides[TLS], unit, None, Series.single(CLEAR, sides[CLEAR], unit))
            for (what, unit), sides in self._figures.items()
        ]
        return self.measured


async def measure(options: Options) -> Result:
    """Measure both sides, one after the other."""
    with tempfile.TemporaryDirectory(prefix="valgnatt-measure-") as directory:
        scratch = Path(directory)
        shown = await create_certificate(scratch)
        async with open_data_set(options.data) as dataset:
            sides = Sides(options, dataset, scratch)
            for side, config in (
                (CLEAR, {}),
                (TLS, {"push_tls_certificate": shown, "feed_tls_certificate": shown}),
            ):
                async with gateway(readers_max=100_000, **config) as local:
                    await sides.measure(side, local)
    return sides.result()

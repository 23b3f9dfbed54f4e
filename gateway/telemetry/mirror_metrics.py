"""Metrics of a mirror: the age of each election's files, how far they are behind the stream, and what fails."""

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec
from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.metrics import ProcessMetrics

PARTS = ("feed", "steps", "documents", "removal", "refused", "failed")
"""What may fail: reading the stream, writing steps, files that are rewritten, removing old files; `refused`: the door
does not serve the election; `failed`: anything else."""
STEP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets, in seconds."""


class MirroredElection(msgspec.Struct, frozen=True):
    """What a mirror reports about one election."""

    age_s: float
    """Seconds since `live.json` was last written, or since the election was found; 0 once the election is closed."""
    sequence: int
    """Sequence of `live.json`."""
    behind: int
    """Publications that the stream has shown, and `live.json` not yet."""
    documents_behind: int
    """Publications up to `live.json` that some file that is rewritten may lack."""
    steps: int
    """States written since the start."""
    histories: int
    """Histories begun or continued since the start."""
    fails: Collection[str]
    """What fails now; of PARTS."""


class MirrorTotals(msgspec.Struct, frozen=True):
    """What a mirror has written since the start, and whether it can write at all."""

    files: int
    bytes: int
    stopped: bool
    """Whether the target or the list of elections cannot be reached."""


class MirrorMetrics(ProcessMetrics):
    """Metrics of a mirror. Both callables are called when they are collected."""

    def __init__(
        self,
        every_s: int,
        elections: Callable[[], Mapping[str, MirroredElection]],
        totals: Callable[[], MirrorTotals],
    ) -> None:
        super().__init__()
        self.step_s = Histogram(
            "valgnatt_mirror_step_seconds",
            "From a block of the stream to the live.json that shows it",
            buckets=STEP_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_Elections(every_s, elections, totals))


class _Elections(Collector):
    def __init__(
        self,
        every_s: int,
        elections: Callable[[], Mapping[str, MirroredElection]],
        totals: Callable[[], MirrorTotals],
    ) -> None:
        self._every_s = every_s
        self._elections = elections
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        """Return a value for every election and every part that may fail, so that Prometheus sees the first one."""
        label = ["election"]
        every = GaugeMetricFamily("valgnatt_mirror_interval_seconds", "Interval of the mirror")
        every.add_metric([], self._every_s)
        age = GaugeMetricFamily(
            "valgnatt_mirror_age_seconds",
            "Seconds since the state of live.json was known to be the newest",
            labels=label,
        )
        sequence = GaugeMetricFamily("valgnatt_mirror_sequence", "Sequence of live.json", labels=label)
        behind = GaugeMetricFamily(
            "valgnatt_mirror_behind", "Publications that the stream has shown and live.json not", labels=label
        )
        documents = GaugeMetricFamily(
            "valgnatt_mirror_documents_behind",
            "Publications of live.json that some rewritten file may lack",
            labels=label,
        )
        steps = CounterMetricFamily("valgnatt_mirror_steps", "States written", labels=label)
        histories = CounterMetricFamily(
            "valgnatt_mirror_histories", "Histories begun or continued", labels=label
        )
        fails = GaugeMetricFamily(
            "valgnatt_mirror_fails", "Whether a part of the mirror fails now", labels=[*label, "part"]
        )
        for election, found in self._elections().items():
            age.add_metric([election], found.age_s)
            sequence.add_metric([election], found.sequence)
            behind.add_metric([election], found.behind)
            documents.add_metric([election], found.documents_behind)
            steps.add_metric([election], found.steps)
            histories.add_metric([election], found.histories)
            for part in PARTS:
                fails.add_metric([election, part], part in found.fails)
        totals = self._totals()
        stopped = GaugeMetricFamily("valgnatt_mirror_stopped", "Whether nothing at all can be mirrored")
        stopped.add_metric([], totals.stopped)
        written = CounterMetricFamily("valgnatt_mirror_files", "Files written")
        written.add_metric([], totals.files)
        size = CounterMetricFamily("valgnatt_mirror_bytes", "Bytes written, compressed where they were")
        size.add_metric([], totals.bytes)
        yield from (stopped, every, age, sequence, behind, documents, steps, histories, fails, written, size)

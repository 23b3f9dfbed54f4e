"""All metrics, in one registry per process; the values of labels are bounded, and label lookups cached.

Counters and durations are updated where the events occur, gauges when the metrics are collected. Every metric is
described in `docs/monitoring.md`.
"""

import asyncio
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple, NoReturn

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.outcome import Outcome, Receipt, Retry
from gateway.telemetry.hold_metrics import HoldFamilies, RuleMetrics
from gateway.wire.session import Unreadable

LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
"""Upper bounds of the buckets, in seconds."""
CODES_MAX = 64
"""Codes of refusals or problems with a label value of their own; there are some dozens, all defined by the gateway."""
SAMPLING_INTERVAL_S = 0.1
"""Sampling interval of the event loop's lag, in seconds."""

_OUTCOMES = ("accepted", "duplicate", "refused", "retry")
_REFUSALS = (
    "invalid_report", "malformed", "unit_forbidden", "stale_revision", "revision_conflict", "election_closed",
    "token_revoked", "unknown_message", "unstorable",
)  # fmt: skip
_PROBLEMS = ("internal_error", "token_invalid", "token_missing", "overloaded", "journal_unavailable")
_UNKNOWN = math.nan
_UNPUBLISHED_OLDEST = (
    "valgnatt_unpublished_oldest_seconds",
    "Age of the oldest accepted report that should be public and is not; 0 if none",
)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Durations(Collector):
    """A histogram of seconds for events that occur for every report.

    Takes at most a quarter of the time of the library's: only one thread observes and reads, so there is no lock.
    """

    def __init__(self, name: str, about: str, registry: CollectorRegistry) -> None:
        self._name, self._about = name, about
        self._counts = [0] * (len(LAG_BUCKETS) + 1)
        self._sum_s = 0.0
        registry.register(self)

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count a duration, so many times; a negative one, from two clocks, counts as 0."""
        if seconds > 0.0:
            self._counts[bisect_left(LAG_BUCKETS, seconds)] += times
            self._sum_s += seconds * times
        else:
            self._counts[0] += times

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the histogram with cumulative buckets."""
        bounds = [*(str(float(bound)) for bound in LAG_BUCKETS), "+Inf"]
        buckets = list(zip(bounds, accumulate(map(float, self._counts)), strict=True))
        yield HistogramMetricFamily(self._name, self._about, buckets=buckets, sum_value=self._sum_s)


class Codes:
    """A counter by code, whose label is looked up once per code instead of once per report.

    Codes that alerts refer to start at 0; otherwise Prometheus would not see their first increase.
    """

    def __init__(self, name: str, about: str, registry: CollectorRegistry, known: Iterable[str] = ()) -> None:
        self._counter = Counter(name, about, ["code"], registry=registry)
        self._bound = {code: self._counter.labels(code) for code in known}

    def note(self, code: str) -> None:
        """Count one occurrence."""
        bound = self._bound.get(code)
        if bound is None:
            code = code if len(self._bound) < CODES_MAX else "other"
            bound = self._bound[code] = self._counter.labels(code)
        bound.inc()


class ByElection:
    """A gauge by election, which drops elections that are no longer set."""

    def __init__(self, name: str, about: str, registry: CollectorRegistry) -> None:
        self._gauge = Gauge(name, about, ["election"], registry=registry)
        self._present: set[str] = set()

    def set(self, values: Mapping[str, float]) -> None:
        """Set the values of all elections, and drop the others."""
        for election in self._present - set(values):
            self._gauge.remove(election)
        for election, value in values.items():
            self._gauge.labels(election).set(value)
        self._present = set(values)


class Moment:
    """A gauge of the seconds since something last happened."""

    def __init__(self, name: str, about: str, registry: CollectorRegistry) -> None:
        self._since = time.monotonic()
        gauge = Gauge(name, about, registry=registry)
        gauge.set_function(lambda: time.monotonic() - self._since)

    def now(self) -> None:
        """Record that it happens now."""
        self._since = time.monotonic()


class ProcessMetrics:
    """Metrics of every process: resources, and lag of the event loop."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.loop_lag = Durations(
            "valgnatt_loop_lag_seconds", "Delay of the event loop, sampled", self.registry
        )


class DatabaseMetrics:
    """Metrics of Postgres as seen by one process over a separate connection; NaN while Postgres does not answer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str) -> Gauge:
            return Gauge(f"valgnatt_database_{name}", about, registry=registry)

        self.up = gauge("up", "Whether Postgres answered the last check")
        self.facts = {
            "answer_s": gauge("answer_seconds", "Duration of the last check of Postgres"),
            "clock_ahead_s": gauge(
                "clock_ahead_seconds", "Seconds by which its clock is ahead of this machine's"
            ),
            "size": gauge("size_bytes", "Size of the database"),
            "in_recovery": gauge("in_recovery", "Whether Postgres is a replica"),
            "sessions": gauge("sessions", "Sessions of the whole server"),
            "sessions_max": gauge("sessions_max", "Maximum number of sessions of the server"),
            "standbys": gauge("standbys", "Connected standbys"),
            "standbys_sync": gauge(
                "standbys_synchronous", "Connected standbys that commits wait for; NaN if not visible"
            ),
            "standbys_wanted": gauge(
                "standbys_wanted", "Whether commits are configured to wait for a standby"
            ),
            "replication_lag_s": gauge(
                "replication_lag_seconds",
                "For a primary, the largest lag of its standbys; for a replica, its own lag",
            ),
        }
        connections = Gauge(
            "valgnatt_database_connections",
            "Connections in the pool of this process",
            ["state"],
            registry=registry,
        )
        self.busy, self.idle = connections.labels("busy"), connections.labels("idle")
        self.connections_max = gauge("connections_max", "Maximum number of connections in the pool")
        self.host_left = Counter(
            "valgnatt_database_hosts_left",
            "Hosts that answered and were left for one with a longer record",
            registry=registry,
        )
        self.notified = Counter(
            "valgnatt_notifications", "NOTIFYs received, and connects of the listener", registry=registry
        )
        self.set_facts({})

    def set_facts(self, facts: Mapping[str, float | None]) -> None:
        """Set the latest facts; {} if Postgres did not answer."""
        self.up.set(bool(facts))
        for name, gauge in self.facts.items():
            value = facts.get(name)
            gauge.set(_UNKNOWN if value is None else value)

    def pool(self, size: int, idle: int, most: int) -> None:
        """Set how the connection pool is used."""
        self.busy.set(size - idle)
        self.idle.set(idle)
        self.connections_max.set(most)


class ConnectionMetrics(ProcessMetrics):
    """Metrics of a process that serves HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = Gauge(
            "valgnatt_connections", "Open connections, without streams", registry=self.registry
        )
        refused = Counter(
            "valgnatt_connections_refused", "Connections closed before a request", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        self.refused_connections = {reason: refused.labels(reason) for reason in ("full", "address", "head")}
        evicted = Counter(
            "valgnatt_connections_evicted", "Connections closed to make room for others", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        self.evicted_connections = {
            reason: evicted.labels(reason)
            for reason in ("full", "address", "handshakes", "files", "unread", "stalled", "input")
        }
        self.unread = Gauge(
            "valgnatt_unread_bytes", "Bytes kept for connections that do not read their answers",
            registry=self.registry,
        )  # fmt: skip
        self.problems = Codes(
            "valgnatt_problems",
            "Requests answered with a problem document, by code",
            self.registry,
            _PROBLEMS,
        )
        self._certificate_ends = Gauge(
            "valgnatt_certificate_end_timestamp_seconds",
            "When the certificate of the door expires, in Unix time",
            ["door"],
            registry=self.registry,
        )

    def certificate(self, door: str, ends_at: float) -> None:
        """Set the expiry of a door's certificate; the metric is absent for a door without one."""
        self._certificate_ends.labels(door).set(ends_at)


class DoorMetrics(ConnectionMetrics):
    """Metrics of a process of either door."""

    def __init__(self) -> None:
        super().__init__()
        self.database = DatabaseMetrics(self.registry)


class PushMetrics(DoorMetrics):
    """Metrics of a push process."""

    def __init__(self) -> None:
        super().__init__()
        answers = Counter(
            "valgnatt_answers", "Reports answered, by outcome", ["outcome"], registry=self.registry
        )
        self.answers = {outcome: answers.labels(outcome) for outcome in _OUTCOMES}
        self.refused = Codes("valgnatt_refused", "Reports refused, by code", self.registry, _REFUSALS)
        self.accepted = Counter("valgnatt_accepted_reports", "Reports committed", registry=self.registry)
        self.batch = Histogram(
            "valgnatt_batch_reports", "Reports per commit",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), registry=self.registry,
        )  # fmt: skip
        self.commit = Histogram(
            "valgnatt_commit_seconds", "Duration of an append", buckets=LAG_BUCKETS, registry=self.registry
        )
        self.failed = Counter(
            "valgnatt_commits_failed", "Appends whose outcome is unknown", registry=self.registry
        )
        self.receipt = Durations(
            "valgnatt_receipt_seconds", "From reading a report to its receipt", self.registry
        )
        self.rules = RuleMetrics(self.registry)
        self.holds = HoldFamilies(self.registry)
        self.waiting = Gauge(
            "valgnatt_waiting_reports", "Reports waiting for a commit", registry=self.registry
        )
        self.room = Gauge(
            "valgnatt_waiting_reports_max", "Reports that may wait for a commit at the current pace of commits",
            registry=self.registry,
        )  # fmt: skip
        self.oldest_waiting = Gauge(
            "valgnatt_waiting_oldest_seconds", "Age of the oldest report that was received and not answered",
            registry=self.registry,
        )  # fmt: skip
        self.bodies = Gauge(
            "valgnatt_body_bytes", "Memory used by bodies of push requests", registry=self.registry
        )
        self.unread = Gauge(
            "valgnatt_unread_answer_bytes", "Bytes of answers to senders in preparation or not yet read",
            registry=self.registry,
        )  # fmt: skip
        self.turns = Gauge(
            "valgnatt_requests_waiting_for_turn", "Push requests that wait for their turn to be processed",
            registry=self.registry,
        )  # fmt: skip
        self.sockets = Gauge("valgnatt_push_sockets", "Open push WebSockets", registry=self.registry)
        self.available = Gauge(
            "valgnatt_journal_available",
            "Whether the last append of every election was answered",
            registry=self.registry,
        )
        self.standby_required = Gauge(
            "valgnatt_standby_required",
            "Whether receipts require a synchronous standby",
            registry=self.registry,
        )
        self.unpublished_oldest = ByElection(*_UNPUBLISHED_OLDEST, self.registry)
        self.embargoed = ByElection(
            "valgnatt_embargoed_reports", "Accepted reports under embargo", self.registry
        )
        self.embargoed_oldest = ByElection(
            "valgnatt_embargoed_oldest_seconds", "Age of the oldest report under embargo", self.registry
        )
        self.silent = ByElection(
            "valgnatt_silent_municipalities",
            "Municipalities that should report and have been silent for longer than --silent-after-s",
            self.registry,
        )

    def answered(self, outcomes: Iterable[Outcome | Unreadable]) -> None:
        """Count answers that are sent together."""
        accepted = 0
        for outcome in outcomes:
            if isinstance(outcome, Receipt):
                if not outcome.duplicate:
                    accepted += 1
                else:
                    self.answers["duplicate"].inc()
            elif isinstance(outcome, Retry):
                self.answers["retry"].inc()
            else:
                self.answers["refused"].inc()
                self.refused.note(outcome.code)
        if accepted:
            self.answers["accepted"].inc(accepted)

    def committed(self, reports: int, seconds: float) -> None:
        """Count one append."""
        self.batch.observe(reports)
        self.commit.observe(seconds)


class FeedMetrics(DoorMetrics):
    """Metrics of a feed process."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = Gauge("valgnatt_readers", "Open event streams", registry=self.registry)
        self.readers_max = Gauge(
            "valgnatt_readers_max", "Maximum number of streams of both kinds", registry=self.registry
        )
        self.publication_readers = Gauge(
            "valgnatt_publication_readers", "Open streams of publications", registry=self.registry
        )
        self.channels = Gauge(
            "valgnatt_channels", "Distinct selections, intervals and encodings in use", registry=self.registry
        )
        self.slow = Gauge(
            "valgnatt_slow_readers", "Readers whose socket currently accepts no bytes", registry=self.registry
        )
        self.closed = Counter(
            "valgnatt_readers_closed", "Readers closed for being slow", registry=self.registry
        )
        self.turned_away = Counter("valgnatt_readers_turned_away", "Readers rejected", registry=self.registry)
        self.applied = Counter(
            "valgnatt_publications_applied", "Publications applied", registry=self.registry
        )
        self.delivered = Counter(
            "valgnatt_publications_delivered", "Publications after which a reader was written to",
            registry=self.registry,
        )  # fmt: skip
        self.sequence = Gauge(
            "valgnatt_sequence", "Last sequence applied", ["election"], registry=self.registry
        )
        self.unpublished = ByElection(
            "valgnatt_unpublished_reports", "Public reports that are not yet applied", self.registry
        )
        self.unpublished_oldest = ByElection(*_UNPUBLISHED_OLDEST, self.registry)
        self.unknown = ByElection(
            "valgnatt_record_unknown_names",
            "Members, statuses, reasons, categories and parties in the record that this version does not know",
            self.registry,
        )
        self.record_read = Moment(
            "valgnatt_record_unread_seconds",
            "Seconds since the heads of the record were last read",
            self.registry,
        )
        self.standby = Gauge(
            "valgnatt_record_of_standby", "Whether the record is read from a replica", registry=self.registry
        )
        self.blocks = Counter("valgnatt_blocks_written", "Blocks written to readers", registry=self.registry)
        self.bytes = Counter("valgnatt_feed_bytes", "Bytes written to readers", registry=self.registry)
        self.apply_lag = Durations(
            "valgnatt_applied_seconds", "From publication until applied in this process", self.registry
        )
        self.write_lag = Durations(
            "valgnatt_written_seconds",
            "From publication until written to the readers' sockets",
            self.registry,
        )
        self.through_lag = Durations(
            "valgnatt_through_seconds",
            "From reading a report until written to the readers' sockets, without embargoed reports",
            self.registry,
        )  # fmt: skip
        self.rebuilt = Counter(
            "valgnatt_histories_changed",
            "Times that the record was replaced by another",
            registry=self.registry,
        )
        self.log_disagrees = ByElection(
            "valgnatt_log_disagrees",
            "Whether the record differs from its signed log, so that no newer checkpoint may be shown",
            self.registry,
        )
        self.log_size = ByElection(
            "valgnatt_log_size", "Entries that the newest checkpoint shown here covers", self.registry
        )


def exposition(registry: CollectorRegistry, refresh: Callable[[], None] | None = None) -> bytes:
    """Return a registry in Prometheus' text format, after `refresh` has set its gauges."""
    if refresh is not None:
        refresh()
    return generate_latest(registry)


class WorkerState(NamedTuple):
    """A worker as its supervisor knows it."""

    name: str
    up: bool
    """Whether it returned its metrics when they were last collected."""
    ready: bool
    restarts: int


class MachineState(NamedTuple):
    """What a supervisor itself knows about its machine."""

    workers: Sequence[WorkerState]
    doors_ready: Mapping[Literal["push", "feed"], bool]
    database_restarts: int
    disk: tuple[int, int] | None
    """Free bytes and size of the disk of the embedded database."""


class MachineMetrics(Collector):
    """Metrics about a machine's workers, labelled with the worker that they are about; read from the supervisor."""

    def __init__(self, version: str, state: Callable[[], MachineState]) -> None:
        self.registry = CollectorRegistry()
        self._version = version
        self._state = state
        self.registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return all families with their current values."""
        state = self._state()
        up = GaugeMetricFamily(
            "valgnatt_worker_up", "Whether a worker returned its metrics", labels=["process"]
        )
        ready = GaugeMetricFamily(
            "valgnatt_worker_ready", "Whether a worker can serve now", labels=["process"]
        )
        restarts = CounterMetricFamily(
            "valgnatt_worker_restarts", "Starts of a worker after the first", labels=["process"]
        )
        for worker in state.workers:
            up.add_metric([worker.name], worker.up)
            ready.add_metric([worker.name], worker.ready)
            restarts.add_metric([worker.name], worker.restarts)
        doors = GaugeMetricFamily(
            "valgnatt_door_ready", "Whether all workers of a door are ready", labels=["door"]
        )
        for door, is_ready in state.doors_ready.items():
            doors.add_metric([door], is_ready)
        build = GaugeMetricFamily("valgnatt_build_info", "Version of the program", labels=["version"])
        build.add_metric([self._version], 1)
        yield from (up, ready, restarts, doors)
        yield CounterMetricFamily(
            "valgnatt_database_restarts", "Restarts of the embedded Postgres", state.database_restarts
        )
        yield build
        if state.disk is not None:
            free, size = state.disk
            yield GaugeMetricFamily(
                "valgnatt_disk_free_bytes", "Bytes that the embedded Postgres can still write", free
            )
            yield GaugeMetricFamily(
                "valgnatt_disk_size_bytes", "Size of the disk of the embedded Postgres", size
            )


async def sample_loop_lag(lag: Durations, *, clock: Clock = SYSTEM_CLOCK) -> NoReturn:
    """Measure the lag of the event loop at every sampling interval, until cancelled."""
    time_s = clock.monotonic
    while True:
        due = time_s() + SAMPLING_INTERVAL_S
        await asyncio.sleep(SAMPLING_INTERVAL_S)
        lag.observe(time_s() - due)

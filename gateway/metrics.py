"""What is counted and timed, in one place. One registry a process; labels are bounded and bound once."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.election.outcome import Outcome, Receipt, Retry
from gateway.wire.session import Unreadable

LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
"""Upper bounds in seconds."""

_OUTCOMES = ("accepted", "duplicate", "refused", "retry")


class DoorMetrics:
    """Of one process of either door."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connections = Gauge(
            "valgnatt_connections", "Open connections, streams not counted", registry=self.registry
        )
        refused = Counter(
            "valgnatt_connections_refused", "Connections closed before a request", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        self.refused_connections = {reason: refused.labels(reason) for reason in ("full", "address", "head")}


class PushMetrics(DoorMetrics):
    """Of one push process."""

    def __init__(self) -> None:
        super().__init__()
        answers = Counter(
            "valgnatt_answers", "Reports answered, by outcome", ["outcome"], registry=self.registry
        )
        self.answers = {outcome: answers.labels(outcome) for outcome in _OUTCOMES}
        self.refused = Counter(
            "valgnatt_refused", "Reports refused, by code", ["code"], registry=self.registry
        )
        self.batch = Histogram(
            "valgnatt_batch_reports", "Reports in a commit",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), registry=self.registry,
        )  # fmt: skip
        self.commit = Histogram(
            "valgnatt_commit_seconds", "Time of one append", buckets=LAG_BUCKETS, registry=self.registry
        )
        self.receipt = Histogram(
            "valgnatt_receipt_seconds", "From a report read to its receipt", buckets=LAG_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "valgnatt_waiting_reports", "Reports waiting for a commit", registry=self.registry
        )
        self.sockets = Gauge("valgnatt_push_sockets", "Open push WebSockets", registry=self.registry)
        self.available = Gauge(
            "valgnatt_journal_available", "Whether Postgres answers", registry=self.registry
        )

    def answered(self, outcome: Outcome | Unreadable) -> None:
        """Note one answer."""
        match outcome:
            case Receipt():
                self.answers[outcome.outcome].inc()
            case Retry():
                self.answers["retry"].inc()
            case _:
                self.answers["refused"].inc()
                self.refused.labels(outcome.code).inc()

    def committed(self, reports: int, seconds: float) -> None:
        """Note one append."""
        self.batch.observe(reports)
        self.commit.observe(seconds)


class FeedMetrics(DoorMetrics):
    """Of one feed process."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = Gauge("valgnatt_readers", "Open event streams", registry=self.registry)
        self.slow = Gauge(
            "valgnatt_slow_readers", "Readers whose socket takes no bytes now", registry=self.registry
        )
        self.closed = Counter(
            "valgnatt_readers_closed", "Readers closed for being slow", registry=self.registry
        )
        self.turned_away = Counter(
            "valgnatt_readers_turned_away", "Readers not let in", registry=self.registry
        )
        self.applied = Counter(
            "valgnatt_publications_applied", "Publications applied", registry=self.registry
        )
        self.sequence = Gauge(
            "valgnatt_sequence", "Last sequence applied", ["election"], registry=self.registry
        )
        self.blocks = Counter("valgnatt_blocks_written", "Blocks written to readers", registry=self.registry)
        self.bytes = Counter("valgnatt_feed_bytes", "Bytes written to readers", registry=self.registry)
        self.apply_lag = Histogram(
            "valgnatt_applied_seconds",
            "From publication to applied here",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self.write_lag = Histogram(
            "valgnatt_written_seconds", "From publication to the readers' sockets", buckets=LAG_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.rebuilt = Counter(
            "valgnatt_histories_changed", "Times the record was another", registry=self.registry
        )


def exposition(registry: CollectorRegistry, refresh: Callable[[], None] | None = None) -> bytes:
    """Return a registry's present values as Prometheus text, after `refresh` has set its gauges."""
    if refresh is not None:
        refresh()
    return generate_latest(registry)

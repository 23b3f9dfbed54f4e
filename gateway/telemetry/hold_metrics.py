"""Metrics of rules and held reports, which only push processes have: feeds see no holds under embargo."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.election.rules.policy import RULES

STATES = ("held", "released", "rejected", "superseded")
"""The lines of the list of holds: the beginning of a hold, and its three ends."""


class ElectionHolds(msgspec.Struct, frozen=True):
    """The holds of one election. Each is counted under the first rule that holds the report."""

    open: Mapping[str, int]
    """By rule."""
    totals: Mapping[tuple[str, str], int]
    """By rule and one of STATES, since the election was loaded."""
    oldest_s: float
    """Age of the oldest open hold; 0 for none."""
    embargo_end: float | None
    """In Unix time; None once the embargo has ended."""


class HoldFamilies(Collector):
    """Gauges and counters from the journal: each push process reports the same, so they are not to be added up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.elections: Mapping[str, ElectionHolds] = {}
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return a value for every rule and state, so that Prometheus sees the first increase."""
        opened = GaugeMetricFamily(
            "valgnatt_holds_open", "Reports that are held, by the first rule", labels=["election", "rule"]
        )
        oldest = GaugeMetricFamily(
            "valgnatt_hold_oldest_seconds", "Age of the oldest open hold; 0 for none", labels=["election"]
        )
        totals = CounterMetricFamily(
            "valgnatt_holds",
            "Holds that began or ended, by the first rule",
            labels=["election", "rule", "state"],
        )
        ends = GaugeMetricFamily(
            "valgnatt_embargo_end_timestamp_seconds",
            "When the embargo of an election ends, in Unix time",
            labels=["election"],
        )
        for election, holds in self.elections.items():
            for rule in RULES:
                opened.add_metric([election, rule], holds.open.get(rule, 0))
                for state in STATES:
                    totals.add_metric([election, rule, state], holds.totals.get((rule, state), 0))
            oldest.add_metric([election], holds.oldest_s)
            if holds.embargo_end is not None:
                ends.add_metric([election], holds.embargo_end)
        yield from (opened, oldest, totals, ends)


class RuleMetrics:
    """What the rules of one push process did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "valgnatt_rule_seconds", "CPU time of the rules per report, on average over a part of a batch",
            buckets=(0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03), registry=registry,
        )  # fmt: skip
        labels = ["election", "rule"]
        self._failed = Counter(
            "valgnatt_rules_failed", "Rules that raised an error or took too long", labels, registry=registry
        )
        self._limited = Counter(
            "valgnatt_holds_limited", "Reports that a rule did not hold because too many were held", labels,
            registry=registry,
        )  # fmt: skip
        self._elections: set[str] = set()

    def know(self, elections: Sequence[str]) -> None:
        """Begin the counters of elections at 0, so that Prometheus sees the first increase; drop those of others."""
        for election in self._elections.difference(elections):
            for rule in RULES:
                self._failed.remove(election, rule)
                self._limited.remove(election, rule)
        self._elections = set(elections)
        for election in elections:
            for rule in RULES:
                self._failed.labels(election, rule)
                self._limited.labels(election, rule)

    def judged(self, reports: int, seconds: float) -> None:
        """Count reports that were judged in `seconds` of CPU time."""
        if reports:
            self._seconds.observe(seconds / reports)

    def failed(self, election: str, rule: str) -> None:
        """Count a rule that raised an error or took too long."""
        self._failed.labels(election, rule).inc()

    def limited(self, election: str, rule: str) -> None:
        """Count a report that this rule would have held if fewer were held."""
        self._limited.labels(election, rule).inc()

"""Metrics of the signer: the age of each newest checkpoint, what is refused, and how many witnesses agree."""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.metrics import ProcessMetrics

REFUSALS = ("record_behind", "record_forked", "sign_dir_unusable", "failed")
"""Why nothing is signed, until somebody changes something."""


class LogState(msgspec.Struct, frozen=True):
    """What a signer reports about one log."""

    age_s: float
    """Seconds since a checkpoint covered the whole public record."""
    size: int
    """Size of the newest checkpoint."""
    refused: str | None
    """One of REFUSALS, while nothing is signed."""
    witnesses: int
    """How many witnesses have cosigned the newest checkpoint."""
    witnesses_wanted: int
    checkpoints: int
    """Checkpoints inserted since the start."""


class SignerMetrics(ProcessMetrics):
    """Metrics of a signer. `states` is called when they are collected; it returns the logs by election."""

    def __init__(self, states: Callable[[], Mapping[str, LogState]]) -> None:
        super().__init__()
        self.registry.register(_Logs(states))


class _Logs(Collector):
    def __init__(self, states: Callable[[], Mapping[str, LogState]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        """Return a value for every log and every reason to refuse, so that Prometheus sees the first one."""
        label = ["election"]
        age = GaugeMetricFamily(
            "valgnatt_checkpoint_age_seconds",
            "Seconds since a checkpoint covered the whole public record",
            labels=label,
        )
        size = GaugeMetricFamily(
            "valgnatt_checkpoint_size", "Entries that the newest checkpoint covers", labels=label
        )
        refuses = GaugeMetricFamily(
            "valgnatt_signer_refuses",
            "Whether the signer refuses to sign, by reason",
            labels=[*label, "code"],
        )
        reached = GaugeMetricFamily(
            "valgnatt_witnesses_reached", "Witnesses that have cosigned the newest checkpoint", labels=label
        )
        wanted = GaugeMetricFamily("valgnatt_witnesses_configured", "Witnesses that are asked", labels=label)
        inserted = CounterMetricFamily("valgnatt_checkpoints", "Checkpoints inserted", labels=label)
        for election, state in self._states().items():
            age.add_metric([election], state.age_s)
            size.add_metric([election], state.size)
            for code in REFUSALS:
                refuses.add_metric([election, code], state.refused == code)
            reached.add_metric([election], state.witnesses)
            wanted.add_metric([election], state.witnesses_wanted)
            inserted.add_metric([election], state.checkpoints)
        yield from (age, size, refuses, reached, wanted, inserted)

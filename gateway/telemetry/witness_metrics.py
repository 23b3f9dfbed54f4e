"""The metrics of a witness, by log; `docs/monitoring.md` describes them."""

import time
from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from gateway.telemetry.metrics import ConnectionMetrics

_REFUSALS = (400, 403, 409, 422, 500)


class WitnessMetrics(ConnectionMetrics):
    """Metrics of the process of a witness. Labels are the origins of the logs that it follows."""

    def __init__(self, origins: Iterable[str]) -> None:
        super().__init__()
        cosigned = Counter(
            "valgnatt_witness_cosigned",
            "Checkpoints cosigned, repeated ones too",
            ["log"],
            registry=self.registry,
        )
        refused = Counter(
            "valgnatt_witness_refused",
            "Submissions refused, by status",
            ["log", "status"],
            registry=self.registry,
        )
        self.strangers = Counter(
            "valgnatt_witness_unknown", "Submissions that cannot be read, or of a log that is not followed",
            registry=self.registry,
        )  # fmt: skip
        self.size = Gauge(
            "valgnatt_witness_size", "Size of the newest cosigned checkpoint", ["log"], registry=self.registry
        )
        self.cosigned_at = Gauge(
            "valgnatt_witness_cosigned_timestamp_seconds", "When a checkpoint was last cosigned, in Unix time", ["log"],
            registry=self.registry,
        )  # fmt: skip
        self.evidence = Gauge(
            "valgnatt_witness_evidence",
            "Refused checkpoints kept as evidence: forks, and those that are not proven consistent",
            ["log", "kind"],
            registry=self.registry,
        )
        self.behind = Gauge(
            "valgnatt_witness_state_lost", "Whether the state is older than a cosignature of this witness", ["log"],
            registry=self.registry,
        )  # fmt: skip
        self.mirrored = Gauge(
            "valgnatt_witness_mirrored", "Entries in the copy of the record", ["log"], registry=self.registry
        )
        self._cosigned = {origin: cosigned.labels(origin) for origin in origins}
        self._refused = {
            (origin, status): refused.labels(origin, status)
            for origin in self._cosigned
            for status in _REFUSALS
        }

    def count_cosigned(self, origin: str) -> None:
        """Count a cosignature, which was made now."""
        self._cosigned[origin].inc()
        self.cosigned_at.labels(origin).set(time.time())

    def count_refused(self, origin: str, status: int) -> None:
        """Count a refused submission."""
        self._refused[origin, status].inc()

"""The public record of a data set, as if its reports had been published in the order in which they were counted."""

from collections.abc import Iterator
from datetime import datetime

import orjson

from bench.load.checked import Checker
from gateway.election.record import CHAIN_START, Publication, next_chain
from gateway.election.registry import Registry
from gateway.rehearsal.dataset import DataSet


def publications(dataset: DataSet, registry: Registry) -> Iterator[Publication]:
    """Yield every report with its position in the record; the release publishes what was counted before it."""
    checker = Checker(dataset.registry)
    chain = CHAIN_START
    for sequence, recorded in enumerate(sorted(dataset.reports(), key=lambda each: each.counted_at), 1):
        valid = checker.check(orjson.dumps(recorded.report))
        chain = next_chain(chain, valid.digest)
        at: datetime = recorded.counted_at
        report = valid.report
        yield Publication(
            sequence, max(at, registry.publish_from), report.unit, report.revision, valid.digest, chain,
            valid.body, at, at,
        )  # fmt: skip

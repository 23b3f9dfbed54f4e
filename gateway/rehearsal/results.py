"""The results of a replay: latencies, areas beside the official totals, and a summary as lines of text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from gateway.humanize import counted
from gateway.rehearsal.judge import BrokenGuarantee
from gateway.verification.record_verifier import Verified

HISTOGRAM_US = (1, 600_000_000, 3)
"""Range in microseconds and significant digits of the latency histograms."""


class Latency(msgspec.Struct, frozen=True):
    """Percentiles of `count` values, in seconds."""

    count: int
    p50: float
    p99: float
    max: float


class RecordCheck(msgspec.Struct, frozen=True):
    """The result of verifying a signed record."""

    verified: Verified | None
    failure: str = ""
    """The code and the sentence of what failed."""
    key_of_door: bool = False
    """Whether the key came from the feed door itself, so that nothing but its consistency was verified."""

    @property
    def line(self) -> str:
        """Return the result as a line."""
        if self.verified is None:
            return f"record         NOT VERIFIED: {self.failure}"
        found = self.verified
        entries = counted(found.size, "entry", "entries")
        source = ", with the key that the feed door shows" if self.key_of_door else ""
        agree = f", {found.quorum}" if found.witnesses else ""
        return f"record         verified{source}: {entries}, root {found.root}{agree}"


class Summary(msgspec.Struct, frozen=True):
    """The results of a replay."""

    election: str
    reports: int
    receipts: int
    refused: int
    held: int
    """Reports that were held when they arrived."""
    unpublished: int
    """Those of them that were rejected or superseded."""
    publications: int
    blocks: int
    seconds: float
    """From the first report to the block with the last report."""
    to_receipt: Latency
    """From the due time of a report to its receipt."""
    to_subscriber: Latency
    """From the due time of a report to the block that contained it, for reports after the release."""
    release_s: float | None
    """From the end of the embargo to the first block after it; None if no report was under embargo."""
    areas: int
    """Number of areas with official totals, which were compared with the feed."""
    wrong: Sequence[str]
    """Areas that differ from the official totals."""
    broken: Sequence[BrokenGuarantee] = ()
    """Guarantees that the judge found broken."""
    record: RecordCheck | None = None
    """The result of verifying the signed record; None if it is not signed."""

    @property
    def good(self) -> bool:
        """Whether all reports have receipts and are published, no area is wrong, and no guarantee is broken.

        If the record is signed, it also has to be verified.

        A report that was rejected or superseded while it was held is not published.
        """
        whole = self.receipts == self.reports == self.publications + self.unpublished
        signed = self.record is None or self.record.verified is not None
        return whole and signed and self.areas > 0 and not self.wrong and not self.broken


def same_figures(area: Mapping[str, Any] | None, official: Mapping[str, Any]) -> bool:
    """Whether an area of the feed has the figures of an official line: all counts, and the votes of all parties.

    A category or party that is missing counts as 0.
    """
    if area is None:
        return False
    measured, expected = area["counts"], official["counts"]
    for category in {*measured, *expected}:
        mine, theirs = measured.get(category, {}), expected.get(category, {})
        for name in {*mine, *theirs} - {"votes"}:
            if mine.get(name, 0) != theirs.get(name, 0):
                return False
        mine, theirs = mine.get("votes", {}), theirs.get("votes", {})
        if any(mine.get(party, 0) != theirs.get(party, 0) for party in {*mine, *theirs}):
            return False
    return official.get("eligible") is None or area["eligible"] == official["eligible"]


def latency_of(seconds: Iterable[float]) -> Latency:
    """Return the percentiles of some times, in seconds."""
    histogram = HdrHistogram(*HISTOGRAM_US)
    for value in seconds:
        histogram.record_value(max(1, round(value * 1e6)))
    return Latency(
        histogram.get_total_count(),
        histogram.get_value_at_percentile(50) / 1e6,
        histogram.get_value_at_percentile(99) / 1e6,
        histogram.get_max_value() / 1e6,
    )


def summary_lines(summary: Summary) -> list[str]:
    """Return a summary as lines of text."""
    lines = [
        f"election       {summary.election}",
        f"reports        {summary.reports}, receipts {summary.receipts}, refused {summary.refused}",
        *_held_lines(summary),
        f"publications   {summary.publications} in {counted(summary.blocks, 'block')} after {summary.seconds:.2f} s",
        f"to receipt     {_latency(summary.to_receipt)}",
        f"to subscriber  {_latency(summary.to_subscriber)}",
    ]
    if summary.release_s is not None:
        lines.append(f"embargo        public {1000 * summary.release_s:.0f} ms after its end")
    if summary.broken:
        lines += [f"BROKEN         {broken.guarantee}: {broken.example}" for broken in summary.broken]
    else:
        lines.append("judge          no guarantee was broken")
    if not summary.areas:
        lines.append("official       the data set has no official totals to compare with")
    elif summary.wrong:
        some = ", ".join(summary.wrong[:10])
        lines.append(
            f"official       {len(summary.wrong)} of {counted(summary.areas, 'area')} DIFFER: {some}"
        )
    else:
        lines.append(f"official       {counted(summary.areas, 'area')}, all equal to the official totals")
    if summary.record is not None:
        lines.append(summary.record.line)
    return lines


def _held_lines(summary: Summary) -> list[str]:
    """Return how many reports were held, unless there were none."""
    if not summary.held:
        return []
    released = summary.held - summary.unpublished
    return [f"held           {summary.held}, released {released}, never public {summary.unpublished}"]


def _latency(latency: Latency) -> str:
    if not latency.count:
        return "no report"
    figures = (
        f"p50 {1000 * latency.p50:.1f} ms, p99 {1000 * latency.p99:.1f} ms, max {1000 * latency.max:.1f} ms"
    )
    return f"{figures} (of {latency.count})"

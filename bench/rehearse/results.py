"""The results of a run: what senders, readers and the subscriber recorded becomes figures, latencies and curves."""

import statistics
from bisect import bisect_left
from collections.abc import Sequence

from bench.figures import Histogram
from bench.load.crowd_messages import Seen
from bench.load.history import broken_guarantees, stored_reports
from bench.load.senders import Senders, Sent, outcomes
from bench.load.target import Target
from bench.rehearse.run import BUSY_MAX, LAG_MAX_S, Run, over_time, per_second
from gateway.rehearsal.judge import ObservedBlock

PERCENTILES = (50.0, 99.0)


class Results:
    """Collects the results of one run. Times are those of the monotonic clock, unless they are from the gateway."""

    def __init__(
        self,
        run: Run,
        target: Target,
        began: float,
        senders: Senders,
        blocks: Sequence[tuple[int, float]],
        observed: Sequence[ObservedBlock],
        seen: Sequence[Seen],
    ) -> None:
        self._run = run
        self._target = target
        self._began = began
        self._senders = senders
        self._blocks = blocks
        """Sequence of each block that the subscriber received, and when."""
        self._observed = observed
        """The same blocks, for the judge."""
        self._seen = seen
        """Answers and reports of the crowd of readers."""

    async def collect(self) -> None:
        """Write everything into the run, and have the judge check the history."""
        run = self._run
        accepted = self._senders.with_receipt()
        run.outcomes = dict(outcomes([*self._senders.sent, *self._senders.flooded, *self._senders.offered]))
        self._latency("receipt", [(each.due_at, each.answered_at - each.due_at) for each in accepted])
        self._latency(
            "publication", [(each.due_at, _publication_s(each)) for each in accepted if _is_public(each)]
        )
        self._latency("subscriber", self._to_subscriber(accepted))
        self._note_rates(accepted)
        self._collect_crowd()
        stored = await stored_reports(self._target)
        run.figures["reports"] = len(self._senders.sent)
        run.figures["unanswered"] = sum(each.answer is None for each in self._senders.sent)
        stored_keys = {(each.unit, each.revision) for each in stored}
        run.figures["lost"] = sum(
            (each.planned.unit, each.planned.revision) not in stored_keys for each in accepted
        )
        run.broken += broken_guarantees(self._target, self._senders.pushes(), self._observed, stored)
        self._check_generators()

    def _latency(self, name: str, points: Sequence[tuple[float, float]]) -> None:
        if not points:
            return
        histogram = Histogram().add_all(max(0.0, value) for _, value in points)
        self._run.latencies[name] = histogram.summary()
        self._run.histograms[name] = histogram.encoded()
        shifted = ((at - self._began, value) for at, value in points)
        for line, found in over_time(shifted, PERCENTILES).items():
            self._run.curves.setdefault("latency", {})[f"{name} {line}"] = found

    def _to_subscriber(self, accepted: Sequence[Sent]) -> list[tuple[float, float]]:
        sequences = [sequence for sequence, _ in self._blocks]
        found = []
        for each in accepted:
            assert each.answer is not None
            if each.answer.sequence is not None:
                place = bisect_left(sequences, each.answer.sequence)
                if place < len(sequences):
                    found.append((each.due_at, self._blocks[place][1] - each.due_at))
        return found

    def _note_rates(self, accepted: Sequence[Sent]) -> None:
        rates = self._run.curves.setdefault("rate", {})
        rates["offered"] = per_second(each.due_at - self._began for each in self._senders.sent)
        rates["accepted"] = per_second(each.answered_at - self._began for each in accepted)
        published: list[float] = []
        before = 0
        for sequence, at in self._blocks:
            published += [at - self._began] * (sequence - before)
            before = sequence
        rates["published"] = per_second(published)
        if accepted:
            first, last = min(each.due_at for each in accepted), max(each.answered_at for each in accepted)
            self._run.figures["accepted_per_s"] = len(accepted) / max(1e-9, last - first)

    def _collect_crowd(self) -> None:
        run = self._run
        if not self._seen:
            return
        reader = Histogram()
        for seen in self._seen:
            at = seen.at - self._began
            self._run.add_point("readers", "connected", at, seen.readers)
            if seen.latencies:
                reader.add_counts(seen.latencies)
                self._run.add_point("delivered", "publications covered", at, seen.covered)
                part = Histogram().add_counts(seen.latencies)
                for percentile in PERCENTILES:
                    self._run.add_point("latency", f"reader p{percentile:g}", at, part.at(percentile))
        if len(reader):
            run.latencies["reader"], run.histograms["reader"] = reader.summary(), reader.encoded()
        for name in ("joined", "returned"):
            values = [value for seen in self._seen for value in getattr(seen, name)]
            if values:
                run.latencies[name] = Histogram().add_all(values).summary()
        last = self._seen[-1]
        final = self._blocks[-1][0]
        run.figures["behind"] = sum(count for sequence, count in last.numbers.items() if sequence < final)
        run.figures["turned_away"] = last.refused
        run.figures["streams_lost"] = last.lost
        run.figures["wire_megabytes"] = sum(seen.size for seen in self._seen) / 1e6
        if last.compared or last.differing:
            run.figures["compared"], run.figures["differing"] = last.compared, last.differing
        if last.first_at:
            run.figures["release_s"] = last.first_at - self._target.publish_from.timestamp()

    def _check_generators(self) -> None:
        """Call the run invalid if a load generator was too slow for a statement about the gateway."""
        run = self._run
        if len(self._senders.late_s) > 10:
            late = Histogram().add_all(max(0.0, value) for value in self._senders.late_s)
            run.latencies["generator"] = late.summary()
            if late.at(99) > LAG_MAX_S:
                run.invalid.append(
                    f"reports were sent {late.at(99):.2f} s late (p99): the load generator was too slow"
                )
        worst = Histogram().add_all(seen.lag_s for seen in self._seen).at(95) if len(self._seen) > 2 else 0.0
        run.figures["crowd_lag_s"] = worst
        if worst > LAG_MAX_S:
            run.invalid.append(
                f"the process of the readers was {worst:.2f} s late: it was too slow, not the feed"
            )
        for name in ("load: senders", "load: readers"):
            busy = [value for _, value in run.curves.get("cpu", {}).get(name, [])]
            if len(busy) >= 5 and statistics.median(busy) > BUSY_MAX:
                run.invalid.append(
                    f"{name.removeprefix('load: ')} used {statistics.median(busy):.0%} of a core"
                )


def _is_public(each: Sent) -> bool:
    return (
        each.answer is not None and each.answer.state == "published" and each.answer.published_at is not None
    )


def _publication_s(each: Sent) -> float:
    assert each.answer is not None
    assert each.answer.published_at is not None
    due_wall = each.wall - (each.answered_at - each.due_at)
    return each.answer.published_at.timestamp() - due_wall

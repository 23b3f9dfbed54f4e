"""Time from push to subscriber at a steady 200 reports a second, from the moment each was due (open model)."""

from bench.local import election, gateway
from bench.measure.table import Row
from gateway.client.rehearsal import rehearse
from gateway.client.replay import Sending
from gateway.client.schedule import as_fast_as_possible

RATE_S = 200.0
REPORTS = 3000


def _spread(senders: dict[str, list[Sending]]) -> None:
    """Keep some reports of every sender, due one after the other at RATE_S."""
    part = REPORTS / sum(map(len, senders.values()))
    kept = {name: sendings[: round(part * len(sendings)) or 1] for name, sendings in senders.items()}
    in_turn = [
        sendings[place]
        for place in range(max(map(len, kept.values())))
        for sendings in kept.values()
        if place < len(sendings)
    ]
    for place, sending in enumerate(in_turn):
        sending.due_s = place / RATE_S
    senders.update(kept)


async def measure() -> list[Row]:
    async with election() as dataset, gateway() as local:
        rehearsal = await rehearse(
            dataset,
            lambda times, _: as_fast_as_possible(times, -60.0),
            database_url=local.database_url,
            push_url=local.push_url,
            feed_url=local.feed_url,
            author="bench",
        )
        _spread(rehearsal.replay.senders)
        summary = await rehearsal.run()
        assert summary.receipts == summary.reports == summary.publications
    receipt, subscriber = summary.to_receipt, summary.to_subscriber
    return [
        Row(
            f"push → receipt at {RATE_S:.0f} reports/s",
            f"p50 {1e3 * receipt.p50:.1f} ms, p99 {1e3 * receipt.p99:.1f} ms",
        ),
        Row(
            f"push → subscriber at {RATE_S:.0f} reports/s",
            f"p50 {1e3 * subscriber.p50:.1f} ms, p99 {1e3 * subscriber.p99:.1f} ms",
            "p99 < 100 ms",
        ),
    ]

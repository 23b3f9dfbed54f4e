"""The history of an election under load: the public record, and the guarantees that the judge finds broken."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import orjson

from bench.load.target import Target, publications
from gateway.election.record import JournalReport
from gateway.rehearsal.judge import (
    BrokenGuarantee,
    History,
    ObservedBlock,
    Push,
    ReaderHistory,
    judge,
)


class _Publication(msgspec.Struct):
    sequence: int
    published_at: datetime
    digest: str
    chain: str
    report: msgspec.Raw


async def stored_reports(target: Target) -> list[JournalReport]:
    """Read the public record from beginning to end."""
    found = []
    async with publications(target) as lines:
        async for line in lines:
            each = msgspec.json.decode(line, type=_Publication)
            body = bytes(each.report)
            report = orjson.loads(body)
            found.append(
                JournalReport(
                    each.sequence, report["unit"], report["revision"], bytes.fromhex(each.digest),
                    bytes.fromhex(each.chain), body, each.published_at,
                )
            )  # fmt: skip
    return found


def broken_guarantees(
    target: Target, pushes: Sequence[Push], observed: Sequence[ObservedBlock], stored: Sequence[JournalReport]
) -> list[BrokenGuarantee]:
    """Return every guarantee that was broken, to senders or to a subscriber of the default selection.

    Reports that are held are left out: the public record does not show them.
    """
    registry = target.registry
    parents = {area.get("parent") for area in registry["areas"]}
    areas = frozenset(area["id"] for area in registry["areas"] if area["id"] in parents)
    return judge(
        History(
            registry=registry,
            publish_from=target.publish_from.timestamp(),
            pushes=[push for push in pushes if push.answer.state != "held"],
            readings=[ReaderHistory("subscriber", areas, observed)],
            stored=stored,
        )
    )

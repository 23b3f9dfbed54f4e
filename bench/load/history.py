"""The whole history of an election under load, as anybody can read it, before the judge."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import orjson

from bench.load.target import Target, publications
from gateway.rehearsal.judge import Broken, Glimpse, History, Push, Reading, Stored, judge


class _Publication(msgspec.Struct):
    sequence: int
    published_at: datetime
    digest: str
    chain: str
    report: msgspec.Raw


async def stored_reports(target: Target) -> list[Stored]:
    """Read the public record to its end."""
    found = []
    async with publications(target) as lines:
        async for line in lines:
            each = msgspec.json.decode(line, type=_Publication)
            body = bytes(each.report)
            report = orjson.loads(body)
            found.append(
                Stored(
                    each.sequence, report["unit"], report["revision"], bytes.fromhex(each.digest),
                    bytes.fromhex(each.chain), body, each.published_at.timestamp(),
                )
            )  # fmt: skip
    return found


def judged(
    target: Target, pushes: Sequence[Push], glimpses: Sequence[Glimpse], stored: Sequence[Stored]
) -> list[Broken]:
    """Return every promise that was broken to senders or to a subscriber of the default selection."""
    registry = target.registry
    parents = {area.get("parent") for area in registry["areas"]}
    areas = frozenset(area["id"] for area in registry["areas"] if area["id"] in parents)
    return judge(
        History(
            registry=registry,
            publish_from=target.publish_from.timestamp(),
            pushes=pushes,
            readings=[Reading("subscriber", areas, glimpses)],
            stored=stored,
        )
    )

"""PURE: find counts whose times cannot be right.

A report with a `counted_at` in the future would remain the newest one until then: later counts without a revision would
be taken for older ones. A count long before the election belongs to another election.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from gateway.count_files.messages import Message, said
from gateway.count_files.parts import Part
from gateway.count_files.versions import Contradiction, Version
from gateway.election.registry import Registry

AHEAD_MAX = timedelta(minutes=10)
"""By how much a count may be ahead of the gateway's clock."""
BEFORE_MAX = timedelta(days=366)
"""By how much a count may precede the election's date."""


def future_counts(versions: Sequence[Version], server_time: datetime) -> list[Contradiction]:
    """Return a mistake for each version counted more than AHEAD_MAX after the gateway's present time."""
    return [
        Contradiction(
            said(
                "counted_in_future",
                each.where,
                unit=each.unit,
                time=each.document["counted_at"],
                now=f"{server_time:%Y-%m-%dT%H:%M:%SZ}",
            ),
            each,
        )
        for each in versions
        if each.instant - server_time > AHEAD_MAX
    ]


def early_counts(parts: Sequence[Part], registry: Registry) -> Iterator[Message]:
    """Yield a mistake for each part counted more than BEFORE_MAX before the election's date, if it has one.

    In a rehearsal, any earlier time is allowed.
    """
    held = _date_of(registry)
    if held is None or registry.rehearsal:
        return
    for part in parts:
        if held - part.instant.date() > BEFORE_MAX:
            time = part.document["counted_at"]
            yield said("counted_long_before", part.where, unit=part.unit, time=time, date=held.isoformat())


def _date_of(registry: Registry) -> date | None:
    try:
        return date.fromisoformat(registry.document["election"].get("date", ""))
    except (TypeError, ValueError):
        return None

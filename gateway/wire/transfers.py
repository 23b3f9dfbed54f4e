"""PURE: where the counts of each municipality are, as both doors write it and `valgnatt status` reads it.

Members are written in the order given here. A time is UTC, but for `hidden_until`; a member that ends in `_s` is in
seconds.

`hidden_until` is the end of the embargo while the public sees nothing of the election, with the offset of the
election's time zone, and None from the release on. While it is given, the figures of the feed door are zeros; those of
the push door are true. Older gateways do not send it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

LATE_AFTER_S = 5.0
"""A report is late when it has been accepted for longer than this and is not published."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Percentiles(msgspec.Struct, frozen=True):
    """How long a stage took, in seconds; null before anything was measured."""

    p50: float | None
    p99: float | None


class Lag(msgspec.Struct, frozen=True):
    """How long reports took, by stage."""

    receipt: Percentiles
    """From the report read by the push door to its acceptance."""
    applied: Percentiles
    """From publication to applied by this feed process."""
    written: Percentiles
    """From publication to written to the readers' sockets."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Where the counts of one municipality are. `accepted`, `published` and `embargoed` count reports in the record."""

    municipality: str
    name: str
    units: int
    reported: int
    """How many units have a report."""
    accepted: int
    published: int
    embargoed: int
    held: int = 0
    """How many units have a held report, which has no position in the record; older gateways do not send it."""
    oldest_held_s: float | None = None
    """How long the one of them that has been held longest has been held; None if none is."""
    oldest_unpublished_s: float | None
    """Age of the oldest report that is accepted and not published; always None on the push door. The time for which a
    report was held does not count."""
    last_accepted_at: Moment | None
    last_contact_at: Moment | None
    lag_s: Lag | None
    """None on the push door."""


class OwnTransfers(msgspec.Struct, frozen=True):
    """What the push door returns: the municipalities of one token."""

    election: str
    rehearsal: bool
    transfers: list[Transfer]
    hidden_until: Moment | None = None
    areas: list[str] = []
    """The areas of the token, as it was issued; older gateways do not send them."""


class PublicTransfers(msgspec.Struct, frozen=True):
    """What the feed door returns: every municipality."""

    election: str
    rehearsal: bool
    sequence: int
    """Of the last publication that this feed process has applied."""
    server_time: Moment
    transfers: list[Transfer]
    late_after_s: float = LATE_AFTER_S
    """The age above which a report is late, for programs that show transfers; older gateways do not send it."""
    hidden_until: Moment | None = None

    @property
    def late(self) -> list[Transfer]:
        """The municipalities with a late report, the one that waits longest first."""
        return [each for each in by_waiting(self.transfers) if is_late(each, self.late_after_s)]


def is_late(transfer: Transfer, late_after_s: float) -> bool:
    """Whether the oldest report of a municipality is late."""
    return transfer.oldest_unpublished_s is not None and transfer.oldest_unpublished_s > late_after_s


def age_of_oldest(times: Iterable[datetime], now: datetime) -> float | None:
    """Return how long ago, in seconds, the first of some times was; None if there are none."""
    first = min(times, default=None)
    return None if first is None else max(0.0, (now - first).total_seconds())


def by_waiting(transfers: Iterable[Transfer]) -> list[Transfer]:
    """Return transfers, first the one whose oldest report waits longest, then by name."""
    return sorted(transfers, key=lambda each: (-(each.oldest_unpublished_s or 0.0), each.name))


def to_document(value: msgspec.Struct) -> Any:
    """Return one of these as what `to_json` writes."""
    return msgspec.to_builtins(value, builtin_types=(datetime,))

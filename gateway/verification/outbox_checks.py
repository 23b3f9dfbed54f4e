"""PURE: whether a record agrees with an outbox (section 12.6 of the contract, `verify outbox`).

The record has to have every report with a receipt, byte for byte, unless the public list of holds shows that it was
rejected or superseded; no report of the sender's units that the sender did not send; and as the newest report of each
unit the sender's newest one. Reports are compared by the SHA-256 of their canonical bytes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

ENDED_WITHOUT_POSITION = ("rejected", "superseded")
"""States at the end of a hold whose report never gets a position in the record."""


class Sent(msgspec.Struct, frozen=True):
    """A report in the outbox."""

    key: int
    unit: str
    revision: int
    digest: bytes
    """SHA-256 of its canonical bytes."""
    has_receipt: bool
    state: str | None = None
    """Of its receipt."""
    sequence: int | None = None
    """Of its receipt, if it was public when that was given."""
    accepted_at: datetime | None = None


class Placed(msgspec.Struct, frozen=True):
    """A report of the sender's units in the record."""

    sequence: int
    unit: str
    revision: int
    digest: bytes


class HoldState(msgspec.Struct, frozen=True):
    """The last line about a revision in the public list of holds."""

    state: str
    at: datetime
    reason: str | None = None


class Excepted(msgspec.Struct, frozen=True):
    """A report with a receipt that is not in the record, since its hold ended otherwise."""

    sent: Sent
    hold: HoldState


class Missing(msgspec.Struct, frozen=True):
    """A report with a receipt that is not in the record."""

    sent: Sent
    why: Literal["absent", "other_bytes", "not_newest", "not_covered", "held"]
    """`absent`: no trace of it; `other_bytes`: the record has its revision with other bytes; `not_newest`: an older
    revision of the unit follows it; `not_covered`: no checkpoint covers its position yet; `held`: it is still held."""
    placed: Placed | None = None
    """What the record has instead."""


class Foreign(msgspec.Struct, frozen=True):
    """A report of the sender's units in the record that the sender did not send."""

    placed: Placed
    newest_sent: int | None
    """The newest revision of the unit in the outbox; None if there is none."""


class Agreement(msgspec.Struct, frozen=True):
    """How record and outbox compare."""

    not_mine: list[Foreign]
    missing: list[Missing]
    excepted: list[Excepted]
    found: list[tuple[Sent, Placed]]
    """Reports in the outbox that are in the record, with or without a receipt."""


def compare(
    receipts: Sequence[Sent],
    sent: Iterable[Sent],
    placed: Sequence[Placed],
    holds: Mapping[tuple[str, int], HoldState],
    own_units: Collection[str],
    size: int,
) -> Agreement:
    """Compare an outbox with the record that a checkpoint of `size` entries covers.

    `receipts` are the reports of the outbox before the checkpoint was read, and `sent` those afterwards: a report is in
    the outbox before it is sent. `placed` are the reports of `own_units` and of the units in the outbox, in order.
    """
    mine = {(each.unit, each.revision, each.digest): each for each in (*receipts, *sent)}
    newest_sent: dict[str, int] = {}
    for unit, revision, _ in mine:
        newest_sent[unit] = max(revision, newest_sent.get(unit, 0))
    by_revision = {(each.unit, each.revision): each for each in placed}
    last = {each.unit: each for each in placed}
    missing: list[Missing] = []
    excepted: list[Excepted] = []
    newest_receipt: dict[str, tuple[Sent, Placed]] = {}
    for each in receipts:
        if not each.has_receipt:
            continue
        at = by_revision.get((each.unit, each.revision))
        hold = holds.get((each.unit, each.revision))
        if at is not None and at.digest == each.digest:
            if each.revision >= newest_receipt.get(each.unit, (each, at))[0].revision:
                newest_receipt[each.unit] = each, at
        elif at is None and hold is not None and hold.state in ENDED_WITHOUT_POSITION:
            excepted.append(Excepted(each, hold))
        else:
            missing.append(Missing(each, _why(each, at, hold, size), at))
    for newest, at in newest_receipt.values():
        end = last[newest.unit]
        if end.sequence > at.sequence and end.revision < newest.revision:
            missing.append(Missing(newest, "not_newest", end))
    return Agreement(
        not_mine=[
            Foreign(each, newest_sent.get(each.unit))
            for each in placed
            if each.unit in own_units and (each.unit, each.revision, each.digest) not in mine
        ],
        missing=missing,
        excepted=excepted,
        found=[
            (mine[key], each) for each in placed if (key := (each.unit, each.revision, each.digest)) in mine
        ],
    )


def _why(
    sent: Sent, placed: Placed | None, hold: HoldState | None, size: int
) -> Literal["absent", "other_bytes", "not_covered", "held"]:
    if placed is not None:
        return "other_bytes"
    if sent.sequence is not None and sent.sequence >= size:
        return "not_covered"
    return "held" if hold is not None and hold.state == "held" else "absent"

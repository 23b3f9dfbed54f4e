"""PURE: the state of an election's transfers for a terminal: problems first, then sums, and all rows on request."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from gateway.characters import printable
from gateway.humanize import counted, duration, milliseconds, spaced
from gateway.wire.transfers import OwnTransfers, PublicTransfers, Transfer, by_waiting, is_late

LAG_CAPTION = "lag p99: 99 % of reports were sent within this time after publication"
NAMES_MAX = 20
"""Names of municipalities in one line; the others are counted."""
PROBLEMS_MAX = 40
"""Rows of municipalities with a problem; the others are counted."""

Transfers = PublicTransfers | OwnTransfers


def is_hidden(document: Transfers) -> bool:
    """Whether the figures of a document are zeros because nothing may be shown yet."""
    return isinstance(document, PublicTransfers) and document.hidden_until is not None


def clock_time(moment: datetime, now: datetime) -> str:
    """Return a time by its own offset, with its date unless that is today: `21:00`, `2025-09-08 21:00`."""
    same_day = now.astimezone(moment.tzinfo).date() == moment.date()
    return f"{moment:%H:%M}" if same_day else f"{moment:%Y-%m-%d %H:%M}"


def state_of(document: Transfers, now: datetime) -> str:
    """Return the state of all transfers in a sentence or two. For a decision, use `PublicTransfers.late`."""
    held = sum(each.held for each in document.transfers)
    checked = f"{counted(held, 'unit')} {'is' if held == 1 else 'are'} being checked. " if held else ""
    return checked + _state_besides(document, now, anything_held=held > 0)


def _state_besides(document: Transfers, now: datetime, *, anything_held: bool) -> str:
    """Return the state of all reports that are not held."""
    transfers = document.transfers
    until = document.hidden_until
    if until is not None and until <= now:
        return "The results are being published now."
    if until is not None and is_hidden(document):
        return (
            f"Hidden until {clock_time(until, now)}: nothing that municipalities have sent is shown before."
        )
    if late := late_of(document):
        return (
            f"Late: {len(late)} of {counted(len(transfers), 'municipality', 'municipalities')};"
            f" waiting longest: {late[0].name}, {late[0].oldest_unpublished_s:.0f} s. {_to_come(transfers)}."
        )
    accepted = sum(each.accepted for each in transfers)
    if not accepted and anything_held:
        return f"Nothing else has been received yet; {_to_come(transfers)}."
    if not accepted and isinstance(document, PublicTransfers):
        return f"Nothing has been published yet; {_to_come(transfers)}."
    if not accepted:
        return f"Nothing has been received yet; {_to_come(transfers)}."
    if until is not None:
        return (
            f"Under embargo until {clock_time(until, now)}: {counted(accepted, 'report')} received;"
            f" {_to_come(transfers)}."
        )
    if unpublished := accepted - sum(each.published for each in transfers):
        return f"Nothing is late; {counted(unpublished, 'report')} not published yet; {_to_come(transfers)}."
    what = "Everything else received" if anything_held else "Everything received"
    return f"{what} is published; {_to_come(transfers)}."


def late_of(document: Transfers) -> list[Transfer]:
    """Return the municipalities with a late report; the push door does not know which are late."""
    return document.late if isinstance(document, PublicTransfers) else []


def summary_of(document: Transfers) -> list[str]:
    """Return the parts of the state of all transfers, one line each, municipalities never in contact first.

    Nothing while it is hidden.
    """
    if is_hidden(document):
        return [f"municipalities    {spaced(len(document.transfers))}: hidden"]
    transfers = document.transfers
    complete = sum(each.reported == each.units for each in transfers)
    nothing = sum(not each.reported for each in transfers)
    sums = [
        f"{spaced(sum(getattr(each, name) for each in transfers))} {name}"
        for name in ("accepted", "published", "embargoed")
    ]
    parts = (
        f"{spaced(complete)} complete, {spaced(len(transfers) - complete - nothing)} with units to come,"
        f" {spaced(nothing)} without any report"
    )
    lines = []
    if held := _held(transfers):
        units = counted(sum(each.held for each in held), "unit")
        places = counted(len(held), "municipality", "municipalities")
        lines.append(
            f"being checked     {units} in {places}, the longest for {duration(held[0].oldest_held_s or 0)}"
        )
    if silent := sorted(each.name for each in transfers if not last_contact(each)):
        more = f" and {spaced(len(silent) - NAMES_MAX)} more" if len(silent) > NAMES_MAX else ""
        lines.append(f"never in contact  {spaced(len(silent))}: {', '.join(silent[:NAMES_MAX])}{more}")
    return [
        *lines,
        f"municipalities    {spaced(len(transfers))}: {parts}",
        f"reports           {', '.join(sums if document.hidden_until is not None else sums[:2])}",
    ]


def last_contact(transfer: Transfer) -> datetime | None:
    """Return when a municipality was last in contact. What was accepted for it came from one of its senders."""
    known = [time for time in (transfer.last_contact_at, transfer.last_accepted_at) if time is not None]
    return max(known, default=None)


def problems_of(document: Transfers) -> list[Transfer]:
    """Return the municipalities with reports that should be public and are not, the longest waiting first.

    Those with held reports follow, also under embargo.
    """
    found: list[Transfer] = []
    if document.hidden_until is None:
        late = late_of(document)
        waiting = [each for each in by_waiting(document.transfers) if each.accepted > each.published]
        found = late + [each for each in waiting if each not in late]
    return found + [each for each in _held(document.transfers) if each not in found]


def _held(transfers: Sequence[Transfer]) -> list[Transfer]:
    """Return the municipalities with held reports, the one that has been held longest first."""
    return sorted((each for each in transfers if each.held), key=lambda each: -(each.oldest_held_s or 0.0))


def transfers_table(document: Transfers, transfers: Sequence[Transfer], most: int | None = None) -> Table:
    """Return a table of some of a document's municipalities, at most `most` of them."""
    table = Table(
        expand=True,
        box=None,
        header_style="dim",
        caption=LAG_CAPTION if any(_lag(each) is not None for each in transfers) else None,
        caption_style="dim",
        caption_justify="left",
    )
    table.add_column("municipality")
    for name in (
        "units",
        "accepted",
        "published",
        "embargoed",
        "checked",
        "waiting",
        "lag p99",
        "last contact (UTC)",
    ):
        table.add_column(name, justify="right")
    row = _hidden_row if is_hidden(document) else _row
    late_after_s = document.late_after_s if isinstance(document, PublicTransfers) else None
    for each in transfers[:most]:
        late = late_after_s is not None and is_late(each, late_after_s)
        table.add_row(*row(each), style="bold red" if late else "")
    if most is not None and len(transfers) > most:
        table.add_row(f"… and {spaced(len(transfers) - most)} more", style="dim")
    return table


def _row(each: Transfer) -> list[str]:
    waits, contact = each.oldest_unpublished_s, last_contact(each)
    return [
        printable(each.name),
        f"{each.reported}/{each.units}",
        spaced(each.accepted),
        spaced(each.published),
        spaced(each.embargoed),
        f"{spaced(each.held)} ({duration(each.oldest_held_s or 0.0)})" if each.held else "",
        f"{waits:.1f} s" if waits is not None else "",
        milliseconds(_lag(each)),
        f"{contact:%Y-%m-%d %H:%M:%S}" if contact is not None else "never",
    ]


def _hidden_row(each: Transfer) -> list[str]:
    return [printable(each.name), *["hidden"] * 8]


def _lag(each: Transfer) -> float | None:
    return each.lag_s.written.p99 if each.lag_s is not None else None


def _to_come(transfers: Sequence[Transfer]) -> str:
    units = sum(each.units for each in transfers)
    left = units - sum(each.reported for each in transfers)
    return f"{counted(left, 'unit')} to come" if left else f"all {counted(units, 'unit')} have reported"

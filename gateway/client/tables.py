"""PURE: areas of the feed, and transfers, as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from rich.table import Table

from gateway.characters import printable
from gateway.humanize import counted, milliseconds, spaced
from gateway.wire.transfers import Moment, PublicTransfers, by_waiting, is_late


class Units(TypedDict):
    """How many units an area has, and how many of them have reported."""

    total: int
    reported: int


class Counts(TypedDict):
    """The figures of one category that are shown."""

    ballots: int
    votes: dict[str, int]


class Area(TypedDict):
    """The members of an area of the feed that are shown."""

    area: str
    name: str
    parent: str | None
    units: Units
    counts: dict[str, Counts]
    corrections: NotRequired[int]
    published_at: Moment | None


LARGEST = 4
"""Parties shown per area."""


def area_table(above: Sequence[Area], below: Sequence[Area], late_s: Mapping[str, float], most: int) -> Table:
    """Return a table of some areas, in bold, and of those below them, sorted by name."""
    table = Table(expand=True, box=None, header_style="dim")
    table.add_column("area")
    for name in ("units", "ballots", "largest parties", "lag", "corrections"):
        table.add_column(name, justify="left" if name == "largest parties" else "right")
    shown = sorted(below, key=lambda area: str(area["name"]))
    for area, style in [*((each, "bold") for each in above), *((each, "") for each in shown[:most])]:
        units = area["units"]
        late = late_s.get(area["area"])
        table.add_row(
            printable(area["name"]),
            f"{units['reported']}/{units['total']}",
            spaced(ballots(area)),
            largest(area),
            milliseconds(late),
            str(area.get("corrections") or ""),
            style=style,
        )
    if len(shown) > most:
        table.add_row(f"… and {len(shown) - most} more", style="dim")
    return table


LAG_CAPTION = "lag p99: 99 % of reports were sent within this time after publication"


def transfers_table(document: PublicTransfers, most: int) -> Table:
    """Return a table of municipalities and their transfers, those that wait longest first."""
    table = Table(
        expand=True,
        box=None,
        header_style="dim",
        caption=LAG_CAPTION,
        caption_style="dim",
        caption_justify="left",
    )
    table.add_column("municipality")
    for name in ("units", "accepted", "published", "embargoed", "waiting", "lag p99", "last contact"):
        table.add_column(name, justify="right")
    for each in by_waiting(document.transfers)[:most]:
        waits = each.oldest_unpublished_s
        table.add_row(
            printable(each.name),
            f"{each.reported}/{each.units}",
            spaced(each.accepted),
            spaced(each.published),
            spaced(each.embargoed),
            f"{waits:.1f} s" if waits is not None else "",
            milliseconds(each.lag_s.written.p99 if each.lag_s is not None else None),
            f"{each.last_contact_at:%Y-%m-%d %H:%M:%S}" if each.last_contact_at is not None else "never",
            style="bold red" if is_late(each, document.late_after_s) else "",
        )
    return table


def state_of(document: PublicTransfers) -> str:
    """Return the state of all transfers as a sentence. For a decision, use `PublicTransfers.late`."""
    transfers, late = document.transfers, document.late
    embargoed = sum(each.embargoed for each in transfers)
    reported = sum(each.reported for each in transfers)
    units = sum(each.units for each in transfers)
    if late:
        first = late[0]
        return (
            f"Late: {len(late)} of {counted(len(transfers), 'municipality', 'municipalities')};"
            f" waiting longest: {first.name}, {first.oldest_unpublished_s:.0f} s."
        )
    if embargoed:
        return f"{counted(embargoed, 'report')} under embargo; nothing is late."
    unpublished = sum(each.accepted - each.published for each in transfers)
    progress = f"Units reported: {spaced(reported)} of {spaced(units)}."
    if unpublished:
        return f"Nothing is late; {counted(unpublished, 'report')} not published yet. {progress}"
    return f"All accepted reports are published. {progress}"


def ballots(area: Area) -> int:
    """Return the ballots of an area."""
    return sum(counts["ballots"] for counts in area["counts"].values())


def largest(area: Area) -> str:
    """Return the largest parties of an area with their shares of the votes."""
    votes: dict[str, int] = {}
    for counts in area["counts"].values():
        for party, count in counts["votes"].items():
            votes[party] = votes.get(party, 0) + count
    total = sum(votes.values())
    if not total:
        return ""
    first = sorted(votes, key=lambda party: -votes[party])[:LARGEST]
    return "  ".join(f"{party} {100 * votes[party] / total:.1f} %" for party in first)

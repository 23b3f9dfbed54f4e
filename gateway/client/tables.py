"""PURE: areas of the feed as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from rich.cells import cell_len
from rich.console import ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gateway.characters import printable
from gateway.humanize import counted, milliseconds, spaced
from gateway.wire.transfers import Moment


class Units(TypedDict):
    """How many units an area has, and how many of them have reported."""

    total: int
    reported: int


class Counts(TypedDict):
    """The figures of one category that are shown."""

    ballots: int
    votes: dict[str, int]


class Explanation(TypedDict):
    """What a correction looks like from the record."""

    code: str
    unit: NotRequired[str]


class Correction(TypedDict):
    """The members of a correction that are shown: a unit's own, or the last one at or below an area."""

    explained: NotRequired[Explanation | None]
    sequence: NotRequired[int]
    previous: NotRequired[dict[str, Counts]]
    """Only of a unit's own."""
    ballots: NotRequired[int]
    """By how much they changed; only of an area above."""


class PartySeats(TypedDict):
    """The seats of a party in the whole election."""

    seats: int


class LastSeat(TypedDict):
    """The party that has the last ordinary seat of a district."""

    party: str
    spare: int


class NextSeat(TypedDict):
    """The party that is next for it."""

    party: str
    lacks: int


class Seats(TypedDict):
    """The seats of a district, or of the whole election, as a projection."""

    by_party: dict[str, int | PartySeats]
    last: NotRequired[LastSeat | None]
    next: NotRequired[NextSeat | None]


class Area(TypedDict):
    """The members of an area of the feed that are shown."""

    area: str
    name: str
    parent: str | None
    sequence: NotRequired[int]
    units: Units
    counts: dict[str, Counts]
    corrections: NotRequired[int]
    correction: NotRequired["Correction | None"]
    last_correction: NotRequired["Correction | None"]
    seats: NotRequired[Seats]
    published_at: Moment | None


EXPLANATIONS = {
    "duplicate_withdrawn": "a count of {unit} is withdrawn",
    "exchanged": "two parties were exchanged",
    "moved": "moved {direction} {unit}",
    "restated": "reported again",
    "counted_elsewhere": "counted elsewhere",
    "status_back": "counting was reopened",
    "counted_again": "counted again",
    "more_counted": "more counted",
}
"""Each code of the contract in words."""

LARGEST = 4
"""Parties shown per area."""


def area_table(
    above: Sequence[Area],
    below: Sequence[Area],
    late_s: Mapping[str, float],
    most: int,
    *,
    hidden: bool = False,
) -> Table:
    """Return a table of some areas, in bold, and of those below them, sorted by name.

    Each area takes one line: in a narrow terminal, its name ends with an ellipsis, fewer parties are shown, and of its
    corrections only the number. While the results are `hidden`, figures are not shown: they are zeros, whatever was
    accepted.
    """
    table = Table(expand=True, box=None, pad_edge=False, header_style="dim")
    table.add_column("area", ratio=2)
    for name in ("units", "ballots"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(_shortened("largest parties"), ratio=3)  # two of them in a terminal of 80 characters
    table.add_column("lag", justify="right", no_wrap=True)
    table.add_column(_shortened("corrections"), ratio=2)
    shown = sorted(below, key=lambda area: str(area["name"]))
    for area, style in [*((each, "bold") for each in above), *((each, "") for each in shown[:most])]:
        units = area["units"]
        late = late_s.get(area["area"])
        table.add_row(
            _shortened(printable(area["name"])),
            "hidden" if hidden else f"{units['reported']}/{units['total']}",
            "hidden" if hidden else spaced(ballots(area)),
            _Fitting(largest(area), "  "),
            milliseconds(late),
            _Fitting(corrections(area), ", "),
            style=style,
        )
    if len(shown) > most:
        table.add_row(f"… and {len(shown) - most} more", style="dim")
    return table


class _Fitting:
    """Texts in one line, as many as fit; the first may be shortened."""

    def __init__(self, texts: Sequence[str], separator: str) -> None:
        self._lines = [separator.join(texts[: count + 1]) for count in range(max(1, len(texts)))]

    def __rich_measure__(self, _console: object, _options: object) -> Measurement:
        return Measurement(1, cell_len(self._lines[-1]))

    def __rich_console__(self, _console: object, options: ConsoleOptions) -> RenderResult:
        fitting = (line for line in reversed(self._lines) if cell_len(line) <= options.max_width)
        yield _shortened(next(fitting, self._lines[0]))


def _shortened(text: str) -> Text:
    """Return a text that ends with an ellipsis if its column is too narrow."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def corrections(area: Area) -> list[str]:
    """Return how many corrections an area has had, and what the last one looks like from the record."""
    last = area.get("correction") or area.get("last_correction")
    if last is None:
        return []
    explained = last.get("explained")
    words = EXPLANATIONS.get(explained["code"]) if explained else None
    shown = [str(area.get("corrections") or "")]
    if explained and words:
        unit = printable(explained.get("unit", ""))
        shown.append(f"it looks like: {words.format(unit=unit, direction=_direction(area, last))}")
    return [each for each in shown if each]


def _direction(area: Area, last: Correction) -> str:
    """Return where ballots were moved; a unit's change is known only while no later report has come."""
    change = last.get("ballots", 0)
    if "previous" in last and last.get("sequence") == area.get("sequence"):
        change = ballots(area) - sum(counts["ballots"] for counts in last["previous"].values())
    if change:
        return "to" if change < 0 else "from"
    return "to or from"


def ballots(area: Area) -> int:
    """Return the ballots of an area."""
    return sum(counts["ballots"] for counts in area["counts"].values())


def largest(area: Area) -> list[str]:
    """Return the largest parties of an area with their shares of the votes, the largest first."""
    votes: dict[str, int] = {}
    for counts in area["counts"].values():
        for party, count in counts["votes"].items():
            votes[party] = votes.get(party, 0) + count
    total = sum(votes.values())
    if not total:
        return []
    first = sorted(votes, key=lambda party: -votes[party])[:LARGEST]
    return [f"{printable(party)} {100 * votes[party] / total:.1f} %" for party in first]


def seats_line(area: Area) -> str | None:
    """Return the seats of an area as a line of text; None if it has none."""
    projection = area.get("seats")
    if projection is None or not projection["by_party"]:
        return None
    seats = {
        party: each if isinstance(each, int) else each["seats"]
        for party, each in projection["by_party"].items()
    }
    listed = ", ".join(
        f"{printable(party)} {seats[party]}" for party in sorted(seats, key=lambda each: -seats[each])
    )
    line = f"projected seats: {listed}"
    last, following = projection.get("last"), projection.get("next")
    if last and following:
        lacks = counted(following["lacks"], "more vote")
        line += f"; {printable(following['party'])} takes the last seat of {printable(last['party'])} with {lacks}"
    return line

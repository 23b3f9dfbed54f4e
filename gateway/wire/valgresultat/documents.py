"""The document of an area in the shape of valgresultat.no, from the state and, where they are known, the seats."""

from datetime import datetime
from typing import Any

from gateway.election.layout import COUNT_PLACES, COUNTED
from gateway.election.local_time import local_time
from gateway.election.registry import Area
from gateway.election.state import AreaState, ElectionState
from gateway.wire.areas import area_counts
from gateway.wire.valgresultat.figures import Figures, Votes, figures_of, turnout
from gateway.wire.valgresultat.mandates import RowSeats, district_rows, house_rows
from gateway.wire.valgresultat.parties import PartyRows
from gateway.wire.valgresultat.places import Links, Places
from gateway.wire.valgresultat.progress import Progress, unit_status
from gateway.wire.valgresultat.seats import Seats

_TYPES = {"fylke": "valgdistrikt"}
_VOTERS = next(units for name, _, units in COUNT_PLACES if name == "voters")
"""Place of the number of units that reported voters."""
ADVANCE_STATION = "advance_station"


class Documents:
    """The documents of one state."""

    def __init__(self, state: ElectionState, places: Places) -> None:
        self._state = state
        self._places = places
        seats = self._seats = Seats(state.registry, state.seats) if state.seats is not None else None
        """None if the registry has no apportionment; members about seats are null then."""
        self._rows = PartyRows(state.registry)
        self._progress = Progress(state)
        self._of_all = frozenset(seats.districts if seats is not None else ()) | {0}
        """Indexes of the areas whose documents have something of all: the root, and districts."""

    def depends_on_all(self, area: Area) -> bool:
        """Return whether an area's document depends on the votes of all, as levelling seats of a district do."""
        return area.index in self._of_all

    def version(self, area: Area) -> int:
        """Return the sequence that identifies the content of an area's document."""
        depends_on = self._state if self.depends_on_all(area) else self._state.areas[area.index]
        return depends_on.sequence

    def document(self, area: Area) -> dict[str, Any]:
        """Return the document of an area."""
        state = self._state.areas[area.index]
        figures = figures_of(area_counts(self._state, area.index))
        if not self._voters_known(state):
            figures = figures._replace(voters=None)
        return {
            "id": self._id(area),
            "tidspunkt": {
                "rapportGenerert": self._time(self._made(area)),
                "sisteStemmer": self._time(state.published_at),
            },
            "merknader": [],
            "antallsb": area.eligible,
            "mandater": {"antall": self._seats_of(area), "endring": None},
            "stemmer": _ballots(figures),
            "stemmegiving": _voters(figures),
            "frammote": _turnout(area, figures),
            **self._counted(area, state),
            "partier": self._parties(area, figures),
            "_links": self._links(area),
            "valgnatt": {
                "election": self._state.registry.id,
                "rehearsal": self._state.registry.rehearsal,
                "sequence": self.version(area),
            },
        }

    def _id(self, area: Area) -> dict[str, Any]:
        places = self._places
        document = {
            "valgaar": places.year,
            "valgtype": places.kind.upper(),
            "nivaa": places.level(area),
            "navn": area.name,
            "nr": places.code(area),
        }
        return document | ({"forhaandsstemmelokale": _in_advance(area)} if area.is_unit else {})

    def _made(self, area: Area) -> datetime | None:
        """Return the time of the last publication on which the document of an area depends."""
        depends_on = self._state if self.depends_on_all(area) else self._state.areas[area.index]
        return depends_on.published_at

    def _time(self, moment: datetime | None) -> str | None:
        """Return a local time without offset, in whole seconds."""
        if moment is None:
            return None
        return local_time(self._state.registry, moment).replace(tzinfo=None, microsecond=0).isoformat()

    def _voters_known(self, state: AreaState) -> bool:
        """Return whether all units that reported a category reported its voters, so that the sum is comparable."""
        figures = state.figures
        return all(
            figures[base + COUNTED] == figures[base + _VOTERS] for base in self._state.layout.bases.values()
        )

    def _seats_of(self, area: Area) -> int | None:
        """Return the seats of the house or of a district; 0 for other areas, None where seats are not known."""
        if area.path and not self.depends_on_all(area):
            return 0
        return self._seats.number(area) if self._seats is not None else None

    def _counted(self, area: Area, state: AreaState) -> dict[str, Any]:
        kind = self._places.level(area)
        if area.is_unit:
            status = unit_status(state.report[2] if state.report is not None else None)
            return {"opptellingsStatusKrets": {"type": kind, "kretsStatus": status}}
        return {"opptellingsStatus": self._progress.document(area, _TYPES.get(kind, kind))}

    def _parties(self, area: Area, figures: Figures) -> list[dict[str, Any]]:
        return self._rows.documents(figures, area.ballot, self._row_seats(area), unit=area.is_unit)

    def _row_seats(self, area: Area) -> RowSeats | None:
        """Return the seats of the rows of an area; None if its rows have none."""
        seats = self._seats
        if not area.path:
            return house_rows(seats.house() if seats is not None else None)
        if self.depends_on_all(area):
            return district_rows(seats.district(area) if seats is not None else None)
        return None

    def _links(self, area: Area) -> dict[str, Any]:
        places, areas = self._places, self._state.registry.areas
        above, links = places.above(area), places.links(area)
        below = [areas[index] for index in area.children] if places.opens(area) else []
        return {
            "related": [self._related(links, each) for each in below],
            "self": {"nr": places.code(area), **links.document(), "navn": area.name},
            "up": {"nr": places.code(above), **places.links(above).document(), "navn": above.name}
            if above is not None
            else {"nr": None, "href": f"/{places.year}", "hrefNavn": f"/{places.year}", "navn": None},
        }

    def _related(self, links: Links, area: Area) -> dict[str, Any]:
        """Return the link to an area below the one with these paths."""
        places = self._places
        document = {
            "nr": places.code(area),
            **places.links_below(links, area).document(),
            "navn": area.name,
            "rapportGenerert": self._time(self._made(area)),
            "harUnderordnet": places.opens(area),
        }
        if area.is_unit:
            document["forhaandsstemmelokale"] = _in_advance(area)
        return document


def _in_advance(unit: Area) -> bool:
    """Return whether a unit is a place where people vote in advance."""
    return unit.kind == ADVANCE_STATION


def _ballots(figures: Figures) -> dict[str, int | None]:
    ballots, rejected = figures.ballots, figures.rejected
    return {
        "total": ballots.total,
        "fhs": ballots.advance,
        "totalForkastede": _total(rejected),
        "fhsForkastede": _advance(rejected),
    }


def _voters(figures: Figures) -> dict[str, int | None]:
    """Return who voted. How many of them were rejected, other than by their ballots, is not known."""
    return {
        "totalGodkjente": _total(figures.voters),
        "fhsGodkjente": _advance(figures.voters),
        "totalForkastede": None,
        "fhsForkastede": None,
    }


def _turnout(area: Area, figures: Figures) -> dict[str, float | None]:
    """Return the turnout; none of a unit: ballots are counted where they were cast, and voters where they live."""
    return {"prosent": None, "prosentAndelFhs": None} if area.is_unit else turnout(figures, area.eligible)


def _total(votes: Votes | None) -> int | None:
    return None if votes is None else votes.total


def _advance(votes: Votes | None) -> int | None:
    return None if votes is None else votes.advance

"""Documents of a previous election for tests of the pages."""

from typing import Any

from gateway.rehearsal.generator import GeneratedElection
from tests.web.doors import COUNTRY, HERE, UNIT, units_of

WHOLE = "0602"
"""A municipality that has votes of the previous election, while its units have none."""


def a_previous(small: GeneratedElection) -> dict[str, Any]:
    """Return a previous election: of the units of HERE, of WHOLE and the country, in which one party did not stand."""
    units = units_of(small, HERE)
    areas: dict[str, Any] = {
        unit: {"votes": {"FL": 30, "NST": 70}, "blank": 0, "eligible": 1000 if unit == UNIT else 50}
        for unit in units
    }
    areas[UNIT]["votes"] = {"FL": 60, "NST": 40}
    areas[WHOLE] = {"votes": {"FL": 500, "NST": 500}}
    areas[COUNTRY] = {"votes": {"FL": 3000, "NST": 7000}, "differs": "units are missing"}
    election = {"id": "before", "name": "Valget i Valland 2020", "date": "2020-09-14"}
    return {
        "format": "valgnatt-previous/1",
        "election": election,
        "source": "made for this test",
        "areas": areas,
    }

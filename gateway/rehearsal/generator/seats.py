"""The seats of an invented country, allocated as in the Norwegian parliament: its rules, districts and blocs.

Nothing is drawn, so that the same seed still gives the same country.
"""

from collections.abc import Sequence
from typing import Any

from gateway.rehearsal.generator.split import split

PER_COUNTY = 169 / 19
"""Seats of the house for each county (recorded)."""
LEAST = 4
"""Seats of each county at least (recorded)."""

APPORTIONMENT: dict[str, Any] = {
    "method": "divisors",
    "divisors": [14, 30, 50],
    "districts": "county",
    "threshold": {"percent": 4, "of": "country"},
    "levelling": {"per_district": 1},
}
BLOCS: list[dict[str, Any]] = [
    {
        "name": "Samlingen",
        "names": {"nb": "Samlingen", "nn": "Samlinga", "en": "The Rally"},
        "parties": ["FL", "BYGD", "RØST", "LAV", "ÅT"],
    },
    {
        "name": "Alliansen",
        "names": {"nb": "Alliansen", "nn": "Alliansen", "en": "The Alliance"},
        "parties": ["NST", "HV", "SOL", "TRO"],
    },
]


def seats(eligible: Sequence[int]) -> list[int]:
    """Return the seats of each county, by its eligible voters."""
    total = max(round(PER_COUNTY * len(eligible)), LEAST * len(eligible))
    return [LEAST + more for more in split(total - LEAST * len(eligible), eligible)]
